"""Losses as metrics, and how far numbers are from their targets."""

from __future__ import annotations

from typing import Any

from lamina import config, losses, ops
from lamina.losses.base import squeeze_or_expand
from lamina.metrics.base import Mean, MeanMetricWrapper, Metric
from lamina.tensor import Tensor
from lamina.tracing import symbolic_op
from lamina.validation import Boolean, Integer, OneOf, Real, check_argument


class MeanSquaredError(MeanMetricWrapper):
    """Mean of squared errors."""

    def __init__(self, name: str | None = "mean_squared_error", dtype: Any = None) -> None:
        super().__init__(losses.mean_squared_error, name, dtype)


class MeanAbsoluteError(MeanMetricWrapper):
    """Mean of absolute errors."""

    def __init__(self, name: str | None = "mean_absolute_error", dtype: Any = None) -> None:
        super().__init__(losses.mean_absolute_error, name, dtype)


class MeanAbsolutePercentageError(MeanMetricWrapper):
    """Mean of absolute errors relative to the target, in percent."""

    def __init__(
        self, name: str | None = "mean_absolute_percentage_error", dtype: Any = None
    ) -> None:
        super().__init__(losses.mean_absolute_percentage_error, name, dtype)


class MeanSquaredLogarithmicError(MeanMetricWrapper):
    """Mean of squared differences of log(1 + y)."""

    def __init__(
        self, name: str | None = "mean_squared_logarithmic_error", dtype: Any = None
    ) -> None:
        super().__init__(losses.mean_squared_logarithmic_error, name, dtype)


class LogCoshError(MeanMetricWrapper):
    """Mean of log(cosh(error))."""

    def __init__(self, name: str | None = "logcosh", dtype: Any = None) -> None:
        super().__init__(losses.log_cosh, name, dtype)


class Hinge(MeanMetricWrapper):
    """Mean of max(1 - y_true * y_pred, 0)."""

    def __init__(self, name: str | None = "hinge", dtype: Any = None) -> None:
        super().__init__(losses.hinge, name, dtype)


class SquaredHinge(MeanMetricWrapper):
    """Mean of max(1 - y_true * y_pred, 0) ** 2."""

    def __init__(self, name: str | None = "squared_hinge", dtype: Any = None) -> None:
        super().__init__(losses.squared_hinge, name, dtype)


class CategoricalHinge(MeanMetricWrapper):
    """Mean of max(best wrong score - right score + 1, 0)."""

    def __init__(self, name: str | None = "categorical_hinge", dtype: Any = None) -> None:
        super().__init__(losses.categorical_hinge, name, dtype)


class KLDivergence(MeanMetricWrapper):
    """Mean of sum(y_true * log(y_true / y_pred))."""

    def __init__(self, name: str | None = "kl_divergence", dtype: Any = None) -> None:
        super().__init__(losses.kl_divergence, name, dtype)


class Poisson(MeanMetricWrapper):
    """Mean of y_pred - y_true * log(y_pred)."""

    def __init__(self, name: str | None = "poisson", dtype: Any = None) -> None:
        super().__init__(losses.poisson, name, dtype)


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
            axis=check_argument(owner, "axis", axis, Integer()),
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
            ignore_class=check_argument(
                owner, "ignore_class", ignore_class, Integer(optional=True)
            ),
            axis=check_argument(owner, "axis", axis, Integer()),
        )


def _cosine(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    return -losses.cosine_similarity(y_true, y_pred, axis)


class CosineSimilarity(MeanMetricWrapper):
    """Mean cosine of the angle between targets and predictions; 1 is best."""

    def __init__(
        self, name: str | None = "cosine_similarity", dtype: Any = None, axis: int = -1
    ) -> None:
        axis = check_argument("CosineSimilarity", "axis", axis, Integer())
        super().__init__(_cosine, name, dtype, axis=axis)

    def get_config(self) -> dict[str, Any]:
        described = super().get_config()
        del described["axis"]  # as Keras writes it
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
        wrong = "Invalid value for argument `{}`."
        self.class_aggregation = check_argument(
            "R2Score",
            "class_aggregation",
            class_aggregation,
            kinds,
            wrong.format("class_aggregation"),
        )
        self.num_regressors = check_argument(
            "R2Score",
            "num_regressors",
            num_regressors,
            Integer(0),
            wrong.format("num_regressors"),
        )
        self.num_samples = self.add_variable((), name="num_samples")
        self._sums: list[Any] = []

    def _build(self, y_true_shape: tuple[Any, ...], y_pred_shape: tuple[Any, ...]) -> None:
        """Make the sums for values (batch, outputs)."""
        if len(y_true_shape) != 2 or len(y_pred_shape) != 2:
            raise ValueError(
                "R2Score expects 2D inputs with shape (batch, outputs). Got y_true of shape "
                f"{tuple(y_true_shape)} and y_pred of shape {tuple(y_pred_shape)}."
            )
        outputs = y_true_shape[1]
        kinds = ("squared_sum", "sum", "residual", "count")
        self._sums = [self.add_variable((outputs,), name=kind) for kind in kinds]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take one batch of y_true, y_pred (batch, outputs) into account."""
        y_true, y_pred = squeeze_or_expand(
            ops.cast(y_true, self.dtype), ops.cast(y_pred, self.dtype)
        )
        if not self._sums:
            self._build(y_true.shape, y_pred.shape)
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
        axis = check_argument("PearsonCorrelation", "axis", axis, Integer())
        super().__init__(pearson_correlation, name, dtype, axis=axis)


class ConcordanceCorrelation(MeanMetricWrapper):
    """Mean concordance of targets and predictions along `axis`."""

    def __init__(
        self, name: str | None = "concordance_correlation", dtype: Any = None, axis: int = -1
    ) -> None:
        axis = check_argument("ConcordanceCorrelation", "axis", axis, Integer())
        super().__init__(concordance_correlation, name, dtype, axis=axis)
