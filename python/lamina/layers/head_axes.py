"""How the axes of several heads become those of a matrix product, and masks with them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamina import ops


def both(first: Any, second: Any) -> Any:
    """Return where two masks are True; None counts as True everywhere."""
    if first is None or second is None:
        return second if first is None else first
    return ops.logical_and(first, second)


def causal_mask(queries: Any, keys: Any, like: Any) -> Any:
    """Return the mask (1, T, S) under which a query step sees the keys up to itself.

    Args:
        queries, keys: the numbers of steps, None where unknown.
        like: a tensor (batch, T, ...) that stands in for unknown sizes.
    """
    return _distance(queries, keys, like) >= 0


def band_mask(queries: Any, keys: Any, like: Any, width: int) -> Any:
    """Return the mask (1, T, S) under which a query step sees keys less than `width` away."""
    return ops.abs(_distance(queries, keys, like)) < width


def _distance(queries: Any, keys: Any, like: Any) -> Any:
    """Return the query step minus the key step."""
    if queries is None or keys is None:  # shapes only: any tensor of unknown sizes will do
        row = ops.cast(
            ops.zeros_like(like[(slice(0, 1), slice(None)) + (0,) * (like.ndim - 2)]), "int32"
        )
        return ops.expand_dims(row, -1) - ops.expand_dims(row, -2)[..., :keys]
    steps = np.arange(queries, dtype="int32")[:, None] - np.arange(keys, dtype="int32")
    return ops.convert_to_tensor(steps[None])


class HeadAxes:
    """How the axes of projections (batch, ..., heads, size) become those of a matrix product.

    The axes that attention runs over come last before the size, in the order given; with several
    of them, one axis stands for all inside the product.

    Args:
        rank: axes of the inputs.
        attention_axes: the axes that attention runs over.
    """

    def __init__(self, rank: int, attention_axes: Any) -> None:
        self.attention = tuple(attention_axes)
        others = [axis for axis in range(rank - 1) if axis not in self.attention]
        heads, size = rank - 1, rank
        self.order = (*others, heads, *self.attention, size)
        self.leading = len(others) + 1

    def in_front(self, projected: Any) -> Any:
        """Move the heads before the axes that attention runs over."""
        return ops.transpose(projected, self.order)

    def _sizes(self, tensor: Any) -> tuple[Any, ...]:
        return tuple(tensor.shape[self.leading : self.leading + len(self.attention)])

    def merged(self, tensor: Any) -> Any:
        """Make one axis of those that attention runs over."""
        if len(self.attention) == 1:
            return tensor
        return _reshaped(tensor, (*tensor.shape[: self.leading], -1, tensor.shape[-1]))

    def back(self, outputs: Any, queries: Any) -> Any:
        """Undo `merged` and `in_front` for the means of the values."""
        if len(self.attention) > 1:
            leading = outputs.shape[: self.leading]
            outputs = _reshaped(outputs, (*leading, *self._sizes(queries), outputs.shape[-1]))
        places = [self.order.index(axis) for axis in range(len(self.order))]
        return ops.transpose(outputs, places)

    def split(self, shares: Any, queries: Any, keys: Any) -> Any:
        """Undo `merged` for the shares."""
        if len(self.attention) == 1:
            return shares
        leading = shares.shape[: self.leading]
        return _reshaped(shares, (*leading, *self._sizes(queries), *self._sizes(keys)))

    def fit_mask(self, mask: Any, queries: Any, keys: Any) -> Any:
        """Give a mask (batch, ..., T..., S...) the axes of the scores of `in_front` tensors."""
        mask = ops.cast(mask, "bool")
        count = len(self.attention)
        if count > 1:
            leading = tuple(mask.shape[: -2 * count])
            sizes = (*self._sizes(queries), *self._sizes(keys))
            mask = ops.broadcast_to(mask, (*leading, *sizes))
            mask = _reshaped(mask, (*leading, product(sizes[:count]), product(sizes[count:])))
        while mask.ndim < self.leading + 2:
            mask = ops.expand_dims(mask, -3)
        return mask


def over_queries(mask: Any, count: int) -> Any:
    """Give a mask (batch, ..., T...) of queries `count` axes of keys."""
    mask = ops.cast(mask, "bool")
    for _ in range(count):
        mask = ops.expand_dims(mask, -1)
    return mask


def over_keys(mask: Any, count: int) -> Any:
    """Give a mask (batch, ..., S...) of keys `count` axes of queries."""
    mask = ops.cast(mask, "bool")
    for _ in range(count):
        mask = ops.expand_dims(mask, -1 - count)
    return mask


def product(sizes: tuple[int | None, ...]) -> int | None:
    """Return the number of steps along several axes; None where one is unknown."""
    return None if None in sizes else math.prod(size for size in sizes if size is not None)


def _reshaped(tensor: Any, shape: tuple[int | None, ...]) -> Any:
    """Reshape to sizes of which one may be unknown."""
    return ops.reshape(tensor, tuple(-1 if size is None else size for size in shape))
