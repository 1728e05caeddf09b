"""Factorisations of matrices and what follows from them. The leading axes are batches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamina.ops.core import TensorLike, filled, promote, reshape_to, to_dtype, to_float
from lamina.ops.layout import permute
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op

_EPSILON = {"float32": 2.0**-23, "float64": 2.0**-52, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def _matrices(op: str, x: TensorLike) -> Tensor:
    x = to_float(x)
    if x.ndim < 2:
        raise ValueError(
            f"{op}: expected input to have rank >= 2. Got shape {x.shape}."
        )  # fmt: skip
    return x


def _square(op: str, x: TensorLike) -> Tensor:
    x = _matrices(op, x)
    rows, columns = x.shape[-2:]
    if rows != columns:
        raise ValueError(
            f"{op}: expected a square matrix, or a batch of square matrices. Got shape {x.shape}."
        )
    return x


def _transposed(x: Tensor) -> Tensor:
    return permute(x, [*range(x.ndim - 2), x.ndim - 1, x.ndim - 2])


@symbolic_op
def cholesky(x: TensorLike, upper: bool = False) -> Tensor:
    """Return the triangular factor l with l l^T = x, or with `upper` its transpose.

    Raises:
        ValueError: if a matrix is not positive definite.
    """
    low = apply("cholesky", _square("cholesky", x))
    return _transposed(low) if upper else low


@symbolic_op
def cholesky_inverse(x: TensorLike, upper: bool = False) -> Tensor:
    """Return the inverse of the matrix whose Cholesky factor is `x`.

    Args:
        x: triangular matrices (..., n, n).
        upper: whether they are upper instead of lower ones.
    """
    x = _square("cholesky_inverse", x)
    low = apply("triu" if upper else "tril", x, k=0)
    low = _transposed(low) if upper else low
    eye = apply("add", convert(np.eye(x.shape[-1]), dtype=x.dtype), filled(0, x.shape, x.dtype, x))
    half = apply("solve_triangular", low, eye, lower=True)
    return apply("matmul", half, half, transpose_a=True)


@symbolic_op
def det(x: TensorLike) -> Tensor:
    """Return the determinants of square matrices."""
    return apply("det", _square("det", x))


@symbolic_op
def slogdet(x: TensorLike) -> tuple[Tensor, Tensor]:
    """Return the signs of determinants and the logarithms of their absolute values."""
    found: tuple[Tensor, Tensor] = apply("slogdet", _square("slogdet", x))
    return found


@symbolic_op
def logdet(x: TensorLike) -> Tensor:
    """Return the logarithms of the determinants of positive definite matrices."""
    return apply("slogdet", _square("logdet", x))[1]


@symbolic_op
def inv(x: TensorLike) -> Tensor:
    """Return the inverses of square matrices.

    Raises:
        ValueError: if a matrix is singular.
    """
    return apply("inv", _square("inv", x))


@symbolic_op
def lu_factor(x: TensorLike) -> tuple[Tensor, Tensor]:
    """Return the packed factors l and u of matrices with exchanged rows, and the exchanges.

    Returns:
        (..., m, n): u above and on the diagonal, l below it (its own diagonal is ones); and int32
        (..., min(m, n)): row i was exchanged with row pivots[i].
    """
    found: tuple[Tensor, Tensor] = apply("lu_factor", _matrices("lu_factor", x))
    return found


@symbolic_op
def eigh(x: TensorLike) -> tuple[Tensor, Tensor]:
    """Return the eigenvalues (ascending) and eigenvectors (columns) of symmetric matrices."""
    found: tuple[Tensor, Tensor] = apply("eigh", _square("eigh", x))
    return found


@symbolic_op
def eig(x: TensorLike) -> tuple[Tensor, Tensor]:
    """Return the eigenvalues and eigenvectors (columns) of matrices that have real ones.

    Raises:
        TypeError: eagerly, if an eigenvalue is complex; in a traced model such values are NaN.
    """
    x = _square("eig", x)
    values, imaginary, vectors, _ = apply("eig", x)
    if imaginary._tracer is None and np.any(imaginary.numpy() != 0):
        raise TypeError(
            "eig: the matrix has complex eigenvalues, and tensors of complex numbers do not exist "
            "here. Symmetric matrices have real ones (ops.eigh)."
        )
    zero, nan = convert(0.0, dtype=x.dtype), convert(math.nan, dtype=x.dtype)
    is_real = apply("equal", imaginary, zero)
    return apply("select", is_real, values, nan), vectors


@symbolic_op
def svd(x: TensorLike, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """Return the singular value decomposition u, s, v^T with s descending.

    Args:
        x: (..., m, n).
        full_matrices: whether u and v^T are square; else they have min(m, n) columns and rows.
        compute_uv: whether to return u and v^T at all.
    """
    x = _matrices("svd", x)
    if not compute_uv:
        return apply("svd", x, full_matrices=False)[1]
    return apply("svd", x, full_matrices=bool(full_matrices))


@symbolic_op
def solve(a: TensorLike, b: TensorLike) -> Tensor:
    """Return x with a x = b.

    Args:
        a: (..., n, n).
        b: (..., n, k), or (..., n).

    Raises:
        ValueError: if a matrix is singular.
    """
    return _solved("solve", a, b, {})


@symbolic_op
def solve_triangular(a: TensorLike, b: TensorLike, lower: bool = False) -> Tensor:
    """Return x with a x = b for a triangular `a`; the other half of it is not read.

    Args:
        a: (..., n, n).
        b: (..., n, k), or (..., n).
        lower: whether `a` is lower triangular.
    """
    return _solved("solve_triangular", a, b, {"lower": bool(lower)})


def _solved(op: str, a: TensorLike, b: TensorLike, attrs: dict[str, Any]) -> Tensor:
    left, right = promote(a, b, floating=True)
    left = _square(op, left)
    if right.ndim not in (left.ndim - 1, left.ndim):
        raise ValueError(
            f"{op}: `b` must have the rank of `a` or one less. Got {left.shape} and {right.shape}."
        )
    is_vector = right.ndim == left.ndim - 1
    if is_vector:
        right = reshape_to(right, [*right.shape, 1])
    if left.shape[-2] != right.shape[-2]:
        raise ValueError(
            f"{op}: incompatible shapes between `a` {left.shape} and `b` {right.shape}."
        )
    if None not in left.shape + right.shape and left.shape[:-2] != right.shape[:-2]:
        batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
        left, right = (
            apply("broadcast_to", t, shape=[*batch, *t.shape[-2:]]) for t in (left, right)
        )
    x = apply(op, left, right, **attrs)
    return reshape_to(x, x.shape[:-1]) if is_vector else x


def _cutoff(s: Tensor, factor: float) -> Tensor:
    largest = apply("max", s, axes=[s.ndim - 1], keepdims=True)
    return apply("multiply", largest, convert(factor, dtype=s.dtype))


def _default_rcond(x: Tensor) -> float:
    sides = [d for d in x.shape[-2:] if d is not None]
    return _EPSILON[x.dtype] * max(sides, default=1)


@symbolic_op
def matrix_rank(x: TensorLike, tol: float | None = None) -> Tensor:
    """Count the singular values (int32) above `tol`.

    Args:
        x: (..., m, n).
        tol: None: the largest singular value times max(m, n) and the type's epsilon.
    """
    x = _matrices("matrix_rank", x)
    s = apply("svd", x, full_matrices=False)[1]
    limit = _cutoff(s, _default_rcond(x)) if tol is None else convert(float(tol), dtype=s.dtype)
    hits = to_dtype(apply("greater", s, limit), "int32")
    return apply("sum", hits, axes=[s.ndim - 1], keepdims=False)


@symbolic_op
def pinv(x: TensorLike, rcond: float | None = None) -> Tensor:
    """Return the pseudo-inverses of matrices.

    Args:
        x: (..., m, n).
        rcond: singular values below `rcond` times the largest count as 0; None: max(m, n) times
            the type's epsilon.

    Returns:
        (..., n, m).
    """
    x = _matrices("pinv", x)
    u, s, vt = apply("svd", x, full_matrices=False)
    limit = _cutoff(s, _default_rcond(x) if rcond is None else float(rcond))
    kept = apply("greater", s, limit)
    one, zero = convert(1.0, dtype=s.dtype), convert(0.0, dtype=s.dtype)
    inverse = apply("reciprocal", apply("select", kept, s, one))
    inverse = apply("select", kept, inverse, zero)
    row = reshape_to(inverse, [*inverse.shape[:-1], 1, inverse.shape[-1]])
    return apply("matmul", apply("multiply", _transposed(vt), row), u, transpose_b=True)


@symbolic_op
def lstsq(a: TensorLike, b: TensorLike, rcond: float | None = None) -> Tensor:
    """Return the x of least norm among those for which |a x - b| is least.

    Args:
        a: (m, n).
        b: (m,) or (m, k).
        rcond: as for `pinv`.
    """
    left, right = promote(a, b, floating=True)
    if left.ndim != 2 or right.ndim not in (1, 2):
        raise ValueError(
            f"lstsq: a must have 2 axes and b 1 or 2. Got {left.shape} and {right.shape}."
        )
    if None not in (left.shape[0], right.shape[0]) and left.shape[0] != right.shape[0]:
        raise ValueError(
            f"lstsq: leading dimensions of `a` and `b` are incompatible: {left.shape} and "
            f"{right.shape}."
        )
    column = reshape_to(right, [right.shape[0], 1]) if right.ndim == 1 else right
    x = apply("matmul", pinv(left, rcond), column)
    return reshape_to(x, x.shape[:-1]) if right.ndim == 1 else x


__all__ = [
    "cholesky",
    "cholesky_inverse",
    "det",
    "eig",
    "eigh",
    "inv",
    "logdet",
    "lstsq",
    "lu_factor",
    "matrix_rank",
    "pinv",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
]
