"""Attention: means of values, weighted by how well their keys fit a query."""

from __future__ import annotations

from lamina.ops.core import TensorLike, promote, reshape_to, to_dtype
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op


@symbolic_op
def dot_product_attention(
    query: TensorLike,
    key: TensorLike,
    value: TensorLike,
    bias: TensorLike | None = None,
    mask: TensorLike | None = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Tensor:
    """Mix values by how well their keys fit the query: softmax(q k^T * scale) v.

    Args:
        query: (batch, target time, heads, features).
        key, value: (batch, source time, key heads, features); `heads` is a multiple of
            `key heads`, and each of these serves as many query heads in turn.
        bias: added to the logits (batch, heads, target time, source time).
        mask: boolean, broadcast to the logits; False takes a position out. A query that may see
            nothing gets the mean of all values.
        scale: of the logits; None: 1 / sqrt(features).
        is_causal: whether a position sees only itself and those before it.
        flash_attention: accepted, with any value: there is one way of computing, which gives the
            same result.
        attn_logits_soft_cap: c in c * tanh(logits / c), or None.

    Returns:
        A tensor (batch, target time, heads, features of the values).

    Raises:
        ValueError: when an operand does not have four axes.
    """
    del flash_attention
    q, k, v = promote(query, key, value, floating=True)
    _check(q, k, v)
    operands = [q, k, v]
    if mask is not None:
        operands.append(_over_logits(to_dtype(convert(mask), "bool")))
    if bias is not None:
        operands.append(_over_logits(to_dtype(convert(bias), q.dtype)))
    return apply(
        "attention",
        *operands,
        scale=q.shape[-1] ** -0.5 if scale is None else float(scale),
        soft_cap=0.0 if attn_logits_soft_cap is None else float(attn_logits_soft_cap),
        is_causal=bool(is_causal),
        has_mask=mask is not None,
        has_bias=bias is not None,
    )


def _over_logits(x: Tensor) -> Tensor:
    """With leading axes of size 1 to four axes."""
    return x if x.ndim >= 4 else reshape_to(x, (*(1 for _ in range(4 - x.ndim)), *x.shape))


def _check(q: Tensor, k: Tensor, v: Tensor) -> None:
    for name, operand in (("query", q), ("key", k), ("value", v)):
        if operand.ndim != 4:
            raise ValueError(
                f"dot_product_attention: {name} must have the axes (batch, time, heads, features)."
                f" Got shape {operand.shape}."
            )
    if k.shape[2] != v.shape[2] or q.shape[2] % k.shape[2]:
        raise ValueError(
            "dot_product_attention: key and value must have equally many heads, a divisor of the "
            f"query's. Got {q.shape[2]}, {k.shape[2]} and {v.shape[2]} for query, key and value."
        )


__all__ = ["dot_product_attention"]
