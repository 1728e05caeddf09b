"""Ops that join tensors, cut them, and pad them."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina.ops.core import TensorLike, ndim, normalize_axis, promote, reshape_to
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op


@symbolic_op
def concatenate(xs: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Join tensors along `axis`; their other sizes are equal."""
    if len(xs) == 0:
        raise ValueError("concatenate: xs must hold at least one tensor. Got none.")
    tensors = promote(*xs)
    place = normalize_axis(axis, tensors[0].ndim, "concatenate")
    return tensors[0] if len(tensors) == 1 else apply("concat", *tensors, axis=place)


@symbolic_op
def stack(x: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Join tensors of one shape along a new axis."""
    if len(x) == 0:
        raise ValueError("stack: x must hold at least one tensor. Got none.")
    tensors = promote(*x)
    place = normalize_axis(axis, tensors[0].ndim + 1, "stack")
    parts = []
    for t in tensors:
        sizes: list[int | None] = list(t.shape)
        sizes.insert(place, 1)
        parts.append(reshape_to(t, sizes))
    return parts[0] if len(parts) == 1 else apply("concat", *parts, axis=place)


@symbolic_op
def unstack(x: TensorLike, num: int | None = None, axis: int = 0) -> list[Tensor]:
    """Return the slices of `x` along `axis`, without that axis; `num` where it is unknown."""
    x = convert(x)
    place = normalize_axis(axis, x.ndim, "unstack")
    count = x.shape[place] if num is None else int(num)
    if count is None:
        raise ValueError(
            f"unstack: shape {x.shape} does not say how many parts there are; pass `num`."
        )
    rest = [d for i, d in enumerate(x.shape) if i != place]
    return [reshape_to(part, rest) for part in cut(x, [1] * count, place)]


def cut(x: Tensor, sizes: Sequence[int], axis: int) -> list[Tensor]:
    """Split `x` along a normalised axis into parts of the given sizes."""
    if len(sizes) == 1:
        return [x]
    return list(apply("split", x, axis=axis, sizes=list(sizes)))


@symbolic_op
def split(x: TensorLike, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Cut `x` along `axis` into equal sections, or at the given indices.

    Raises:
        ValueError: if the axis cannot be cut into that many equal sections.
    """
    x = convert(x)
    place = normalize_axis(axis, x.ndim, "split")
    length = x.shape[place]
    if isinstance(indices_or_sections, (int, np.integer)):
        sections = int(indices_or_sections)
        if length is None:
            return cut(x, [-1] * sections, place)
        if sections < 1 or length % sections:
            raise ValueError(f"split: {sections} equal sections do not fit an axis of {length}.")
        return cut(x, [length // sections] * sections, place)
    if length is None:
        raise ValueError(f"split: the size of axis {axis} is not known; it cannot be cut.")
    return _split_at(x, [int(i) for i in indices_or_sections], place, length)


def _split_at(x: Tensor, indices: list[int], place: int, length: int) -> list[Tensor]:
    bounds = [builtins.min(i if i >= 0 else builtins.max(i + length, 0), length) for i in indices]
    starts, ends = [0, *bounds], [*bounds, length]
    sizes = [builtins.max(b - a, 0) for a, b in zip(starts, ends, strict=True)]
    if builtins.sum(sizes) == length:
        return cut(x, sizes, place)
    return [interval(x, place, a, a + n) for a, n in zip(starts, sizes, strict=True)]


def interval(x: Tensor, axis: int, begin: int, end: int) -> Tensor:
    """Return the part [begin, end) of `x` along a normalised axis."""
    begins, ends = [0] * x.ndim, [-1 if d is None else d for d in x.shape]
    begins[axis], ends[axis] = begin, end
    return apply("slice", x, begin=begins, end=ends, strides=[1] * x.ndim)


@symbolic_op
def array_split(x: TensorLike, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Cut like `split`; sections that do not divide the axis leave the last ones smaller."""
    x = convert(x)
    if not isinstance(indices_or_sections, (int, np.integer)):
        return split(x, indices_or_sections, axis)
    place = normalize_axis(axis, x.ndim, "array_split")
    base, extra = divmod(x.shape[place], int(indices_or_sections))
    sizes = [base + (i < extra) for i in range(int(indices_or_sections))]
    return cut(x, sizes, place)


def hsplit(x: TensorLike, indices_or_sections: Any) -> list[Tensor]:
    """Cut along the second axis (the first of a 1-D tensor)."""
    return split(x, indices_or_sections, 0 if ndim(x) == 1 else 1)


def vsplit(x: TensorLike, indices_or_sections: Any) -> list[Tensor]:
    """Cut along the first axis."""
    return split(x, indices_or_sections, 0)


def dsplit(x: TensorLike, indices_or_sections: Any) -> list[Tensor]:
    """Cut along the third axis."""
    return split(x, indices_or_sections, 2)


def _at_least(x: TensorLike, rank: int) -> Tensor:
    x = convert(x)
    if rank == 3 and x.ndim < 3:
        x = reshape_to(x, [[1, 1, 1], [1, *x.shape, 1], [*x.shape, 1]][x.ndim])
    elif x.ndim < rank:
        x = reshape_to(x, [1] * (rank - x.ndim) + list(x.shape))
    return x


@symbolic_op
def hstack(xs: Sequence[TensorLike]) -> Tensor:
    """Join along the second axis (the first for 1-D tensors)."""
    parts = [_at_least(x, 1) for x in xs]
    return concatenate(parts, 0 if parts[0].ndim == 1 else 1)


@symbolic_op
def vstack(xs: Sequence[TensorLike]) -> Tensor:
    """Join along the first axis; 1-D tensors are rows."""
    return concatenate([_at_least(x, 2) for x in xs], 0)


@symbolic_op
def dstack(xs: Sequence[TensorLike]) -> Tensor:
    """Join along the third axis."""
    return concatenate([_at_least(x, 3) for x in xs], 2)


@symbolic_op
def append(x1: TensorLike, x2: TensorLike, axis: int | None = None) -> Tensor:
    """Join x2 to the end of x1 along `axis`; with None both are flattened."""
    a, b = promote(x1, x2)
    if axis is None:
        return apply("concat", reshape_to(a, [None]), reshape_to(b, [None]), axis=0)
    return apply("concat", a, b, axis=normalize_axis(axis, a.ndim, "append"))


@symbolic_op
def pad(
    x: TensorLike,
    pad_width: Any,
    mode: str = "constant",
    constant_values: float | None = None,
) -> Tensor:
    """Add elements before and after each axis.

    Args:
        x: tensor.
        pad_width: (before, after) for each axis, one pair for all, or one integer.
        mode: "constant", "reflect" or "symmetric".
        constant_values: what "constant" writes; 0 by default.
    """
    x = convert(x)
    if mode not in ("constant", "reflect", "symmetric"):
        raise ValueError(f"pad: mode must be 'constant', 'reflect' or 'symmetric'. Got {mode!r}.")
    if constant_values is not None and mode != "constant":
        raise ValueError(
            f"pad: `constant_values` goes with mode='constant' only. Got mode={mode!r}."
        )
    widths = np.broadcast_to(np.asarray(pad_width, dtype=np.int64), (x.ndim, 2)).tolist()
    low, high = [w[0] for w in widths], [w[1] for w in widths]
    value = 0.0 if constant_values is None else float(constant_values)
    return apply("pad", x, low=low, high=high, mode=mode, value=value)


__all__ = [
    "append",
    "array_split",
    "concatenate",
    "dsplit",
    "dstack",
    "hsplit",
    "hstack",
    "pad",
    "split",
    "stack",
    "unstack",
    "vsplit",
    "vstack",
]
