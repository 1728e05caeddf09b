"""Order, ranks and membership: sort, top_k, quantiles, histograms of integers."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lamina.ops.core import (
    Axes,
    TensorLike,
    normalize_axes,
    normalize_axis,
    promote,
    reshape_to,
    size_of,
    to_dtype,
    to_float,
)
from lamina.ops.layout import permute
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, is_tracing, symbolic_op

_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


class TopK(NamedTuple):
    """The largest values and where they stand."""

    values: Tensor
    indices: Tensor


@symbolic_op
def argsort(x: TensorLike, axis: int | None = -1) -> Tensor:
    """Return the indices (int32) that sort `x` along `axis`, ascending; equals keep their order.

    With axis None the flattened tensor is sorted.
    """
    x = convert(x)
    if x.dtype == "bool":
        x = to_dtype(x, "uint8")
    if axis is None or x.ndim == 0:
        x, axis = reshape_to(x, [None]), 0
    return to_dtype(
        apply("argsort", x, axis=normalize_axis(axis, x.ndim, "argsort")), "int32"
    )  # fmt: skip


@symbolic_op
def sort(x: TensorLike, axis: int | None = -1) -> Tensor:
    """Return `x` in ascending order along `axis`; with axis None, flattened."""
    x = convert(x)
    if axis is None:
        x, axis = reshape_to(x, [None]), 0
    place = normalize_axis(axis, x.ndim, "sort")
    keys = to_dtype(x, "uint8") if x.dtype == "bool" else x
    return apply("take_along_axis", x, apply("argsort", keys, axis=place), axis=place)


@symbolic_op
def top_k(x: TensorLike, k: int, sorted: bool = True) -> TopK:  # noqa: A002
    """Return the `k` largest values along the last axis, largest first, and their indices.

    Args:
        x: tensor of at least one axis.
        k: how many, at most the size of the last axis.
        sorted: accepted for Keras's sake; the values are always sorted. Among equal values the
            one that comes first is taken first.
    """
    x = convert(x)
    if x.ndim == 0:
        raise ValueError("top_k: x must have at least one axis. Got a scalar.")
    length = x.shape[-1]
    if int(k) < 0 or (length is not None and k > length):
        raise ValueError(f"top_k: k must be in [0, {length}], the last axis. Got {k!r}.")
    return TopK(*apply("top_k", x, k=int(k)))


@symbolic_op
def in_top_k(targets: TensorLike, predictions: TensorLike, k: int) -> Tensor:
    """Return whether the score of each target is among the `k` highest of its row.

    Args:
        targets: class ids (batch,).
        predictions: scores (batch, classes).
        k: how many count. Classes that tie with the target do not push it out.
    """
    ids, scores = convert(targets), to_float(predictions)
    if ids.dtype not in ("int32", "int64"):
        ids = to_dtype(ids, "int32")
    classes = scores.shape[-1]
    # An id out of range, or scores that are not finite, are never among the best.
    inside = apply(
        "logical_and",
        apply("greater_equal", ids, convert(0, dtype=ids.dtype)),
        apply("less", ids, convert(classes, dtype=ids.dtype)),
    )
    safe = apply("select", inside, ids, convert(0, dtype=ids.dtype))
    own = apply("take_along_axis", scores, reshape_to(safe, [*safe.shape, 1]),
                axis=scores.ndim - 1)  # fmt: skip
    above = to_dtype(apply("greater", scores, own), "int32")
    rank = apply("sum", above, axes=[scores.ndim - 1], keepdims=False)
    near = apply("less", rank, convert(int(k), dtype="int32"))
    finite = apply("isfinite", reshape_to(own, list(ids.shape)))
    return apply("logical_and", apply("logical_and", near, finite), inside)


@symbolic_op
def quantile(
    x: TensorLike,
    q: TensorLike,
    axis: Axes = None,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    """Return the values below which the fractions `q` of the elements lie.

    Args:
        x: tensor, computed as a float.
        q: a fraction in [0, 1], or a list of them (they become the first axis).
        axis: along which to look; None: all axes.
        method: between two elements: "linear", "lower", "higher", "midpoint" or "nearest".
        keepdims: whether the folded axes stay with size 1.
    """

    def reader(rows: Tensor) -> Callable[[float], Tensor]:
        ascending = sort(rows, -1)
        has_nan = apply("any", apply("isnan", rows), axes=[rows.ndim - 1], keepdims=False)
        nan = convert(math.nan, dtype=rows.dtype)

        def at(fraction: float) -> Tensor:
            found = _at_fraction(ascending, fraction * (rows.shape[-1] - 1), method)
            return apply("select", has_nan, nan, found)

        return at

    return over_fractions("quantile", x, q, axis, method, keepdims, reader)


def over_fractions(
    op: str,
    x: TensorLike,
    q: TensorLike,
    axis: Axes,
    method: str,
    keepdims: bool,
    reader: Callable[[Tensor], Callable[[float], Tensor]],
) -> Tensor:
    """Return quantiles; `reader` turns rows (..., elements) into a function of the fraction.

    Raises:
        ValueError: for an unknown method, and for fractions outside [0, 1].
    """
    if method not in _METHODS:
        raise ValueError(f"{op}: method must be one of {_METHODS}. Got {method!r}.")
    fractions = np.asarray(q.numpy() if hasattr(q, "numpy") else q, dtype=np.float64)
    if not np.all((fractions >= 0) & (fractions <= 1)):
        raise ValueError(f"{op}: the fractions q must lie in [0, 1]. Got {fractions.tolist()}.")
    x = to_float(x)
    axes = normalize_axes(axis, x.ndim, op)
    kept = [i for i in range(x.ndim) if i not in axes]
    count = size_of([x.shape[i] for i in axes])
    rows = reshape_to(permute(x, kept + axes), [*(x.shape[i] for i in kept), count])
    picked = list(map(reader(rows), fractions.ravel().tolist()))
    if keepdims:
        sizes = [1 if i in axes else d for i, d in enumerate(x.shape)]
        picked = [reshape_to(p, sizes) for p in picked]
    if fractions.ndim == 0:
        return picked[0]
    from lamina.ops.joining import stack

    return stack(picked, 0)


def _at_fraction(rows: Tensor, place: float, method: str) -> Tensor:
    low, high = math.floor(place), math.ceil(place)
    weights = {
        "linear": place - low,
        "lower": 0.0,
        "higher": 1.0,
        "midpoint": 0.5,
        "nearest": float(builtins.round(place)) - low,
    }
    weight, axis = weights[method], rows.ndim - 1
    if low == high or weight in (0.0, 1.0):  # one element: the other may be infinite
        place = high if weight == 1.0 else low
        return apply("gather", rows, convert(np.array(place, dtype=np.int64)), axis=axis)
    pair = apply("gather", rows, convert(np.array([low, high], dtype=np.int64)), axis=axis)
    mix = convert(np.array([1.0 - weight, weight]), dtype=rows.dtype)
    return apply("sum", apply("multiply", pair, mix), axes=[axis], keepdims=False)


@symbolic_op
def percentile(
    x: TensorLike,
    q: TensorLike,
    axis: Axes = None,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    """Return the values below which `q` percent of the elements lie (see `quantile`)."""
    fractions = np.asarray(q.numpy() if hasattr(q, "numpy") else q, dtype=np.float64) / 100.0
    return quantile(x, fractions, axis, method, keepdims)


@symbolic_op
def median(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the middle element along `axis`, the mean of two when their number is even."""
    return quantile(x, 0.5, axis, "linear", keepdims)


