"""Losses between a sample and other samples, or a sequence and a shorter one."""

from __future__ import annotations

from typing import Any

from lamina import config, ops
from lamina.tensor import Tensor
from lamina.tracing import symbolic_op

_NEVER = -1e30  # logarithm of a probability of 0 that can be added up and subtracted


@symbolic_op
def circle(
    y_true: Any,
    y_pred: Any,
    ref_labels: Any = None,
    ref_embeddings: Any = None,
    remove_diagonal: bool = True,
    gamma: float = 80,
    margin: float = 0.4,
) -> Tensor:
    """Return log(1 + sum over the pairs of exp(negative score - positive score)) for each sample.

    Samples without another one of their class have loss 0 and do not count in means.

    Args:
        y_true: class ids (batch,).
        y_pred: embeddings (batch, size) of length 1.
        ref_labels, ref_embeddings: what samples are compared with; by default the batch itself.
        remove_diagonal: whether sample i and reference i are no pair of one class.
        gamma: scale of the similarities.
        margin: how far from 1 and 0 similarities may be.

    Source: Sun and others. Circle loss: a unified perspective of pair similarity. 2020.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    if y_pred.dtype not in config.FLOAT_TYPES:
        y_pred = ops.cast(y_pred, config.floatx())
    labels = ops.reshape(ops.cast(y_true, "int32"), (-1, 1))
    others = labels if ref_labels is None else ops.cast(ref_labels, "int32")
    references = y_pred if ref_embeddings is None else ops.cast(ref_embeddings, y_pred.dtype)
    similar = ops.minimum(ops.matmul(y_pred, ops.transpose(references)), 1.0)
    is_same = ops.equal(labels, ops.reshape(others, (1, -1)))
    is_other = ops.logical_not(is_same)
    if remove_diagonal:
        itself = ops.eye(similar.shape[0], similar.shape[1], dtype="bool")
        is_same = ops.logical_and(is_same, ops.logical_not(itself))
    near = ops.relu(1.0 + margin - similar) * (1.0 - margin - similar)
    far = ops.relu(similar + margin) * (similar - margin)
    positive = ops.logsumexp(ops.where(is_same, gamma * near, _NEVER), axis=1)
    negative = ops.logsumexp(ops.where(is_other, gamma * far, _NEVER), axis=1)
    loss = ops.softplus(positive + negative)
    loss.mask = ops.any(is_same, axis=1)
    return loss


@symbolic_op
def ctc(y_true: Any, y_pred: Any) -> Tensor:
    """Return -log(probability of the labels under all ways to stretch them over the steps).

    Args:
        y_true: class ids (batch, labels), with zeros after the last one; 0 is the blank.
        y_pred: logits (batch, steps, classes).

    Returns:
        Losses (batch,); inf where the labels need more steps than there are.

    Source: Graves and others. Connectionist temporal classification. 2006.
    """
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    if y_true.ndim != 2 or y_pred.ndim != 3:
        raise ValueError(
            "ctc: labels must have the shape (batch, labels) and predictions (batch, steps, "
            f"classes). Got {y_true.shape} and {y_pred.shape}."
        )
    labels = ops.cast(y_true, "int32")
    places = _with_blanks(labels)
    count, size = places.shape
    scores = ops.log_softmax(y_pred, axis=-1)
    steps = scores.shape[1]
    spread = ops.broadcast_to(ops.expand_dims(places, 1), (count, steps, size))
    scores = ops.take_along_axis(scores, spread, axis=-1)
    # A blank between two different labels may be left out.
    skips = ops.not_equal(places, _shifted(places, 2, 0))
    never = ops.full_like(scores[:, 0], _NEVER)
    reached = ops.where(ops.arange(size) < 2, scores[:, 0], never)
    for step in range(1, steps):
        skipping = ops.where(skips, _shifted(reached, 2, _NEVER), never)
        ways = ops.stack([reached, _shifted(reached, 1, _NEVER), skipping], axis=-1)
        reached = ops.logsumexp(ways, axis=-1) + scores[:, step]
    lengths = ops.sum(ops.cast(ops.not_equal(labels, 0), "int32"), axis=-1, keepdims=True)
    end = 2 * lengths  # the last label, or the blank after it
    is_end = ops.logical_and(ops.arange(size) <= end, ops.arange(size) >= end - 1)
    total = ops.logsumexp(ops.where(is_end, reached, never), axis=-1)
    return ops.where(total > 0.5 * _NEVER, -total, float("inf"))


def _with_blanks(labels: Tensor) -> Tensor:
    pairs = ops.stack([ops.zeros_like(labels), labels], axis=-1)
    row = ops.reshape(pairs, (labels.shape[0], 2 * labels.shape[1]))
    return ops.pad(row, ((0, 0), (0, 1)))


def _shifted(row: Tensor, by: int, fill: float) -> Tensor:
    """Move the last axis of (batch, places) to the right."""
    return ops.pad(row, ((0, 0), (by, 0)), constant_values=fill)[:, : row.shape[1]]


circle.takes_class_ids = True  # type: ignore[attr-defined]
ctc.takes_class_ids = True  # type: ignore[attr-defined]
