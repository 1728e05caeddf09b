"""Reductions and orders that leave NaN out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lamina.dtypes import is_float_dtype
from lamina.ops.core import (
    Axes,
    TensorLike,
    normalize_axes,
    reshape_to,
    to_dtype,
)
from lamina.ops.reduce import argmax, argmin, cumprod, cumsum
from lamina.ops.sorting import over_fractions, sort
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op


def _filled(x: TensorLike, value: float) -> Tensor:
    x = convert(x)
    if not is_float_dtype(x.dtype):
        return x
    return apply("select", apply("isnan", x), convert(value, dtype=x.dtype), x)


def _arg(fn: Any, x: TensorLike, axis: int | None, keepdims: bool, worst: float) -> Tensor:
    x = convert(x)
    found = fn(_filled(x, worst), axis, keepdims)
    if not is_float_dtype(x.dtype):
        return found
    axes = normalize_axes(axis, x.ndim, "nanargmax")
    empty = apply("all", apply("isnan", x), axes=axes, keepdims=bool(keepdims))
    return apply("select", empty, convert(-1, dtype=found.dtype), found)


@symbolic_op
def nanargmax(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the index (int32) of the largest element that is not NaN; -1 where all are."""
    return _arg(argmax, x, axis, keepdims, -math.inf)


@symbolic_op
def nanargmin(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the index (int32) of the smallest element that is not NaN; -1 where all are."""
    return _arg(argmin, x, axis, keepdims, math.inf)


@symbolic_op
def nancumsum(x: TensorLike, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Return the running sum along `axis`, NaN counted as 0; with axis None, flattened."""
    return cumsum(_filled(x, 0.0), axis, dtype)


@symbolic_op
def nancumprod(x: TensorLike, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Return the running product along `axis`, NaN counted as 1; with axis None, flattened."""
    return cumprod(_filled(x, 1.0), axis, dtype)


@symbolic_op
def nanquantile(
    x: TensorLike,
    q: TensorLike,
    axis: Axes = None,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    """Return quantiles of the elements that are not NaN (see `quantile`); NaN where all are."""

    def reader(rows: Tensor) -> Callable[[float], Tensor]:
        valid = to_dtype(apply("logical_not", apply("isnan", rows)), rows.dtype)
        valid = apply("sum", valid, axes=[rows.ndim - 1], keepdims=True)
        ascending = sort(_filled(rows, math.inf), -1)  # NaN goes to the end
        return lambda fraction: _at_fraction(ascending, valid, fraction, method)

    return over_fractions("nanquantile", x, q, axis, method, keepdims, reader)


_ENDS = {"lower": "floor", "higher": "ceil", "nearest": "round"}


def _at_fraction(rows: Tensor, valid: Tensor, fraction: float, method: str) -> Tensor:
    """The quantile of each row, of which the first `valid` elements count."""
    one, zero = convert(1.0, dtype=rows.dtype), convert(0.0, dtype=rows.dtype)
    last = apply("maximum", apply("subtract", valid, one), zero)
    place = apply("multiply", last, convert(fraction, dtype=rows.dtype))
    axis = rows.ndim - 1

    def at(where: Tensor) -> Tensor:
        return apply("take_along_axis", rows, to_dtype(where, "int64"), axis=axis)

    low = apply("floor", place)
    if method in _ENDS:
        value = at(apply(_ENDS[method], place))
    else:
        weight = apply("subtract", place, low)
        if method == "midpoint":
            weight = convert(0.5, dtype=rows.dtype)
        at_low, at_high = at(low), at(apply("ceil", place))
        step = apply("multiply", weight, apply("subtract", at_high, at_low))
        # Two infinities have no difference; equal ends need none.
        value = apply("select", apply("equal", at_low, at_high), at_low, apply("add", at_low, step))
    value = apply("select", apply("equal", valid, zero), convert(math.nan, dtype=rows.dtype), value)
    return reshape_to(value, value.shape[:-1])


@symbolic_op
def nanpercentile(
    x: TensorLike,
    q: TensorLike,
    axis: Axes = None,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    """Return percentiles of the elements that are not NaN (see `percentile`)."""
    fractions = np.asarray(q.numpy() if hasattr(q, "numpy") else q, dtype=np.float64) / 100.0
    return nanquantile(x, fractions, axis, method, keepdims)


@symbolic_op
def nanmedian(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the middle of the elements that are not NaN, the mean of two for an even number."""
    return nanquantile(x, 0.5, axis, "linear", keepdims)


__all__ = [
    "nanargmax",
    "nanargmin",
    "nancumprod",
    "nancumsum",
    "nanmedian",
    "nanpercentile",
    "nanquantile",
]
