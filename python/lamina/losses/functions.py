"""Losses as functions: `(y_true, y_pred)` of equal shape to one number for each sample."""

from __future__ import annotations

import math
from typing import Any

from lamina import config, ops
from lamina.losses.base import squeeze_or_expand
from lamina.tensor import Tensor
from lamina.tracing import symbolic_op


def _pair(loss: str, y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
    """Convert to floats of one type and rank, whose shapes broadcast."""
    y_pred = ops.convert_to_tensor(y_pred)
    if y_pred.dtype not in config.FLOAT_TYPES:
        y_pred = ops.cast(y_pred, config.floatx())
    y_true, y_pred = squeeze_or_expand(ops.cast(y_true, y_pred.dtype), y_pred)
    for axis, (a, b) in enumerate(zip(y_true.shape, y_pred.shape, strict=False)):
        if len(y_true.shape) == len(y_pred.shape) and a != b and not {a, b} & {None, 1}:
            raise ValueError(
                f"{loss}: labels {y_true.shape} and predictions {y_pred.shape} differ in axis "
                f"{axis}."
            )
    return y_true, y_pred


@symbolic_op
def mean_squared_error(y_true: Any, y_pred: Any) -> Tensor:
    """Return mean((y_true - y_pred) ** 2) over the last axis."""
    y_true, y_pred = _pair("mean_squared_error", y_true, y_pred)
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


@symbolic_op
def mean_absolute_error(y_true: Any, y_pred: Any) -> Tensor:
    """Return mean(|y_true - y_pred|) over the last axis."""
    y_true, y_pred = _pair("mean_absolute_error", y_true, y_pred)
    return ops.mean(ops.abs(y_true - y_pred), axis=-1)


@symbolic_op
def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Tensor:
    """Return 100 * mean(|(y_true - y_pred) / y_true|) over the last axis."""
    y_true, y_pred = _pair("mean_absolute_percentage_error", y_true, y_pred)
    size = ops.maximum(ops.abs(y_true), config.epsilon())
    return 100.0 * ops.mean(ops.abs((y_true - y_pred) / size), axis=-1)


@symbolic_op
def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Tensor:
    """Return mean((log(y_true + 1) - log(y_pred + 1)) ** 2) over the last axis.

    Values below epsilon count as epsilon.
    """
    y_true, y_pred = _pair("mean_squared_logarithmic_error", y_true, y_pred)
    logs = [ops.log(ops.maximum(y, config.epsilon()) + 1.0) for y in (y_true, y_pred)]
    return ops.mean(ops.square(logs[0] - logs[1]), axis=-1)


@symbolic_op
def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Tensor:
    """Return the mean of e ** 2 / 2 for errors up to `delta`, of a line with that slope above."""
    y_true, y_pred = _pair("huber", y_true, y_pred)
    error = ops.abs(y_pred - y_true)
    line = delta * error - 0.5 * delta * delta
    return ops.mean(ops.where(error <= delta, 0.5 * ops.square(error), line), axis=-1)


@symbolic_op
def log_cosh(y_true: Any, y_pred: Any) -> Tensor:
    """Return mean(log(cosh(y_pred - y_true))) over the last axis, without overflow."""
    y_true, y_pred = _pair("log_cosh", y_true, y_pred)
    error = y_pred - y_true
    return ops.mean(error + ops.softplus(-2.0 * error) - math.log(2.0), axis=-1)


def _signed_labels(y_true: Tensor) -> Tensor:
    # Labels 0 and 1 count as -1 and 1; others are taken as they are.
    is_binary = ops.all(ops.logical_or(y_true == 0, y_true == 1))
    return ops.where(is_binary, 2.0 * y_true - 1.0, y_true)


@symbolic_op
def hinge(y_true: Any, y_pred: Any) -> Tensor:
    """Return mean(max(1 - y_true * y_pred, 0)) over the last axis; labels are -1, 1 or 0, 1."""
    y_true, y_pred = _pair("hinge", y_true, y_pred)
    return ops.mean(ops.relu(1.0 - _signed_labels(y_true) * y_pred), axis=-1)


@symbolic_op
def squared_hinge(y_true: Any, y_pred: Any) -> Tensor:
    """Return mean(max(1 - y_true * y_pred, 0) ** 2) over the last axis."""
    y_true, y_pred = _pair("squared_hinge", y_true, y_pred)
    return ops.mean(ops.square(ops.relu(1.0 - _signed_labels(y_true) * y_pred)), axis=-1)


@symbolic_op
def categorical_hinge(y_true: Any, y_pred: Any) -> Tensor:
    """Return max(best wrong score - right score + 1, 0); targets are one-hot."""
    y_true, y_pred = _pair("categorical_hinge", y_true, y_pred)
    right = ops.sum(y_true * y_pred, axis=-1)
    wrong = ops.max((1.0 - y_true) * y_pred, axis=-1)
    return ops.relu(wrong - right + 1.0)


@symbolic_op
def kl_divergence(y_true: Any, y_pred: Any) -> Tensor:
    """Return sum(y_true * log(y_true / y_pred)) over the last axis; both clip at epsilon."""
    y_true, y_pred = (
        ops.clip(y, config.epsilon(), 1.0) for y in _pair("kl_divergence", y_true, y_pred)
    )
    return ops.sum(y_true * ops.log(y_true / y_pred), axis=-1)


@symbolic_op
def poisson(y_true: Any, y_pred: Any) -> Tensor:
    """Return mean(y_pred - y_true * log(y_pred + epsilon)) over the last axis."""
    y_true, y_pred = _pair("poisson", y_true, y_pred)
    return ops.mean(y_pred - y_true * ops.log(y_pred + config.epsilon()), axis=-1)


@symbolic_op
def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """Return minus the cosine of the angle between y_true and y_pred along `axis`."""
    y_true, y_pred = (
        ops.normalize(y, axis=axis) for y in _pair("cosine_similarity", y_true, y_pred)
    )
    return -ops.sum(y_true * y_pred, axis=axis)


def _smoothed(y_true: Tensor, label_smoothing: float, classes: int | None) -> Tensor:
    if not label_smoothing:
        return y_true
    return y_true * (1.0 - label_smoothing) + label_smoothing / (classes or 1)


@symbolic_op
def binary_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """Return the mean over `axis` of -y log(p) - (1 - y) log(1 - p).

    Args:
        y_true: labels 0 and 1, or probabilities.
        y_pred: probabilities, clipped to [epsilon, 1 - epsilon]; or logits.
        from_logits: whether `y_pred` holds logits.
        label_smoothing: share in [0, 1] by which labels move towards 0.5.
        axis: axis to average over.
    """
    y_true, y_pred = _pair("binary_crossentropy", y_true, y_pred)
    y_true = _smoothed(y_true, label_smoothing, 2)
    return ops.mean(ops.binary_crossentropy(y_true, y_pred, from_logits), axis=axis)


@symbolic_op
def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """Return binary cross-entropy times (1 - probability of the true class) ** gamma.

    Args:
        y_true, y_pred, from_logits, label_smoothing, axis: as for `binary_crossentropy`.
        apply_class_balancing: whether class 1 weighs `alpha` and class 0 weighs 1 - alpha.
        alpha: weight of class 1.
        gamma: how strongly easy samples are discounted.

    Source: Lin and others. Focal loss for dense object detection. 2017.
    """
    y_true, y_pred = _pair("binary_focal_crossentropy", y_true, y_pred)
    y_true = _smoothed(y_true, label_smoothing, 2)
    p = ops.sigmoid(y_pred) if from_logits else y_pred
    loss = ops.binary_crossentropy(y_true, p)
    true_share = y_true * p + (1.0 - y_true) * (1.0 - p)
    loss = ops.power(1.0 - true_share, gamma) * loss
    if apply_class_balancing:
        loss = (y_true * alpha + (1.0 - y_true) * (1.0 - alpha)) * loss
    return ops.mean(loss, axis=axis)


@symbolic_op
def categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """Return -sum(y_true * log(p)) over `axis`.

    Args:
        y_true: one-hot rows, or probabilities.
        y_pred: probabilities, divided by their sum and clipped at epsilon; or logits.
        from_logits: whether `y_pred` holds logits.
        label_smoothing: share in [0, 1] by which labels move towards 1 / classes.
        axis: the axis of the classes.
    """
    y_true, y_pred = _pair("categorical_crossentropy", y_true, y_pred)
    y_true = _smoothed(y_true, label_smoothing, y_true.shape[axis])
    return ops.categorical_crossentropy(y_true, y_pred, from_logits, axis)


@symbolic_op
def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: Any = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """Return -sum(alpha * (1 - p) ** gamma * y_true * log(p)) over `axis`.

    Args:
        y_true, y_pred, from_logits, label_smoothing, axis: as for `categorical_crossentropy`.
        alpha: weight of all classes, or one for each.
        gamma: how strongly easy samples are discounted.
    """
    y_true, y_pred = _pair("categorical_focal_crossentropy", y_true, y_pred)
    y_true = _smoothed(y_true, label_smoothing, y_true.shape[axis])
    p = ops.softmax(y_pred, axis=axis) if from_logits else y_pred
    p = p / ops.sum(p, axis=axis, keepdims=True)
    p = ops.clip(p, config.epsilon(), 1.0 - config.epsilon())
    weight = ops.power(1.0 - p, gamma) * ops.cast(alpha, p.dtype)
    return -ops.sum(weight * y_true * ops.log(p), axis=axis)


@symbolic_op
def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float) -> Tensor:
    """Return (1 - p ** q) / q for the probability p of the true class.

    Args:
        y_true: class ids (batch, ...), or one-hot rows.
        y_pred: probabilities (batch, ..., classes).
        q: in (0, 1); towards 0 this is cross-entropy, at 1 the mean absolute error.

    Source: Zhang, Sabuncu. Generalized cross entropy loss with noisy labels. 2018.
    """
    y_pred, y_true = ops.convert_to_tensor(y_pred), ops.convert_to_tensor(y_true)
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    if len(y_true.shape) == len(y_pred.shape) - 1:
        y_true = ops.one_hot(ops.cast(y_true, "int32"), y_pred.shape[-1], dtype=y_pred.dtype)
    p = ops.sum(ops.cast(y_true, y_pred.dtype) * y_pred, axis=-1)
    # At p = 0 the slope of the power is infinite; there the loss is kept, without a gradient.
    is_open = p > 0
    power = ops.where(is_open, ops.power(ops.where(is_open, p, 1.0), q), 0.0)
    return (1.0 - power) / q


