"""What `compile` was given, resolved against the model's outputs: losses and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lamina import losses as losses_module
from lamina import metrics as metrics_module
from lamina import ops, structure
from lamina.validation import did_you_mean

_ACCURACY = ("accuracy", "acc")
_CROSSENTROPY = ("crossentropy", "ce")


def spread(value: Any, names: Sequence[str], argument: str, structured: bool) -> list[Any]:
    """One entry per output, from a dict by output name, a list, or a single value.

    Args:
        structured: whether a single value is meant for the only output (True), or a list for one
            output is itself the entry.

    Raises:
        ValueError: for unknown names or a list of another length.
    """
    if value is None:
        return [None] * len(names)
    if isinstance(value, Mapping):
        for key in value:
            if key not in names:
                raise ValueError(
                    f"compile(): {argument} names {key!r}, but the outputs are {list(names)}."
                    f"{did_you_mean(key, names)}"
                )
        entries = [value.get(name) for name in names]
        return [_only(entry) for entry in entries] if structured else entries
    if isinstance(value, (list, tuple)) and (structured or len(names) > 1):
        if argument in ("loss", "loss_weights") and len(value) != len(names):
            value = structure.flatten(value)  # nested as the outputs are
        if len(value) != len(names):
            raise ValueError(
                f"compile(): {argument} has {len(value)} entries, the model has {len(names)} "
                f"outputs: {list(names)}."
            )
        return [_only(entry) for entry in value] if structured else list(value)
    return [value] if len(names) == 1 else [value] * len(names)


def _only(entry: Any) -> Any:
    """The one element of a list of one; anything else as it is."""
    return entry[0] if isinstance(entry, (list, tuple)) and len(entry) == 1 else entry


def is_label_kind(y_true: Any, y_pred: Any) -> tuple[bool, bool]:
    """(binary, sparse): how `accuracy` reads labels of this shape."""
    true_shape, pred_shape = y_true.shape, y_pred.shape
    binary = pred_shape[-1] == 1
    shorter = len(true_shape) < len(pred_shape)
    column = bool(true_shape) and true_shape[-1] == 1 and pred_shape[-1] != 1
    return binary, shorter or column


def _automatic_metric(identifier: str, y_true: Any, y_pred: Any) -> Any:
    binary, sparse = is_label_kind(y_true, y_pred)
    kind = "Binary" if binary else "SparseCategorical" if sparse else "Categorical"
    family = "Accuracy" if identifier.lower() in _ACCURACY else "Crossentropy"
    return getattr(metrics_module, kind + family)(name=identifier)


def resolve_metric(identifier: Any, y_true: Any, y_pred: Any) -> Any:
    """A Metric for what the user wrote; "accuracy" is chosen by the shapes."""
    if isinstance(identifier, metrics_module.Metric):
        return identifier
    if isinstance(identifier, str) and identifier.lower() in (*_ACCURACY, *_CROSSENTROPY):
        return _automatic_metric(identifier, y_true, y_pred)
    found = metrics_module.get(identifier)
    if isinstance(identifier, str):
        name = identifier
    else:
        own = getattr(found, "name", None) or getattr(found, "__name__", type(found).__name__)
        name = str(own).replace("<lambda>", "lambda")
    if isinstance(found, metrics_module.Metric):
        if isinstance(identifier, str):
            found.name = name
        return found
    return metrics_module.MeanMetricWrapper(found, name=name)


def resolve_loss(identifier: Any) -> Any:
    """A Loss object for what the user wrote."""
    if identifier is None or isinstance(identifier, losses_module.Loss):
        return identifier
    found = losses_module.get(identifier)
    if isinstance(found, losses_module.Loss):
        return found
    if isinstance(found, type):
        return found()
    name = getattr(found, "__name__", type(found).__name__)
    return losses_module.LossFunctionWrapper(found, name=name)


class CompileLoss:
    """The losses of all outputs and their weighted sum."""

    def __init__(
        self, loss: Any, loss_weights: Any, names: Sequence[str], keys: Sequence[str]
    ) -> None:
        if isinstance(loss, Mapping) and set(loss) != set(keys):
            raise ValueError(
                f"compile(): loss names {sorted(map(str, loss))}, but the outputs are {list(keys)}."
            )
        if loss_weights is not None and isinstance(loss_weights, (list, tuple)):
            count = len(loss) if isinstance(loss, (list, tuple, Mapping)) else 1
            if len(loss_weights) != count:
                raise ValueError(
                    f"compile(): loss_weights must have one entry per loss, got {count} losses and "
                    f"{len(loss_weights)} weights."
                )
        self.names = list(names)
        self.losses = [resolve_loss(item) for item in spread(loss, keys, "loss", structured=True)]
        weights = spread(loss_weights, keys, "loss_weights", structured=True)
        self.weights = [None if w is None else float(w) for w in weights]
        many = sum(item is not None for item in self.losses) > 1
        self.trackers = [
            metrics_module.Mean(name=f"{name}_loss") if many and item is not None else None
            for name, item in zip(self.names, self.losses, strict=True)
        ]

    def __call__(
        self, y_true: Sequence[Any], y_pred: Sequence[Any], sample_weight: Sequence[Any]
    ) -> tuple[Any, list[tuple[Any, Any]]]:
        """The total loss, and (tracker, value) pairs of the single ones."""
        total, tracked = None, []
        rows = zip(
            self.losses, self.weights, self.trackers, y_true, y_pred, sample_weight, strict=True
        )
        for loss, weight, tracker, true, pred, sample in rows:
            if loss is None or true is None:
                continue
            _check_labels(loss, true, pred)
            value = ops.cast(loss(true, pred, sample_weight=sample), pred.dtype)
            if tracker is not None:
                tracked.append((tracker, value))
            if weight is not None:
                value = value * weight
            total = value if total is None else total + value
        return total, tracked


class CompileMetrics(metrics_module.Metric):
    """All metrics given to `compile`, behind the interface of one."""

    def __init__(
        self, metrics: Any, weighted_metrics: Any, names: Sequence[str], keys: Sequence[str]
    ) -> None:
        super().__init__(name="compile_metrics")
        self._user = spread(metrics, keys, "metrics", structured=len(keys) > 1)
        self._user_weighted = spread(
            weighted_metrics, keys, "weighted_metrics", structured=len(keys) > 1
        )
        for entry in structure.flatten([self._user, self._user_weighted]):
            check_metric(entry)
        self._output_names = list(names)
        self._entries: list[tuple[int, bool, Any]] = []  # (output, weighted, metric)
        self.built = False

    @property
    def is_empty(self) -> bool:
        return all(m is None for m in structure.flatten([self._user, self._user_weighted]))

    def build(self, y_true: Sequence[Any], y_pred: Sequence[Any]) -> None:
        """Choose the metrics for these labels and outputs. Called once."""
        plain, weighted = [], []
        for index, (true, pred) in enumerate(zip(y_true, y_pred, strict=True)):
            for entry in _as_list(self._user[index]):
                plain.append((index, False, resolve_metric(entry, true, pred)))
            for entry in _as_list(self._user_weighted[index]):
                weighted.append((index, True, resolve_metric(entry, true, pred)))
        self._entries = plain + weighted
        self.built = True

    @property
    def metrics(self) -> list[Any]:
        return [metric for _, _, metric in self._entries]

    @property
    def variables(self) -> list[Any]:
        return [v for metric in self.metrics for v in metric.variables]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        for index, is_weighted, metric in self._entries:
            true, pred = y_true[index], y_pred[index]
            if true is None:
                continue
            sample = sample_weight[index] if is_weighted else None
            if sample is not None:
                metric.update_state(true, pred, sample_weight=sample)
            else:
                metric.update_state(true, pred)

    def reset_state(self) -> None:
        for metric in self.metrics:
            metric.reset_state()

    def result(self) -> dict[str, Any]:
        """Results by log name: prefixed by the output's name when there are several outputs."""
        results: dict[str, Any] = {}
        counts: dict[str, int] = {}
        for index, is_weighted, metric in self._entries:
            prefix = f"{self._output_names[index]}_" if len(self._output_names) > 1 else ""
            name = prefix + metric.name
            if name in counts and is_weighted:
                name = f"{prefix}weighted_{metric.name}"
            if name in counts:
                counts[name] += 1
                name = f"{name}_{counts[name] - 1}"
            counts.setdefault(name, 1)
            value = metric.result()
            if isinstance(value, dict):
                results.update(value)
            else:
                results[name] = value
        return results


