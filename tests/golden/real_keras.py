"""Load model files with real Keras and tell what they compute.

Command: KERAS_BACKEND=torch python tests/golden/real_keras.py folder

The folder holds `<case>.keras` files; `<case>.npz` is written beside each.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))


def main(folder: Path) -> None:
    import keras

    from tests.golden import saving_cases

    saving_cases.custom_objects(keras)
    for path in sorted(folder.glob("*.keras")):
        model = keras.saving.load_model(path)
        np.savez(path.with_suffix(".npz"), **saving_cases.described(model, path.stem))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
