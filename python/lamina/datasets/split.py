"""Shuffling and dividing into training and test rows."""

from __future__ import annotations

from typing import Any

import numpy as np

Arrays = tuple[np.ndarray, np.ndarray]
Split = tuple[Arrays, Arrays]


def check_test_split(test_split: float) -> None:
    """Raise ValueError unless 0 <= test_split < 1."""
    if not 0 <= test_split < 1:
        raise ValueError(
            f"load_data: test_split must be a fraction from 0 to below 1. Got {test_split!r}."
        )


def shuffled(arrays: list[Any], seed: int) -> list[Any]:
    """The arrays with their rows in one random order that depends on the seed only."""
    order = np.arange(len(arrays[0]))
    np.random.RandomState(seed).shuffle(order)
    return [array[order] for array in arrays]


def shuffled_split(x: np.ndarray, y: np.ndarray, test_split: float, seed: int) -> Split:
    """Shuffle the rows, then keep the last `test_split` of them for testing."""
    check_test_split(test_split)
    x, y = shuffled([x, y], seed)
    count = int(len(x) * (1 - test_split))
    return (x[:count], y[:count]), (x[count:], y[count:])


def load_from_scikit_learn(name: str) -> Arrays:
    """Features and target of one of the datasets that come with scikit-learn.

    Raises:
        ImportError: if scikit-learn is missing; says how to install it.
    """
    try:
        from sklearn import datasets  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError(
            f"lamina.datasets.{name} comes with scikit-learn: pip install scikit-learn"
        ) from error
    bunch = getattr(datasets, f"load_{name}")()
    return bunch.data, bunch.target
