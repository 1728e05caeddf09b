"""Tensors made from sizes and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina import config
from lamina.dtypes import numpy_dtype
from lamina.ops.core import TensorLike, standardize_dtype, to_dtype
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op

Shape = int | Sequence[int]


def _sizes(shape: Shape, op: str) -> tuple[int, ...]:
    sizes = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    for d in sizes:
        if d is None or int(d) < 0:
            raise ValueError(f"{op}: shape must hold integers >= 0. Got {shape!r}.")
    return tuple(int(d) for d in sizes)


def _constant(array: np.ndarray, dtype: Any) -> Tensor:
    name = standardize_dtype(dtype)
    return convert(array.astype(numpy_dtype(name), copy=False), dtype=name)


def _numpy_type(dtype: Any) -> np.dtype[Any]:
    return numpy_dtype(standardize_dtype(dtype))


@symbolic_op
def array(x: TensorLike, dtype: Any = None) -> Tensor:
    """Convert `x` to a tensor (see `convert_to_tensor`)."""
    return convert(x) if dtype is None else to_dtype(x, standardize_dtype(dtype))


def zeros(shape: Shape, dtype: Any = None) -> Tensor:
    """Return zeros of `shape`; `dtype` None is floatx."""
    return _constant(np.zeros(_sizes(shape, "zeros"), _numpy_type(dtype)), dtype)


def ones(shape: Shape, dtype: Any = None) -> Tensor:
    """Return ones of `shape`; `dtype` None is floatx."""
    return _constant(np.ones(_sizes(shape, "ones"), _numpy_type(dtype)), dtype)


def empty(shape: Shape, dtype: Any = None) -> Tensor:
    """Return a tensor of `shape` whose values mean nothing (they are 0)."""
    return zeros(shape, dtype)


@symbolic_op
def full(shape: Shape, fill_value: TensorLike, dtype: Any = None) -> Tensor:
    """Return a tensor of `shape` filled with `fill_value`; `dtype` None is floatx."""
    value = to_dtype(fill_value, standardize_dtype(dtype))
    return apply("broadcast_to", value, shape=list(_sizes(shape, "full")))


def _like(x: TensorLike, value: float, dtype: Any) -> Tensor:
    x = convert(x)
    wanted = x.dtype if dtype is None else standardize_dtype(dtype)
    fill = convert(value, dtype=wanted)
    if None in x.shape:
        # The sizes are not known yet: take them from x itself.
        base = to_dtype(x, wanted) if wanted != "bool" else apply("not_equal", x, x)
        return apply("select", apply("equal", base, base), fill, fill)
    return apply("broadcast_to", fill, shape=list(x.shape))


@symbolic_op
def zeros_like(x: TensorLike, dtype: Any = None) -> Tensor:
    """Return zeros with the shape of `x`, and its type unless `dtype` is given."""
    return _like(x, 0, dtype)


@symbolic_op
def ones_like(x: TensorLike, dtype: Any = None) -> Tensor:
    """Return ones with the shape of `x`, and its type unless `dtype` is given."""
    return _like(x, 1, dtype)


@symbolic_op
def empty_like(x: TensorLike, dtype: Any = None) -> Tensor:
    """Return a tensor with the shape of `x` whose values mean nothing (they are 0)."""
    return _like(x, 0, dtype)


@symbolic_op
def full_like(x: TensorLike, fill_value: TensorLike, dtype: Any = None) -> Tensor:
    """Return a tensor with the shape of `x`, and its type, filled with `fill_value`."""
    x = convert(x)
    wanted = x.dtype if dtype is None else standardize_dtype(dtype)
    value = to_dtype(to_dtype(fill_value, "float64"), wanted)
    return apply("select", _like(x, 1, "bool"), value, value)


def arange(
    start: float, stop: float | None = None, step: float | None = None, dtype: Any = None
) -> Tensor:
    """Return start, start + step ... up to but without `stop`.

    Args:
        start: first value; with `stop` left out, 0 is first and `start` is the end.
        stop: end, not included.
        step: distance, 1 by default.
        dtype: by default int32 when all numbers are integers, else floatx.
    """
    numbers = [n for n in (start, stop, step) if n is not None]
    if dtype is None:
        is_whole = all(isinstance(n, (int, np.integer)) for n in numbers)
        dtype = "int32" if is_whole else config.floatx()
    if stop is None:
        start, stop = 0, start
    if step == 0:
        raise ValueError("arange: step must not be 0.")
    values = np.arange(start, stop, 1 if step is None else step)
    return _constant(values, dtype)


def linspace(
    start: TensorLike,
    stop: TensorLike,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """Return `num` evenly spaced values from `start` to `stop`.

    Args:
        start, stop: numbers or arrays that broadcast.
        num: how many values.
        endpoint: whether `stop` is the last value.
        retstep: whether to return (values, step).
        dtype: floatx by default.
        axis: where the new axis goes when `start` or `stop` is an array.
    """
    wanted = standardize_dtype(dtype)
    values, step = np.linspace(
        np.asarray(start), np.asarray(stop), num, endpoint, retstep=True, axis=axis
    )  # fmt: skip
    result = _constant(np.asarray(values), wanted)
    return (result, _constant(np.asarray(step), wanted)) if retstep else result


def logspace(
    start: TensorLike,
    stop: TensorLike,
    num: int = 50,
    endpoint: bool = True,
    base: float = 10,
    dtype: Any = None,
    axis: int = 0,
) -> Tensor:
    """Return `num` values from base ** start to base ** stop, evenly spaced in the exponent."""
    exponents = np.linspace(np.asarray(start), np.asarray(stop), num, endpoint, axis=axis)
    return _constant(np.power(float(base), exponents), dtype)


def eye(
    N: int,  # noqa: N803
    M: int | None = None,  # noqa: N803
    k: int = 0,
    dtype: Any = None,
) -> Tensor:
    """Return an (N, M) matrix: one on diagonal k, zero off it."""
    for size in (N, M):
        if isinstance(size, (float, np.floating)):
            raise TypeError(f"eye: sizes must be integers. Got {size!r}.")
    return _constant(np.eye(int(N), None if M is None else int(M), k), dtype)


def identity(n: int, dtype: Any = None) -> Tensor:
    """Return the (n, n) identity matrix."""
    return eye(n, dtype=dtype)


def tri(
    N: int,  # noqa: N803
    M: int | None = None,  # noqa: N803
    k: int = 0,
    dtype: Any = None,
) -> Tensor:
    """Return an (N, M) matrix with ones on and below the k-th diagonal."""
    return _constant(np.tri(int(N), None if M is None else int(M), k), dtype)


@symbolic_op
def meshgrid(*x: TensorLike, indexing: str = "xy") -> list[Tensor]:
    """Return, for each 1-D tensor, a grid over all of them that repeats its values.

    Args:
        x: 1-D tensors.
        indexing: "xy" swaps the first two axes of the grid, "ij" keeps the order.
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing must be 'xy' or 'ij'. Got {indexing!r}.")
    tensors = [convert(t) for t in x]
    order = list(range(len(tensors)))
    if indexing == "xy" and len(order) > 1:
        order[0], order[1] = 1, 0
    shape = [tensors[i].shape[0] for i in order]
    grids = []
    for i, t in enumerate(tensors):
        sizes = [1] * len(order)
        sizes[order.index(i)] = t.shape[0]
        grids.append(apply("broadcast_to", apply("reshape", t, shape=sizes), shape=shape))
    return grids


def _window(values: np.ndarray) -> Tensor:
    return _constant(values, None)


def bartlett(x: int) -> Tensor:
    """Return the triangular window of `x` points."""
    return _window(np.bartlett(int(x)))


def blackman(x: int) -> Tensor:
    """Return the Blackman window of `x` points."""
    return _window(np.blackman(int(x)))


def hamming(x: int) -> Tensor:
    """Return the Hamming window of `x` points."""
    return _window(np.hamming(int(x)))


def hanning(x: int) -> Tensor:
    """Return the Hann window of `x` points."""
    return _window(np.hanning(int(x)))


def kaiser(x: int, beta: float) -> Tensor:
    """Return the Kaiser window of `x` points with shape parameter `beta`."""
    return _window(np.kaiser(int(x), float(beta)))


__all__ = [
    "arange",
    "array",
    "bartlett",
    "blackman",
    "empty",
    "empty_like",
    "eye",
    "full",
    "full_like",
    "hamming",
    "hanning",
    "identity",
    "kaiser",
    "linspace",
    "logspace",
    "meshgrid",
    "ones",
    "ones_like",
    "tri",
    "zeros",
    "zeros_like",
]
