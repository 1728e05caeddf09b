"""Breast tumours: benign or malignant, from 30 measurements of cell nuclei."""

from __future__ import annotations

import numpy as np

from lamina.datasets.split import Split, load_from_scikit_learn, shuffled_split


def load_data(test_split: float = 0.2, seed: int = 113) -> Split:
    """Load 569 tumours; needs scikit-learn, no network.

    Args:
        test_split: fraction of the rows kept for testing.
        seed: of the shuffling before the split.

    Returns:
        (x_train, y_train), (x_test, y_test): x float32 of shape (rows, 30), y int64, 0
        malignant or 1 benign.

    Source: Street, Wolberg, Mangasarian. Nuclear feature extraction for breast tumor
    diagnosis. 1993.
    """
    x, y = load_from_scikit_learn("breast_cancer")
    return shuffled_split(x.astype(np.float32), y.astype(np.int64), test_split, seed)
