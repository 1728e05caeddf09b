"""MNIST: 70,000 handwritten digits."""

from __future__ import annotations

import numpy as np

from lamina.datasets.source import fetch
from lamina.datasets.split import Split


def load_data(path: str = "mnist.npz") -> Split:
    """Load 60,000 training and 10,000 test images, downloading 11 MB the first time.

    Args:
        path: name of the file in the cache directory, or an absolute path.

    Returns:
        (x_train, y_train), (x_test, y_test): x uint8 of shape (images, 28, 28), y uint8 from 0
        to 9.

    Source: LeCun, Bottou, Bengio, Haffner. Gradient-based learning applied to document
    recognition. 1998.
    """
    with np.load(fetch("mnist.npz", path), allow_pickle=False) as file:
        return (file["x_train"], file["y_train"]), (file["x_test"], file["y_test"])
