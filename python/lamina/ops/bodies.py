"""Functions traced as bodies: what a branch or a loop of a graph runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lamina.ops.core import to_dtype
from lamina.structure import iterate, map_structure, sorted_keys
from lamina.tensor import Tensor
from lamina.tracing import Tracer, convert
from lamina.variable import Variable


class Body(Tracer):
    """The trace of a function that becomes part of a node of another trace.

    Values of the traces around it that the function uses become inputs, listed in `captured`.

    Args:
        outer: the trace that the node will be in.
        carried: variables whose values come in from outside, after the inputs that
            `begin` declares; the function may assign them.
    """

    def __init__(self, outer: Tracer, carried: Sequence[Variable] = ()) -> None:
        super().__init__()
        self.outer = outer
        self.carried = list(carried)
        self.captured: list[Tensor] = []
        self._entered: dict[tuple[int, int], Tensor] = {}

    def begin(self, specs: Sequence[Tensor]) -> list[Tensor]:
        """Declare inputs with the specs of `specs`, then those of the carried variables."""
        inputs = [self.input(t.shape, t.dtype) for t in specs]
        for variable in self.carried:
            value = self.input(variable.shape, variable.dtype)
            self._reads[id(variable)] = (variable, value._id, value)
        return inputs

    def lies_in(self, tracer: Tracer) -> bool:
        """Whether `tracer` is one of those around this one."""
        return self.outer is tracer or self.outer.lies_in(tracer)

    def enter(self, tensor: Tensor) -> Tensor:
        """The tensor as one of this trace."""
        if tensor._tracer is self or tensor._tracer is None:
            return tensor
        key = (id(tensor._tracer), tensor._id)
        if key not in self._entered:
            self.captured.append(tensor)
            self._entered[key] = self.input(tensor.shape, tensor.dtype)
        return self._entered[key]

    def emit(self, op: str, inputs: Sequence[Tensor], attrs: dict[str, Any]) -> Any:
        """Append a node; operands from around come in first."""
        return super().emit(op, [self.enter(t) for t in inputs], attrs)

    def output(self, tensor: Tensor) -> None:
        """Make `tensor` an output of the body."""
        super().output(self.enter(tensor))

    def _first_read(self, variable: Variable) -> tuple[Variable, int, Tensor]:
        value = self.enter(self.outer.read(variable))
        if value._tracer is None:
            value = self.lift(value)
        return variable, value._id, value

    def assign(self, variable: Variable, value: Tensor) -> None:
        """Reads from here on see `value`; whoever made the body takes it out."""
        value = self.enter(value)
        if value._tracer is None:
            value = self.lift(value)
        self._superseded.pop(id(variable), None)
        self._reads[id(variable)] = (variable, value._id, value)
        if not any(known is variable for known in self.assigned):
            self.assigned.append(variable)


def leaves_of(structure: Any) -> list[Any]:
    """Return the leaves of nested lists, tuples and dicts; None counts as no leaf."""
    return [leaf for leaf in iterate(structure) if leaf is not None]


def rebuild(template: Any, leaves: Sequence[Any]) -> Any:
    """Return a structure like `template` with other leaves, in the order of `leaves_of`."""
    rest = iter(leaves)
    return map_structure(lambda leaf: None if leaf is None else next(rest), template)


def map_leaves(fn: Callable[..., Any], *structures: Any) -> Any:
    """Apply `fn` to the leaves of structures of one form."""
    columns = [leaves_of(s) for s in structures]
    return rebuild(structures[0], [fn(*row) for row in zip(*columns, strict=True)])


def form_of(structure: Any) -> str:
    """Return a text that structures of one form, and only those, have in common."""
    if isinstance(structure, dict):
        parts = [f"{key!r}: {form_of(structure[key])}" for key in sorted_keys(structure)]
    elif isinstance(structure, (list, tuple)):
        parts = [form_of(part) for part in structure]
    else:
        return "None" if structure is None else "*"
    return f"{type(structure).__name__}({', '.join(parts)})"


def is_symbolic(structure: Any) -> bool:
    """Whether a leaf is a tensor of a trace that has no numbers yet."""
    from lamina.tracing import Recorder

    return any(
        isinstance(leaf, Tensor)
        and leaf._tracer is not None
        and not isinstance(leaf._tracer, Recorder)
        for leaf in leaves_of(structure)
    )


def as_tensors(structure: Any) -> list[Tensor]:
    """Return the leaves as tensors."""
    return [convert(leaf) for leaf in leaves_of(structure)]


def fitting(value: Tensor, like: Tensor, op: str, name: str) -> Tensor:
    """Return `value` in the type of `like`.

    Raises:
        ValueError: if the shapes differ.
    """
    sizes = zip(value.shape, like.shape, strict=False)
    if value.ndim != like.ndim or any(None not in (a, b) and a != b for a, b in sizes):
        raise ValueError(
            f"{op}: {name} must keep its shape from step to step. Got {value.shape} after "
            f"{like.shape}."
        )
    return to_dtype(value, like.dtype)
