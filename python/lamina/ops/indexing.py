"""`tensor[key]`: from Python's indexing to slices and gathers of the engine."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from lamina.ops.core import reshape_to, to_dtype
from lamina.tensor import KerasTensor, Tensor
from lamina.tracing import apply, convert, is_tracing
from lamina.variable import Variable


def index(x: Tensor, key: Any) -> Tensor:
    """Return `x[key]`; see `ops.get_item`."""
    keys = list(key) if isinstance(key, tuple) else [key]
    keys = [_standard(k) for k in keys]
    if any(isinstance(k, Tensor) and k.dtype == "bool" for k in keys):
        return _masked(x, keys)
    consumed = builtins.sum(k is not None and k is not Ellipsis for k in keys)
    if consumed > x.ndim:
        raise IndexError(f"Too many indices: {consumed} for a tensor of shape {x.shape}.")
    if sum(k is Ellipsis for k in keys) > 1:
        raise IndexError("An index can have only one ellipsis ('...').")
    if Ellipsis not in [k for k in keys if not isinstance(k, Tensor)]:
        keys.append(Ellipsis)
    place = next(i for i, k in enumerate(keys) if k is Ellipsis)
    keys[place : place + 1] = [slice(None)] * (x.ndim - consumed)
    return _apply_keys(x, keys)


def _standard(key: Any) -> Any:
    if key is None or key is Ellipsis or isinstance(key, (slice, Tensor)):
        return key
    if isinstance(key, (bool, np.bool_)):
        return convert(key)
    if isinstance(key, (int, np.integer)):
        return int(key)
    if isinstance(key, (list, np.ndarray, Variable)):
        return convert(key)
    if isinstance(key, KerasTensor):
        raise TypeError("An index inside a functional model goes through ops.take.")
    raise TypeError(
        "An index is an integer, slice, None, Ellipsis, or a tensor or list of integers. "
        f"Got {key!r} of type {type(key).__name__}."
    )


def _apply_keys(x: Tensor, keys: list[Any]) -> Tensor:
    """Cut with the slices and integers first, then reshape, then gather."""
    begin: list[int] = []
    end: list[int] = []
    strides: list[int] = []
    shape: list[int | None] = []
    gathers: list[tuple[int, Tensor]] = []
    axis = 0
    for key in keys:
        if key is None:
            shape.append(1)
            continue
        dim = x.shape[axis]
        if isinstance(key, Tensor):
            gathers.append((len(shape), key))
            bounds = _bounds(slice(None), dim, axis)
        else:
            bounds = _bounds(key, dim, axis)
        if not isinstance(key, int):
            shape.append(_length(*bounds))
        for collected, bound in zip((begin, end, strides), bounds, strict=True):
            collected.append(bound)
        axis += 1
    is_whole = all(
        b == 0 and s == 1 and e in (d, -1)
        for b, e, s, d in zip(begin, end, strides, x.shape, strict=True)
    )
    if not is_whole:
        x = apply("slice", x, begin=begin, end=end, strides=strides)
    if tuple(shape) != tuple(x.shape):
        x = reshape_to(x, shape)
    return _gather(x, gathers) if gathers else x


def _bounds(key: int | slice, dim: int | None, axis: int) -> tuple[int, int, int]:
    """Return begin, end, stride; an end of -1 stands for one not known (or before the first)."""
    if isinstance(key, int):
        if dim is None:
            return 0, 1, 1
        if not -dim <= key < dim:
            raise IndexError(f"Index {key} is out of range for axis {axis} of size {dim}.")
        return key % dim, key % dim + 1, 1
    if dim is None:
        step = 1 if key.step is None else int(key.step)
        is_counted = step > 0 and key.stop is not None and 0 <= (key.start or 0) <= key.stop
        whole = key.start in (None, 0) and key.stop is None and step == 1
        # Only a trace with known sizes runs; here the size of the result is what counts.
        return (0, -1, 1) if whole or not is_counted else (0, -1, step)
    begin, end, step = key.indices(dim)
    if step > 0:
        end = max(end, begin)
    else:
        end = min(end, begin)
    return begin, end, step


def _length(begin: int, end: int, stride: int) -> int | None:
    if stride > 0 and end == -1:
        return None
    return len(range(begin, end, stride))


def _gather(x: Tensor, gathers: list[tuple[int, Tensor]]) -> Tensor:
    places = [place for place, _ in gathers]
    first, count = places[0], len(places)
    if places != list(range(first, first + count)):
        raise IndexError("Index tensors must stand side by side, e.g. x[:, i, j].")
    flat: Any = None
    for place, ids in gathers:
        length = x.shape[place]
        ids = to_dtype(ids, "int64")
        if length is None:
            raise IndexError(f"Axis {place} has an unknown size; index it with ops.take.")
        size = convert(length, dtype="int64")
        below = apply("less", ids, convert(0, dtype="int64"))
        ids = apply("select", below, apply("add", ids, size), ids)
        flat = ids if flat is None else apply("add", apply("multiply", flat, size), ids)
    if count > 1:
        merged = int(np.prod([x.shape[p] for p in places]))
        x = reshape_to(x, [*x.shape[:first], merged, *x.shape[first + count :]])
    return apply("gather", x, flat, axis=first)


def _masked(x: Tensor, keys: list[Any]) -> Tensor:
    if is_tracing():
        raise ValueError(
            "A boolean index gives a result whose size depends on the data; a traced model "
            "cannot hold it. Use ops.where(mask, x, 0)."
        )
    plain = tuple(k.numpy() if isinstance(k, Tensor) else k for k in keys)
    return convert(x.numpy()[plain])
