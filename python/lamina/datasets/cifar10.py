"""CIFAR-10: 60,000 small colour photographs in ten classes."""

from __future__ import annotations

import os

import numpy as np

from lamina.datasets.cifar import as_layout, load_batch
from lamina.datasets.source import fetch
from lamina.datasets.split import Split


def load_data() -> Split:
    """Load 50,000 training and 10,000 test images, downloading 170 MB the first time.

    Returns:
        (x_train, y_train), (x_test, y_test): x uint8 of shape (images, 32, 32, 3), y uint8 of
        shape (images, 1), an index into (airplane, automobile, bird, cat, deer, dog, frog,
        horse, ship, truck).

    Source: Krizhevsky. Learning multiple layers of features from tiny images. 2009.
    """
    folder = os.path.join(fetch("cifar-10-python.tar.gz", extract=True), "cifar-10-batches-py")
    batches = [load_batch(os.path.join(folder, f"data_batch_{i}"), "labels") for i in range(1, 6)]
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    test = load_batch(os.path.join(folder, "test_batch"), "labels")
    return as_layout(images, labels), as_layout(*test)
