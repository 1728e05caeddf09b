"""Regenerate the reference files with real Keras 3.

Command: KERAS_BACKEND=torch python tests/golden/make_golden.py [family ...]
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ.setdefault("KERAS_BACKEND", "torch")

from tests.golden import cases, promotion  # noqa: E402

FAMILIES = (
    "ops", "ops_more", "activations", "initializers", "regularizers", "losses", "metrics",
    "optimizers",
    "layers", "layers_more", "recurrent_attention", "sequence_layers", "convolution",
    "space", "image", "models", "summary", "fit", "trajectories", "structures", "weights",
    "saving", "quantization",
    "masks", "functions",
)  # fmt: skip


def main(wanted: list[str]) -> None:
    import keras

    warnings.simplefilter("ignore")
    if not wanted or "promotion" in wanted:
        promotion.save(keras)
    for family in FAMILIES if not wanted else [name for name in wanted if name != "promotion"]:
        importlib.import_module(f"tests.golden.{family}_cases")
        results = {}
        for case in cases.CASES[family].values():
            keras.utils.clear_session()
            results[case.name] = case.run(keras)
        cases.save(family, results)
        size = sum((cases.HERE / f"{family}.{end}").stat().st_size for end in ("npz", "json"))
        print(f"{family}: {len(results)} cases, {size} bytes, Keras {keras.__version__}")


if __name__ == "__main__":
    main(sys.argv[1:])
