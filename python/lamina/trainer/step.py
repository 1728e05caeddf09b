"""Traced steps: for every kind of batch, the program that trains, tests or predicts on it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lamina import dtypes, structure, tracing
from lamina.tracing import Tracer
from lamina.variable import Variable

_MOST_PROGRAMS = 64


class Step:
    """One program: what it was traced for, and what its results mean."""

    def __init__(self, mode: str, tracer: Tracer, outputs: Any, names: Sequence[str]) -> None:
        self.tracer = tracer
        self.outputs = outputs  # predict: the structure of the outputs, with shapes
        # The rows to predict are read where they lie: they come in order.
        self.program = tracer.program(borrow=mode == "predict")
        self.bounds = self.program.input_bounds
        self.names = list(names)  # of the inputs, for messages

    def check_ids(self, columns: Sequence[np.ndarray], who: str) -> None:
        """Refuse ids and labels that an op could not look up, before anything runs.

        Raises:
            ValueError: naming argument, value and what is allowed.
        """
        for column, bound, name in zip(columns, self.bounds, self.names, strict=True):
            if bound < 0 or column.size == 0:
                continue
            low, high = column.min(), column.max()
            if low < 0 or high >= bound:
                bad = low if low < 0 else high
                raise ValueError(
                    f"{who}: {name} holds the value {bad:g}, but the model takes whole numbers "
                    f"from 0 to {bound - 1} there. Check the labels (or ids) against the number of "
                    "units of the output (or input_dim of the Embedding)."
                )


def key_of(mode: str, parts: tuple[Any, ...]) -> tuple[Any, ...]:
    """The signature of a batch: structure, shapes and dtypes."""
    if len(parts) == 1 and isinstance(parts[0], np.ndarray):
        return (mode, parts[0].shape, parts[0].dtype.char)
    return (mode, *(_key(part) for part in parts))


def _key(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, np.ndarray):
        return (value.shape, value.dtype.char)
    if isinstance(value, dict):
        return ("dict", *((name, _key(value[name])) for name in sorted(value)))
    return (type(value).__name__, *(_key(item) for item in value))


class StepCache:
    """The programs of a model, by signature; the least recently used go first."""

    def __init__(self) -> None:
        self._steps: OrderedDict[Any, Step] = OrderedDict()

    def __reduce__(self) -> Any:
        return (StepCache, ())  # programs belong to the variables they were traced with

    def clear(self) -> None:
        self._steps.clear()

    def find(self, key: Any) -> Step | None:
        step = self._steps.get(key)
        if step is not None:
            self._steps.move_to_end(key)
        return step

    def add(self, key: Any, step: Step) -> Step:
        self._steps[key] = step
        if len(self._steps) > _MOST_PROGRAMS:
            self._steps.popitem(last=False)
        return step


def symbolic_inputs(tracer: Tracer, parts: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[str]]:
    """Graph inputs for a batch (x, y, sample_weight), and what to call each in messages."""
    names: list[str] = []

    def enter(value: Any, name: str) -> Any:
        if value is None:
            return None
        if isinstance(value, dict):
            made = {key: enter(value[key], f"{name}[{key!r}]") for key in sorted(value)}
            return {key: made[key] for key in value}
        if isinstance(value, (list, tuple)):
            items = [enter(item, f"{name}[{i}]") for i, item in enumerate(value)]
            return structure.rebuilt(value, items)
        names.append(name)
        return tracer.input(value.shape, value.dtype.name)

    inputs = tuple(
        enter(part, name) for part, name in zip(parts, ("x", "y", "sample_weight"), strict=False)
    )
    return inputs, names


def trimmed(data: tuple[Any, ...]) -> tuple[Any, ...]:
    """Without trailing Nones, as a user's train_step expects its data."""
    while len(data) > 1 and data[-1] is None:
        data = data[:-1]
    return data


def run_eagerly(model: Any, mode: str, parts: tuple[Any, ...]) -> tuple[Any, list[np.ndarray]]:
    """One step with every op run as Python reaches it: for debugging.

    Returns:
        The structure of the outputs and the outputs; empty unless the mode is "predict".
    """
    data = tuple(
        None if part is None else structure.map_structure(tracing.convert, part) for part in parts
    )
    try:
        if mode == "predict":
            y_pred = model.predict_step(data)
            outputs = structure.map_structure(lambda t: (t.shape, dtypes.outgoing(t.dtype)), y_pred)
            return outputs, [tensor.numpy() for tensor in structure.flatten(y_pred)]
        if mode == "test":
            logs = model.test_step(trimmed(data))
        else:
            with tracing.Recorder():
                logs = model.train_step(trimmed(data))
        if not model._has_default_step(mode):
            model._trainer_logs[mode].keep(logs or {})
        return None, []
    finally:
        model._clear_losses()
        model._trainer_results.clear()  # the step may have made metrics


class LogVariables:
    """Keeps what a user's own train_step returns: one variable per log name."""

    def __init__(self) -> None:
        self.variables: dict[str, Variable] = {}

    def keep(self, logs: Mapping[str, Any]) -> None:
        from lamina import ops, tracing

        for name, value in logs.items():
            if isinstance(value, Mapping):  # the results of several metrics
                self.keep(value)
                continue
            if value is None:
                continue
            if name not in self.variables:
                with tracing.eager_scope():
                    self.variables[name] = Variable(
                        0.0, dtype="float32", trainable=False, name="log"
                    )
            value = ops.cast(value, "float32")
            self.variables[name].assign(ops.mean(value) if len(value.shape) else value)

    def values(self) -> dict[str, float]:
        return {name: float(v.numpy()) for name, v in self.variables.items()}


def packed(outputs: Any, arrays: Sequence[np.ndarray]) -> Any:
    """Arrays in the structure of the outputs; its leaves are (shape, dtype)."""
    return _packed(outputs, iter(arrays))


def is_leaf(outputs: Any) -> bool:
    """Is it the (shape, dtype) of one output, not a structure of several?"""
    return isinstance(outputs, tuple) and len(outputs) == 2 and isinstance(outputs[1], str)


def _packed(outputs: Any, arrays: Iterator[np.ndarray]) -> Any:
    if isinstance(outputs, dict):
        made = {key: _packed(outputs[key], arrays) for key in sorted(outputs)}
        return {key: made[key] for key in outputs}
    if is_leaf(outputs):
        return next(arrays)
    return structure.rebuilt(outputs, [_packed(item, arrays) for item in outputs])
