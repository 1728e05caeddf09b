"""Rounding numbers to int8 and int4: scales from the largest value, groups, packed nibbles."""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.ops.core import TensorLike
from lamina.tensor import Tensor
from lamina.tracing import apply, convert

_NIBBLE_DTYPES = ("int8", "uint8")


def abs_max_quantize(
    inputs: TensorLike,
    axis: Any,
    value_range: tuple[int, int] = (-127, 127),
    dtype: str = "int8",
    epsilon: float = 1e-7,
    to_numpy: bool = False,
) -> tuple[Tensor, Tensor]:
    """Scale so that the largest absolute value becomes the upper limit, and round.

    Args:
        inputs: floating point numbers.
        axis: axis or axes that share one scale; all of them when None.
        value_range: lowest and highest result.
        dtype: dtype of the result.
        epsilon: added to the largest value, so that zeros divide.
        to_numpy: kept for compatibility; the numbers are the same.

    Returns:
        The whole numbers, and the scale they were multiplied by (with axes of size 1 in place of
        `axis`): divide to get the values back.

    Source: https://keras.io/api/quantizers/
    """
    del to_numpy
    x = convert(inputs)
    low, high = value_range
    axis = tuple(axis) if isinstance(axis, list) else axis
    largest = ops.max(ops.abs(x), axis=axis, keepdims=axis is not None)
    scale = high / (largest + epsilon)
    return ops.cast(ops.clip(ops.round(x * scale), low, high), dtype), scale


def abs_max_quantize_grouped_with_zero_point(
    inputs: TensorLike,
    block_size: int,
    value_range: tuple[int, int] = (-8, 7),
    dtype: str = "int8",
    epsilon: float = 1e-7,
    to_numpy: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Quantize a matrix in groups of rows, each column of a group with scale and zero point.

    value = (quantized - zero_point) * scale. A last group that is not full counts as filled up
    with zeros; a group of equal values v spans [v - 1, v + 1].

    Args:
        inputs: matrix `(rows, columns)`.
        block_size: number of rows in a group.
        value_range: lowest and highest result.
        dtype: dtype of the result.
        epsilon: added to the span of a group.
        to_numpy: kept for compatibility; the numbers are the same.

    Returns:
        The whole numbers `(rows, columns)`, the scales `(groups, columns)` and the int8 zero
        points `(groups, columns)`, where groups = ceil(rows / block_size).

    Raises:
        ValueError: for inputs that are no matrix, or a block size below 1.
    """
    del to_numpy
    x = convert(inputs)
    if x.ndim != 2 or block_size < 1:
        raise ValueError(
            "abs_max_quantize_grouped_with_zero_point: inputs must be a matrix and block_size at "
            f"least 1. Got shape {x.shape} and block_size={block_size}."
        )
    low, high = value_range
    levels = high - low
    half = (levels + 1) // 2
    rows, columns = x.shape
    groups = -(-rows // block_size)
    padded = ops.pad(x, ((0, groups * block_size - rows), (0, 0)))
    blocks = ops.reshape(padded, (groups, block_size, columns))
    least, most = ops.min(blocks, axis=1), ops.max(blocks, axis=1)
    is_flat = ops.equal(least, most)
    least, most = ops.where(is_flat, least - 1.0, least), ops.where(is_flat, most + 1.0, most)
    scale = (most - least + epsilon) / levels
    zero_point = ops.clip(ops.round(-least / scale) - half, -half, levels - half)
    whole = ops.round(blocks / ops.expand_dims(scale, 1)) + ops.expand_dims(zero_point, 1)
    whole = ops.reshape(ops.clip(whole, low, high), (groups * block_size, columns))
    return ops.cast(whole[:rows], dtype), scale, ops.cast(zero_point, "int8")


def pack_int4(
    arr: TensorLike, axis: int = 0, dtype: str = "int8"
) -> tuple[Tensor, tuple[int, ...], int]:
    """Put neighbours along an axis two to a byte: the first in the low four bits.

    Args:
        arr: int8 or uint8 numbers of four bits each.
        axis: the axis whose length halves; an odd one is filled up with a zero.
        dtype: "int8" or "uint8", that of `arr` and of the result.

    Returns:
        The packed tensor, its shape, and the unpacked length of the axis.

    Raises:
        ValueError: for another `dtype`.
        TypeError: when `arr` has another dtype.
    """
    x = convert(arr)
    _check_nibble_dtype("pack_int4", dtype)
    if x.dtype != dtype:
        raise TypeError(f"pack_int4: Expected {dtype} tensor for packing, got {x.dtype}.")
    axis %= x.ndim
    length = x.shape[axis]
    wide = ops.cast(x, "int32")
    if length % 2:
        wide = ops.pad(wide, [(0, int(i == axis)) for i in range(x.ndim)])
    pairs = ops.reshape(wide, (*x.shape[:axis], (length + 1) // 2, 2, *x.shape[axis + 1 :]))
    low, high = ops.unstack(pairs, num=2, axis=axis + 1)
    low = ops.mod(low, 16)
    high = ops.mod(high, 16) if dtype == "uint8" else ops.mod(high + 8, 16) - 8
    packed = ops.cast(low + 16 * high, dtype)
    return packed, tuple(packed.shape), length


def unpack_int4(packed: TensorLike, orig_len: int, axis: int = 0, dtype: str = "int8") -> Tensor:
    """Undo `pack_int4`.

    Args:
        packed: int8 or uint8 bytes of two numbers each.
        orig_len: length of the axis before it was packed.
        axis: the packed axis.
        dtype: "int8": signed numbers -8 ... 7; "uint8": unsigned ones 0 ... 15.

    Raises:
        ValueError: for another `dtype`.
        TypeError: when `packed` holds no bytes.
    """
    x = convert(packed)
    _check_nibble_dtype("unpack_int4", dtype)
    if x.dtype not in _NIBBLE_DTYPES:
        raise TypeError(f"unpack_int4: packed must be of dtype int8 or uint8. Got {x.dtype}.")
    return ops.cast(unpacked_nibbles(x, orig_len, axis, signed=dtype == "int8"), dtype)


def unpacked_nibbles(
    packed: Tensor, orig_len: int, axis: int, signed: bool, dtype: str = "int32"
) -> Tensor:
    """Return the four-bit numbers in `packed` as int32, float32 or float64; see `unpack_int4`."""
    numbers: Tensor = apply(
        "unpack_nibbles",
        packed,
        axis=axis % packed.ndim,
        length=orig_len,
        signed=signed,
        dtype=dtype,
    )
    return numbers


def _check_nibble_dtype(function: str, dtype: str) -> None:
    if dtype not in _NIBBLE_DTYPES:
        raise ValueError(f"{function}: dtype must be 'int8' or 'uint8'. Got {dtype!r}.")
