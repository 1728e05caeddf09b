"""Fake quantization: values on a grid of 2**num_bits steps, with gradients."""

from __future__ import annotations

from lamina import ops
from lamina.ops.core import TensorLike
from lamina.tensor import Tensor
from lamina.tracing import apply, convert


def fake_quant_with_min_max_vars(
    inputs: TensorLike,
    min_vals: TensorLike,
    max_vals: TensorLike,
    num_bits: int = 8,
    narrow_range: bool = False,
    axis: int | None = None,
) -> Tensor:
    """Clip to [min_vals, max_vals] and round to the nearest of the quantized values.

    The limits move a little, so that zero is one of those values. Gradients pass to the inputs
    within the limits, and to the limit that clipped a value.

    Args:
        inputs: floating point numbers.
        min_vals, max_vals: the limits: scalars, or one for each position of `axis`.
        num_bits: the grid has 2**num_bits values.
        narrow_range: whether the grid has one value less, below.
        axis: axis of the limits; None when they are scalars.

    Source: https://keras.io/api/quantizers/
    """
    x = convert(inputs)
    low = ops.cast(min_vals, x.dtype)
    high = ops.cast(max_vals, x.dtype)
    if axis is not None:
        shape = [1] * x.ndim
        shape[axis] = x.shape[axis]
        low = ops.reshape(ops.broadcast_to(low, (x.shape[axis],)), shape)
        high = ops.reshape(ops.broadcast_to(high, (x.shape[axis],)), shape)
    first, last = int(narrow_range), 2**num_bits - 1
    # The grid is a constant for gradients: only what is clipped depends on the limits.
    start, stop = ops.stop_gradient(low), ops.stop_gradient(high)
    step = (stop - start) / (last - first)
    zero = ops.clip(ops.round(first - start / step), first, last)
    start, stop = (first - zero) * step, (last - zero) * step
    inner = ops.clip(x, start, stop)
    grid = ops.floor((inner - start) / step + 0.5) * step + start
    source = ops.where(ops.less(x, start), low, ops.where(ops.greater(x, stop), high, x))
    result: Tensor = apply("straight_through", grid, source)
    return result
