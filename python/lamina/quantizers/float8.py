"""Training with eight-bit floats: scales that follow the largest values seen lately."""

from __future__ import annotations

from lamina import ops
from lamina.ops.core import TensorLike
from lamina.tensor import Tensor
from lamina.tracing import convert

# The largest finite number of each format.
FLOAT8_MAX = {"float8_e4m3fn": 448.0, "float8_e5m2": 57344.0}


def compute_float8_scale(
    amax: TensorLike, scale: TensorLike, dtype_max: TensorLike, margin: int = 0
) -> Tensor:
    """Return the scale that brings values up to `amax` just within a format.

    Args:
        amax: largest absolute value to expect.
        scale: the scale so far, which stays when `amax` is 0 or not finite.
        dtype_max: largest number of the format.
        margin: powers of two to leave as room.

    Returns:
        amax / dtype_max * 2**margin: values are divided by it before they are rounded.
    """
    amax, scale = ops.cast(amax, "float32"), ops.cast(scale, "float32")
    usable = ops.logical_and(ops.greater(amax, 0.0), ops.isfinite(amax))
    wanted = amax / dtype_max * float(2**margin)
    next_scale: Tensor = ops.where(usable, wanted, scale)
    return next_scale


def compute_float8_amax_history(x: TensorLike, amax_history: TensorLike) -> Tensor:
    """Return the history one step on: the oldest entry gives way to the largest value of `x`.

    Args:
        x: numbers of this step.
        amax_history: vector of the largest absolute values of past steps, the latest first.
    """
    history = convert(amax_history)
    largest = ops.cast(ops.max(ops.abs(x)), history.dtype)
    return ops.concatenate([ops.reshape(largest, (1,)), ops.roll(history, -1)[1:]])


def quantize_and_dequantize(
    inputs: TensorLike, scale: TensorLike, quantized_dtype: str, compute_dtype: str
) -> Tensor:
    """Round to an eight-bit float and back.

    Args:
        inputs: numbers to round.
        scale: what they are divided by before, and multiplied by afterwards.
        quantized_dtype: "float8_e4m3fn" or "float8_e5m2"; what lies beyond its largest number is
            clipped.
        compute_dtype: dtype of the result.

    Raises:
        ValueError: for another format.
    """
    if quantized_dtype not in FLOAT8_MAX:
        raise ValueError(
            f"quantize_and_dequantize: quantized_dtype must be one of {sorted(FLOAT8_MAX)}. "
            f"Got {quantized_dtype!r}."
        )
    largest = FLOAT8_MAX[quantized_dtype]
    scale = ops.cast(scale, compute_dtype)
    scaled = ops.clip(ops.cast(inputs, compute_dtype) / scale, -largest, largest)
    rounded: Tensor = ops.cast(ops.cast(scaled, quantized_dtype), compute_dtype) * scale
    return rounded
