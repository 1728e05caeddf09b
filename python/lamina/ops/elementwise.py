"""Elementwise mathematics of one tensor. Integers are computed as floats where it says so."""

from __future__ import annotations

import builtins
import math

from lamina.ops.core import TensorLike, is_float_dtype, promote, to_dtype, to_float
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op

# Every function here takes a tensor of any shape and returns one of the same shape.


def _number(x: TensorLike) -> Tensor:
    # Booleans count as 0 and 1.
    x = convert(x)
    return to_dtype(x, "int32") if x.dtype == "bool" else x


def scaled(x: Tensor, factor: float) -> Tensor:
    """Multiply a float tensor by a Python number."""
    return apply("multiply", x, convert(factor, dtype=x.dtype))


def shifted(x: Tensor, summand: float) -> Tensor:
    """Add a Python number to a float tensor."""
    return apply("add", x, convert(summand, dtype=x.dtype))


@symbolic_op
def exp(x: TensorLike) -> Tensor:
    """Raise e to the power of each element."""
    return apply("exp", to_float(x))


@symbolic_op
def expm1(x: TensorLike) -> Tensor:
    """Return exp(x) - 1, accurate near zero."""
    return apply("expm1", to_float(x))


@symbolic_op
def log(x: TensorLike) -> Tensor:
    """Return the natural logarithm; -inf at 0, NaN below."""
    return apply("log", to_float(x))


@symbolic_op
def log1p(x: TensorLike) -> Tensor:
    """Return log(1 + x), accurate near zero."""
    return apply("log1p", to_float(x))


@symbolic_op
def log2(x: TensorLike) -> Tensor:
    """Return the logarithm to base 2."""
    return apply("log2", to_float(x))


@symbolic_op
def log10(x: TensorLike) -> Tensor:
    """Return the logarithm to base 10."""
    return apply("log10", to_float(x))


@symbolic_op
def sqrt(x: TensorLike) -> Tensor:
    """Return the square root; NaN below zero."""
    return apply("sqrt", to_float(x))


@symbolic_op
def rsqrt(x: TensorLike) -> Tensor:
    """Return 1 / sqrt(x)."""
    return apply("rsqrt", to_float(x))


@symbolic_op
def reciprocal(x: TensorLike) -> Tensor:
    """Return 1 / x."""
    return apply("reciprocal", to_float(x))


@symbolic_op
def sin(x: TensorLike) -> Tensor:
    """Return the sine of angles in radians."""
    return apply("sin", to_float(x))


@symbolic_op
def cos(x: TensorLike) -> Tensor:
    """Return the cosine of angles in radians."""
    return apply("cos", to_float(x))


@symbolic_op
def tan(x: TensorLike) -> Tensor:
    """Return the tangent of angles in radians."""
    return apply("tan", to_float(x))


@symbolic_op
def arcsin(x: TensorLike) -> Tensor:
    """Return the angle in [-pi/2, pi/2] whose sine is x."""
    return apply("arcsin", to_float(x))


@symbolic_op
def arccos(x: TensorLike) -> Tensor:
    """Return the angle in [0, pi] whose cosine is x."""
    return apply("arccos", to_float(x))


@symbolic_op
def arctan(x: TensorLike) -> Tensor:
    """Return the angle in (-pi/2, pi/2) whose tangent is x."""
    return apply("arctan", to_float(x))


@symbolic_op
def sinh(x: TensorLike) -> Tensor:
    """Return the hyperbolic sine."""
    return apply("sinh", to_float(x))


@symbolic_op
def cosh(x: TensorLike) -> Tensor:
    """Return the hyperbolic cosine."""
    return apply("cosh", to_float(x))


@symbolic_op
def tanh(x: TensorLike) -> Tensor:
    """Return the hyperbolic tangent."""
    return apply("tanh", to_float(x))


@symbolic_op
def arcsinh(x: TensorLike) -> Tensor:
    """Return the number whose hyperbolic sine is x."""
    return apply("arcsinh", to_float(x))


