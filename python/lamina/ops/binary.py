"""Elementwise ops of two tensors: arithmetic, comparison, logic, selection.

The shapes broadcast as in NumPy; the types are promoted as `core.result_dtype` says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lamina.ops.core import TensorLike, promote, to_dtype
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op


def _numbers(x1: TensorLike, x2: TensorLike) -> tuple[Tensor, Tensor]:
    # Two booleans are computed as integers.
    a, b = promote(x1, x2)
    return (to_dtype(a, "int32"), to_dtype(b, "int32")) if a.dtype == "bool" else (a, b)


@symbolic_op
def add(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return x1 + x2; of two booleans, whether either holds."""
    a, b = promote(x1, x2)
    return apply("logical_or" if a.dtype == "bool" else "add", a, b)


@symbolic_op
def multiply(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return x1 * x2; of two booleans, whether both hold."""
    a, b = promote(x1, x2)
    return apply("logical_and" if a.dtype == "bool" else "multiply", a, b)


@symbolic_op
def subtract(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return x1 - x2.

    Raises:
        TypeError: of two booleans; says what to use instead.
    """
    a, b = promote(x1, x2)
    if a.dtype == "bool":
        raise TypeError("subtract: booleans have no difference. Use logical_xor, or cast them.")
    return apply("subtract", a, b)


@symbolic_op
def divide(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return x1 / x2 as a float."""
    return apply("divide", *promote(x1, x2, floating=True))


@symbolic_op
def true_divide(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return x1 / x2 as a float; the operator `/` is this function."""
    return apply("divide", *promote(x1, x2, floating=True))


@symbolic_op
def divide_no_nan(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return x1 / x2, and 0 where x2 is 0."""
    a, b = promote(x1, x2, floating=True)
    zero = convert(0.0, dtype=a.dtype)
    is_zero = apply("equal", b, zero)
    # The quotient that is thrown away must be finite, or its gradient would be NaN.
    safe = apply("select", is_zero, convert(1.0, dtype=a.dtype), b)
    return apply("select", is_zero, zero, apply("divide", a, safe))


@symbolic_op
def floor_divide(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return the largest integer not above x1 / x2 (rounds towards minus infinity)."""
    return apply("floor_divide", *_numbers(x1, x2))


@symbolic_op
def mod(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return what floor_divide leaves over; it has the sign of x2."""
    return apply("mod", *_numbers(x1, x2))


@symbolic_op
def power(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return x1 raised to x2."""
    return apply("power", *_numbers(x1, x2))


@symbolic_op
def maximum(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return the larger of x1 and x2; NaN where either is NaN."""
    a, b = promote(x1, x2)
    return apply("logical_or" if a.dtype == "bool" else "maximum", a, b)


@symbolic_op
def minimum(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return the smaller of x1 and x2; NaN where either is NaN."""
    a, b = promote(x1, x2)
    return apply("logical_and" if a.dtype == "bool" else "minimum", a, b)


@symbolic_op
def fmod(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return what division rounded towards zero leaves over; it has the sign of x1."""
    a, b = _numbers(x1, x2)
    size = apply("mod", apply("abs", a), apply("abs", b))
    return apply("multiply", apply("sign", a), size)


@symbolic_op
def arctan2(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return the angle in [-pi, pi] of the point with height x1 and width x2."""
    return apply("arctan2", *promote(x1, x2, floating=True))


@symbolic_op
def hypot(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return sqrt(x1 ** 2 + x2 ** 2) without overflow of the squares."""
    a, b = (apply("abs", x) for x in promote(x1, x2, floating=True))
    large, small = apply("maximum", a, b), apply("minimum", a, b)
    one, zero = convert(1.0, dtype=a.dtype), convert(0.0, dtype=a.dtype)
    safe = apply("select", apply("equal", large, zero), one, large)
    ratio = apply("divide", small, safe)
    return apply("multiply", large, apply("sqrt", apply("add", one, apply("square", ratio))))


@symbolic_op
def logaddexp(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return log(exp(x1) + exp(x2)) without overflow."""
    a, b = promote(x1, x2, floating=True)
    # log(e^a + e^b) = a + softplus(b - a)
    return apply("add", a, apply("softplus", apply("subtract", b, a)))


@symbolic_op
def logaddexp2(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return log2(2 ** x1 + 2 ** x2) without overflow."""
    a, b = promote(x1, x2, floating=True)
    log_two = convert(math.log(2.0), dtype=a.dtype)
    gap = apply("softplus", apply("multiply", apply("subtract", b, a), log_two))
    return apply("add", a, apply("divide", gap, log_two))


@symbolic_op
def heaviside(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return 0 where x1 < 0, 1 where x1 > 0 and x2 where x1 is 0."""
    a, b = promote(x1, x2, floating=True)
    zero = convert(0.0, dtype=a.dtype)
    step = to_dtype(apply("greater", a, zero), a.dtype)
    return apply("select", apply("equal", a, zero), b, step)


@symbolic_op
def equal(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return whether x1 == x2, elementwise, as booleans."""
    return apply("equal", *promote(x1, x2))


@symbolic_op
def not_equal(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return whether x1 != x2, elementwise, as booleans."""
    return apply("not_equal", *promote(x1, x2))


@symbolic_op
def less(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return whether x1 < x2, elementwise, as booleans."""
    return apply("less", *promote(x1, x2))


@symbolic_op
def less_equal(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return whether x1 <= x2, elementwise, as booleans."""
    return apply("less_equal", *promote(x1, x2))


@symbolic_op
def greater(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return whether x1 > x2, elementwise, as booleans."""
    return apply("greater", *promote(x1, x2))


@symbolic_op
def greater_equal(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return whether x1 >= x2, elementwise, as booleans."""
    return apply("greater_equal", *promote(x1, x2))


@symbolic_op
def logical_and(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return whether both hold; a number is true unless it is 0."""
    a, b = (to_dtype(convert(x), "bool") for x in (x1, x2))
    return apply("logical_and", a, b)


@symbolic_op
def logical_or(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return whether either holds; a number is true unless it is 0."""
    a, b = (to_dtype(convert(x), "bool") for x in (x1, x2))
    return apply("logical_or", a, b)


@symbolic_op
def logical_xor(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return whether exactly one holds; a number is true unless it is 0."""
    a, b = (to_dtype(convert(x), "bool") for x in (x1, x2))
    return apply("logical_xor", a, b)


@symbolic_op
def where(condition: TensorLike, x1: TensorLike | None = None, x2: TensorLike | None = None) -> Any:
    """Return x1 where `condition` holds and x2 elsewhere; all three broadcast.

    With the condition alone, return the indices of its true elements (see `nonzero`).
    """
    if (x1 is None) != (x2 is None):
        raise ValueError("where: give `x1` and `x2`, or neither.")
    if x1 is None:
        from lamina.ops.sorting import nonzero

        return nonzero(condition)
    a, b = promote(x1, x2)
    return apply("select", to_dtype(convert(condition), "bool"), a, b)


@symbolic_op
def select(
    condlist: Sequence[TensorLike], choicelist: Sequence[TensorLike], default: TensorLike = 0
) -> Tensor:
    """Return, elementwise, the choice of the first condition that holds, else `default`."""
    if len(condlist) != len(choicelist):
        raise ValueError(
            f"select: condlist has {len(condlist)} entries and choicelist {len(choicelist)}; "
            "they must be equal."
        )
    *choices, result = promote(*choicelist, default)
    for condition, choice in zip(reversed(condlist), reversed(choices), strict=True):
        result = apply("select", to_dtype(convert(condition), "bool"), choice, result)
    return result


@symbolic_op
def isclose(
    x1: TensorLike,
    x2: TensorLike,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    equal_nan: bool = False,
) -> Tensor:
    """Return whether |x1 - x2| <= atol + rtol * |x2|; equal infinities are close."""
    a, b = promote(x1, x2, floating=True)
    gap = apply("abs", apply("subtract", a, b))
    reach = apply("multiply", apply("abs", b), convert(float(rtol), dtype=a.dtype))
    reach = apply("add", reach, convert(float(atol), dtype=a.dtype))
    near = apply("logical_and", apply("less_equal", gap, reach), apply("isfinite", b))
    near = apply("logical_or", near, apply("equal", a, b))
    if equal_nan:
        both = apply("logical_and", apply("isnan", a), apply("isnan", b))
        near = apply("logical_or", near, both)
    return near


@symbolic_op
def allclose(
    x1: TensorLike,
    x2: TensorLike,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    equal_nan: bool = False,
) -> Tensor:
    """Return, as one boolean, whether all elements are close (see `isclose`)."""
    return apply("all", isclose(x1, x2, rtol, atol, equal_nan))


__all__ = [
    "add",
    "allclose",
    "arctan2",
    "divide",
    "divide_no_nan",
    "equal",
    "floor_divide",
    "fmod",
    "greater",
    "greater_equal",
    "heaviside",
    "hypot",
    "isclose",
    "less",
    "less_equal",
    "logaddexp",
    "logaddexp2",
    "logical_and",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "not_equal",
    "power",
    "select",
    "subtract",
    "true_divide",
    "where",
]
