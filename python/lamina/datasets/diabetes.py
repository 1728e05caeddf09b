"""Progress of diabetes after a year, from ten measurements."""

from __future__ import annotations

import numpy as np

from lamina.datasets.split import Split, load_from_scikit_learn, shuffled_split


def load_data(test_split: float = 0.2, seed: int = 113) -> Split:
    """Load 442 patients; needs scikit-learn, no network.

    Args:
        test_split: fraction of the rows kept for testing.
        seed: of the shuffling before the split.

    Returns:
        (x_train, y_train), (x_test, y_test): x float32 of shape (rows, 10), standardised; y
        float32 from 25 to 346.

    Source: Efron, Hastie, Johnstone, Tibshirani. Least angle regression. 2004.
    """
    x, y = load_from_scikit_learn("diabetes")
    return shuffled_split(x.astype(np.float32), y.astype(np.float32), test_split, seed)