@symbolic_op
def arccosh(x: TensorLike) -> Tensor:
    """Return the number >= 0 whose hyperbolic cosine is x; NaN below 1."""
    return apply("arccosh", to_float(x))


@symbolic_op
def arctanh(x: TensorLike) -> Tensor:
    """Return the number whose hyperbolic tangent is x; NaN outside [-1, 1]."""
    return apply("arctanh", to_float(x))


@symbolic_op
def erf(x: TensorLike) -> Tensor:
    """Return the error function 2 / sqrt(pi) * integral of exp(-t**2) from 0 to x."""
    return apply("erf", to_float(x))


@symbolic_op
def erfinv(x: TensorLike) -> Tensor:
    """Return the number whose error function is x; NaN outside [-1, 1]."""
    return apply("erfinv", to_float(x))


@symbolic_op
def floor(x: TensorLike) -> Tensor:
    """Round down, towards minus infinity."""
    return apply("floor", to_float(x))


@symbolic_op
def ceil(x: TensorLike) -> Tensor:
    """Round up, towards infinity."""
    return apply("ceil", to_float(x))


@symbolic_op
def erfc(x: TensorLike) -> Tensor:
    """Return 1 - erf(x)."""
    return shifted(scaled(apply("erf", to_float(x)), -1.0), 1.0)


@symbolic_op
def exp2(x: TensorLike) -> Tensor:
    """Raise 2 to the power of each element."""
    return apply("exp", scaled(to_float(x), math.log(2.0)))


@symbolic_op
def cbrt(x: TensorLike) -> Tensor:
    """Return the real cube root, negative for negative x."""
    x = to_float(x)
    root = apply("power", apply("abs", x), convert(1.0 / 3.0, dtype=x.dtype))
    return apply("multiply", apply("sign", x), root)


@symbolic_op
def deg2rad(x: TensorLike) -> Tensor:
    """Convert degrees to radians."""
    return scaled(to_float(x), math.pi / 180.0)


@symbolic_op
def rad2deg(x: TensorLike) -> Tensor:
    """Convert radians to degrees."""
    return scaled(to_float(x), 180.0 / math.pi)


@symbolic_op
def negative(x: TensorLike) -> Tensor:
    """Return -x."""
    return apply("negative", _number(x))


@symbolic_op
def abs(x: TensorLike) -> Tensor:  # noqa: A001
    """Return the absolute value."""
    x = convert(x)
    return x if x.dtype in ("bool", "uint8") else apply("abs", x)


def absolute(x: TensorLike) -> Tensor:
    """Return the absolute value."""
    return abs(x)


@symbolic_op
def fabs(x: TensorLike) -> Tensor:
    """Return the absolute value as a float."""
    return apply("abs", to_float(x))


@symbolic_op
def sign(x: TensorLike) -> Tensor:
    """Return -1, 0 or 1 with the sign of x."""
    x = convert(x)
    if x.dtype in ("bool", "uint8"):
        return to_dtype(to_dtype(x, "bool"), x.dtype)
    return apply("sign", x)


@symbolic_op
def signbit(x: TensorLike) -> Tensor:
    """Return whether x is below zero; -0.0 counts as negative."""
    x = to_float(x)
    below = apply("less", x, convert(0.0, dtype=x.dtype))
    inverse = apply("less", apply("reciprocal", x), convert(0.0, dtype=x.dtype))
    return apply("logical_or", below, inverse)


@symbolic_op
def square(x: TensorLike) -> Tensor:
    """Return x * x."""
    return apply("square", _number(x))


@symbolic_op
def round(x: TensorLike, decimals: int = 0) -> Tensor:  # noqa: A001
    """Round to `decimals` places, halves to the even neighbour."""
    x = _number(x)
    if not is_float_dtype(x.dtype):
        if decimals >= 0:
            return x
        return to_dtype(round(to_dtype(x, "float64"), decimals), x.dtype)
    if decimals == 0:
        return apply("round", x)
    scale = convert(10.0 ** builtins.abs(decimals), dtype=x.dtype)
    there, back = ("multiply", "divide") if decimals > 0 else ("divide", "multiply")
    return apply(back, apply("round", apply(there, x, scale)), scale)


