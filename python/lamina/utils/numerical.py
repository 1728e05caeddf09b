"""Labels to one-hot rows, rows to unit length."""

from __future__ import annotations

from typing import Any

import numpy as np


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """Turn class numbers into one-hot rows.

    Args:
        x: integers from 0 to `num_classes` - 1, any shape; a last axis of length 1 is dropped.
        num_classes: number of classes; None: the largest number plus one.

    Returns:
        float64 array of the shape of `x` with one more axis of length `num_classes`.

    Raises:
        ValueError: if a number is negative or not below `num_classes`, or if `x` is empty and
            `num_classes` is not given.
    """
    labels = np.asarray(x)
    if labels.dtype.kind not in "biuf":
        raise TypeError(f"to_categorical: x must hold integers. Got dtype {labels.dtype}.")
    labels = labels.astype(np.int64)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if num_classes is None:
        if labels.size == 0:
            raise ValueError("to_categorical: x is empty, so num_classes must be given.")
        num_classes = int(labels.max()) + 1
    if num_classes < 1:
        raise ValueError(f"to_categorical: num_classes must be >= 1. Got {num_classes!r}.")
    wrong = labels[(labels < 0) | (labels >= num_classes)]
    if wrong.size:
        raise ValueError(
            f"to_categorical: x holds {wrong.flat[0]}, but with num_classes={num_classes} "
            f"classes go from 0 to {num_classes - 1}."
        )
    rows = np.zeros((labels.size, num_classes))
    rows[np.arange(labels.size), labels.ravel()] = 1.0
    return rows.reshape(*labels.shape, num_classes)


def normalize(x: Any, axis: int = -1, order: float = 2) -> np.ndarray:
    """Divide by the norm along an axis; vectors of norm 0 stay as they are.

    Args:
        x: array-like of numbers.
        axis: the axis that holds a vector.
        order: order of the norm: 1, 2, numpy.inf, or another that `numpy.linalg.norm` takes.

    Returns:
        Floating-point array of the shape of `x`; a single vector becomes a row, shape (1, n).
    """
    values = np.atleast_2d(np.asarray(x))
    norms = np.linalg.norm(values, ord=order, axis=axis, keepdims=True)
    return values / np.where(norms == 0, 1, norms)
