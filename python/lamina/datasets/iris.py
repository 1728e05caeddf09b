"""Iris flowers of three species, from four lengths."""

from __future__ import annotations

import numpy as np

from lamina.datasets.split import Split, load_from_scikit_learn, shuffled_split


def load_data(test_split: float = 0.2, seed: int = 113) -> Split:
    """Load 150 flowers; needs scikit-learn, no network.

    Args:
        test_split: fraction of the rows kept for testing.
        seed: of the shuffling before the split.

    Returns:
        (x_train, y_train), (x_test, y_test): x float32 of shape (rows, 4) in cm, y int64 from
        0 to 2 (setosa, versicolor, virginica).

    Source: Fisher. The use of multiple measurements in taxonomic problems. 1936.
    """
    x, y = load_from_scikit_learn("iris")
    return shuffled_split(x.astype(np.float32), y.astype(np.int64), test_split, seed)
