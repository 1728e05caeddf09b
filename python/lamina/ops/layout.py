"""Ops that move elements without computing: shapes, axes, repetition, picking, diagonals.

Sizes that are not known yet are None and pass through.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina.ops.core import (
    Axes,
    TensorLike,
    normalize_axes,
    normalize_axis,
    reshape_to,
    to_dtype,
)
from lamina.ops.joining import cut, interval
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op


@symbolic_op
def reshape(x: TensorLike, newshape: int | Sequence[int]) -> Tensor:
    """Return the elements of `x`, in order, with other sizes.

    Args:
        x: tensor.
        newshape: the sizes; one may be -1 (or None) and is worked out.
    """
    sizes = [newshape] if isinstance(newshape, (int, np.integer)) else list(newshape)
    wanted = [None if d is None else int(d) for d in sizes]
    if any(d is not None and d < -1 for d in wanted):
        raise ValueError(
            "reshape: a size is a non-negative integer; one may be -1, and is worked out. "
            f"Got newshape={newshape!r}."
        )
    return reshape_to(convert(x), wanted)


@symbolic_op
def ravel(x: TensorLike) -> Tensor:
    """Return the elements of `x` along one axis."""
    return reshape_to(convert(x), [None])


@symbolic_op
def transpose(x: TensorLike, axes: Sequence[int] | None = None) -> Tensor:
    """Reorder the axes: axis i of the result is axis `axes[i]` of `x`; None reverses them."""
    x = convert(x)
    perm = list(range(x.ndim))[::-1] if axes is None else list(axes)
    if not all(isinstance(p, (int, np.integer)) and -x.ndim <= p < x.ndim for p in perm):
        raise ValueError(
            f"transpose: `axes` must be integers from {-x.ndim} to {x.ndim - 1}. Got axes={axes!r}."
        )
    if sorted(int(p) % x.ndim for p in perm) != list(range(x.ndim)):
        raise ValueError(
            f"transpose: axes must be a valid permutation of {x.ndim} axes. Got axes={axes!r}."
        )
    perm = [int(p) % x.ndim for p in perm]
    return permute(x, perm)


def permute(x: Tensor, perm: Sequence[int]) -> Tensor:
    """Transpose by a normalised permutation; the identity costs nothing."""
    perm = list(perm)
    return x if perm == list(range(x.ndim)) else apply("transpose", x, perm=perm)


@symbolic_op
def swapaxes(x: TensorLike, axis1: int, axis2: int) -> Tensor:
    """Exchange two axes."""
    x = convert(x)
    perm = list(range(x.ndim))
    a, b = (normalize_axis(axis, x.ndim, "swapaxes") for axis in (axis1, axis2))
    perm[a], perm[b] = perm[b], perm[a]
    return permute(x, perm)


@symbolic_op
def moveaxis(x: TensorLike, source: Axes, destination: Axes) -> Tensor:
    """Move the axes `source` to the places `destination`; the others keep their order."""
    x = convert(x)
    origins = normalize_axes(source, x.ndim, "moveaxis")
    places = normalize_axes(destination, x.ndim, "moveaxis")
    if len(origins) != len(places):
        raise ValueError(
            "moveaxis: source and destination must have the same length. "
            f"Got {source!r} and {destination!r}."
        )
    perm = [i for i in range(x.ndim) if i not in origins]
    for place, origin in sorted(zip(places, origins, strict=True)):
        perm.insert(place, origin)
    return permute(x, perm)


@symbolic_op
def expand_dims(x: TensorLike, axis: int | Sequence[int]) -> Tensor:
    """Insert axes of size 1 at the positions `axis` of the result."""
    x = convert(x)
    count = len(axis) if isinstance(axis, (list, tuple)) else 1
    sizes: list[int | None] = list(x.shape)
    for place in sorted(normalize_axes(axis, x.ndim + count, "expand_dims")):
        sizes.insert(place, 1)
    return reshape_to(x, sizes)


@symbolic_op
def squeeze(x: TensorLike, axis: Axes = None) -> Tensor:
    """Drop axes of size 1: those of `axis`, or all of them."""
    x = convert(x)
    if axis is None:
        gone = [i for i, d in enumerate(x.shape) if d == 1]
    else:
        gone = normalize_axes(axis, x.ndim, "squeeze")
        for i in gone:
            if x.shape[i] not in (1, None):
                raise ValueError(f"squeeze: axis {i} of shape {x.shape} has size {x.shape[i]}.")
    return reshape_to(x, [d for i, d in enumerate(x.shape) if i not in gone])


@symbolic_op
def broadcast_to(x: TensorLike, shape: Sequence[int]) -> Tensor:
    """Repeat axes of size 1, and new leading axes, up to `shape`."""
    return apply("broadcast_to", convert(x), shape=[-1 if d is None else int(d) for d in shape])


@symbolic_op
def flip(x: TensorLike, axis: Axes = None) -> Tensor:
    """Reverse the order of the elements along `axis` (None: along every axis)."""
    x = convert(x)
    return apply("flip", x, axes=normalize_axes(axis, x.ndim, "flip"))


def fliplr(x: TensorLike) -> Tensor:
    """Reverse the second axis."""
    return flip(x, 1)


def flipud(x: TensorLike) -> Tensor:
    """Reverse the first axis."""
    return flip(x, 0)


@symbolic_op
def rot90(array: TensorLike, k: int = 1, axes: Sequence[int] = (0, 1)) -> Tensor:
    """Turn `k` times by 90 degrees from the first towards the second of `axes`."""
    x = convert(array)
    first, second = normalize_axes(list(axes), x.ndim, "rot90")
    turns = int(k) % 4
    perm = list(range(x.ndim))
    perm[first], perm[second] = second, first
    if turns == 1:
        return permute(apply("flip", x, axes=[second]), perm)
    if turns == 2:
        return apply("flip", x, axes=[first, second])
    return apply("flip", permute(x, perm), axes=[second]) if turns == 3 else x


@symbolic_op
def roll(x: TensorLike, shift: int | Sequence[int], axis: Axes = None) -> Tensor:
    """Shift elements along `axis`; those pushed over the end come back at the start."""
    x = convert(x)
    if axis is None:
        return reshape_to(_roll(reshape_to(x, [None]), int(shift), 0), x.shape)  # type: ignore[arg-type]
    axes = normalize_axes(axis, x.ndim, "roll")
    shifts = list(shift) if isinstance(shift, (list, tuple)) else [shift] * len(axes)
    for amount, place in zip(shifts, axes, strict=True):
        x = _roll(x, int(amount), place)  # type: ignore[arg-type]
    return x


def _roll(x: Tensor, shift: int, axis: int) -> Tensor:
    length = x.shape[axis]
    if not length or shift % length == 0:
        return x
    head, tail = cut(x, [length - shift % length, shift % length], axis)
    return apply("concat", tail, head, axis=axis)


@symbolic_op
def tile(x: TensorLike, repeats: int | Sequence[int]) -> Tensor:
    """Write `x` `repeats[i]` times one after the other along axis i."""
    x = convert(x)
    counts = [repeats] if isinstance(repeats, (int, np.integer)) else list(repeats)
    counts = [1] * (x.ndim - len(counts)) + [int(c) for c in counts]
    x = reshape_to(x, [1] * (len(counts) - x.ndim) + list(x.shape))
    for axis, count in enumerate(counts):
        if count != 1:
            before, length, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
            x = apply(
                "repeat", reshape_to(x, [*before, 1, length, *after]), repeats=count, axis=axis
            )
            whole = None if length is None else count * length
            x = reshape_to(x, [*before, whole, *after])
    return x


@symbolic_op
def repeat(x: TensorLike, repeats: int | Sequence[int], axis: int | None = None) -> Tensor:
    """Write each element (each slice along `axis`) `repeats` times.

    Args:
        x: tensor.
        repeats: one count for all, or one per element along the axis.
        axis: None flattens first.
    """
    x = convert(x)
    if axis is None:
        x, axis = reshape_to(x, [None]), 0
    place = normalize_axis(axis, x.ndim, "repeat")
    if np.ndim(repeats) == 0:
        return apply("repeat", x, repeats=int(repeats), axis=place)  # type: ignore[arg-type]
    counts = np.asarray(repeats, dtype=np.int64)
    if counts.size == 1:
        return apply("repeat", x, repeats=int(counts[0]), axis=place)
    return apply("gather", x, convert(np.repeat(np.arange(counts.size), counts)), axis=place)


def _indices(ids: TensorLike, length: int | None) -> Tensor:
    # The engine takes indices from the front only: move negative ones there.
    is_array = not isinstance(ids, Tensor)
    ids = convert(ids)
    if ids.dtype not in ("int32", "int64"):
        ids = to_dtype(ids, "int32")
    if length is None:
        return ids
    if is_array and ids.size:
        lowest = int(ids.numpy().min())
        if lowest < -length:
            raise ValueError(f"take: index {lowest} is out of range for an axis of size {length}.")
        if lowest >= 0:
            return ids
    is_negative = apply("less", ids, convert(0, dtype=ids.dtype))
    return apply(
        "select", is_negative, apply("add", ids, convert(length, dtype=ids.dtype)), ids
    )  # fmt: skip


@symbolic_op
def take(x: TensorLike, indices: TensorLike, axis: int | None = None) -> Tensor:
    """Pick the slices of `x` at `indices` along `axis`.

    Args:
        x: tensor.
        indices: integers of any shape; negative ones count from the end.
        axis: None flattens `x` first.

    Returns:
        Tensor with the shape of `x`, its axis replaced by the shape of `indices`.
    """
    x = convert(x)
    if axis is None:
        x, axis = reshape_to(x, [None]), 0
    place = normalize_axis(axis, x.ndim, "take")
    return apply("gather", x, _indices(indices, x.shape[place]), axis=place)


@symbolic_op
def take_along_axis(x: TensorLike, indices: TensorLike, axis: int | None = None) -> Tensor:
    """Pick elements along `axis`, with separate indices for every other position.

    Args:
        x: tensor.
        indices: integers with the rank of `x`; its other sizes broadcast with those of `x`.
        axis: None flattens both.
    """
    x = convert(x)
    if axis is None:
        x, indices, axis = reshape_to(x, [None]), reshape_to(convert(indices), [None]), 0
    place = normalize_axis(axis, x.ndim, "take_along_axis")
    ids = _indices(indices, x.shape[place])
    if None not in x.shape and None not in ids.shape:
        outer = np.broadcast_shapes(*((*s[:place], *s[place + 1 :]) for s in (x.shape, ids.shape)))
        full = [*outer[:place], 0, *outer[place:]]
        x, ids = (_spread(t, [*full[:place], t.shape[place], *full[place + 1 :]]) for t in (x, ids))
    return apply("take_along_axis", x, ids, axis=place)


def _spread(x: Tensor, shape: list[Any]) -> Tensor:
    return x if list(x.shape) == shape else apply("broadcast_to", x, shape=shape)


@symbolic_op
def tril(x: TensorLike, k: int = 0) -> Tensor:
    """Zero what lies above the k-th diagonal of the last two axes."""
    return apply("tril", convert(x), k=int(k))


@symbolic_op
def triu(x: TensorLike, k: int = 0) -> Tensor:
    """Zero what lies below the k-th diagonal of the last two axes."""
    return apply("triu", convert(x), k=int(k))


@symbolic_op
def diag(x: TensorLike, k: int = 0) -> Tensor:
    """Return a matrix with the 1-D `x` on its k-th diagonal, or that diagonal of a matrix."""
    x = convert(x)
    if x.ndim not in (1, 2):
        raise ValueError(f"diag: x must have one or two axes. Got shape {x.shape}.")
    return apply("diag", x, k=int(k))


@symbolic_op
def diagflat(x: TensorLike, k: int = 0) -> Tensor:
    """Return a matrix with the elements of `x` on its k-th diagonal."""
    return diag(reshape_to(convert(x), [None]), k)


@symbolic_op
def diagonal(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Return the diagonal over two axes, as a new last axis.

    Args:
        x: tensor of at least two axes.
        offset: above (positive) or below (negative) the main diagonal.
        axis1, axis2: the rows and the columns.
    """
    x = convert(x)
    rows, columns = normalize_axes([axis1, axis2], x.ndim, "diagonal")
    rest = [i for i in range(x.ndim) if i not in (rows, columns)]
    x = permute(x, [*rest, rows, columns])
    height, width = x.shape[-2:]
    length = builtins.min(height + builtins.min(offset, 0), width - builtins.max(offset, 0))
    first = -offset * width if offset < 0 else offset
    ids = first + np.arange(builtins.max(length, 0), dtype=np.int64) * (width + 1)
    flat = reshape_to(x, [*x.shape[:-2], height * width])
    return apply("gather", flat, convert(ids), axis=flat.ndim - 1)


