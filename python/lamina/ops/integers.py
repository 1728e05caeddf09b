"""Whole numbers and representations: bits, shifts, divisors, neighbours, complex numbers' parts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamina.dtypes import is_float_dtype, standardize_dtype
from lamina.ops.core import TensorLike, filled, promote, reshape_to, to_dtype, to_float
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op


def _integers(op: str, *operands: TensorLike) -> tuple[Tensor, ...]:
    tensors = promote(*operands)
    if is_float_dtype(tensors[0].dtype):
        raise TypeError(f"{op}: the operands must be integers. Got {tensors[0].dtype}.")
    return tensors


@symbolic_op
def bitwise_and(x: TensorLike, y: TensorLike) -> Tensor:
    """Return the bits set in both integers; of booleans, whether both hold."""
    a, b = _integers("bitwise_and", x, y)
    return apply("logical_and" if a.dtype == "bool" else "bitwise_and", a, b)


@symbolic_op
def bitwise_or(x: TensorLike, y: TensorLike) -> Tensor:
    """Return the bits set in either integer; of booleans, whether either holds."""
    a, b = _integers("bitwise_or", x, y)
    return apply("logical_or" if a.dtype == "bool" else "bitwise_or", a, b)


@symbolic_op
def bitwise_xor(x: TensorLike, y: TensorLike) -> Tensor:
    """Return the bits set in exactly one of the integers."""
    a, b = _integers("bitwise_xor", x, y)
    return apply("logical_xor" if a.dtype == "bool" else "bitwise_xor", a, b)


@symbolic_op
def bitwise_not(x: TensorLike) -> Tensor:
    """Return the integer with every bit exchanged; of a boolean, the other one."""
    (a,) = _integers("bitwise_not", x)
    if a.dtype == "bool":
        return apply("logical_not", a)
    unsigned = a.dtype.startswith("uint")
    ones = convert(int(np.iinfo(a.dtype).max) if unsigned else -1, dtype=a.dtype)
    return apply("bitwise_xor", a, ones)


@symbolic_op
def bitwise_invert(x: TensorLike) -> Tensor:
    """Return the integer with every bit exchanged; another name of `bitwise_not`."""
    return bitwise_not(x)


def _shift(op: str, x: TensorLike, y: TensorLike) -> Tensor:
    a, b = _integers(op, x, y)
    if a.dtype == "bool":
        a, b = to_dtype(a, "int32"), to_dtype(b, "int32")
    return apply(op, a, b)


@symbolic_op
def left_shift(x: TensorLike, y: TensorLike) -> Tensor:
    """Move the bits of `x` up by `y` places."""
    return _shift("left_shift", x, y)


@symbolic_op
def right_shift(x: TensorLike, y: TensorLike) -> Tensor:
    """Move the bits of `x` down by `y` places; the sign stays."""
    return _shift("right_shift", x, y)


@symbolic_op
def bitwise_left_shift(x: TensorLike, y: TensorLike) -> Tensor:
    """Move the bits of `x` up by `y` places; another name of `left_shift`."""
    return left_shift(x, y)


@symbolic_op
def bitwise_right_shift(x: TensorLike, y: TensorLike) -> Tensor:
    """Move the bits of `x` down by `y` places; another name of `right_shift`."""
    return right_shift(x, y)


@symbolic_op
def gcd(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return the greatest common divisor, never negative."""
    a, b = _integers("gcd", x1, x2)
    return apply("logical_or" if a.dtype == "bool" else "gcd", a, b)


