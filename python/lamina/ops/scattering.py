"""Blocks and single places of a tensor: slices, writing into them, and folding rows by segment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina.ops.bodies import is_symbolic
from lamina.ops.core import TensorLike, filled, reshape_to, size_of, to_dtype
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op

_REDUCTIONS = {None: "set", "add": "add", "max": "max", "min": "min", "mul": "mul"}


def _integer(x: TensorLike) -> Tensor:
    x = convert(x)
    return x if x.dtype in ("int32", "int64") else to_dtype(x, "int32")


def _rows(indices: Tensor, shape: Sequence[int | None]) -> Tensor:
    """Row numbers of coordinates (n, k) in the first k axes; negative ones count from the end."""
    ids = to_dtype(indices, "int64")
    sizes = [1 if d is None else d for d in shape[: ids.shape[-1]]]
    axis_sizes = convert(np.array(sizes, dtype=np.int64))
    strides = np.append(np.cumprod(sizes[:0:-1])[::-1], 1).astype(np.int64)
    below = apply("less", ids, convert(0, dtype="int64"))
    ids = apply("select", below, apply("add", ids, axis_sizes), ids)
    flat = apply("multiply", ids, convert(strides))
    return apply("sum", flat, axes=[ids.ndim - 1], keepdims=False)


def _write(x: Tensor, indices: Tensor, updates: Tensor, reduction: str) -> Tensor:
    """Combine updates (n, rest...) with x at coordinates (n, k)."""
    depth = indices.shape[-1]
    rest = size_of(x.shape[depth:])
    grid = reshape_to(x, [size_of(x.shape[:depth]), rest])
    flat = reshape_to(updates, [indices.shape[0], rest])
    out = apply("scatter_rows", grid, _rows(indices, x.shape), flat, reduction=reduction)
    return reshape_to(out, x.shape)


def _coordinates(indices: TensorLike) -> Tensor:
    ids = _integer(indices)
    return reshape_to(ids, [size_of(ids.shape[:-1]), ids.shape[-1]])


@symbolic_op
def scatter(indices: TensorLike, values: TensorLike, shape: Sequence[int]) -> Tensor:
    """Add `values` into zeros of `shape` at `indices`.

    Args:
        indices: integers (n, k): the first k coordinates of each value.
        values: (n, *shape[k:]).
        shape: sizes of the result.
    """
    values = convert(values)
    sizes = [int(d) for d in (shape.numpy() if isinstance(shape, Tensor) else shape)]
    zeros = filled(0, sizes, values.dtype, values)
    return _write(zeros, _coordinates(indices), values, "add")


@symbolic_op
def scatter_update(
    inputs: TensorLike, indices: TensorLike, updates: TensorLike, reduction: str | None = None
) -> Tensor:
    """Return `inputs` with `updates` written at `indices`, or combined with what is there.

    Args:
        inputs: tensor.
        indices: integers (n, k): the first k coordinates of each update.
        updates: (n, *inputs.shape[k:]), converted to the type of `inputs`.
        reduction: None writes (the last update of a place stays), or "add", "max", "min", "mul".
    """
    if reduction not in _REDUCTIONS:
        raise ValueError(
            f"Invalid reduction {reduction!r} for scatter_update: it must be one of "
            f"{list(_REDUCTIONS)}."
        )
    x = convert(inputs)
    return _write(
        x, _coordinates(indices), to_dtype(convert(updates), x.dtype), _REDUCTIONS[reduction]
    )


def _starts(start_indices: TensorLike) -> list[Any]:
    """First indices, as integers where they are known."""
    if isinstance(start_indices, Tensor):
        if not is_symbolic(start_indices):
            return [int(s) for s in start_indices.numpy().reshape(-1)]
        return [start_indices[i] for i in range(start_indices.shape[0])]
    if isinstance(start_indices, np.ndarray):
        start_indices = start_indices.reshape(-1).tolist()
    listed = start_indices if isinstance(start_indices, (list, tuple)) else [start_indices]
    return [s if is_symbolic(s) else int(s.numpy() if hasattr(s, "numpy") else s) for s in listed]


def _positions(start: Any, length: int) -> Tensor:
    return apply("add", to_dtype(reshape_to(convert(start), [1]), "int64"),
                 convert(np.arange(length, dtype=np.int64)))  # fmt: skip


@symbolic_op
def slice(  # noqa: A001
    inputs: TensorLike, start_indices: TensorLike, shape: Sequence[int]
) -> Tensor:
    """Cut a block out of `inputs`.

    Args:
        inputs: tensor of any rank.
        start_indices: first index on each axis: integers, or tensors known when the graph runs.
        shape: size of the block on each axis; -1 reaches to the end.
    """
    x = convert(inputs)
    starts = _starts(start_indices)
    sizes = [int(d) for d in (shape.numpy() if isinstance(shape, Tensor) else shape)]
    if not len(starts) == len(sizes) == x.ndim:
        raise ValueError(
            f"slice: the {len(starts)} dimensions in `start_indices` must match the {x.ndim} "
            f"dimensions in `inputs`, and the {x.ndim} dimensions in `inputs` must match the "
            f"{len(sizes)} dimensions in `shape`."
        )
    begin, end = [], []
    for axis, (start, length, dim) in enumerate(zip(starts, sizes, x.shape, strict=True)):
        if not isinstance(start, int):
            x = apply("gather", x, _positions(start, length), axis=axis)
            start, dim = 0, length
        begin.append(start)
        end.append(-1 if dim is None and length == -1 else start + length)
        if length == -1 and dim is not None:
            end[-1] = dim
        elif dim is not None and not 0 <= start <= end[-1] <= dim:
            raise ValueError(f"slice: [{start}, {end[-1]}) does not lie inside an axis of {dim}.")
    return apply("slice", x, begin=begin, end=end, strides=[1] * x.ndim)


@symbolic_op
def slice_update(inputs: TensorLike, start_indices: TensorLike, updates: TensorLike) -> Tensor:
    """Return `inputs` with the block `updates` written at `start_indices`.

    Args:
        inputs: tensor.
        start_indices: first index on each axis: integers, or tensors known when the graph runs.
        updates: the block, of the rank of `inputs`.
    """
    x = convert(inputs)
    updates = to_dtype(convert(updates), x.dtype)
    rows: Any = None
    for start, length, dim in zip(_starts(start_indices), updates.shape, x.shape, strict=True):
        if isinstance(start, int) and dim is not None and not 0 <= start <= dim - length:
            raise ValueError(
                f"slice_update: [{start}, {start + length}) does not lie inside an axis of {dim}."
            )
        here = _positions(start, length)
        if rows is None:
            rows = here
            continue
        wide = apply("multiply", rows, convert(dim or 1, dtype="int64"))
        rows = reshape_to(
            apply("add", reshape_to(wide, [wide.shape[0], 1]), here), [wide.shape[0] * length]
        )
    if rows is None:
        return updates
    grid, flat = reshape_to(x, [size_of(x.shape), 1]), reshape_to(updates, [rows.shape[0], 1])
    return reshape_to(apply("scatter_rows", grid, rows, flat, reduction="set"), x.shape)


def _segments(
    data: TensorLike, segment_ids: TensorLike, num_segments: int | None, reduction: str,
    empty: float | int,
) -> Tensor:  # fmt: skip
    x, ids = convert(data), _integer(segment_ids)
    if ids.ndim != 1:
        raise ValueError(
            "`segment_ids` must have one axis, with an id for each row of `data`. "
            f"Got shape {ids.shape}."
        )
    if x.ndim == 0 or (None not in (x.shape[0], ids.shape[0]) and x.shape[0] != ids.shape[0]):
        raise ValueError(
            "`segment_ids` must have an id for each row of `data`. "
            f"Got shapes {ids.shape} and {x.shape}."
        )
    if num_segments is None:
        if is_symbolic(ids):  # a model's shapes can be worked out; it runs with a number only
            return filled(empty, [None, *x.shape[1:]], x.dtype, ids)
        num_segments = int(ids.numpy().max()) + 1 if ids.size else 0
    rest = size_of(x.shape[1:])
    start = filled(empty, [int(num_segments), rest], x.dtype, x)
    flat = reshape_to(x, [x.shape[0], rest])
    out = apply("scatter_rows", start, ids, flat, reduction=reduction, drop=True)
    return reshape_to(out, [int(num_segments), *x.shape[1:]])


def _lowest(dtype: str) -> float | int:
    return -math.inf if "float" in dtype else int(np.iinfo(dtype).min)


def _highest(dtype: str) -> float | int:
    return math.inf if "float" in dtype else int(np.iinfo(dtype).max)


@symbolic_op
def segment_sum(
    data: TensorLike,
    segment_ids: TensorLike,
    num_segments: int | None = None,
    sorted: bool = False,  # noqa: A002
) -> Tensor:
    """Add up the rows of `data` that have the same segment id; 0 where there are none.

    Args:
        data: (n, ...).
        segment_ids: integers (n,) in [0, num_segments); rows with other ids are left out.
        num_segments: rows of the result; None: the largest id plus one (eagerly only).
        sorted: accepted for Keras's sake and changes nothing.
    """
    return _segments(data, segment_ids, num_segments, "add", 0)


@symbolic_op
def segment_prod(
    data: TensorLike,
    segment_ids: TensorLike,
    num_segments: int | None = None,
    sorted: bool = False,  # noqa: A002
) -> Tensor:
    """Multiply the rows that have the same segment id; 1 where there are none (see segment_sum)."""
    return _segments(data, segment_ids, num_segments, "mul", 1)


@symbolic_op
def segment_max(
    data: TensorLike,
    segment_ids: TensorLike,
    num_segments: int | None = None,
    sorted: bool = False,  # noqa: A002
) -> Tensor:
    """Return the largest of the rows that have the same segment id (see segment_sum).

    Segments without rows hold the lowest value of the type.
    """
    dtype = convert(data).dtype
    return _segments(data, segment_ids, num_segments, "max", _lowest(dtype))


@symbolic_op
def segment_min(
    data: TensorLike,
    segment_ids: TensorLike,
    num_segments: int | None = None,
    sorted: bool = False,  # noqa: A002
) -> Tensor:
    """Return the smallest of the rows that have the same segment id (see segment_sum).

    Segments without rows hold the highest value of the type.
    """
    dtype = convert(data).dtype
    return _segments(data, segment_ids, num_segments, "min", _highest(dtype))


__all__ = [
    "scatter",
    "scatter_update",
    "segment_max",
    "segment_min",
    "segment_prod",
    "segment_sum",
    "slice",
    "slice_update",
]