# Losses whose labels have a shape of their own: class numbers, or sequences.
_OWN_LABELS = (
    "sparse_categorical_crossentropy",
    "categorical_generalized_cross_entropy",
    "circle",
    "ctc",
)


def _check_labels(loss: Any, y_true: Any, y_pred: Any) -> None:
    """Refuse labels that would only be stretched over the outputs.

    Raises:
        ValueError: with both shapes.
    """
    fn: Any = getattr(loss, "fn", None)
    if getattr(fn, "__module__", "") != "lamina.losses.functions" or fn.__name__ in _OWN_LABELS:
        return
    true, pred = tuple(y_true.shape), tuple(y_pred.shape)
    if len(true) + 1 == len(pred) and pred[-1] == 1:
        true = (*true, 1)
    elif len(true) == len(pred) + 1 and true[-1] == 1:
        true = true[:-1]
    if true != pred:
        raise ValueError(
            f"{loss.name}: labels of shape {tuple(y_true.shape)} do not match predictions of shape "
            f"{pred}. The last layer's units (or y) must be such that the two are alike."
        )


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def check_metric(entry: Any) -> None:
    """Complain about a misspelt metric at compile, not in the middle of fit."""
    if isinstance(entry, str) and entry.lower() not in (*_ACCURACY, *_CROSSENTROPY):
        metrics_module.check_name(entry)
    elif (
        entry is not None
        and not isinstance(entry, (str, metrics_module.Metric, Mapping))
        and not callable(entry)
    ):
        raise ValueError(f"compile(): a metric is a name, a function or a Metric. Got {entry!r}.")