@symbolic_op
def lcm(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return the least common multiple, never negative; 0 with a 0."""
    a, b = _integers("lcm", x1, x2)
    return apply("logical_and" if a.dtype == "bool" else "lcm", a, b)


@symbolic_op
def ldexp(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return x1 * 2 ** x2.

    Raises:
        TypeError: if `x2` is no integer.
    """
    exponent = convert(x2)
    if is_float_dtype(exponent.dtype):
        raise TypeError(f"ldexp exponent must be an integer type. Got x2 of {exponent.dtype}.")
    x = to_float(x1)
    power = apply("power", convert(2.0, dtype=x.dtype), to_dtype(exponent, x.dtype))
    return apply("multiply", x, power)


@symbolic_op
def nextafter(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return the float next to x1 in the direction of x2."""
    a, b = promote(x1, x2, floating=True)
    return apply("nextafter", a, b)


@symbolic_op
def fmax(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return the larger of x1 and x2; where one is NaN, the other."""
    return _without_nan("maximum", x1, x2)


@symbolic_op
def fmin(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return the smaller of x1 and x2; where one is NaN, the other."""
    return _without_nan("minimum", x1, x2)


def _without_nan(op: str, x1: TensorLike, x2: TensorLike) -> Tensor:
    a, b = promote(x1, x2)
    if a.dtype == "bool":
        return apply("logical_or" if op == "maximum" else "logical_and", a, b)
    if not is_float_dtype(a.dtype):
        return apply(op, a, b)
    left = apply("select", apply("isnan", a), b, a)
    right = apply("select", apply("isnan", b), a, b)
    return apply(op, left, right)


@symbolic_op
def i0(x: TensorLike) -> Tensor:
    """Return the modified Bessel function of the first kind of order 0."""
    return apply("i0", to_float(x))


# ---- Complex numbers: the engine holds real ones, so what needs an imaginary part refuses.


@symbolic_op
def real(x: TensorLike) -> Tensor:
    """Return the real part: `x` itself, since every tensor here is real."""
    return convert(x)


@symbolic_op
def imag(x: TensorLike) -> Tensor:
    """Return the imaginary part: zeros, since every tensor here is real."""
    x = convert(x)
    return filled(0, x.shape, x.dtype, x)


@symbolic_op
def conjugate(x: TensorLike) -> Tensor:
    """Return the complex conjugate: `x` itself, since every tensor here is real."""
    return convert(x)


@symbolic_op
def conj(x: TensorLike) -> Tensor:
    """Return the complex conjugate; another name of `conjugate`."""
    return conjugate(x)


@symbolic_op
def angle(x: TensorLike) -> Tensor:
    """Return the angle of each number in the complex plane: 0, or pi below zero."""
    x = to_float(x)
    below = apply("less", x, convert(0.0, dtype=x.dtype))
    flat = apply("select", below, convert(math.pi, dtype=x.dtype), convert(0.0, dtype=x.dtype))
    return apply("select", apply("isnan", x), x, flat)


@symbolic_op
def isreal(x: TensorLike) -> Tensor:
    """Return whether each element has no imaginary part: always true here."""
    x = convert(x)
    return filled(True, x.shape, "bool", x)


def _no_complex(op: str, instead: str) -> TypeError:
    return TypeError(f"{op}: tensors of complex numbers do not exist here. {instead}")


@symbolic_op
def view_as_complex(x: TensorLike) -> Tensor:
    """Read pairs of floats as complex numbers: not possible here.

    Raises:
        TypeError: always; says what to use instead.
    """
    raise _no_complex("view_as_complex", "Keep real and imaginary parts, as ops.fft does.")


@symbolic_op
def view_as_real(x: TensorLike) -> Tensor:
    """Return real and imaginary parts along a new last axis; the latter are zeros here.

    Args:
        x: tensor (...).

    Returns:
        Tensor (..., 2).
    """
    from lamina.ops.joining import stack

    x = to_float(x)
    return stack([x, imag(x)], axis=-1)


@symbolic_op
def polar(abs_: TensorLike, angle: TensorLike) -> Tensor:
    """Make complex numbers of absolute values and angles: not possible here.

    Raises:
        TypeError: always; says what to use instead.
    """
    raise _no_complex("polar", "Use abs_ * ops.cos(angle) and abs_ * ops.sin(angle).")


@symbolic_op
def view(x: TensorLike, dtype: Any = None) -> Tensor:
    """Read the same bytes as another type.

    Args:
        x: tensor.
        dtype: the type; None returns `x`. Where its elements have another size, the last axis
            shrinks or grows.

    Raises:
        ValueError: if the bytes of the last axis do not divide into elements.
    """
    x = convert(x)
    return x if dtype is None else apply("bitcast", x, dtype=standardize_dtype(dtype))


@symbolic_op
def unravel_index(indices: TensorLike, shape: Any) -> tuple[Tensor, ...]:
    """Return the coordinates in a tensor of `shape` of positions in its flattened form.

    Args:
        indices: integers; negative ones count from the end.
        shape: sizes.

    Returns:
        One tensor for each axis.
    """
    ids = convert(indices)
    if is_float_dtype(ids.dtype) or ids.dtype == "bool":
        raise TypeError(f"unravel_index: indices must be integers. Got {ids.dtype}.")
    dtype = ids.dtype
    wide = to_dtype(ids, "int64")
    sizes = [int(d) for d in shape]
    found: list[Tensor] = []
    total = convert(math.prod(sizes), dtype="int64")
    rest = apply("mod", wide, total)
    for size in reversed(sizes):
        length = convert(size, dtype="int64")
        found.append(to_dtype(apply("mod", rest, length), dtype))
        rest = apply("floor_divide", rest, length)
    return tuple(reshape_to(t, ids.shape) for t in reversed(found))


__all__ = [
    "angle",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "conj",
    "conjugate",
    "fmax",
    "fmin",
    "gcd",
    "i0",
    "imag",
    "isreal",
    "lcm",
    "ldexp",
    "left_shift",
    "nextafter",
    "polar",
    "real",
    "right_shift",
    "unravel_index",
    "view",
    "view_as_complex",
    "view_as_real",
]
