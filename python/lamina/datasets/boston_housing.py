"""Boston housing prices of the 1970s."""

from __future__ import annotations

import numpy as np

from lamina.datasets.source import fetch
from lamina.datasets.split import Split, shuffled_split


def load_data(path: str = "boston_housing.npz", test_split: float = 0.2, seed: int = 113) -> Split:
    """Load 506 towns, downloading 57 KB the first time.

    One of the columns was built on a racist assumption; prefer `california_housing`.

    Args:
        path: name of the file in the cache directory, or an absolute path.
        test_split: fraction of the rows kept for testing.
        seed: of the shuffling before the split.

    Returns:
        (x_train, y_train), (x_test, y_test): x float64 of shape (rows, 13), y float64, the
        median price in thousands of dollars.

    Source: Harrison, Rubinfeld. Hedonic housing prices and the demand for clean air. 1978.
    """
    with np.load(fetch("boston_housing.npz", path), allow_pickle=False) as file:
        return shuffled_split(file["x"], file["y"], test_split, seed)
