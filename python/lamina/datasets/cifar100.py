"""CIFAR-100: 60,000 small colour photographs in a hundred classes."""

from __future__ import annotations

import os

from lamina.datasets.cifar import as_layout, load_batch
from lamina.datasets.source import fetch
from lamina.datasets.split import Split


def load_data(label_mode: str = "fine") -> Split:
    """Load 50,000 training and 10,000 test images, downloading 169 MB the first time.

    Args:
        label_mode: "fine" for the 100 classes, "coarse" for their 20 groups.

    Returns:
        (x_train, y_train), (x_test, y_test): x uint8 of shape (images, 32, 32, 3), y uint8 of
        shape (images, 1).

    Source: Krizhevsky. Learning multiple layers of features from tiny images. 2009.
    """
    if label_mode not in ("fine", "coarse"):
        raise ValueError(
            f"cifar100.load_data: label_mode must be 'fine' or 'coarse'. Got {label_mode!r}."
        )
    folder = os.path.join(fetch("cifar-100-python.tar.gz", extract=True), "cifar-100-python")
    key = f"{label_mode}_labels"
    train = load_batch(os.path.join(folder, "train"), key)
    test = load_batch(os.path.join(folder, "test"), key)
    return as_layout(*train), as_layout(*test)