@symbolic_op
def searchsorted(sorted_sequence: TensorLike, values: TensorLike, side: str = "left") -> Tensor:
    """Return the index (int32) at which each value would be inserted to keep the order.

    Args:
        sorted_sequence: (n,), ascending.
        values: tensor of any shape.
        side: "left" inserts before equal elements, "right" after them.
    """
    if side not in ("left", "right"):
        raise ValueError(f"searchsorted: side must be 'left' or 'right'. Got {side!r}.")
    edges, x = promote(sorted_sequence, values)
    wide = reshape_to(x, [*x.shape, 1])
    below = apply("less" if side == "left" else "less_equal", edges, wide)
    if "float" in x.dtype:  # NaN comes last, as in NumPy
        behind = apply("logical_and", apply("isnan", wide), apply("equal", edges, edges))
        below = apply("logical_or", below, behind)
    return apply("sum", to_dtype(below, "int32"), axes=[wide.ndim - 1], keepdims=False)


@symbolic_op
def digitize(x: TensorLike, bins: TensorLike) -> Tensor:
    """Return the index (int32) of the bin of each element: bins[i-1] <= x < bins[i]."""
    return searchsorted(bins, x, "right")


@symbolic_op
def bincount(
    x: TensorLike, weights: TensorLike | None = None, minlength: int = 0, sparse: bool = False
) -> Tensor:
    """Count how often each integer occurs, or add up its weights.

    Args:
        x: integers >= 0, (n,) or (batch, n).
        weights: of the shape of `x`; None counts.
        minlength: least size of the result. The size is one more than the largest integer,
            so inside a traced model it must be given and bounds the integers.
        sparse: must be False.
    """
    if sparse:
        raise ValueError("bincount: sparse tensors do not exist here. Got sparse=True.")
    ids = to_dtype(convert(x), "int32")
    size = int(minlength)
    if not is_tracing() and (ids.size or 0) > 0:
        values = ids.numpy()
        if values.min() < 0:
            raise ValueError(f"bincount: x must hold no negative integer. Got {values.min()}.")
        size = builtins.max(size, int(values.max()) + 1)
    dtype = "int32" if weights is None else convert(weights).dtype
    hits = apply("one_hot", ids, classes=size, dtype=dtype, axis=-1)
    if weights is not None:
        hits = apply("multiply", hits, reshape_to(convert(weights), [*ids.shape, 1]))
    return apply("sum", hits, axes=[ids.ndim - 1], keepdims=False)


