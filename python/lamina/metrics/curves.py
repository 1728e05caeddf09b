"""Metrics over a whole range of thresholds: area under a curve, one rate at a given other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lamina import config, ops
from lamina.metrics.base import Metric
from lamina.metrics.confusion import (
    KINDS,
    aligned,
    bucket_counts,
    column,
    confusion_counts,
    even_thresholds,
    standard_thresholds,
)
from lamina.tensor import Tensor
from lamina.validation import Boolean, Integer, Numbers, OneOf, Real, check_argument


class _Curve(Metric):
    """Keeps the four counts at many thresholds."""

    thresholds: list[float]
    is_even: bool  # the thresholds are those of `bucket_counts`

    def _add_counts(self, shape: tuple[int, ...]) -> None:
        for kind in KINDS:
            object.__setattr__(self, kind, self.add_variable(shape, name=kind))

    def _count(self, y_true: Tensor, y_pred: Tensor, weights: Tensor | None) -> None:
        if self.is_even:
            counts = bucket_counts(y_true, y_pred, weights, len(self.thresholds))
        else:
            counts = confusion_counts(y_true, y_pred, weights, self.thresholds)
        for kind in KINDS:
            getattr(self, kind).assign_add(counts[kind])

    def _counts(self) -> tuple[Tensor, ...]:
        return tuple(ops.convert_to_tensor(getattr(self, kind)) for kind in KINDS)


class AUC(_Curve):
    """Area under the curve of rates that a range of thresholds gives.

    Args:
        num_thresholds: how many, evenly over [0, 1]; more are more exact.
        curve: "ROC" (recall over false positive rate), "PR" (precision over recall) or "PRGAIN"
            (precision gain over recall gain, in which always saying yes has area 0).
        summation_method: between thresholds: "interpolation" (trapezoids for ROC, Davis and
            Goadrich's for PR), "minoring" or "majoring" (the lower or higher end).
        name, dtype: as for `Metric`.
        thresholds: own thresholds in [0, 1] in the place of even ones.
        multi_label: whether each column has a curve of its own; their areas are averaged.
        num_labels: number of columns with `multi_label`.
        label_weights: weights of the columns, or None; with `multi_label` those of their areas,
            else those of their samples.
        from_logits: whether scores go through a sigmoid first.

    Source: Davis, Goadrich. The relationship between precision-recall and ROC curves. 2006.
    Flach, Kull. Precision-recall-gain curves: PR analysis done right. 2015.
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Any = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Any = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(dtype, name)
        explanation = f'Invalid AUC curve value: "{curve}".'
        kinds = OneOf("ROC", "PR", "PRGAIN")
        self.curve = check_argument("AUC", "curve", curve, kinds, explanation)
        explanation = f'Invalid AUC summation method value: "{summation_method}".'
        methods = OneOf("interpolation", "minoring", "majoring")
        self.summation_method = check_argument(
            "AUC", "summation_method", summation_method, methods, explanation
        )
        epsilon = config.epsilon()
        self.init_thresholds = thresholds
        self.is_even = thresholds is None
        if thresholds is None:
            explanation = "Argument `num_thresholds` must be an integer > 1."
            count = check_argument("AUC", "num_thresholds", num_thresholds, Integer(2), explanation)
            self.thresholds = even_thresholds(count, epsilon)
        else:
            own = sorted(standard_thresholds("AUC", thresholds))
            self.thresholds = [0.0 - epsilon, *own, 1.0 + epsilon]
        self.num_thresholds = len(self.thresholds)
        self.multi_label = check_argument("AUC", "multi_label", multi_label, Boolean())
        self.from_logits = check_argument("AUC", "from_logits", from_logits, Boolean())
        self.num_labels = check_argument(
            "AUC", "num_labels", num_labels, Integer(1, optional=True)
        )  # fmt: skip
        if num_labels is not None and not multi_label:
            raise ValueError(f"AUC: num_labels needs multi_label=True. Got {num_labels!r}.")
        self.label_weights = check_argument(
            "AUC", "label_weights", label_weights, Numbers(optional=True)
        )
        self._is_built = False
        if not multi_label:
            self._build(())
        elif num_labels is not None:
            self._build((num_labels,))

    def _build(self, labels: tuple[int, ...]) -> None:
        self._add_counts((self.num_thresholds, *labels))
        self._is_built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take one batch into account.

        Args:
            y_true: labels 0 and 1 (batch, ...); with `multi_label` (batch, labels).
            y_pred: scores in [0, 1], or logits, of that shape.
            sample_weight: weights that broadcast over them, or None.
        """
        y_true, y_pred, weights = aligned(y_true, y_pred, sample_weight, self.dtype)
        if self.from_logits:
            y_pred = ops.sigmoid(y_pred)
        y_pred = ops.clip(y_pred, 0.0, 1.0)
        if not self._is_built:
            self._build((y_pred.shape[-1],))
        if self.multi_label:
            self._count(y_true, y_pred, weights)
            return
        if self.label_weights is not None:
            of_columns = ops.ones_like(y_pred) * self._weights_of_labels()
            weights = of_columns if weights is None else weights * of_columns
        weights = None if weights is None else ops.ravel(weights)
        self._count(ops.ravel(y_true), ops.ravel(y_pred), weights)

    def _weights_of_labels(self) -> Tensor:
        return ops.convert_to_tensor(self.label_weights, dtype=self.dtype)

    def interpolate_pr_auc(self) -> Tensor:
        """Return the area under the precision-recall curve by Davis and Goadrich's formula."""
        return self._averaged(ops.sum(self._pr_increments(), axis=0))

    def _pr_increments(self) -> Tensor:
        hits, false_positives, _, misses = self._counts()
        n = self.num_thresholds
        gained = hits[: n - 1] - hits[1:]
        said = hits + false_positives
        step = said[: n - 1] - said[1:]
        slope = ops.divide_no_nan(gained, ops.maximum(step, 0.0))
        offset = hits[1:] - slope * said[1:]
        both = ops.logical_and(said[: n - 1] > 0, said[1:] > 0)
        ratio = ops.where(both, ops.divide_no_nan(said[: n - 1], ops.maximum(said[1:], 0.0)), 1.0)
        total = ops.maximum(hits[1:] + misses[1:], 0.0)
        return ops.divide_no_nan(slope * (gained + offset * ops.log(ratio)), total)

    def _increments(self) -> Tensor:
        if self.curve == "PR" and self.summation_method == "interpolation":
            return self._pr_increments()
        hits, false_positives, correct_no, misses = self._counts()
        recall = ops.divide_no_nan(hits, hits + misses)
        if self.curve == "ROC":
            x = ops.divide_no_nan(false_positives, false_positives + correct_no)
            y = recall
        elif self.curve == "PR":
            x, y = recall, ops.divide_no_nan(hits, hits + false_positives)
        else:
            x, y = self._gains()
        n = self.num_thresholds
        left, right = y[: n - 1], y[1:]
        heights: dict[str, Callable[[], Tensor]] = {
            "interpolation": lambda: (left + right) / 2.0,
            "minoring": lambda: ops.minimum(left, right),
            "majoring": lambda: ops.maximum(left, right),
        }
        height = heights[self.summation_method]()
        return (x[: n - 1] - x[1:]) * height

    def _gains(self) -> tuple[Tensor, Tensor]:
        """Return recall gain and precision gain; where nothing is found they are 0 and 1."""
        hits, false_positives, correct_no, misses = self._counts()
        odds = ops.divide_no_nan(hits + misses, correct_no + false_positives)
        none = ops.equal(hits, 0)
        recall = 1.0 - odds * ops.divide_no_nan(misses, hits)
        precision = 1.0 - odds * ops.divide_no_nan(false_positives, hits)
        recall = ops.where(none, 0.0, ops.maximum(recall, 0.0))
        return recall, ops.where(none, 1.0, precision)

    def result(self) -> Any:
        if not self._is_built:
            return ops.convert_to_tensor(0.0)
        return self._averaged(ops.sum(self._increments(), axis=0))

    def _averaged(self, areas: Tensor) -> Tensor:
        if not self.multi_label:
            return areas
        if self.label_weights is None:
            return ops.mean(areas)
        weights = self._weights_of_labels()
        return ops.divide_no_nan(ops.sum(areas * weights), ops.sum(weights))

    def get_config(self) -> dict[str, Any]:
        described = {
            **super().get_config(),
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": self.label_weights,
            "from_logits": self.from_logits,
        }
        if self.init_thresholds is not None:
            described["thresholds"] = self.thresholds[1:-1]
        return described


class _AtRate(_Curve):
    """The best of one rate among the thresholds where another rate reaches a value."""

    argument: str  # the rate that has to reach `value`
    wanted: str  # the rate that is reported

    def __init__(
        self, value: float, num_thresholds: int, class_id: int | None, name: str | None, dtype: Any
    ) -> None:
        super().__init__(dtype, name)
        owner = type(self).__name__
        explanation = f"`{self.argument}` must be in the range [0, 1]."
        self.value = check_argument(owner, self.argument, value, Real(0, 1), explanation)
        explanation = "Argument `num_thresholds` must be an integer > 0."
        self.num_thresholds = check_argument(
            owner, "num_thresholds", num_thresholds, Integer(1), explanation
        )
        self.class_id = check_argument(owner, "class_id", class_id, Integer(0, optional=True))
        self.is_even = num_thresholds > 1
        self.thresholds = [0.5] if num_thresholds == 1 else even_thresholds(num_thresholds, 0.0)
        self._add_counts((self.num_thresholds,))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take one batch of labels 0 and 1 and scores in [0, 1] into account."""
        y_true, y_pred, weights = aligned(y_true, y_pred, sample_weight, self.dtype)
        if self.class_id is not None:
            y_true, y_pred, weights = column(self.class_id, y_true, y_pred, weights)
        flat = [None if t is None else ops.ravel(t) for t in (y_true, y_pred, weights)]
        self._count(flat[0], ops.clip(flat[1], 0.0, 1.0), flat[2])  # type: ignore[arg-type]

    def _rates(self) -> dict[str, Tensor]:
        hits, false_positives, correct_no, misses = self._counts()
        recall = ops.divide_no_nan(hits, hits + misses)
        return {
            "recall": recall,
            "sensitivity": recall,
            "precision": ops.divide_no_nan(hits, hits + false_positives),
            "specificity": ops.divide_no_nan(correct_no, correct_no + false_positives),
        }

    def result(self) -> Any:
        rates = self._rates()
        reached = rates[self.argument] >= self.value
        return ops.max(ops.where(reached, rates[self.wanted], 0.0))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_thresholds": self.num_thresholds,
            self.argument: self.value,
            "class_id": self.class_id,
        }


class SensitivityAtSpecificity(_AtRate):
    """The best share of labels 1 found where that of labels 0 is at least `specificity`.

    Args:
        specificity: number in [0, 1].
        num_thresholds: how many are tried, evenly over [0, 1].
        class_id: with it, only this column counts.
        name, dtype: as for `Metric`.
    """

    argument, wanted = "specificity", "sensitivity"

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(specificity, num_thresholds, class_id, name, dtype)
        self.specificity = self.value


class SpecificityAtSensitivity(_AtRate):
    """The best share of labels 0 found where that of labels 1 is at least `sensitivity`.

    Args:
        sensitivity: number in [0, 1].
        num_thresholds: how many are tried, evenly over [0, 1].
        class_id: with it, only this column counts.
        name, dtype: as for `Metric`.
    """

    argument, wanted = "sensitivity", "specificity"

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)
        self.sensitivity = self.value


class PrecisionAtRecall(_AtRate):
    """The best precision where the recall is at least `recall`.

    Args:
        recall: number in [0, 1].
        num_thresholds: how many are tried, evenly over [0, 1].
        class_id: with it, only this column counts.
        name, dtype: as for `Metric`.
    """

    argument, wanted = "recall", "precision"

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(recall, num_thresholds, class_id, name, dtype)
        self.recall = self.value


class RecallAtPrecision(_AtRate):
    """The best recall where the precision is at least `precision`.

    Args:
        precision: number in [0, 1].
        num_thresholds: how many are tried, evenly over [0, 1].
        class_id: with it, only this column counts.
        name, dtype: as for `Metric`.
    """

    argument, wanted = "precision", "recall"

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(precision, num_thresholds, class_id, name, dtype)
        self.precision = self.value
