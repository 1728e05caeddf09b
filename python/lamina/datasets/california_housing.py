"""California housing prices of 1990."""

from __future__ import annotations

import numpy as np

from lamina.datasets.source import fetch
from lamina.datasets.split import Split, shuffled_split

SMALL_ROWS = 600


def load_data(
    version: str = "large",
    path: str = "california_housing.npz",
    test_split: float = 0.2,
    seed: int = 113,
) -> Split:
    """Load 20,640 districts, downloading 743 KB the first time.

    Args:
        version: "large" for all rows, "small" for the first 600.
        path: name of the file in the cache directory, or an absolute path.
        test_split: fraction of the rows kept for testing.
        seed: of the shuffling before the split.

    Returns:
        (x_train, y_train), (x_test, y_test): x float32 of shape (rows, 8): longitude, latitude,
        median age, rooms, bedrooms, population, households, median income; y float32, the
        median house value in dollars.

    Source: Pace, Barry. Sparse spatial autoregressions. 1997.
    """
    if version not in ("small", "large"):
        raise ValueError(
            f"california_housing.load_data: version must be 'small' or 'large'. Got {version!r}."
        )
    with np.load(fetch("california_housing.npz", path), allow_pickle=False) as file:
        x, y = file["x"], file["y"]
    rows = SMALL_ROWS if version == "small" else len(x)
    return shuffled_split(x[:rows], y[:rows], test_split, seed)
