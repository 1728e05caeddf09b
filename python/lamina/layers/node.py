"""The functional graph: which operation made a symbolic tensor, from which others.

A `Node` is one use of an operation (a layer or a function of `lamina.ops`) on symbolic tensors.
Each tensor it returns remembers it in `history`, so a model is found again from its outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from lamina import names, structure, tracing
from lamina.tensor import KerasTensor


class KerasHistory(NamedTuple):
    """Where a symbolic tensor came from."""

    operation: Any
    node_index: int
    tensor_index: int


class Node:
    """One use of an operation on symbolic tensors.

    Args:
        operation: layer or recorded function; keeps its nodes in `_inbound_nodes`.
        args: positional arguments of the use, with the symbolic tensors in place.
        kwargs: keyword arguments of the use.
        outputs: nested structure of the symbolic tensors that came out.
    """

    __slots__ = ("args", "input_tensors", "kwargs", "operation", "output_tensors", "outputs")

    def __init__(
        self, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any
    ) -> None:
        self.operation = operation
        self.args = args
        self.kwargs = kwargs
        self.outputs = outputs
        leaves = structure.iterate((args, kwargs))
        self.input_tensors = [leaf for leaf in leaves if isinstance(leaf, KerasTensor)]
        self.output_tensors = structure.flatten(outputs)
        node_index = len(operation._inbound_nodes)
        operation._inbound_nodes.append(self)
        for tensor_index, tensor in enumerate(self.output_tensors):
            if isinstance(tensor, KerasTensor):
                tensor.history = KerasHistory(operation, node_index, tensor_index)

    def __repr__(self) -> str:
        return f"<Node of {self.operation.name}>"

    @property
    def is_input(self) -> bool:
        """Whether the node starts a graph."""
        return not self.input_tensors

    @property
    def parent_nodes(self) -> list[Node]:
        """The nodes that made this node's inputs."""
        return [source_node(tensor) for tensor in self.input_tensors]

    def arguments_with(self, values: dict[int, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments with each symbolic tensor replaced by `values[id(tensor)]`."""

        def replace(leaf: Any) -> Any:
            return values[id(leaf)] if isinstance(leaf, KerasTensor) else leaf

        return structure.map_structure(replace, (self.args, self.kwargs))


def source_node(tensor: KerasTensor) -> Node:
    """Return the node that made `tensor`."""
    operation, node_index, _ = tensor.history
    return operation._inbound_nodes[node_index]


def get_source_inputs(tensor: Any) -> Any:
    """Return the inputs that a symbolic tensor is computed from; anything else as it is."""
    if not isinstance(tensor, KerasTensor) or tensor.history is None:
        return tensor
    found: dict[int, KerasTensor] = {}
    seen: set[int] = set()
    waiting = [tensor]
    while waiting:
        node = source_node(waiting.pop())
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node.is_input:
            found.update({id(output): output for output in node.output_tensors})
        waiting.extend(reversed(node.input_tensors))
    return list(found.values())


def has_symbolic(*arguments: Any) -> bool:
    """Whether any leaf of the arguments is a symbolic tensor of the functional graph."""
    for value in arguments:  # a plain loop: every call of a layer comes through here
        if isinstance(value, KerasTensor):
            return True
        if isinstance(value, (list, tuple)):
            if has_symbolic(*value):
                return True
        elif isinstance(value, dict) and value and has_symbolic(*value.values()):
            return True
    return False


class Operation:
    """A computation that can stand in a functional model: what layers and op functions are.

    A subclass computes in `call`. Where `compute_output_spec` is not written, it follows from
    running `call` on shapes.

    Args:
        name: unique name; made from the class name when None.

    Raises:
        ValueError: if `name` is no string.

    Source: https://keras.io/api/ `keras.Operation`.
    """

    _inbound_nodes: list[Node]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        operation = super().__new__(cls)
        operation.__dict__["_init_arguments"] = (args, kwargs)
        operation.__dict__["_inbound_nodes"] = []
        return operation

    def __init__(self, name: str | None = None) -> None:
        if name is not None and not isinstance(name, str):
            raise ValueError(f"{type(self).__name__}: name must be a string. Got {name!r}.")
        self.name = names.auto_name(type(self).__name__) if name is None else name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute on tensors, or record the operation on symbolic ones."""
        if has_symbolic(args, kwargs):
            return self.symbolic_call(*args, **kwargs)
        return self.call(*args, **kwargs)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the outputs. To be written by the subclass."""
        raise NotImplementedError(
            f"{type(self).__name__} does not have a `call` method implemented."
        )

    def symbolic_call(self, *args: Any, **kwargs: Any) -> Any:
        """Record the operation on symbolic tensors."""
        outputs = self.compute_output_spec(*args, **kwargs)
        Node(self, args, kwargs, outputs)
        return outputs

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Return symbolic tensors with the shapes and dtypes of the outputs."""
        return tracing.infer_outputs(self.call, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor was called with, as plain values.

        Raises:
            NotImplementedError: if an argument has no plain form.
        """
        from lamina.layers.configuration import captured_arguments

        return {**captured_arguments(self), "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Make an operation from `get_config()`."""
        return cls(**config)

    def _node_tensors(self, attribute: str) -> Any:
        if not self._inbound_nodes:
            raise AttributeError(
                f"{type(self).__name__} {self.name!r} has never been called on symbolic tensors "
                f"and thus has no defined {attribute.split('_')[0]}."
            )
        tensors = getattr(self._inbound_nodes[0], attribute)
        return tensors[0] if len(tensors) == 1 else tensors

    @property
    def input(self) -> Any:
        """Symbolic input(s) of the first use in a functional model."""
        return self._node_tensors("input_tensors")

    @property
    def output(self) -> Any:
        """Symbolic output(s) of the first use in a functional model."""
        return self._node_tensors("output_tensors")


class OpCall(Operation):
    """One use of a function of `lamina.ops` on symbolic tensors, as an operation of a model.

    Args:
        function: the public op function.
        name: unique name; made from the function's name when None.
        settings: keyword arguments of every use.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        name: str | None = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.function = function
        self._settings = settings or {}
        self.type_name = "".join(part.capitalize() for part in function.__name__.split("_"))
        super().__init__(names.auto_name(self.type_name) if name is None else name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        kwargs = {**self._settings, **kwargs}
        if has_symbolic(args, kwargs):
            return self.record(args, kwargs)
        return self.function(*args, **kwargs)

    def record(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Add a node to the graph and return its symbolic outputs."""
        outputs = tracing.infer_outputs(self.function, *args, **kwargs)
        Node(self, args, kwargs, outputs)
        return outputs

    @property
    def output(self) -> Any:
        """Symbolic outputs of the use."""
        return self._inbound_nodes[0].outputs

    def serialized_form(self) -> dict[str, Any]:
        """Return the config a saved model holds for this operation."""
        return {
            "module": f"keras.src.ops.{self._keras_module()}",
            "class_name": self.type_name,
            "config": {"name": self.name, **self.settings()},
            "registered_name": self.type_name,
        }

    def settings(self) -> dict[str, Any]:
        """Return the plain keyword arguments of the use; files keep them in the config."""
        kwargs = self._inbound_nodes[0].kwargs if self._inbound_nodes else self._settings
        return {name: value for name, value in kwargs.items() if not has_symbolic(value)}

    def _keras_module(self) -> str:
        """Return where Keras keeps the op of this name."""
        if self.function.__name__ in ("cast", "shape", "slice", "slice_update", "stop_gradient"):
            return "core"
        is_nn = self.function.__module__.endswith(("nn", "normalization", "convolution"))
        return "nn" if is_nn else "numpy"

    def __repr__(self) -> str:
        return f"<Operation {self.name} ({self.type_name})>"


def _record_op(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return OpCall(function).record(args, kwargs)


tracing.install_op_recorder(_record_op)
