"""Losses as metrics, and how far numbers are from their targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lamina import config, losses, ops
from lamina.losses.base import squeeze_or_expand
from lamina.metrics.base import Mean, MeanMetricWrapper, Metric
from lamina.tensor import Tensor
from lamina.tracing import symbolic_op
from lamina.validation import Boolean, Integer, OneOf, Real, check_argument


class _LossMetric(MeanMetricWrapper):
    """The mean of a loss function that takes no further arguments."""

    function: Callable[..., Any]
    default_name: str

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(type(self).function, name or self.default_name, dtype)


class MeanSquaredError(_LossMetric):
    """Mean of squared errors."""

    function = staticmethod(losses.mean_squared_error)
    default_name = "mean_squared_error"


class MeanAbsoluteError(_LossMetric):
    """Mean of absolute errors."""

    function = staticmethod(losses.mean_absolute_error)
    default_name = "mean_absolute_error"


class MeanAbsolutePercentageError(_LossMetric):
    """Mean of absolute errors relative to the target, in percent."""

    function = staticmethod(losses.mean_absolute_percentage_error)
    default_name = "mean_absolute_percentage_error"


class MeanSquaredLogarithmicError(_LossMetric):
    """Mean of squared differences of log(1 + y)."""

    function = staticmethod(losses.mean_squared_logarithmic_error)
    default_name = "mean_squared_logarithmic_error"


class LogCoshError(_LossMetric):
    """Mean of log(cosh(error))."""

    function = staticmethod(losses.log_cosh)
    default_name = "logcosh"


class Hinge(_LossMetric):
    """Mean of max(1 - y_true * y_pred, 0)."""

    function = staticmethod(losses.hinge)
    default_name = "hinge"


class SquaredHinge(_LossMetric):
    """Mean of max(1 - y_true * y_pred, 0) ** 2."""

    function = staticmethod(losses.squared_hinge)
    default_name = "squared_hinge"


class CategoricalHinge(_LossMetric):
    """Mean of max(best wrong score - right score + 1, 0)."""

    function = staticmethod(losses.categorical_hinge)
    default_name = "categorical_hinge"


class KLDivergence(_LossMetric):
    """Mean of sum(y_true * log(y_true / y_pred))."""

    function = staticmethod(losses.kl_divergence)
    default_name = "kl_divergence"


class Poisson(_LossMetric):
    """Mean of y_pred - y_true * log(y_pred)."""

    function = staticmethod(losses.poisson)
    default_name = "poisson"


class BinaryCrossentropy(MeanMetricWrapper):
    """Mean of binary cross-entropy (see `losses.binary_crossentropy`)."""

    def __init__(
        self,
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
    ) -> None:
        owner = "BinaryCrossentropy"
        super().__init__(
            losses.binary_crossentropy,
            name,
            dtype,
            from_logits=check_argument(owner, "from_logits", from_logits, Boolean()),
            label_smoothing=check_argument(owner, "label_smoothing", label_smoothing, Real(0, 1)),
        )


class CategoricalCrossentropy(MeanMetricWrapper):
    """Mean of categorical cross-entropy (see `losses.categorical_crossentropy`)."""

    def __init__(
        self,
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
        axis: int = -1,
    ) -> None:
        owner = "CategoricalCrossentropy"
        super().__init__(
            losses.categorical_crossentropy,
            name,
            dtype,
            from_logits=check_argument(owner, "from_logits", from_logits, Boolean()),
            label_smoothing=check_argument(owner, "label_smoothing", label_smoothing, Real(0, 1)),
            axis=axis,
        )


class SparseCategoricalCrossentropy(MeanMetricWrapper):
    """Mean of cross-entropy with class ids (see `losses.sparse_categorical_crossentropy`)."""

    def __init__(
        self,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        owner = "SparseCategoricalCrossentropy"
        super().__init__(
            losses.sparse_categorical_crossentropy,
            name,
            dtype,
            from_logits=check_argument(owner, "from_logits", from_logits, Boolean()),
            ignore_class=ignore_class,
            axis=axis,
        )


def _cosine(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    return -losses.cosine_similarity(y_true, y_pred, axis)


class CosineSimilarity(MeanMetricWrapper):
    """Mean cosine of the angle between targets and predictions; 1 is best."""

    def __init__(
        self, name: str | None = "cosine_similarity", dtype: Any = None, axis: int = -1
    ) -> None:
        super().__init__(_cosine, name, dtype, axis=axis)

    def get_config(self) -> dict[str, Any]:
        described = super().get_config()
        if described["axis"] == -1:  # Keras writes no axis
            del described["axis"]
        return described


class RootMeanSquaredError(Mean):
    """Square root of the mean squared error over all elements."""

    def __init__(self, name: str | None = "root_mean_squared_error", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def update_state(  # type: ignore[override]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Take one batch into account."""
        y_pred = ops.cast(y_pred, self.dtype)
        y_true, y_pred = squeeze_or_expand(ops.cast(y_true, self.dtype), y_pred)
        super().update_state(ops.square(y_pred - y_true), sample_weight)

    def result(self) -> Any:
        return ops.sqrt(super().result())


