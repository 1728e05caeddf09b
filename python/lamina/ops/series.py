"""Correlation, powers, geometric series, distances; functions lifted to arrays."""

from __future__ import annotations

import builtins
import functools
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from lamina.dtypes import standardize_dtype
from lamina.ops.binary import power
from lamina.ops.control import map as map_rows
from lamina.ops.core import (
    TensorLike,
    filled,
    normalize_axis,
    promote,
    reshape_to,
    to_dtype,
    to_float,
)
from lamina.ops.layout import moveaxis, permute
from lamina.ops.sorting import argsort
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op


@symbolic_op
def argpartition(x: TensorLike, kth: int, axis: int | None = -1) -> Tensor:
    """Return the indices (int32) of an order in which element `kth` stands where sorting puts it.

    Smaller elements come before it and larger ones after it; here all are in order.
    """
    x = convert(x)
    if axis is None:
        x, axis = reshape_to(x, [None]), 0
    place = normalize_axis(axis, x.ndim, "argpartition")
    length = x.shape[place]
    if length is not None:
        normalize_axis(int(kth), length, "argpartition: kth")
    return argsort(x, place)  # one of the orders that qualify, and the same on every machine


@symbolic_op
def vander(x: TensorLike, N: int | None = None, increasing: bool = False) -> Tensor:  # noqa: N803
    """Return the powers of each element of (n,) as a row, (n, N); the highest first.

    Args:
        x: (n,).
        N: how many powers; None: n.
        increasing: whether the powers rise along a row.
    """
    x = convert(x)
    if x.ndim != 1:
        raise ValueError(f"vander: Input tensor must be 1-D. Got shape {x.shape}.")
    x = to_dtype(x, "int32") if x.dtype == "bool" else x
    count = x.shape[0] if N is None else int(N)
    if N is not None and count < 0:
        raise ValueError(f"vander: N must be nonnegative. Got {N!r}.")
    if count is None:
        return filled(0, [None, None], x.dtype, x)
    exponents = np.arange(count) if increasing else np.arange(count)[::-1]
    return power(reshape_to(x, [x.shape[0], 1]), convert(exponents.copy(), dtype=x.dtype))


@symbolic_op
def corrcoef(x: TensorLike) -> Tensor:
    """Return the correlation of every pair of rows of (variables, observations)."""
    x = to_float(x)
    if x.ndim > 2:
        raise ValueError(f"corrcoef: x must have at most 2 axes. Got shape {x.shape}.")
    rows = reshape_to(x, [1, *x.shape]) if x.ndim < 2 else x
    last = rows.ndim - 1
    centred = apply("subtract", rows, apply("mean", rows, axes=[last], keepdims=True))
    products = apply("matmul", centred, centred, transpose_b=True)
    size = apply("sqrt", apply("sum", apply("square", centred), axes=[last], keepdims=True))
    scale = apply("multiply", size, permute(size, [1, 0]))
    table = apply("divide", products, scale)
    table = apply("clip", table, min=-1.0, max=1.0)
    return reshape_to(table, []) if x.ndim < 2 else table


