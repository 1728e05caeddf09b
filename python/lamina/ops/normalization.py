"""Normalisation and attention."""

from __future__ import annotations

import numpy as np

from lamina import config
from lamina.ops.core import (
    Axes,
    TensorLike,
    normalize_axes,
    normalize_axis,
    promote,
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
    x = to_float(x)
    axes = normalize_axes(axis, x.ndim, "layer_normalization")
    centred = apply("subtract", x, apply("mean", x, axes=axes, keepdims=True))
    spread = apply("mean", apply("square", centred), axes=axes, keepdims=True)
    floor = config.epsilon() if epsilon is None else float(epsilon)
    y = apply("multiply", centred, apply("rsqrt", apply("add", spread, _number(floor, x))))
    return _affine(y, gamma, beta, axes)


@symbolic_op
def rms_normalization(
    x: TensorLike, scale: TensorLike | None = None, axis: Axes = -1, epsilon: float | None = None
) -> Tensor:
    """Divide by the root of the mean square along `axis`, then multiply by `scale`."""
    x = to_float(x)
    axes = normalize_axes(axis, x.ndim, "rms_normalization")
    floor = config.epsilon() if epsilon is None else float(epsilon)
    power = apply("mean", apply("square", x), axes=axes, keepdims=True)
    y = apply("multiply", x, apply("rsqrt", apply("add", power, _number(floor, x))))
    return _affine(y, scale, None, axes)


def _affine(
    x: Tensor, scale: TensorLike | None, offset: TensorLike | None, axes: list[int]
) -> Tensor:
    sizes = [d if i in axes else 1 for i, d in enumerate(x.shape)]
    for op, factor in (("multiply", scale), ("add", offset)):
        if factor is not None:
            x = apply(op, x, reshape_to(to_dtype(convert(factor), x.dtype), sizes))
    return x


@symbolic_op
def dot_product_attention(
    query: TensorLike,
    key: TensorLike,
    value: TensorLike,
    bias: TensorLike | None = None,
    mask: TensorLike | None = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Tensor:
    """Mix values by how well their keys fit the query: softmax(q k^T * scale) v.

    Args:
        query: (batch, target time, heads, features).
        key, value: (batch, source time, heads, features).
        bias: added to the logits (batch, heads, target time, source time).
        mask: boolean, of the shape of the logits; False takes a position out.
        scale: of the logits; None: 1 / sqrt(features).
        is_causal: whether a position sees only itself and those before it.
        flash_attention: accepted for Keras's sake; True is refused.
        attn_logits_soft_cap: c in c * tanh(logits / c), or None.
    """
    from lamina.ops.linalg import einsum

    if flash_attention:
        raise ValueError("dot_product_attention: flash_attention is not available. Got True.")
    q, k, v = promote(query, key, value, floating=True)
    factor = q.shape[-1] ** -0.5 if scale is None else float(scale)
    logits = apply("multiply", einsum("btnh,bsnh->bnts", q, k), _number(factor, q))
    if attn_logits_soft_cap is not None:
        cap = _number(float(attn_logits_soft_cap), q)
        logits = apply("multiply", apply("tanh", apply("divide", logits, cap)), cap)
    if bias is not None:
        logits = apply("add", logits, to_dtype(convert(bias), q.dtype))
    masks = [] if mask is None else [to_dtype(convert(mask), "bool")]
    if is_causal:
        masks.append(convert(np.tril(np.ones((q.shape[1], k.shape[1]), dtype=bool))))
    for m in masks:
        logits = apply("select", m, logits, _number(-0.7 * float(np.finfo(q.dtype).max), q))
    return einsum("bnts,bsnh->btnh", apply("softmax", logits, axis=3), v)


__all__ = [
    "batch_normalization",
    "dot_product_attention",
    "layer_normalization",
    "normalize",
    "rms_normalization",
]
