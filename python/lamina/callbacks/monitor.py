"""What callbacks that watch one metric share."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from lamina import ops
from lamina.callbacks.callback import Callback
from lamina.validation import Real, check_argument

MODES = ("auto", "min", "max")

# Which way a metric's classes improve. A metric of the user's own says it by `_direction`, "up" or
# "down"; counts such as TruePositives say nothing.
HIGHER_IS_BETTER = frozenset(
    """
    AUC Accuracy BinaryAccuracy BinaryIoU CategoricalAccuracy ConcordanceCorrelation
    CosineSimilarity F1Score FBetaScore IoU MeanIoU OneHotIoU OneHotMeanIoU PearsonCorrelation
    Precision PrecisionAtRecall R2Score Recall RecallAtPrecision SensitivityAtSpecificity
    SparseCategoricalAccuracy SparseTopKCategoricalAccuracy SpecificityAtSensitivity
    TopKCategoricalAccuracy
    """.split()
)
LOWER_IS_BETTER = frozenset(
    """
    BinaryCrossentropy CategoricalCrossentropy CategoricalHinge Hinge KLDivergence LogCoshError
    MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError
    Poisson RootMeanSquaredError SparseCategoricalCrossentropy SquaredHinge
    """.split()
)


def checked_bound(owner: str, argument: str, value: Any) -> float | None:
    """Return a number, which may be infinite, or None.

    Raises:
        ValueError: for anything else.
    """
    if value is not None and not (isinstance(value, numbers.Real) and value == value):
        raise ValueError(f"{owner}: {argument} must be a number or None. Got {value!r}.")
    return value  # type: ignore[return-value]


class MonitorCallback(Callback):
    """Base of callbacks that ask whether a metric has improved.

    Args:
        monitor: name of the log.
        mode: "min", "max", or "auto": the metric itself says which way is better.
        baseline: value to beat at first; None: the first value is an improvement.
        min_delta: smallest change that counts as an improvement.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str = "auto",
        baseline: float | None = None,
        min_delta: float = 0,
    ) -> None:
        super().__init__()
        if not isinstance(monitor, str):
            raise TypeError(
                f"{type(self).__name__}: monitor must be the name of a log. Got {monitor!r}."
            )
        if mode not in MODES:
            warnings.warn(
                f"{type(self).__name__} mode {mode!r} is unknown: it must be one of {MODES}. "
                "'auto' is used.",
                stacklevel=3,
            )
            mode = "auto"
        self.monitor = monitor
        self.mode = mode
        self.best = baseline
        self.min_delta = abs(check_argument(type(self).__name__, "min_delta", min_delta, Real()))
        self.monitor_op: Callable[[float, float], Any] | None = None

    def _set_monitor_op(self) -> None:
        """Decide which way is better; waits for the first epoch, when the metrics exist."""
        is_better: Callable[[float, float], Any]
        if self.mode != "auto":
            is_better = ops.less if self.mode == "min" else ops.greater
        else:
            is_better = self._direction_of_metric()
        self.monitor_op = is_better
        if is_better is ops.less:
            self.min_delta = -self.min_delta

    def _direction_of_metric(self) -> Callable[[float, float], Any]:
        name = self.monitor.removeprefix("val_")
        if name == "loss":
            return ops.less
        for metric in _all_metrics(self.model):
            # With several outputs the log's name begins with that of the output.
            if name == metric.name or name.endswith(f"_{metric.name}"):
                direction = _direction(metric)
                if direction is not None:
                    return ops.greater if direction == "up" else ops.less
        raise ValueError(
            f"{type(self).__name__}: whether {self.monitor!r} should become larger or smaller is "
            "not known. Pass mode='max' or mode='min'."
        )

    def _is_improvement(self, value: float, reference: float | None) -> bool:
        if reference is None:
            return True
        if self.monitor_op is None:
            self._set_monitor_op()
        assert self.monitor_op is not None
        return bool(self.monitor_op(value - self.min_delta, reference))


def _direction(metric: Any) -> str | None:
    """ "up" or "down": where the metric goes when the model gets better; None: not known."""
    own: str | None = getattr(metric, "_direction", None)
    if own is not None:
        return own
    classes = {kind.__name__ for kind in type(metric).__mro__}
    if classes & HIGHER_IS_BETTER:
        return "up"
    return "down" if classes & LOWER_IS_BETTER else None


def _all_metrics(model: Any) -> Iterator[Any]:
    """The metrics of a model and those that its containers of metrics hold."""
    for metric in getattr(model, "metrics", ()):
        yield metric
        yield from _all_metrics(metric)
