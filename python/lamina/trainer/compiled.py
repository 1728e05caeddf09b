"""The metrics given to `compile`, resolved against the model's outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lamina import metrics as metrics_module
from lamina import structure
from lamina.trainer.alignment import aligned, is_label_kind, spread_weights
from lamina.validation import did_you_mean

_ACCURACY = ("accuracy", "acc")
_CROSSENTROPY = ("crossentropy", "ce")


def places_of_metrics(
    value: Any, y_pred: Any, names: Sequence[Any], argument: str
) -> list[list[Any]]:
    """The metrics of each output, in flattened order.

    Args:
        value: None, or a list, tuple or dict of metrics: for one output all of them; else by
            output name, one entry per output, or nested as the outputs are.

    Raises:
        ValueError: for unknown names or another structure.
    """
    count = len(structure.flatten(y_pred))
    if value is None:
        return [[] for _ in range(count)]
    if count == 1:
        return [structure.flatten(value)]
    if isinstance(value, Mapping) and None not in names and set(value) <= set(names):
        return [_as_list(value.get(name)) for name in names]
    if isinstance(value, (list, tuple)) and len(value) == count:
        return [_as_list(entry) for entry in value]
    try:
        return list(_nested_places(value, y_pred))
    except LookupError as error:
        known = [name for name in names if name is not None]
        shown = known or structure.map_structure(lambda _: "output", y_pred)
        hint = ""
        if isinstance(value, Mapping) and known:
            unknown = next((key for key in value if key not in known), "")
            hint = did_you_mean(unknown, known) if isinstance(unknown, str) else ""
        raise ValueError(
            f"compile(): Invalid `{argument}`: {error}. The metrics are given by output name, or "
            f"in the structure of the outputs: {shown}. Got {argument}={value}.{hint}"
        ) from None


def _nested_places(value: Any, y_pred: Any) -> Iterator[list[Any]]:
    if not structure.is_nested(y_pred):
        yield _as_list(value)
        return
    if isinstance(y_pred, dict):
        if not isinstance(value, Mapping) or set(value) != set(y_pred):
            raise LookupError(f"the outputs are a dict of {list(y_pred)}")
        for key in structure.sorted_keys(y_pred):
            yield from _nested_places(value[key], y_pred[key])
        return
    if not isinstance(value, (list, tuple)) or len(value) != len(y_pred):
        raise LookupError(f"the outputs are a {type(y_pred).__name__} of {len(y_pred)}")
    for one, part in zip(value, y_pred, strict=True):
        yield from _nested_places(one, part)


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


class CompileMetrics(metrics_module.Metric):
    """All metrics given to `compile`, behind the interface of one."""

    def __init__(
        self,
        metrics: Any,
        weighted_metrics: Any,
        names_of: Callable[[Any], list[Any]] | None = None,
    ) -> None:
        super().__init__(name="compile_metrics")
        self._given = {"metrics": metrics, "weighted_metrics": weighted_metrics}
        self._names_of = names_of or (lambda y_pred: [None] * len(structure.flatten(y_pred)))
        self._output_names: list[Any] = []
        self._entries: list[tuple[int, bool, Any]] = []  # (output, weighted, metric)
        self.built = False

    @property
    def is_empty(self) -> bool:
        return all(m is None for m in structure.flatten(list(self._given.values())))

    def _build(self, y_true: Sequence[Any], y_pred: Any) -> None:
        """Choose the metrics for these labels (in flattened order) and outputs. Called once."""
        names = self._names_of(y_pred)
        if isinstance(y_pred, dict) and not any(map(structure.is_nested, y_pred.values())):
            names = structure.sorted_keys(y_pred)
        self._output_names = list(names)
        flat = structure.flatten(y_pred)
        for argument, given in self._given.items():
            places = places_of_metrics(given, y_pred, names, argument)
            for index, (true, pred, place) in enumerate(zip(y_true, flat, places, strict=True)):
                self._entries += [
                    (index, argument == "weighted_metrics", resolve_metric(entry, true, pred))
                    for entry in place
                ]
        self.built = True

    @property
    def metrics(self) -> list[Any]:
        return [metric for _, _, metric in self._entries]

    @property
    def variables(self) -> list[Any]:
        return [v for metric in self.metrics for v in metric.variables]

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None, is_used: Sequence[bool] = ()
    ) -> None:
        """Update all metrics.

        Args:
            y_true, y_pred, sample_weight: of the model, in any structure `compile` takes.
            is_used: which outputs (flattened) have labels, where labels are fewer.
        """
        names, flat = self._names_of(y_pred), structure.flatten(y_pred)
        true = structure.flatten(aligned(y_true, y_pred, names, "y", is_used))
        weights = [None] * len(flat)
        if sample_weight is not None:
            weights = structure.flatten(spread_weights(sample_weight, y_pred, names))
        if not self.built:
            self._build(true, y_pred)
        for index, is_weighted, metric in self._entries:
            if true[index] is None:
                continue
            sample = weights[index] if is_weighted else None
            if sample is not None:
                metric.update_state(true[index], flat[index], sample_weight=sample)
            else:
                metric.update_state(true[index], flat[index])

    def reset_state(self) -> None:
        for metric in self.metrics:
            metric.reset_state()

    def result(self) -> dict[str, Any]:
        """Results by log name: prefixed by the output's name when there are several outputs."""
        results: dict[str, Any] = {}
        counts: dict[str, int] = {}
        for index, is_weighted, metric in self._entries:
            output = self._output_names[index]
            prefix = f"{output}_" if len(self._output_names) > 1 and output else ""
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


def _as_list(value: Any) -> list[Any]:
    """The metrics of one output; None is no metric."""
    return [] if value is None else structure.flatten(value)


def check_metrics(value: Any, argument: str) -> None:
    """Complain about what is no list or dict of metrics, at compile.

    Raises:
        ValueError: for another type, or a metric that does not exist.
    """
    if value is not None and not isinstance(value, (list, tuple, Mapping)):
        raise ValueError(
            f"compile(): {argument} must be a list, tuple or dict of metrics. Got {value!r}."
        )
    for entry in structure.flatten(value):
        check_metric(entry)


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
