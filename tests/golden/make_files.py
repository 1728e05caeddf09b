"""Regenerate the `.h5` fixtures, and tell what real Keras computes with files.

Commands, with a Python that has the Keras in question:
    python tests/golden/make_files.py make keras2        (Keras 2: the package tf_keras)
    KERAS_BACKEND=torch python tests/golden/make_files.py make keras3
    python tests/golden/make_files.py read keras2 folder (writes <case>.npz beside <case>.h5)

The values of the models that were saved go on with training there are kept in `h5.npz`.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.golden import h5_cases  # noqa: E402


def imported(origin: str) -> Any:
    return importlib.import_module("tf_keras" if origin == h5_cases.KERAS_2 else "keras")


def make(origin: str) -> None:
    """Write the fixtures of one Keras, and what its own models go on to compute."""
    keras = imported(origin)
    reference = dict(np.load(h5_cases.REFERENCE)) if h5_cases.REFERENCE.exists() else {}
    for one, name in h5_cases.ORIGINS:
        if one != origin:
            continue
        keras.backend.clear_session()
        model = h5_cases.trained(keras, name)
        path = h5_cases.fixture_path(origin, name)
        model.save(path)
        for key, value in h5_cases.described(model, name).items():
            reference[f"{origin}|{name}|{key}"] = value
        print(path.name, path.stat().st_size)
    np.savez_compressed(h5_cases.REFERENCE, **reference)


def read(origin: str, folder: Path) -> None:
    """Load the `.h5` files in a folder and write what they predict.

    On torch, Keras 3 does not go on to train them: their optimizers know other variables.
    """
    keras = imported(origin)
    for path in sorted(folder.glob("*.h5")):
        objects = h5_cases.custom_objects(keras)
        model = keras.models.load_model(path, custom_objects=objects)
        np.savez(path.with_suffix(".npz"), predictions=h5_cases.predictions(model, path.stem))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    command, which, *rest = sys.argv[1:]
    make(which) if command == "make" else read(which, Path(rest[0]))
