"""A trace that is kept in Python too: the nodes of a model's inference, for writing elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lamina.tensor import Tensor
from lamina.tracing import Tracer, origin_now
from lamina.variable import Variable


@dataclass
class RecordedNode:
    """One op: its operands and results, by the ids of the trace."""

    op: str
    inputs: list[int]
    outputs: list[int]
    attrs: dict[str, Any]
    origin: str


@dataclass
class Value:
    """What is known of a value of the trace."""

    shape: tuple[int | None, ...]
    dtype: str
    constant: np.ndarray | None = None  # of weights and literals
    name: str | None = None  # of inputs and weights


@dataclass
class Record:
    """The nodes between inputs and outputs, in the order of computation."""

    nodes: list[RecordedNode] = field(default_factory=list)
    values: dict[int, Value] = field(default_factory=dict)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def prune(self) -> None:
        """Leave out the nodes that no output depends on."""
        wanted, kept = set(self.outputs), []
        for node in reversed(self.nodes):
            if wanted.intersection(node.outputs):
                wanted.update(node.inputs)
                kept.append(node)
        self.nodes = kept[::-1]
        self.used = wanted


class RecordingTracer(Tracer):
    """Traces as usual and notes every node."""

    def __init__(self) -> None:
        super().__init__()
        self.record = Record()

    def _note(self, tensor: Tensor, constant: Any = None, name: str | None = None) -> Tensor:
        if tensor._id not in self.record.values:
            shape = tuple(tensor.shape)
            self.record.values[tensor._id] = Value(shape, tensor.dtype, constant, name)
        return tensor

    def named_input(self, shape: Sequence[int | None], dtype: str, name: str) -> Tensor:
        """A graph input with a name."""
        tensor = self._note(self.input(shape, dtype), name=name)
        self.record.inputs.append(tensor._id)
        return tensor

    def result(self, tensor: Tensor) -> None:
        """Mark an output."""
        tensor = self.lift(tensor) if tensor._tracer is None else tensor
        self.record.outputs.append(tensor._id)

    def _first_read(self, variable: Variable) -> tuple[Variable, int, Tensor]:
        read = super()._first_read(variable)
        self._note(read[2], variable.numpy(), variable.path)
        return read

    def lift(self, tensor: Tensor) -> Tensor:
        return self._note(super().lift(tensor), np.array(tensor._buffer.to_numpy()))

    def emit(self, op: str, inputs: Sequence[Tensor], attrs: dict[str, Any]) -> Any:
        lifted = [t if t._tracer is self else self.lift(t) for t in inputs]
        result = super().emit(op, lifted, attrs)
        outputs = result if isinstance(result, tuple) else (result,)
        for tensor in outputs:
            self._note(tensor)
        self.record.nodes.append(
            RecordedNode(
                op, [t._id for t in lifted], [t._id for t in outputs], dict(attrs), origin_now()
            )
        )
        return result