class R2Score(Metric):
    """Share of the variance of the targets that predictions explain; 1 is best.

    Args:
        class_aggregation: over outputs: "uniform_average", "variance_weighted_average" or None.
        num_regressors: number of inputs, for the adjusted score; 0, or too many for the number
            of samples: not adjusted.
        name, dtype: as for `Metric`.
    """

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str | None = "r2_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(dtype, name)
        kinds = OneOf("uniform_average", "variance_weighted_average", optional=True)
        self.class_aggregation = check_argument(
            "R2Score", "class_aggregation", class_aggregation, kinds
        )
        self.num_regressors = check_argument(
            "R2Score", "num_regressors", num_regressors, Integer(0)
        )
        self.num_samples = self.add_variable((), name="num_samples")
        self._sums: list[Any] = []

    def _build(self, outputs: int) -> None:
        kinds = ("squared_sum", "sum", "residual", "count")
        self._sums = [self.add_variable((outputs,), name=kind) for kind in kinds]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take one batch of y_true, y_pred (batch, outputs) into account."""
        y_true, y_pred = squeeze_or_expand(
            ops.cast(y_true, self.dtype), ops.cast(y_pred, self.dtype)
        )
        if not self._sums:
            self._build(y_true.shape[1])
        weights = ops.ones_like(y_true)
        if sample_weight is not None:
            sample_weight = ops.cast(sample_weight, self.dtype)
            if sample_weight.ndim == 1:
                sample_weight = ops.expand_dims(sample_weight, -1)
            weights = weights * sample_weight
        weighted = y_true * weights
        parts = (weighted * y_true, weighted, ops.square(y_true - y_pred) * weights, weights)
        for total, part in zip(self._sums, parts, strict=True):
            total.assign_add(ops.sum(part, axis=0))
        self.num_samples.assign_add(float(y_true.size))  # of every output, as Keras counts

    def result(self) -> Any:
        if not self._sums:
            return ops.convert_to_tensor(0.0)
        squared_sum, total, residual, count = self._sums
        spread = squared_sum - total * total / count
        score = 1.0 - residual / spread
        score = ops.where(ops.isinf(score), 0.0, score)  # a constant target, not met
        if self.class_aggregation == "uniform_average":
            score = ops.mean(score)
        elif self.class_aggregation == "variance_weighted_average":
            score = ops.divide_no_nan(ops.sum(score * spread), ops.sum(spread))
        if self.num_regressors:
            free = self.num_samples - 1.0
            rest = free - float(self.num_regressors)
            adjusted = 1.0 - ops.divide_no_nan((1.0 - score) * free, rest)
            score = ops.where(rest > 0, adjusted, score)
        return score

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "class_aggregation": self.class_aggregation,
            "num_regressors": self.num_regressors,
        }


def _centred(y: Any, axis: int) -> tuple[Tensor, Tensor]:
    y = ops.cast(y, config.floatx())
    mean = ops.mean(y, axis=axis, keepdims=True)
    return y - mean, mean


@symbolic_op
def pearson_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """Return the correlation of y_true and y_pred along `axis`, in [-1, 1]."""
    (a, _), (b, _) = _centred(y_true, axis), _centred(y_pred, axis)
    norm = ops.sqrt(ops.sum(a * a, axis=axis) * ops.sum(b * b, axis=axis))
    return ops.sum(a * b, axis=axis) / (norm + config.epsilon())


@symbolic_op
def concordance_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """Return how well y_pred lies on the line y_pred = y_true along `axis`, in [-1, 1]."""
    (a, mean_a), (b, mean_b) = _centred(y_true, axis), _centred(y_pred, axis)
    shared = ops.mean(a * b, axis=axis)
    spread = ops.mean(a * a, axis=axis) + ops.mean(b * b, axis=axis)
    shift = ops.squeeze(ops.square(mean_a - mean_b), axis)
    return 2.0 * shared / (spread + shift + config.epsilon())


class PearsonCorrelation(MeanMetricWrapper):
    """Mean correlation of targets and predictions along `axis`."""

    def __init__(
        self, name: str | None = "pearson_correlation", dtype: Any = None, axis: int = -1
    ) -> None:
        super().__init__(pearson_correlation, name, dtype, axis=axis)


class ConcordanceCorrelation(MeanMetricWrapper):
    """Mean concordance of targets and predictions along `axis`."""

    def __init__(
        self, name: str | None = "concordance_correlation", dtype: Any = None, axis: int = -1
    ) -> None:
        super().__init__(concordance_correlation, name, dtype, axis=axis)