@symbolic_op
def isin(
    x1: TensorLike, x2: TensorLike, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Return, for each element of x1, whether x2 has it (or has it not, with `invert`).

    `assume_unique` is accepted for Keras's sake and changes nothing.
    """
    a, b = promote(x1, x2)
    matches = apply("equal", reshape_to(a, [*a.shape, 1]), reshape_to(b, [None]))
    found = apply("any", matches, axes=[a.ndim], keepdims=False)
    return apply("logical_not", found) if invert else found


def nonzero(x: TensorLike) -> tuple[Tensor, ...]:
    """Return the indices (int32) of the elements that are not 0, one tensor for each axis.

    Raises:
        ValueError: inside a traced model, since the size depends on the data.
    """
    if is_tracing():
        raise ValueError(
            "nonzero gives a result whose size depends on the data; a traced model cannot hold "
            "it. Use ops.where(condition, a, b)."
        )
    return tuple(convert(i.astype(np.int32)) for i in np.nonzero(convert(x).numpy()))


def unique(
    x: TensorLike,
    sorted: bool = True,  # noqa: A002
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """Return the different elements of `x`, ascending; eagerly only.

    Args:
        x: tensor.
        sorted: accepted for Keras's sake; the result is always sorted.
        return_index, return_inverse, return_counts: what else to return, as int32.
        axis: whole slices along it are compared; None flattens.
        size: how many to return: further ones are cut off, missing ones filled up.
        fill_value: what fills up; None: the first (smallest) element.

    Raises:
        ValueError: inside a traced model, since the size depends on the data.
    """
    if is_tracing():
        raise ValueError("unique gives a result whose size depends on the data; it runs eagerly.")
    wanted = (return_index, return_inverse, return_counts)
    values = convert(x).numpy()
    # Every NaN is another element, as in Keras.
    unique_of: Any = np.unique  # its overloads know no flags that are variables
    found = unique_of(values, *wanted, axis=axis, equal_nan=False)
    parts = list(found) if any(wanted) else [found]
    place = 0 if axis is None else axis
    if size is not None:
        parts = _resize_unique(parts, wanted, int(size), fill_value, place)
    if return_inverse:  # one index for each element, or for each slice along the axis
        inverse = 1 + int(return_index)
        parts[inverse] = parts[inverse].reshape(values.shape if axis is None else -1)
    out = [convert(parts[0]), *(convert(extra.astype(np.int32)) for extra in parts[1:])]
    return tuple(out) if any(wanted) else out[0]


def _resize_unique(
    parts: list[Any], wanted: tuple[bool, bool, bool], size: int, fill_value: Any, axis: int
) -> list[Any]:
    """Cut or fill the elements, their first places and their counts; not the inverse."""
    elements = parts[0]
    missing = builtins.max(size - elements.shape[axis], 0)
    filler = np.take(elements, [0] * missing, axis) if elements.size else elements
    if fill_value is not None:
        filler = np.full_like(filler, fill_value)
    kept = np.take(elements, range(builtins.min(size, elements.shape[axis])), axis)
    out = [np.concatenate([kept, filler], axis)]
    names = [n for n, flag in zip(("index", "inverse", "counts"), wanted, strict=True) if flag]
    for name, part in zip(names, parts[1:], strict=True):
        if name == "inverse":
            out.append(part)
            continue
        fill = part[:1].repeat(missing) if name == "index" else np.zeros(missing, part.dtype)
        out.append(np.concatenate([part[:size], fill]))
    return out


@symbolic_op
def histogram(
    x: TensorLike,
    bins: int = 10,
    range: tuple[float, float] | None = None,  # noqa: A002
) -> tuple[Tensor, Tensor]:
    """Count elements in `bins` intervals of equal width; eagerly only when `range` is None.

    Returns:
        Counts (bins,) int32, edges (bins + 1,) in the type of `x`.
    """
    x = reshape_to(to_float(x), [None])
    if range is None:
        values = x.numpy()
        range = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    low, high = range
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"histogram: the range must be finite and ascending. Got {range}.")
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = convert(np.linspace(low, high, int(bins) + 1), dtype=x.dtype)
    ids = searchsorted(edges[1:-1], x, "right") if bins > 1 else to_dtype(
        apply("less", x, x), "int32"
    )  # fmt: skip
    inside = apply(  # never of a NaN
        "logical_and",
        apply("greater_equal", x, convert(low, dtype=x.dtype)),
        apply("less_equal", x, convert(high, dtype=x.dtype)),
    )
    ids = apply("select", inside, ids, convert(-1, dtype="int32"))
    hits = apply("one_hot", ids, classes=int(bins), dtype="int32", axis=-1)
    return apply("sum", hits, axes=[0], keepdims=False), edges


__all__ = [
    "argsort",
    "bincount",
    "digitize",
    "histogram",
    "in_top_k",
    "isin",
    "median",
    "nonzero",
    "percentile",
    "quantile",
    "searchsorted",
    "sort",
    "top_k",
    "unique",
]