@symbolic_op
def trunc(x: TensorLike) -> Tensor:
    """Drop the fraction: round towards zero."""
    x = convert(x)
    return apply("trunc", x) if is_float_dtype(x.dtype) else x


def _float_predicate(op: str, x: TensorLike) -> Tensor:
    return apply(op, to_float(x))


@symbolic_op
def isnan(x: TensorLike) -> Tensor:
    """Return whether each element is not a number."""
    return _float_predicate("isnan", x)


@symbolic_op
def isinf(x: TensorLike) -> Tensor:
    """Return whether each element is infinite, of either sign."""
    return _float_predicate("isinf", x)


@symbolic_op
def isfinite(x: TensorLike) -> Tensor:
    """Return whether each element is neither infinite nor NaN."""
    return _float_predicate("isfinite", x)


@symbolic_op
def isposinf(x: TensorLike) -> Tensor:
    """Return whether each element is plus infinity."""
    x = to_float(x)
    return apply("equal", x, convert(math.inf, dtype=x.dtype))


@symbolic_op
def isneginf(x: TensorLike) -> Tensor:
    """Return whether each element is minus infinity."""
    x = to_float(x)
    return apply("equal", x, convert(-math.inf, dtype=x.dtype))


@symbolic_op
def logical_not(x: TensorLike) -> Tensor:
    """Return the opposite of each truth value; a number is true unless it is 0."""
    return apply("logical_not", to_dtype(convert(x), "bool"))


@symbolic_op
def clip(x: TensorLike, x_min: TensorLike, x_max: TensorLike) -> Tensor:
    """Replace values below `x_min` by it and above `x_max` by that.

    Args:
        x: tensor.
        x_min, x_max: numbers, or tensors that broadcast to the shape of `x`; None is no bound.
    """
    low = -math.inf if x_min is None else x_min
    high = math.inf if x_max is None else x_max
    x, is_plain = convert(x), isinstance(low, (int, float)) and isinstance(high, (int, float))
    if is_plain and is_float_dtype(x.dtype):
        return apply("clip", x, min=float(low), max=float(high))
    if x_min is not None:
        x = apply("maximum", *promote(x, x_min))
    if x_max is not None:
        x = apply("minimum", *promote(x, x_max))
    return x


@symbolic_op
def nan_to_num(
    x: TensorLike,
    nan: float = 0.0,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Tensor:
    """Replace NaN by `nan` and infinities by the given numbers or the largest finite ones."""
    x = convert(x)
    if not is_float_dtype(x.dtype):
        return x
    largest = 3.4028234663852886e38 if x.dtype == "float32" else 1.7976931348623157e308
    high = largest if posinf is None else posinf
    low = -largest if neginf is None else neginf
    for marker, value in ((math.inf, high), (-math.inf, low)):
        hit = apply("equal", x, convert(marker, dtype=x.dtype))
        x = apply("select", hit, convert(float(value), dtype=x.dtype), x)
    return apply("select", apply("isnan", x), convert(float(nan), dtype=x.dtype), x)


@symbolic_op
def sinc(x: TensorLike) -> Tensor:
    """Return sin(pi * x) / (pi * x), 1 at zero."""
    x = scaled(to_float(x), math.pi)
    is_zero = apply("equal", x, convert(0.0, dtype=x.dtype))
    one = convert(1.0, dtype=x.dtype)
    safe = apply("select", is_zero, one, x)
    return apply("select", is_zero, one, apply("divide", apply("sin", safe), safe))


__all__ = [
    "abs",
    "absolute",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctanh",
    "cbrt",
    "ceil",
    "clip",
    "cos",
    "cosh",
    "deg2rad",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "floor",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "log",
    "log10",
    "log1p",
    "log2",
    "logical_not",
    "nan_to_num",
    "negative",
    "rad2deg",
    "reciprocal",
    "round",
    "rsqrt",
    "sign",
    "signbit",
    "sin",
    "sinc",
    "sinh",
    "sqrt",
    "square",
    "tan",
    "tanh",
    "trunc",
]
