"""Ops that fold axes away: sums, extremes, moments, running totals.

`axis` is an integer, a list of them, or None for all axes; with `keepdims` the folded axes stay
with size 1.
"""

from __future__ import annotations

import math
from typing import Any

from lamina.ops.core import (
    Axes,
    TensorLike,
    normalize_axes,
    normalize_axis,
    promote,
    reshape_to,
    standardize_dtype,
    to_dtype,
    to_float,
)
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op


def _fold(op: str, x: Tensor, axis: Axes, keepdims: bool) -> Tensor:
    axes = normalize_axes(axis, x.ndim, op)
    return apply(op, x, axes=axes, keepdims=bool(keepdims))


def _countable(x: TensorLike) -> Tensor:
    # Sums of small integers are int32, as in Keras.
    x = convert(x)
    return to_dtype(x, "int32") if x.dtype in ("bool", "uint8") else x


@symbolic_op
def sum(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:  # noqa: A001
    """Add up the elements along `axis`."""
    return _fold("sum", _countable(x), axis, keepdims)


@symbolic_op
def prod(x: TensorLike, axis: Axes = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
    """Multiply the elements along `axis`."""
    x = _countable(x) if dtype is None else to_dtype(convert(x), standardize_dtype(dtype))
    return _fold("prod", x, axis, keepdims)


@symbolic_op
def mean(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Average the elements along `axis`, as a float."""
    return _fold("mean", to_float(x), axis, keepdims)


@symbolic_op
def var(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the population variance along `axis`: the mean squared distance from the mean."""
    return _fold("var", to_float(x), axis, keepdims)


@symbolic_op
def std(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the square root of `var`."""
    return apply("sqrt", _fold("var", to_float(x), axis, keepdims))


def _extreme(
    op: str, x: TensorLike, axis: Axes, keepdims: bool, initial: float | None = None
) -> Tensor:
    x = convert(x)
    if x.dtype == "bool":
        return _fold("any" if op == "max" else "all", x, axis, keepdims)
    if initial is not None and 0 in x.shape:  # nothing but `initial` to choose from
        sums = _fold("sum", x, axis, keepdims)
        return apply("add", sums, convert(initial, dtype=x.dtype))
    folded = _fold(op, x, axis, keepdims)
    if initial is None:
        return folded
    return apply(f"{op}imum", *promote(folded, initial))


@symbolic_op
def max(  # noqa: A001
    x: TensorLike, axis: Axes = None, keepdims: bool = False, initial: float | None = None
) -> Tensor:
    """Return the largest element along `axis`, at least `initial` if that is given."""
    return _extreme("max", x, axis, keepdims, initial)


@symbolic_op
def min(  # noqa: A001
    x: TensorLike, axis: Axes = None, keepdims: bool = False, initial: float | None = None
) -> Tensor:
    """Return the smallest element along `axis`, at most `initial` if that is given."""
    return _extreme("min", x, axis, keepdims, initial)


@symbolic_op
def amax(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the largest element along `axis`."""
    return _extreme("max", x, axis, keepdims)


@symbolic_op
def amin(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the smallest element along `axis`."""
    return _extreme("min", x, axis, keepdims)


@symbolic_op
def ptp(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the largest minus the smallest element along `axis`."""
    x = convert(x)
    return apply(
        "subtract", _fold("max", x, axis, keepdims), _fold("min", x, axis, keepdims)
    )  # fmt: skip


@symbolic_op
def any(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:  # noqa: A001
    """Return whether some element along `axis` is true (not 0)."""
    return _fold("any", to_dtype(convert(x), "bool"), axis, keepdims)


@symbolic_op
def all(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:  # noqa: A001
    """Return whether every element along `axis` is true (not 0)."""
    return _fold("all", to_dtype(convert(x), "bool"), axis, keepdims)


@symbolic_op
def count_nonzero(x: TensorLike, axis: Axes = None) -> Tensor:
    """Count the elements along `axis` that are not 0, as int32."""
    hits = to_dtype(to_dtype(convert(x), "bool"), "int32")
    return _fold("sum", hits, axis, False)


def _arg_extreme(op: str, x: TensorLike, axis: int | None, keepdims: bool) -> Tensor:
    x = convert(x)
    if x.dtype == "bool":
        x = to_dtype(x, "uint8")
    if axis is None:
        index = apply(op, reshape_to(x, [None]), axis=0, keepdims=False)
        index = reshape_to(index, [1] * x.ndim) if keepdims else index
    else:
        index = apply(op, x, axis=normalize_axis(axis, x.ndim, op), keepdims=bool(keepdims))
    return to_dtype(index, "int32")


@symbolic_op
def argmax(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the index (int32) of the largest element along `axis`, the first among equals.

    With axis None the index counts in the flattened tensor.
    """
    return _arg_extreme("argmax", x, axis, keepdims)


@symbolic_op
def argmin(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the index (int32) of the smallest element along `axis`, the first among equals.

    With axis None the index counts in the flattened tensor.
    """
    return _arg_extreme("argmin", x, axis, keepdims)


@symbolic_op
def logsumexp(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return log(sum(exp(x))) along `axis` without overflow."""
    return _fold("logsumexp", to_float(x), axis, keepdims)


def _running(op: str, x: TensorLike, axis: int | None, dtype: Any) -> Tensor:
    x = convert(x)
    if dtype is not None:
        x = to_dtype(x, standardize_dtype(dtype))
    elif x.dtype == "bool":
        x = to_dtype(x, "int32")
    if axis is None:
        x, axis = reshape_to(x, [None]), 0
    return apply(op, x, axis=normalize_axis(axis, x.ndim, op))


@symbolic_op
def cumsum(x: TensorLike, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Return the running sum along `axis`; with axis None, of the flattened tensor."""
    return _running("cumsum", x, axis, dtype)


@symbolic_op
def cumprod(x: TensorLike, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Return the running product along `axis`; with axis None, of the flattened tensor."""
    return _running("cumprod", x, axis, dtype)


@symbolic_op
def average(x: TensorLike, axis: Axes = None, weights: TensorLike | None = None) -> Tensor:
    """Return the mean along `axis`, each element counted `weights` times.

    Args:
        x: tensor.
        axis: axes to average over.
        weights: of the shape of `x`, or one per index along a single `axis`.
    """
    if weights is None:
        return _fold("mean", to_float(x), axis, False)
    x, w = promote(x, weights, floating=True)
    if w.ndim != x.ndim:
        if w.ndim != 1 or not isinstance(axis, int):
            raise ValueError(
                f"average: weights {w.shape} fit x {x.shape} neither whole nor along axis {axis}."
            )
        sizes = [1] * x.ndim
        sizes[normalize_axis(axis, x.ndim, "average")] = w.shape[0]
        w = reshape_to(w, sizes)
    total = _fold("sum", apply("multiply", x, w), axis, False)
    return apply("divide", total, _fold("sum", w, axis, False))


@symbolic_op
def moments(
    x: TensorLike, axes: Axes, keepdims: bool = False, synchronized: bool = False
) -> tuple[Tensor, Tensor]:
    """Return mean and population variance of `x` along `axes`.

    Args:
        x: tensor, computed as a float.
        axes: axes to fold.
        keepdims: whether the folded axes stay with size 1.
        synchronized: must be False; one process holds the whole batch.
    """
    if synchronized:
        raise ValueError("moments: synchronized=True needs several replicas. Got True.")
    x = to_float(x)
    folded = normalize_axes(axes, x.ndim, "moments")
    if not folded or sorted(folded) != list(range(x.ndim - 1)):
        return _fold("mean", x, axes, keepdims), _fold("var", x, axes, keepdims)
    mean, variance = apply("moments", x)  # of channels: in one pass
    if not keepdims:
        return mean, variance
    kept = [1] * (x.ndim - 1) + [x.shape[-1]]
    return reshape_to(mean, kept), reshape_to(variance, kept)


@symbolic_op
def norm(
    x: TensorLike,
    ord: Any = None,
    axis: Axes = None,
    keepdims: bool = False,  # noqa: A002
) -> Tensor:
    """Return vector norms along one axis, or Frobenius, 1- and inf-norms along two.

    Args:
        x: tensor, computed as a float.
        ord: None (2-norm of all elements), a number, inf, -inf, "fro", "nuc" (sum of the singular
            values; 2 and -2 of a matrix: the largest and smallest) or 0 (count of nonzeros).
        axis: one axis (vectors), two (matrices), or None: all axes.
        keepdims: whether the folded axes stay with size 1.
    """
    x = to_float(x)
    axes = normalize_axes(axis, x.ndim, "norm")
    if ord is None or (ord == "fro" and len(axes) == 2) or (ord == 2 and len(axes) == 1):
        return apply("sqrt", _fold("sum", apply("square", x), axes, keepdims))
    size = apply("abs", x)
    if len(axes) == 1 and not isinstance(ord, str):
        return _vector_norm(x, size, float(ord), axes, keepdims)
    if len(axes) == 2 and ord in (1, -1, math.inf, -math.inf):
        row, column = axes
        folded, kept = (row, column) if abs(ord) == 1 else (column, row)
        sums = apply("sum", size, axes=[folded], keepdims=True)
        edge = apply("max" if ord > 0 else "min", sums, axes=[kept], keepdims=True)
        return edge if keepdims else apply("sum", edge, axes=sorted(axes), keepdims=False)
    if len(axes) == 2 and ord in (2, -2, "nuc"):
        return _spectral_norm(x, ord, axes, keepdims)
    raise ValueError(f"Invalid `ord` argument for a norm over {len(axes)} axes. Got ord={ord!r}.")


def _spectral_norm(x: Tensor, order: Any, axes: list[int], keepdims: bool) -> Tensor:
    from lamina.ops.layout import permute

    rest = [i for i in range(x.ndim) if i not in axes]
    s = apply("svd", permute(x, [*rest, *axes]), full_matrices=False)[1]
    op = {2: "max", -2: "min", "nuc": "sum"}[order]
    y = apply(op, s, axes=[s.ndim - 1], keepdims=False)
    return reshape_to(y, [1 if i in axes else d for i, d in enumerate(x.shape)]) if keepdims else y


def _vector_norm(x: Tensor, size: Tensor, order: float, axes: list[int], keepdims: bool) -> Tensor:
    if math.isinf(order):
        return _fold("max" if order > 0 else "min", size, axes, keepdims)
    if order == 0:
        hits = apply("not_equal", x, convert(0.0, dtype=x.dtype))
        return _fold("sum", to_dtype(hits, x.dtype), axes, keepdims)
    if order == 1:
        return _fold("sum", size, axes, keepdims)
    powers = apply("power", size, convert(order, dtype=x.dtype))
    total = _fold("sum", powers, axes, keepdims)
    return apply("power", total, convert(1.0 / order, dtype=x.dtype))


def _without_nan(x: TensorLike, value: float) -> tuple[Tensor, Tensor]:
    x = to_float(x)
    is_nan = apply("isnan", x)
    return apply("select", is_nan, convert(value, dtype=x.dtype), x), is_nan


@symbolic_op
def nansum(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Add up the elements along `axis` that are not NaN."""
    return _fold("sum", _without_nan(x, 0.0)[0], axis, keepdims)


@symbolic_op
def nanprod(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Multiply the elements along `axis` that are not NaN."""
    return _fold("prod", _without_nan(x, 1.0)[0], axis, keepdims)


@symbolic_op
def nanmean(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Average the elements along `axis` that are not NaN."""
    values, is_nan = _without_nan(x, 0.0)
    counted = to_dtype(apply("logical_not", is_nan), values.dtype)
    total = _fold("sum", values, axis, keepdims)
    return apply("divide", total, _fold("sum", counted, axis, keepdims))


@symbolic_op
def nanvar(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the population variance of the elements along `axis` that are not NaN."""
    x = to_float(x)
    return nanmean(apply("square", apply("subtract", x, nanmean(x, axis, True))), axis, keepdims)


@symbolic_op
def nanstd(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the square root of `nanvar`."""
    return apply("sqrt", nanvar(x, axis, keepdims))


def _nan_extreme(op: str, x: TensorLike, axis: Axes, keepdims: bool) -> Tensor:
    values, is_nan = _without_nan(x, -math.inf if op == "max" else math.inf)
    folded = _fold(op, values, axis, keepdims)
    empty = _fold("all", is_nan, axis, keepdims)
    return apply("select", empty, convert(math.nan, dtype=folded.dtype), folded)


@symbolic_op
def nanmax(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the largest element along `axis` that is not NaN."""
    return _nan_extreme("max", x, axis, keepdims)


@symbolic_op
def nanmin(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the smallest element along `axis` that is not NaN."""
    return _nan_extreme("min", x, axis, keepdims)


__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "average",
    "count_nonzero",
    "cumprod",
    "cumsum",
    "logsumexp",
    "max",
    "mean",
    "min",
    "moments",
    "nanmax",
    "nanmean",
    "nanmin",
    "nanprod",
    "nanstd",
    "nansum",
    "nanvar",
    "norm",
    "prod",
    "ptp",
    "std",
    "sum",
    "var",
]
