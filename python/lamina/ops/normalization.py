"""Normalisation."""

from __future__ import annotations

import numpy as np

from lamina import config
from lamina.ops.core import (
    Axes,
    TensorLike,
    normalize_axes,
    normalize_axis,
    reshape_to,
    to_dtype,
    to_float,
)
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op


def _number(value: float, like: Tensor) -> Tensor:
    return convert(value, dtype=like.dtype)


@symbolic_op
def normalize(
    x: TensorLike, axis: Axes = -1, order: int | float = 2, epsilon: float | None = None
) -> Tensor:
    """Divide by the norm along `axis`, which is taken as at least `epsilon`."""
    from lamina.ops.reduce import norm

    x = to_float(x)
    floor = config.epsilon() if epsilon is None else float(epsilon)
    if order == 2:
        axes = normalize_axes(axis, x.ndim, "normalize")
        total = apply("sum", apply("square", x), axes=axes, keepdims=True)
        scale = apply("rsqrt", apply("maximum", total, _number(floor**2, x)))
        return apply("multiply", x, scale)
    size = norm(x, order, axis, keepdims=True)
    return apply("divide", x, apply("maximum", size, _number(floor, x)))


@symbolic_op
def batch_normalization(
    x: TensorLike,
    mean: TensorLike,
    variance: TensorLike,
    axis: int,
    offset: TensorLike | None = None,
    scale: TensorLike | None = None,
    epsilon: float = 1e-3,
) -> Tensor:
    """Return (x - mean) / sqrt(variance + epsilon) * scale + offset.

    Args:
        x: tensor.
        mean, variance: (x.shape[axis],).
        axis: the axis the statistics belong to.
        offset, scale: of the shape of `mean`, or None.
        epsilon: added to the variance.
    """
    x = to_float(x)
    sizes: list[int | None] = [1] * x.ndim
    place = normalize_axis(axis, x.ndim, "batch_normalization")
    sizes[place] = x.shape[place]

    def spread(t: TensorLike) -> Tensor:
        return reshape_to(to_dtype(convert(t), x.dtype), sizes)

    factor = apply("rsqrt", apply("add", spread(variance), _number(epsilon, x)))
    if scale is not None:
        factor = apply("multiply", factor, spread(scale))
    shift = apply("negative", apply("multiply", spread(mean), factor))
    if offset is not None:
        shift = apply("add", shift, spread(offset))
    return apply("add", apply("multiply", x, factor), shift)


def normalize_batch(
    x: TensorLike, gamma: TensorLike | None, beta: TensorLike | None, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Bring each channel of the last axis to mean 0 and variance 1, then scale and shift it.

    Args:
        x: tensor of at least two axes, computed as a float.
        gamma, beta: (channels,), or None.
        epsilon: added to the variance.

    Returns:
        (result, mean, variance): the statistics are those of the channels over all other axes.
    """
    given = to_float(x)
    x = _widened(given)

    def row(values: TensorLike | None, otherwise: float) -> Tensor:
        if values is None:
            values = np.full(x.shape[-1:], otherwise, x.dtype)
        return to_dtype(convert(values), x.dtype)

    y, mean, variance = apply("batch_norm", x, row(gamma, 1.0), row(beta, 0.0), epsilon=epsilon)
    return to_dtype(y, given.dtype), mean, variance


@symbolic_op
def layer_normalization(
    x: TensorLike,
    gamma: TensorLike | None = None,
    beta: TensorLike | None = None,
    axis: Axes = -1,
    epsilon: float | None = None,
) -> Tensor:
    """Bring the elements along `axis` to mean 0 and variance 1, then scale and shift them.

    Args:
        x: tensor, computed as a float.
        gamma, beta: scale and shift with the sizes of `axis`, or None.
        axis: axes to normalise over.
        epsilon: added to the variance; None: the configured one.
    """
    given = to_float(x)
    x = _widened(given)
    axes = normalize_axes(axis, x.ndim, "layer_normalization")
    floor = config.epsilon() if epsilon is None else float(epsilon)
    if axes != [x.ndim - 1]:
        centred = apply("subtract", x, apply("mean", x, axes=axes, keepdims=True))
        spread = apply("mean", apply("square", centred), axes=axes, keepdims=True)
        y = apply("multiply", centred, apply("rsqrt", apply("add", spread, _number(floor, x))))
    elif gamma is None or beta is None:
        y = apply("layer_norm", x, epsilon=floor)
    else:  # in one pass over the rows
        row = [reshape_to(to_dtype(convert(v), x.dtype), [x.shape[-1]]) for v in (gamma, beta)]
        return to_dtype(apply("layer_norm", x, *row, epsilon=floor), given.dtype)
    return to_dtype(_affine(y, gamma, beta, axes), given.dtype)


@symbolic_op
def rms_normalization(
    x: TensorLike, scale: TensorLike | None = None, axis: Axes = -1, epsilon: float | None = None
) -> Tensor:
    """Divide by the root of the mean square along `axis`, then multiply by `scale`."""
    given = to_float(x)
    x = _widened(given)
    axes = normalize_axes(axis, x.ndim, "rms_normalization")
    floor = config.epsilon() if epsilon is None else float(epsilon)
    power = apply("mean", apply("square", x), axes=axes, keepdims=True)
    y = apply("multiply", x, apply("rsqrt", apply("add", power, _number(floor, x))))
    return to_dtype(_affine(y, scale, None, axes), given.dtype)


def _widened(x: Tensor) -> Tensor:
    """Half-precision numbers as float32: their squares and sums would overflow."""
    return to_dtype(x, "float32") if x.dtype in ("float16", "bfloat16") else x


def _affine(
    x: Tensor, scale: TensorLike | None, offset: TensorLike | None, axes: list[int]
) -> Tensor:
    sizes = [d if i in axes else 1 for i, d in enumerate(x.shape)]
    for op, factor in (("multiply", scale), ("add", offset)):
        if factor is not None:
            x = apply(op, x, reshape_to(to_dtype(convert(factor), x.dtype), sizes))
    return x


__all__ = [
    "batch_normalization",
    "layer_normalization",
    "normalize",
    "rms_normalization",
]
