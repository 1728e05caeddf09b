"""Computing with quantized weights: exact products, straight-through rounding, blocks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lamina import ops
from lamina.quantizers.integer import unpacked_nibbles
from lamina.tensor import Tensor
from lamina.tracing import apply

_EXACT_TERMS = 2**24 // (128 * 128)  # products of two numbers of eight bits in a float32


def straight_through(value: Tensor, x: Tensor) -> Tensor:
    """Return `value`; its gradient goes to `x` as it is."""
    result: Tensor = apply("straight_through", value, x)
    return result


def quantized_inputs(quantizer: Any, x: Tensor, axis: Any) -> tuple[Tensor, Tensor]:
    """Return whole numbers, in the dtype of `x`, and the scale they were multiplied by.

    The scale is a constant for gradients: that of the numbers is that of `x * scale`.
    """
    whole, scale = quantizer(x, axis=axis)
    scale = ops.stop_gradient(ops.cast(scale, x.dtype))
    return straight_through(ops.stop_gradient(ops.cast(whole, x.dtype)), x * scale), scale


def exact_product(
    product: Callable[[Tensor, Tensor], Tensor],
    inputs: Tensor,
    kernel: Tensor,
    input_axes: tuple[int, ...],
    kernel_axes: tuple[int, ...],
) -> Tensor:
    """Multiply whole numbers of eight bits exactly, as sums in int32 would be.

    float32 holds whole numbers up to 2**24, so it is exact for up to 1024 terms. A longer axis is
    taken in pieces, whose sums are added in float64 (exact up to 2**53).

    Args:
        product: what multiplies inputs and kernel.
        inputs, kernel: whole numbers, in any type.
        input_axes, kernel_axes: the axes that are summed over.

    Returns:
        The sums, in float32 or float64.
    """
    terms = math.prod(kernel.shape[axis] for axis in kernel_axes)
    if terms > _EXACT_TERMS and len(kernel_axes) > 1:
        return product(ops.cast(inputs, "float64"), ops.cast(kernel, "float64"))
    inputs, kernel = ops.cast(inputs, "float32"), ops.cast(kernel, "float32")
    if terms <= _EXACT_TERMS:
        return product(inputs, kernel)
    total: Any = 0.0
    for start in range(0, terms, _EXACT_TERMS):
        part = slice(start, start + _EXACT_TERMS)
        piece = product(_cut(inputs, input_axes[0], part), _cut(kernel, kernel_axes[0], part))
        total = ops.cast(piece, "float64") + total
    return total


def _cut(x: Tensor, axis: int, part: slice) -> Tensor:
    piece: Tensor = x[(slice(None),) * axis + (part,)]
    return piece


def dequantized_blocks(
    whole: Tensor, scale: Tensor, zero: Tensor, group_of: Any, axis: int
) -> Tensor:
    """Return (whole - zero) * scale, where scale and zero have one entry for each group.

    Args:
        whole: matrix of whole numbers.
        scale, zero: matrices with groups in place of positions along `axis`.
        group_of: group of each position.
        axis: 0 or 1.
    """
    groups = ops.cast(group_of, "int32")
    scale, zero = ops.take(scale, groups, axis=axis), ops.take(zero, groups, axis=axis)
    shifted = ops.cast(whole, scale.dtype) - ops.cast(zero, scale.dtype)
    values: Tensor = shifted * scale
    return values


def unpacked(packed: Tensor, length: int, axis: int, dtype: str, signed: bool = True) -> Tensor:
    """Return the four-bit numbers in `packed` in a float type."""
    wide = dtype if dtype in ("float32", "float64") else "float32"
    return ops.cast(unpacked_nibbles(packed, length, axis, signed, wide), dtype)


def block_count(rows: int, block_size: int | None) -> int:
    """Return into how many groups `rows` inputs are divided; 1 when all share one."""
    return 1 if block_size in (None, -1) else -(-rows // int(block_size or rows))


def group_indices(rows: int, block_size: int | None) -> list[int]:
    """Return the group of each of `rows` inputs."""
    size = rows if block_size in (None, -1) else int(block_size or rows)
    return [row // max(size, 1) for row in range(rows)]
