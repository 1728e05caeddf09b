"""F-scores: precision and recall in one number."""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.metrics.base import Metric
from lamina.validation import OneOf, check_argument
from lamina.variable import Variable

_AVERAGES = ("micro", "macro", "weighted")
_ZERO = 1e-9  # scores no larger than this are never chosen as the best class


def _checked_beta(beta: Any) -> float:
    if not isinstance(beta, float):
        raise ValueError(
            "Invalid `beta` argument value. It should be a Python float. "
            f"Received: beta={beta} of type '{type(beta)}'."
        )
    if beta <= 0.0:
        raise ValueError(f"Invalid `beta` argument value. It should be > 0. Received: beta={beta}.")
    return beta


def _checked_threshold(threshold: Any) -> float | None:
    if threshold is None:
        return None
    if not isinstance(threshold, float):
        raise ValueError(
            "Invalid `threshold` argument value. It should be a Python float. "
            f"Received: threshold={threshold} of type '{type(threshold)}'."
        )
    if not 0.0 < threshold <= 1.0:
        raise ValueError(
            "Invalid `threshold` argument value. It should verify 0 < threshold <= 1. "
            f"Received: threshold={threshold}."
        )
    return threshold


class FBetaScore(Metric):
    """(1 + beta ** 2) * precision * recall / (beta ** 2 * precision + recall) of each class.

    Args:
        average: over classes: None gives one score for each class, "macro" their mean, "weighted"
            their mean weighted by the number of true samples, "micro" counts all classes together.
        beta: weight of the recall, a float > 0.
        threshold: scores above it mean yes, a float in (0, 1]; None: the best class is chosen.
        name, dtype: as for `Metric`.
    """

    true_positives: Variable
    false_positives: Variable
    false_negatives: Variable
    intermediate_weights: Variable

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(dtype, name)
        owner = type(self).__name__
        explanation = (
            "Invalid `average` argument value. Expected one of: {None, 'micro', 'macro', "
            f"'weighted'}}. Received: average={average}."
        )
        self.average = check_argument(
            owner, "average", average, OneOf(*_AVERAGES, optional=True), explanation
        )
        self.beta, self.threshold = _checked_beta(beta), _checked_threshold(threshold)
        self._built = False

    def _build(self, y_true_shape: tuple[Any, ...], y_pred_shape: tuple[Any, ...]) -> None:
        """Make the counts for labels and scores (batch, classes)."""
        both = f"y_pred.shape={tuple(y_pred_shape)} and y_true.shape={tuple(y_true_shape)}."
        expects = f"{type(self).__name__} expects 2D inputs with shape (batch_size, output_dim)"
        if len(y_true_shape) != 2 or len(y_pred_shape) != 2:
            raise ValueError(f"{expects}. Received input shapes: {both}")
        if y_true_shape[-1] is None or y_pred_shape[-1] is None:
            raise ValueError(
                f"{expects}, with output_dim fully defined (not None). Received input shapes: "
                f"{both}"
            )
        if y_true_shape != y_pred_shape:
            raise ValueError(f"{expects}, the same for both. Received input shapes: {both}")
        classes = y_true_shape[1]
        shape = () if self.average == "micro" else (classes,)
        self.true_positives = self.add_variable(shape, name="true_positives")
        self.false_positives = self.add_variable(shape, name="false_positives")
        self.false_negatives = self.add_variable(shape, name="false_negatives")
        self.intermediate_weights = self.add_variable(shape, name="intermediate_weights")
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take one batch of labels 0 and 1 and scores (batch, classes) into account."""
        y_true, y_pred = ops.cast(y_true, self.dtype), ops.cast(y_pred, self.dtype)
        if not self._built:
            self._build(y_true.shape, y_pred.shape)
        if self.threshold is None:
            best = y_pred >= ops.max(y_pred, axis=-1, keepdims=True)
            chosen = ops.logical_and(best, ops.abs(y_pred) > _ZERO)
        else:
            chosen = y_pred > self.threshold
        y_pred = ops.cast(chosen, self.dtype)
        weights = None
        if sample_weight is not None:
            weights = ops.reshape(ops.cast(sample_weight, self.dtype), (-1, 1))
        axis = None if self.average == "micro" else 0
        for variable, part in (
            (self.true_positives, y_pred * y_true),
            (self.false_positives, y_pred * (1.0 - y_true)),
            (self.false_negatives, (1.0 - y_pred) * y_true),
            (self.intermediate_weights, y_true),
        ):
            variable.assign_add(ops.sum(part if weights is None else part * weights, axis=axis))

    def result(self) -> Any:
        if not self._built:
            return ops.convert_to_tensor(0.0)
        hits, square = self.true_positives, self.beta**2
        precision = ops.divide_no_nan(hits, hits + self.false_positives)
        recall = ops.divide_no_nan(hits, hits + self.false_negatives)
        score = ops.divide_no_nan((1.0 + square) * precision * recall, square * precision + recall)
        if self.average == "macro":
            return ops.mean(score)
        if self.average == "weighted":
            weights = self.intermediate_weights
            return ops.sum(score * ops.divide_no_nan(weights, ops.sum(weights)))
        return score

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "average": self.average,
            "beta": self.beta,
            "threshold": self.threshold,
        }


class F1Score(FBetaScore):
    """`FBetaScore` with beta 1: the harmonic mean of precision and recall."""

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self) -> dict[str, Any]:
        described = super().get_config()
        del described["beta"]
        return described