@symbolic_op
def correlate(x1: TensorLike, x2: TensorLike, mode: str = "valid") -> Tensor:
    """Return the sums of products of x1 with x2 shifted along it.

    Args:
        x1, x2: (n,) and (m,).
        mode: "valid" takes the shifts at which the shorter one lies inside the longer, "same" as
            many as the longer one is long, "full" all at which they overlap.
    """
    if mode not in ("valid", "same", "full"):
        raise ValueError(
            f"correlate: mode must be either `valid`, `full`, or `same`. Got {mode!r}."
        )
    a, b = promote(x1, x2, floating=True)
    if a.ndim != 1 or b.ndim != 1:
        raise ValueError(f"correlate: x1 and x2 must have 1 axis. Got {a.shape} and {b.shape}.")
    n, m = a.shape[0], b.shape[0]
    if n is None or m is None:
        return filled(0, [None], a.dtype, a)
    # x1 with room for x2 on both sides: one row for every shift.
    padded = apply("pad", a, low=[m - 1], high=[m - 1], mode="constant", value=0.0)
    ids = np.arange(n + m - 1)[:, None] + np.arange(m)
    rows = apply("gather", padded, convert(ids.astype(np.int64)), axis=0)
    full = apply("sum", apply("multiply", rows, b), axes=[1], keepdims=False)
    short, long = min(n, m), max(n, m)
    begin, count = {
        "full": (0, n + m - 1),
        "same": ((short - 1) // 2 if n >= m else short // 2, long),
        "valid": (short - 1, long - short + 1),
    }[mode]
    return apply("slice", full, begin=[begin], end=[begin + count], strides=[1])


@symbolic_op
def geomspace(
    start: TensorLike,
    stop: TensorLike,
    num: int = 50,
    endpoint: bool = True,
    dtype: Any = None,
    axis: int = 0,
) -> Tensor:
    """Return `num` numbers from start to stop, each the same multiple of the one before.

    Args:
        start, stop: tensors of one sign, neither 0.
        num: how many.
        endpoint: whether `stop` is the last one.
        dtype: type of the result; None: that of the operands, a float.
        axis: along which they stand.
    """
    a, b = promote(start, stop, floating=True)
    sign, low, high = apply("sign", a), *(apply("log", apply("abs", t)) for t in (a, b))
    share = np.linspace(0.0, 1.0, int(num), endpoint=endpoint)
    rank = builtins.max(a.ndim, b.ndim)
    share_column = convert(share.reshape([-1] + [1] * rank), dtype=a.dtype)
    span = apply("multiply", apply("subtract", high, low), share_column)
    logs = apply("add", low, span)
    values = apply("multiply", apply("exp", logs), sign)
    values = moveaxis(values, 0, axis)
    return values if dtype is None else to_dtype(values, standardize_dtype(dtype))


@symbolic_op
def cdist(x: TensorLike, y: TensorLike) -> Tensor:
    """Return the Euclidean distance of every row of x to every row of y.

    Args:
        x: (..., n, size).
        y: (..., m, size).

    Returns:
        (..., n, m).
    """
    a, b = promote(x, y, floating=True)
    if a.ndim < 2 or b.ndim < 2:
        raise ValueError(f"cdist: x and y must have at least 2 axes. Got {a.shape} and {b.shape}.")
    left = reshape_to(a, [*a.shape[:-1], 1, a.shape[-1]])
    right = reshape_to(b, [*b.shape[:-2], 1, *b.shape[-2:]])
    gaps = apply("square", apply("subtract", left, right))
    squares = apply("sum", gaps, axes=[gaps.ndim - 1], keepdims=False)
    # The root has no slope at 0: there the gradient is 0, as in torch.
    is_zero = apply("equal", squares, convert(0.0, dtype=squares.dtype))
    safe = apply("select", is_zero, convert(1.0, dtype=squares.dtype), squares)
    return apply("select", is_zero, convert(0.0, dtype=squares.dtype), apply("sqrt", safe))


_CORE = re.compile(r"\(([^()]*)\)")


def vectorize(
    pyfunc: Callable[..., Any], *, excluded: Any = None, signature: str | None = None
) -> Callable[..., Any]:
    """Let a function of single elements take tensors, which broadcast.

    Args:
        pyfunc: takes scalars, or with a signature tensors of the axes it names, and returns such.
        excluded: numbers or names of arguments that are passed through whole.
        signature: axes that belong to one call, e.g. "(n),(n)->()".

    Returns:
        A function that applies `pyfunc` at every place and stacks the results.
    """
    if not callable(pyfunc):
        raise TypeError(f"vectorize: pyfunc must be callable. Got {pyfunc!r}.")
    skipped = set() if excluded is None else set(excluded)
    cores = None
    if signature is not None:
        cores = [
            len([axis for axis in group.split(",") if axis.strip()])
            for group in _CORE.findall(signature.split("->")[0])
        ]

    @symbolic_op
    @functools.wraps(pyfunc)
    def call(*args: Any, **kwargs: Any) -> Any:
        places = [i for i in range(len(args)) if i not in skipped]
        tensors = [convert(args[i]) for i in places]
        ranks = cores if cores is not None else [0] * len(tensors)
        outer = [t.shape[: t.ndim - rank] for t, rank in zip(tensors, ranks, strict=True)]
        batch = np.broadcast_shapes(*outer) if tensors else ()
        rows = [
            reshape_to(
                apply("broadcast_to", t, shape=[*batch, *t.shape[t.ndim - rank :]]),
                [math.prod(batch), *t.shape[t.ndim - rank :]],
            )
            for t, rank in zip(tensors, ranks, strict=True)
        ]

        def one(parts: tuple[Tensor, ...]) -> Any:
            filled = list(args)
            for place, part in zip(places, parts, strict=True):
                filled[place] = part
            return pyfunc(*filled, **kwargs)

        if not batch:
            return one(tuple(tensors))
        found = map_rows(one, tuple(rows))
        if isinstance(found, (tuple, list)):
            return tuple(reshape_to(t, [*batch, *t.shape[1:]]) for t in found)
        return reshape_to(found, [*batch, *found.shape[1:]])

    return call


__all__ = [
    "argpartition",
    "cdist",
    "corrcoef",
    "correlate",
    "geomspace",
    "vander",
    "vectorize",
]
