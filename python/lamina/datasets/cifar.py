"""The file format of CIFAR-10 and CIFAR-100."""

from __future__ import annotations

import pickle

import numpy as np

from lamina.config import image_data_format
from lamina.datasets.split import Arrays


def load_batch(path: str, label_key: str) -> Arrays:
    """Read one pickled file: images (rows, 3, 32, 32) uint8 and labels (rows,) uint8."""
    with open(path, "rb") as file:  # its archive's checksum was right
        batch = pickle.load(file, encoding="bytes")
    images = np.asarray(batch[b"data"], np.uint8).reshape(-1, 3, 32, 32)
    return images, np.asarray(batch[label_key.encode()], np.uint8)


def as_layout(images: np.ndarray, labels: np.ndarray) -> Arrays:
    """Images in the default layout (channels last unless changed), labels as a column."""
    if image_data_format() == "channels_last":
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    return images, labels.reshape(-1, 1)