@symbolic_op
def trace(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Return the sum of the diagonal over two axes."""
    picked = diagonal(x, offset, axis1, axis2)
    if picked.dtype in ("bool", "uint8"):
        picked = to_dtype(picked, "int32")
    return apply("sum", picked, axes=[picked.ndim - 1], keepdims=False)


@symbolic_op
def diff(a: TensorLike, n: int = 1, axis: int = -1) -> Tensor:
    """Return the `n`-th difference of neighbours along `axis`."""
    x = convert(a)
    place = normalize_axis(axis, x.ndim, "diff")
    for _ in range(int(n)):
        length = x.shape[place]
        op = "logical_xor" if x.dtype == "bool" else "subtract"
        x = apply(op, interval(x, place, 1, length), interval(x, place, 0, length - 1))
    return x


@symbolic_op
def get_item(x: TensorLike, key: Any) -> Tensor:
    """Return `x[key]` for integers, slices, None, Ellipsis and integer tensors or arrays.

    Several index tensors broadcast together and must stand side by side. A boolean mask is
    taken eagerly only, since the size of its result depends on the data.
    """
    from lamina.ops.indexing import index

    return index(convert(x), key)


__all__ = [
    "broadcast_to",
    "diag",
    "diagflat",
    "diagonal",
    "diff",
    "expand_dims",
    "flip",
    "fliplr",
    "flipud",
    "get_item",
    "moveaxis",
    "ravel",
    "repeat",
    "reshape",
    "roll",
    "rot90",
    "squeeze",
    "swapaxes",
    "take",
    "take_along_axis",
    "tile",
    "trace",
    "transpose",
    "tril",
    "triu",
]
