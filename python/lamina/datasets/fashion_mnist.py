"""Fashion-MNIST: 70,000 pictures of clothes in ten classes."""

from __future__ import annotations

import gzip

import numpy as np

from lamina.datasets.source import fetch
from lamina.datasets.split import Arrays, Split

FOLDER = "datasets/fashion-mnist"
LABELS_HEADER_BYTES = 8
IMAGES_HEADER_BYTES = 16


def load_data() -> Split:
    """Load 60,000 training and 10,000 test images, downloading 30 MB the first time.

    Returns:
        (x_train, y_train), (x_test, y_test): x uint8 of shape (images, 28, 28), y uint8,
        an index into (T-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag,
        ankle boot).

    Source: Xiao, Rasul, Vollgraf. Fashion-MNIST: a novel image dataset. 2017.
    """
    return _load("train"), _load("t10k")


def _load(part: str) -> Arrays:
    labels = _read(f"{part}-labels-idx1-ubyte.gz", LABELS_HEADER_BYTES)
    images = _read(f"{part}-images-idx3-ubyte.gz", IMAGES_HEADER_BYTES)
    return images.reshape(len(labels), 28, 28), labels


def _read(name: str, header_bytes: int) -> np.ndarray:
    with gzip.open(fetch(name, folder=FOLDER), "rb") as file:
        return np.frombuffer(file.read(), np.uint8, offset=header_bytes)