@symbolic_op
def sparse_categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> Tensor:
    """Return -log(p[y_true]): the cross-entropy for class ids.

    Args:
        y_true: class ids with the shape of `y_pred` without `axis`, or with size 1 there.
        y_pred: probabilities, clipped at epsilon; or logits.
        from_logits: whether `y_pred` holds logits.
        ignore_class: an id whose samples have loss 0, or None.
        axis: the axis of the classes.
    """
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    if ignore_class is None:
        return ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits, axis)
    counts = y_true != ignore_class
    ids = ops.where(counts, y_true, ops.zeros_like(y_true))
    loss = ops.sparse_categorical_crossentropy(ids, y_pred, from_logits, axis)
    loss = ops.where(counts, loss, 0.0)
    loss.mask = counts
    return loss


sparse_categorical_crossentropy.takes_class_ids = True  # type: ignore[attr-defined]


@symbolic_op
def dice(y_true: Any, y_pred: Any, axis: Any = None) -> Tensor:
    """Return 1 - 2 |t p| / (|t| + |p|), t labels, p predictions, |.| the sum over `axis`."""
    y_true, y_pred = _pair("dice", y_true, y_pred)
    common = 2.0 * ops.sum(y_true * y_pred, axis=axis)
    total = ops.sum(y_true, axis=axis) + ops.sum(y_pred, axis=axis)
    return 1.0 - (common + config.epsilon()) / (total + config.epsilon())


@symbolic_op
def tversky(
    y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Any = None
) -> Tensor:
    """Return 1 - hits / (hits + alpha * misses + beta * false alarms) over `axis`.

    (Keras describes `alpha` as the weight of false positives; its numbers are these.)

    Source: Salehi, Erdogmus, Gholipour. Tversky loss function for image segmentation. 2017.
    """
    y_true, y_pred = _pair("tversky", y_true, y_pred)
    hits = ops.sum(y_true * y_pred, axis=axis)
    misses = ops.sum(y_true * (1.0 - y_pred), axis=axis)
    false_alarms = ops.sum((1.0 - y_true) * y_pred, axis=axis)
    total = hits + alpha * misses + beta * false_alarms
    return 1.0 - (hits + config.epsilon()) / (total + config.epsilon())
