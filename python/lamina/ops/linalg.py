"""Products of tensors, and what else the engine's linear algebra offers."""

from __future__ import annotations

import itertools
from typing import Any

from lamina.ops.core import (
    TensorLike,
    is_float_dtype,
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
from lamina.tracing import apply, convert, symbolic_op


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    # The engine multiplies floats; integers pass through float64, exact up to 2**53.
    if is_float_dtype(a.dtype):
        return apply("matmul", a, b)
    wide = apply("matmul", to_dtype(a, "float64"), to_dtype(b, "float64"))
    return to_dtype(wide, a.dtype)


@symbolic_op
def matmul(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Multiply matrices over the last two axes; the leading axes broadcast.

    Args:
        x1: (..., m, k), or (k,).
        x2: (..., k, n), or (k,).

    Returns:
        (..., m, n), without the axis of an operand that had only one.
    """
    a, b = promote(x1, x2)
    for name, x in (("x1", a), ("x2", b)):
        if x.ndim == 0:
            raise ValueError(f"matmul: {name} must have at least one axis. Got a scalar.")
    left, right = a, b
    if a.ndim == 1:
        left = reshape_to(a, [1, a.shape[0]])
    if b.ndim == 1:
        right = reshape_to(b, [b.shape[0], 1])
    y = _matmul(left, right)
    sizes = list(y.shape)
    if b.ndim == 1:
        del sizes[-1]
    if a.ndim == 1:
        del sizes[-1 if b.ndim == 1 else -2]
    return y if len(sizes) == y.ndim else reshape_to(y, sizes)


@symbolic_op
def tensordot(x1: TensorLike, x2: TensorLike, axes: Any = 2) -> Tensor:
    """Sum products over pairs of axes.

    Args:
        x1, x2: tensors.
        axes: how many last axes of x1 meet as many first axes of x2, or two lists of axes.
    """
    a, b = promote(x1, x2)
    if isinstance(axes, int):
        inner_a = list(range(a.ndim - axes, a.ndim))
        inner_b = list(range(axes))
    else:
        inner_a = normalize_axes(axes[0], a.ndim, "tensordot")
        inner_b = normalize_axes(axes[1], b.ndim, "tensordot")
    if len(inner_a) != len(inner_b):
        raise ValueError(f"tensordot: axes must pair up. Got {axes!r}.")
    outer_a = [i for i in range(a.ndim) if i not in inner_a]
    outer_b = [i for i in range(b.ndim) if i not in inner_b]
    sizes_a, sizes_b = [a.shape[i] for i in outer_a], [b.shape[i] for i in outer_b]
    depth = size_of([b.shape[i] for i in inner_b])
    left = reshape_to(permute(a, outer_a + inner_a), [size_of(sizes_a), depth])
    right = reshape_to(permute(b, inner_b + outer_b), [depth, size_of(sizes_b)])
    return reshape_to(_matmul(left, right), [*sizes_a, *sizes_b])


@symbolic_op
def dot(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Sum products as NumPy's `dot`: the last axis of x1 meets the last but one of x2."""
    a, b = promote(x1, x2)
    if a.ndim == 0 or b.ndim == 0:
        return apply("logical_and" if a.dtype == "bool" else "multiply", a, b)
    return tensordot(a, b, ([a.ndim - 1], [max(b.ndim - 2, 0)]))


@symbolic_op
def vdot(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Sum the products of all elements of two flattened tensors."""
    a, b = promote(x1, x2)
    return tensordot(reshape_to(a, [None]), reshape_to(b, [None]), 1)


@symbolic_op
def inner(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Sum products over the last axes of both tensors."""
    a, b = promote(x1, x2)
    if a.ndim == 0 or b.ndim == 0:
        return apply("multiply", a, b)
    return tensordot(a, b, ([a.ndim - 1], [b.ndim - 1]))


@symbolic_op
def outer(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return every product of an element of x1 (rows) and one of x2 (columns)."""
    a, b = promote(x1, x2)
    op = "logical_and" if a.dtype == "bool" else "multiply"
    return apply(op, reshape_to(a, [None, 1]), reshape_to(b, [1, None]))


@symbolic_op
def kron(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Return the Kronecker product: each element of x1 times the whole of x2."""
    a, b = promote(x1, x2)
    rank = max(a.ndim, b.ndim)
    sizes_a = [1] * (rank - a.ndim) + list(a.shape)
    sizes_b = [1] * (rank - b.ndim) + list(b.shape)
    spread_a = list(itertools.chain.from_iterable((d, 1) for d in sizes_a))
    spread_b = list(itertools.chain.from_iterable((1, d) for d in sizes_b))
    y = apply("multiply", reshape_to(a, spread_a), reshape_to(b, spread_b))
    return reshape_to(y, [size_of(pair) for pair in zip(sizes_a, sizes_b, strict=True)])


@symbolic_op
def cross(
    x1: TensorLike,
    x2: TensorLike,
    axisa: int = -1,
    axisb: int = -1,
    axisc: int = -1,
    axis: int | None = None,
) -> Tensor:
    """Return the vector product of vectors with three components.

    Args:
        x1, x2: tensors whose vector axis has size 3.
        axisa, axisb, axisc: the vector axis of x1, of x2 and of the result.
        axis: stands for all three when given.
    """
    from lamina.ops.layout import moveaxis, take

    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = promote(x1, x2)
    a, b = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    sizes = (a.shape[-1], b.shape[-1])
    if not {2, 3}.issuperset(sizes):
        raise ValueError(
            f"cross: vectors must have 2 or 3 components. Got {a.shape} and {b.shape}."
        )
    # A vector of two components lies in the plane; two of them leave only the third component.
    a, b = (x if x.shape[-1] == 3 else _with_zero(x) for x in (a, b))
    forward, backward = [1, 2, 0], [2, 0, 1]
    plus = apply("multiply", take(a, forward, -1), take(b, backward, -1))
    minus = apply("multiply", take(a, backward, -1), take(b, forward, -1))
    y = apply("subtract", plus, minus)
    return take(y, 2, -1) if sizes == (2, 2) else moveaxis(y, -1, axisc)


def _with_zero(x: Tensor) -> Tensor:
    outer = [0] * (x.ndim - 1)
    return apply("pad", x, low=[*outer, 0], high=[*outer, 1], mode="constant", value=0.0)


@symbolic_op
def qr(x: TensorLike, mode: str = "reduced") -> tuple[Tensor, Tensor]:
    """Factor a matrix into one with orthonormal columns and an upper triangular one.

    Args:
        x: (..., m, n).
        mode: "reduced": q is (..., m, min(m, n)); "complete": q is (..., m, m).
    """
    if mode not in ("reduced", "complete"):
        raise ValueError(
            f"qr: unknown mode. Expected one of {{'reduced', 'complete'}}. Got mode={mode!r}."
        )
    x = to_float(x)
    if x.ndim < 2 or None in x.shape[-2:]:
        raise ValueError(
            f"qr: x must have at least 2 axes, the last two of known size. Got shape {x.shape}."
        )
    return apply("qr", x, mode=mode)


@symbolic_op
def einsum(subscripts: str, *operands: TensorLike, **kwargs: Any) -> Tensor:
    """Sum products as a formula of axis letters says, e.g. "bij,bjk->bik".

    Args:
        subscripts: one group of letters for each operand, and after "->" those of the result
            (left out: the letters that occur once, in alphabetical order). "..." stands for
            leading axes that broadcast.
        operands: one tensor for each group.
    """
    kwargs.pop("optimize", None)  # NumPy's choice of an order; here operands go left to right
    if kwargs:
        raise TypeError(f"einsum: unknown argument {next(iter(kwargs))!r}.")
    tensors = list(promote(*operands))
    groups, result = _parse_subscripts(subscripts, tensors)
    value, labels = tensors[0], groups[0]
    value, labels = _diagonals(value, labels)
    for step in range(1, len(tensors)):
        other, other_labels = _diagonals(tensors[step], groups[step])
        later = set("".join(groups[step + 1 :])) | set(result)
        value, labels = _contract(value, labels, other, other_labels, later)
    value, labels = _sum_out(value, labels, set(result))
    return permute(value, [labels.index(label) for label in result])


def _parse_subscripts(subscripts: str, tensors: list[Tensor]) -> tuple[list[str], str]:
    """Return the letters of each operand and of the result, the ellipsis spelled out."""
    text = subscripts.replace(" ", "")
    left, arrow, result = text.partition("->")
    groups = left.split(",")
    if len(groups) != len(tensors):
        raise ValueError(
            f"einsum: {subscripts!r} describes {len(groups)} operands. Got {len(tensors)}."
        )
    spare = [c for c in "ZYXWVUTSRQPONMLKJIHGFEDCBA" if c not in text]
    extra = [
        t.ndim - len(g.replace("...", "")) if "..." in g else 0
        for g, t in zip(groups, tensors, strict=True)
    ]
    broad = "".join(spare[: max([0, *extra])])[::-1]
    groups = [
        g.replace("...", broad[len(broad) - n :] if n > 0 else "")
        for g, n in zip(groups, extra, strict=True)
    ]
    for g, t in zip(groups, tensors, strict=True):
        if len(g) != t.ndim:
            raise ValueError(
                f"einsum: group {g!r} of {subscripts!r} has {len(g)} letters for a tensor of "
                f"shape {t.shape}."
            )
    letters = "".join(groups)
    if not arrow:
        once = sorted(c for c in set(letters) if letters.count(c) == 1 and c not in broad)
        return groups, broad + "".join(once)
    result = result.replace("...", broad)
    unknown = [c for c in result if c not in letters]
    if unknown or len(set(result)) != len(result):
        raise ValueError(f"einsum: {subscripts!r} has a result letter that fits no operand axis.")
    return groups, result


def _diagonals(x: Tensor, labels: str) -> tuple[Tensor, str]:
    """Replace a letter that an operand has twice by the diagonal over its axes."""
    from lamina.ops.layout import diagonal

    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            x = diagonal(x, 0, first, second)
            labels = "".join(c for i, c in enumerate(labels) if i not in (first, second)) + label
    return x, labels


def _sum_out(x: Tensor, labels: str, kept: set[str]) -> tuple[Tensor, str]:
    axes = [i for i, label in enumerate(labels) if label not in kept]
    if axes:
        x = apply("sum", x, axes=axes, keepdims=False)
    return x, "".join(label for label in labels if label in kept)


def _contract(
    a: Tensor, a_labels: str, b: Tensor, b_labels: str, later: set[str]
) -> tuple[Tensor, str]:
    """Multiply two operands as one batched matrix product."""
    a, a_labels = _sum_out(a, a_labels, later | set(b_labels))
    b, b_labels = _sum_out(b, b_labels, later | set(a_labels))
    shared = [c for c in a_labels if c in b_labels]
    batch = [c for c in shared if c in later]
    depth = [c for c in shared if c not in later]
    rows = [c for c in a_labels if c not in shared]
    columns = [c for c in b_labels if c not in shared]
    size_a = dict(zip(a_labels, a.shape, strict=True))
    size_b = dict(zip(b_labels, b.shape, strict=True))
    for label in shared:
        sizes = {size_a[label], size_b[label]} - {None}
        if len(sizes) == 2 and (1 not in sizes or label in depth):
            raise ValueError(
                f"einsum: axis {label!r} has size {size_a[label]} in one operand and "
                f"{size_b[label]} in another."
            )
    left = permute(a, [a_labels.index(c) for c in batch + rows + depth])
    right = permute(b, [b_labels.index(c) for c in batch + depth + columns])
    m, k, n = (
        size_of([size[c] for c in group])
        for size, group in ((size_a, rows), (size_b, depth), (size_b, columns))
    )
    left = reshape_to(left, [*(size_a[c] for c in batch), m, k])
    right = reshape_to(right, [*(size_b[c] for c in batch), k, n])
    y = _matmul(left, right)
    leading = list(y.shape[: len(batch)])
    y = reshape_to(y, [*leading, *(size_a[c] for c in rows), *(size_b[c] for c in columns)])
    return y, "".join(batch + rows + columns)


@symbolic_op
def trapezoid(
    y: TensorLike, x: TensorLike | None = None, dx: float = 1.0, axis: int = -1
) -> Tensor:
    """Integrate by the trapezoid rule along `axis`.

    Args:
        y: values.
        x: where they lie; None: `dx` apart.
        dx: distance between neighbours.
        axis: along which to integrate.
    """
    from lamina.ops.layout import diff, get_item

    y = to_float(y)
    place = normalize_axis(axis, y.ndim, "trapezoid")
    before = tuple([slice(None)] * place)
    ends = apply("add", get_item(y, (*before, slice(1, None))),
                 get_item(y, (*before, slice(None, -1))))  # fmt: skip
    if x is None:
        width = convert(0.5 * dx, dtype=y.dtype)
    else:
        x = to_dtype(convert(x), y.dtype)
        gaps = diff(x, axis=0 if x.ndim == 1 else place)
        gaps = reshape_to(gaps, [None, *[1] * (y.ndim - place - 1)]) if gaps.ndim == 1 else gaps
        width = apply("multiply", gaps, convert(0.5, dtype=y.dtype))
    return apply("sum", apply("multiply", ends, width), axes=[place], keepdims=False)


__all__ = [
    "cross",
    "dot",
    "einsum",
    "inner",
    "kron",
    "matmul",
    "outer",
    "qr",
    "tensordot",
    "trapezoid",
    "vdot",
]


def __getattr__(name: str) -> Any:
    # Factorisations, norms and derivatives live in modules of their own.
    import lamina.ops

    if not name.startswith("_") and hasattr(lamina.ops, name):
        return getattr(lamina.ops, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
