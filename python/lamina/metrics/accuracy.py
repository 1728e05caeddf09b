"""How often predictions are right."""

from __future__ import annotations

from typing import Any

from lamina import config, ops
from lamina.losses.base import squeeze_or_expand
from lamina.metrics.base import MeanMetricWrapper
from lamina.tensor import Tensor
from lamina.tracing import symbolic_op
from lamina.validation import Boolean, Integer, Real, check_argument


def _hits(y_true: Any, y_pred: Any) -> Tensor:
    return ops.cast(ops.equal(y_true, y_pred), config.floatx())


def accuracy(y_true: Any, y_pred: Any) -> Tensor:
    """Return 1 where y_true equals y_pred, else 0; the shapes are equal."""
    y_pred = ops.convert_to_tensor(y_pred)
    y_true, y_pred = squeeze_or_expand(ops.cast(y_true, y_pred.dtype), y_pred)
    return _hits(y_true, y_pred)


@symbolic_op
def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Tensor:
    """Return 1 where y_pred > threshold agrees with the label y_true, else 0."""
    y_true, y_pred = squeeze_or_expand(ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred))
    decided = ops.cast(y_pred > threshold, y_true.dtype)
    return _hits(y_true, decided)


@symbolic_op
def categorical_accuracy(y_true: Any, y_pred: Any) -> Tensor:
    """Return 1 where the class of the largest prediction is that of the one-hot target."""
    return _hits(ops.argmax(y_true, axis=-1), ops.argmax(y_pred, axis=-1))


def _class_ids(y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    return y_true, y_pred


@symbolic_op
def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Tensor:
    """Return 1 where the class of the largest prediction is the class id y_true."""
    y_true, y_pred = _class_ids(y_true, y_pred)
    return _hits(y_true, ops.cast(ops.argmax(y_pred, axis=-1), y_true.dtype))


@symbolic_op
def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> Tensor:
    """Return 1 where the class id y_true is among the `k` best predictions.

    Args:
        y_true: class ids (batch, ...).
        y_pred: scores (batch, ..., classes); with `from_sorted_ids`, ids sorted by score.
        k: how many count.
        from_sorted_ids: what `y_pred` holds.
    """
    y_true, y_pred = _class_ids(y_true, y_pred)
    ids = ops.cast(ops.reshape(y_true, (-1,)), "int32")
    rows = ops.reshape(y_pred, (-1, y_pred.shape[-1]))
    if from_sorted_ids:
        best = ops.cast(rows[:, :k], "int32")
        hits = ops.any(best == ops.expand_dims(ids, -1), axis=-1)
    else:
        hits = ops.in_top_k(ids, rows, min(int(k), y_pred.shape[-1]))
    return ops.reshape(ops.cast(hits, config.floatx()), y_true.shape)


@symbolic_op
def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Tensor:
    """Return 1 where the class of the one-hot target is among the `k` best predictions."""
    return sparse_top_k_categorical_accuracy(ops.argmax(y_true, axis=-1), y_pred, k)


class Accuracy(MeanMetricWrapper):
    """Share of predictions that equal the targets."""

    def __init__(self, name: str | None = "accuracy", dtype: Any = None) -> None:
        super().__init__(accuracy, name, dtype)


class BinaryAccuracy(MeanMetricWrapper):
    """Share of yes-or-no predictions that are right.

    Args:
        name, dtype: as for `Metric`.
        threshold: above it a prediction means yes; in [0, 1].
    """

    def __init__(
        self, name: str | None = "binary_accuracy", dtype: Any = None, threshold: float = 0.5
    ) -> None:
        threshold = check_argument("BinaryAccuracy", "threshold", threshold, Real(0, 1))
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)
        self.threshold = threshold


class CategoricalAccuracy(MeanMetricWrapper):
    """Share of samples whose best class is right; targets are one-hot."""

    def __init__(self, name: str | None = "categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(categorical_accuracy, name, dtype)


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """Share of samples whose best class is right; targets are class ids."""

    def __init__(self, name: str | None = "sparse_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(sparse_categorical_accuracy, name, dtype)


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """Share of samples whose class is among the `k` best; targets are one-hot."""

    def __init__(
        self, k: int = 5, name: str | None = "top_k_categorical_accuracy", dtype: Any = None
    ) -> None:
        k = check_argument("TopKCategoricalAccuracy", "k", k, Integer(1))
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)
        self.k = k


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """Share of samples whose class is among the `k` best; targets are class ids."""

    def __init__(
        self,
        k: int = 5,
        name: str | None = "sparse_top_k_categorical_accuracy",
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ) -> None:
        owner = "SparseTopKCategoricalAccuracy"
        k = check_argument(owner, "k", k, Integer(1))
        from_sorted_ids = check_argument(owner, "from_sorted_ids", from_sorted_ids, Boolean())
        super().__init__(
            sparse_top_k_categorical_accuracy, name, dtype, k=k, from_sorted_ids=from_sorted_ids
        )
        self.k, self.from_sorted_ids = k, from_sorted_ids

    def get_config(self) -> dict[str, Any]:
        described = super().get_config()
        if not described["from_sorted_ids"]:  # Keras never writes it
            del described["from_sorted_ids"]
        return described
