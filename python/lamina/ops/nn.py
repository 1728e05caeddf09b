"""Activation functions and encodings of integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.ops.core import (
    Axes,
    TensorLike,
    is_float_dtype,
    normalize_axes,
    normalize_axis,
    reshape_to,
    size_of,
    standardize_dtype,
    to_dtype,
    to_float,
)
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op


def _number(value: float, like: Tensor) -> Tensor:
    return convert(value, dtype=like.dtype)


@symbolic_op
def relu(x: TensorLike) -> Tensor:
    """Keep positive values, replace negative ones by 0."""
    x = convert(x)
    if is_float_dtype(x.dtype):
        return apply("relu", x)
    return x if x.dtype in ("bool", "uint8") else apply("maximum", x, _number(0, x))


@symbolic_op
def relu6(x: TensorLike) -> Tensor:
    """Clip to [0, 6]."""
    return apply("relu6", to_float(x))


@symbolic_op
def sigmoid(x: TensorLike) -> Tensor:
    """Return 1 / (1 + exp(-x)), in (0, 1)."""
    return apply("sigmoid", to_float(x))


@symbolic_op
def softplus(x: TensorLike) -> Tensor:
    """Return log(1 + exp(x)), a smooth relu."""
    return apply("softplus", to_float(x))


@symbolic_op
def softsign(x: TensorLike) -> Tensor:
    """Return x / (1 + |x|), in (-1, 1)."""
    return apply("softsign", to_float(x))


@symbolic_op
def silu(x: TensorLike) -> Tensor:
    """Return x * sigmoid(x)."""
    return apply("silu", to_float(x))


def swish(x: TensorLike) -> Tensor:
    """Return x * sigmoid(x)."""
    return silu(x)


@symbolic_op
def log_sigmoid(x: TensorLike) -> Tensor:
    """Return log(sigmoid(x)) without overflow."""
    return apply("log_sigmoid", to_float(x))


@symbolic_op
def leaky_relu(x: TensorLike, negative_slope: float = 0.2) -> Tensor:
    """Keep positive values, multiply negative ones by `negative_slope`."""
    return apply("leaky_relu", to_float(x), negative_slope=float(negative_slope))


@symbolic_op
def hard_sigmoid(x: TensorLike) -> Tensor:
    """Return relu6(x + 3) / 6: straight lines in the place of the sigmoid."""
    return apply("hard_sigmoid", to_float(x))


@symbolic_op
def hard_silu(x: TensorLike) -> Tensor:
    """Return x * hard_sigmoid(x)."""
    return apply("hard_silu", to_float(x))


def hard_swish(x: TensorLike) -> Tensor:
    """Return x * hard_sigmoid(x)."""
    return hard_silu(x)


@symbolic_op
def hard_tanh(x: TensorLike) -> Tensor:
    """Clip to [-1, 1]."""
    return apply("clip", to_float(x), min=-1.0, max=1.0)


@symbolic_op
def elu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """Keep positive values; negative ones become alpha * (exp(x) - 1)."""
    return apply("elu", to_float(x), alpha=float(alpha))


@symbolic_op
def selu(x: TensorLike) -> Tensor:
    """Return 1.0507 * elu(x, 1.67326): keeps mean 0 and variance 1 from layer to layer."""
    return apply("selu", to_float(x))


@symbolic_op
def celu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """Keep positive values; negative ones become alpha * (exp(x / alpha) - 1)."""
    return apply("celu", to_float(x), alpha=float(alpha))


@symbolic_op
def gelu(x: TensorLike, approximate: bool = True) -> Tensor:
    """Return x times the normal distribution function of x, or its tanh approximation."""
    return apply("gelu", to_float(x), approximate=bool(approximate))


@symbolic_op
def mish(x: TensorLike) -> Tensor:
    """Return x * tanh(softplus(x))."""
    return apply("mish", to_float(x))


@symbolic_op
def glu(x: TensorLike, axis: int = -1) -> Tensor:
    """Return the first half along `axis` times the sigmoid of the second half."""
    from lamina.ops.joining import split

    value, gate = split(to_float(x), 2, axis)
    return apply("multiply", value, apply("sigmoid", gate))


@symbolic_op
def tanh_shrink(x: TensorLike) -> Tensor:
    """Return x - tanh(x)."""
    x = to_float(x)
    return apply("subtract", x, apply("tanh", x))


@symbolic_op
def soft_shrink(x: TensorLike, threshold: float = 0.5) -> Tensor:
    """Move values towards 0 by `threshold`; those nearer become 0."""
    x = to_float(x)
    inside = apply("clip", x, min=-float(threshold), max=float(threshold))
    return apply("subtract", x, inside)


@symbolic_op
def hard_shrink(x: TensorLike, threshold: float = 0.5) -> Tensor:
    """Replace values in [-threshold, threshold] by 0."""
    x = to_float(x)
    far = apply("greater", apply("abs", x), _number(threshold, x))
    return apply("select", far, x, _number(0.0, x))


@symbolic_op
def threshold(x: TensorLike, threshold: float, default_value: float) -> Tensor:
    """Keep values above `threshold`, replace the others by `default_value`."""
    x = to_float(x)
    above = apply("greater", x, _number(threshold, x))
    return apply("select", above, x, _number(default_value, x))


@symbolic_op
def squareplus(x: TensorLike, b: float = 4) -> Tensor:
    """Return (x + sqrt(x ** 2 + b)) / 2."""
    x = to_float(x)
    root = apply("sqrt", apply("add", apply("square", x), _number(float(b), x)))
    return apply("multiply", apply("add", x, root), _number(0.5, x))


@symbolic_op
def sparse_plus(x: TensorLike) -> Tensor:
    """Return 0 up to -1, (x + 1) ** 2 / 4 between -1 and 1, and x from 1 on."""
    x = to_float(x)
    rise = apply("relu", apply("add", x, _number(1.0, x)))
    curve = apply("multiply", apply("square", rise), _number(0.25, x))
    return apply("select", apply("greater_equal", x, _number(1.0, x)), x, curve)


@symbolic_op
def sparse_sigmoid(x: TensorLike) -> Tensor:
    """Return 0 up to -1, (x + 1) / 2 between -1 and 1, and 1 from 1 on."""
    x = apply("clip", to_float(x), min=-1.0, max=1.0)
    return apply("multiply", apply("add", x, _number(1.0, x)), _number(0.5, x))


def _over_axes(op: str, x: TensorLike, axis: Axes) -> Tensor:
    """Apply softmax or log_softmax over one axis, or over several as if they were one."""
    from lamina.ops.layout import permute

    x = to_float(x)
    if isinstance(axis, int):
        return apply(op, x, axis=normalize_axis(axis, max(x.ndim, 1), op))
    axes = normalize_axes(axis, x.ndim, op)
    kept = [i for i in range(x.ndim) if i not in axes]
    perm = kept + axes
    moved = permute(x, perm)
    count = size_of([x.shape[i] for i in axes])
    flat = reshape_to(moved, [*(x.shape[i] for i in kept), count])
    y = reshape_to(apply(op, flat, axis=flat.ndim - 1), moved.shape)
    return permute(y, [perm.index(i) for i in range(x.ndim)])


@symbolic_op
def softmax(x: TensorLike, axis: Axes = -1) -> Tensor:
    """Return exp(x) / sum(exp(x)) along `axis`: positive numbers that add up to 1.

    Args:
        x: tensor, computed as a float.
        axis: one axis, several that are taken together, or None: all.
    """
    return _over_axes("softmax", x, axis)


@symbolic_op
def log_softmax(x: TensorLike, axis: Axes = -1) -> Tensor:
    """Return log(softmax(x)) along `axis` without overflow."""
    return _over_axes("log_softmax", x, axis)


@symbolic_op
def sparsemax(x: TensorLike, axis: int = -1) -> Tensor:
    """Return the point of the probability simplex nearest to x; many of its elements are 0.

    Source: Martins, Astudillo. From softmax to sparsemax. 2016.
    """
    from lamina.ops.layout import flip, moveaxis
    from lamina.ops.sorting import sort

    x = moveaxis(to_float(x), axis, -1)
    last, size = x.ndim - 1, x.shape[-1]
    ordered = flip(sort(x, -1), -1)
    ranks = convert(np.arange(1, size + 1), dtype=x.dtype)
    total = apply("cumsum", ordered, axis=last)
    inside = apply(
        "greater", apply("add", apply("multiply", ordered, ranks), _number(1.0, x)), total
    )
    count = apply("sum", to_dtype(inside, x.dtype), axes=[last], keepdims=True)
    cut = apply("take_along_axis", ordered, to_dtype(count, "int32") - 1, axis=last)
    support = apply("greater_equal", x, cut)
    kept = apply("sum", apply("select", support, x, _number(0.0, x)), axes=[last], keepdims=True)
    tau = apply("divide", apply("subtract", kept, _number(1.0, x)), count)
    return moveaxis(apply("relu", apply("subtract", x, tau)), -1, axis)


@symbolic_op
def one_hot(
    x: TensorLike, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False
) -> Tensor:
    """Write each integer as a row of zeros with a one in its place.

    Args:
        x: integers of any shape; those outside [0, num_classes) give only zeros.
        num_classes: length of the new axis.
        axis: where the new axis goes in the result.
        dtype: floatx by default.
        sparse: must be False.
    """
    if sparse:
        raise ValueError("one_hot: sparse tensors do not exist here. Got sparse=True.")
    ids = convert(x)
    if ids.dtype not in ("int32", "int64"):
        ids = to_dtype(ids, "int32")
    place = normalize_axis(axis, ids.ndim + 1, "one_hot")
    wanted = standardize_dtype(dtype)
    return apply("one_hot", ids, classes=int(num_classes), dtype=wanted, axis=place)


@symbolic_op
def multi_hot(
    inputs: TensorLike,
    num_classes: int | None = None,
    axis: int = -1,
    dtype: Any = None,
    sparse: bool = False,
    **kwargs: Any,
) -> Tensor:
    """Write each row of integers as one row with ones in all their places.

    Args:
        inputs: integers (batch, n) or (n,).
        num_classes: length of the rows of the result.
        axis: the axis of the integers, folded away.
        dtype: floatx by default.
        sparse: must be False.
        kwargs: `num_tokens`, an older name of `num_classes`.
    """
    num_classes = kwargs.pop("num_tokens", num_classes)
    if kwargs:
        raise TypeError(f"multi_hot: unknown argument {next(iter(kwargs))!r}.")
    if num_classes is None:
        raise ValueError("multi_hot: num_classes must be an integer. Got None.")
    ids = convert(inputs)
    folded = 1 if ids.ndim > 1 else 0
    hits = one_hot(ids, num_classes, axis, dtype, sparse)
    return apply("max", hits, axes=[folded], keepdims=False)


__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "multi_hot",
    "one_hot",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh_shrink",
    "threshold",
]


def __getattr__(name: str) -> Any:
    # Convolution, pooling and the rest of the family live in modules of their own.
    import lamina.ops

    if not name.startswith("_") and hasattr(lamina.ops, name):
        return getattr(lamina.ops, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
