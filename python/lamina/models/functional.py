"""Models made by calling layers on `Input()`s: any graph of layers and ops."""

from __future__ import annotations

import inspect
import warnings
from functools import cached_property
from typing import Any

from lamina import ops, serialization, structure
from lamina.layers.base import Layer
from lamina.layers.conversion import mask_of
from lamina.layers.core import Input, InputLayer
from lamina.layers.node import Node, OpCall, source_node
from lamina.models.graph import ModelGraph, map_graph
from lamina.models.model import Model
from lamina.models.restore import restore_graph
from lamina.models.schedule import Schedule
from lamina.tensor import KerasTensor


class Functional(Model):
    """A model between symbolic inputs and outputs. Made by `Model(inputs, outputs)`.

    Args:
        inputs: symbolic tensor, or a list, tuple or dict of them, from `Input()`.
        outputs: the same, computed from the inputs.
        name: name of the model.

    Raises:
        ValueError: when the outputs do not depend on the inputs alone.
    """

    _not_children = Model._not_children | {"_owner"}
    _graph: ModelGraph

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any) -> None:
        trainable = kwargs.pop("trainable", None)
        _check_symbolic(inputs, "inputs")
        _check_symbolic(outputs, "outputs")
        flat = structure.flatten(inputs)
        if len({id(tensor) for tensor in flat}) != len(flat):
            raise ValueError("Model: the list of inputs contains the same tensor more than once.")
        if not all(isinstance(tensor.history[0], InputLayer) for tensor in flat):
            inputs, outputs = _cut_at(inputs, outputs)
        super().__init__(name=name, **kwargs)
        self.__dict__["_inputs_structure"] = inputs
        self.__dict__["_outputs_structure"] = outputs
        self.__dict__["_graph"] = map_graph(self.inputs, self.outputs)
        self._operations = self._graph.operations
        self.supports_masking = True
        self.built = True
        if trainable is not None and not trainable:
            self.trainable = False

    @property
    def _shown_as(self) -> str:
        """How messages call the model; inside a Sequential, that is what the user knows."""
        owner = self.__dict__.get("_owner", self)
        return f"{owner.name} ({type(owner).__name__})"

    # What the model is made of

    @property
    def inputs(self) -> list[KerasTensor]:
        """All symbolic inputs."""
        return structure.flatten(self.__dict__["_inputs_structure"])

    @property
    def outputs(self) -> list[KerasTensor]:
        """All symbolic outputs."""
        return structure.flatten(self.__dict__["_outputs_structure"])

    @property
    def input(self) -> Any:
        """The symbolic input(s) as given."""
        return self.__dict__["_inputs_structure"]

    @property
    def output(self) -> Any:
        """The symbolic output(s) as given."""
        return self.__dict__["_outputs_structure"]

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs."""
        return [tensor.history[0].name for tensor in self.inputs]

    @property
    def output_names(self) -> list[str]:
        """Names of the layers that make the outputs, numbered where one makes several."""
        return _numbered([tensor.history[0].name for tensor in self.outputs])

    @property
    def input_shape(self) -> Any:
        """Shape(s) of the input(s)."""
        return _shapes(self.input)

    @property
    def output_shape(self) -> Any:
        """Shape(s) of the output(s)."""
        return _shapes(self.output)

    @property  # type: ignore[misc]  # unlike a Model's, it cannot be set
    def layers(self) -> list[Layer]:
        """All layers from the inputs to the outputs; recorded ops are not layers."""
        return [operation for operation in self._operations if isinstance(operation, Layer)]

    @property
    def operations(self) -> list[Any]:
        """All layers and recorded ops, from the inputs to the outputs."""
        return list(self._operations)

    # Computing

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Compute the outputs by running every operation once."""
        del training  # the layers find it in the call context
        tensors = self._standardized(inputs)
        if mask is not None:
            for tensor, one_mask in zip(tensors, structure.flatten(mask), strict=True):
                if one_mask is not None:
                    tensor.mask = one_mask
        return self._schedule.run(tensors)

    @cached_property
    def _schedule(self) -> Schedule:
        return Schedule(self._graph.nodes, self.inputs, self.output)

    def _standardized(self, inputs: Any) -> list[Any]:
        """Return one tensor per input, in the inputs' order, with their ranks and dtypes."""
        places = self._schedule.inputs
        flat = self._in_order(inputs)
        if len(flat) != len(places):
            raise ValueError(
                f"{self._shown_as}: expected {len(places)} inputs "
                f"{self.input_names}, got {len(flat)}."
            )
        return [
            tensor if tensor is None else self._fitted(tensor, place)
            for tensor, place in zip(flat, places, strict=True)
        ]

    def _in_order(self, inputs: Any) -> list[Any]:
        if not isinstance(inputs, dict):
            return structure.flatten(inputs)
        expected = self.input
        keys = (
            structure.flatten({key: key for key in expected})
            if isinstance(expected, dict)
            else self.input_names
        )
        missing = [key for key in keys if key not in inputs]
        if missing:
            raise ValueError(
                f"{self._shown_as}: no data for input {missing[0]!r}. The model "
                f"has inputs {keys}, got {list(inputs)}."
            )
        extra = [key for key in inputs if key not in keys]
        if extra:
            warnings.warn(
                f"{self.name}: ignoring {extra}, which are not inputs of the model.", stacklevel=4
            )
        return [leaf for key in keys for leaf in structure.flatten(inputs[key])]

    def _fitted(self, tensor: Any, place: KerasTensor) -> Any:
        """Add or drop a last axis of size 1, check sizes, convert the dtype."""
        if tensor.dtype == place.dtype and tensor.shape[1:] == place.shape[1:]:
            return tensor
        rank, wanted = len(tensor.shape), len(place.shape)
        mask = mask_of(tensor)
        if rank == wanted + 1 and tensor.shape[-1] == 1:
            tensor = ops.squeeze(tensor, axis=-1)
        elif rank == wanted - 1 and place.shape[-1] == 1:
            tensor = ops.expand_dims(tensor, axis=-1)
        self._check_shape(tensor, place)
        if tensor.dtype != place.dtype:
            tensor = ops.cast(tensor, place.dtype)
        if mask is not None and tensor.mask is None:
            tensor.mask = mask
        return tensor

    def _check_shape(self, tensor: Any, place: KerasTensor) -> None:
        shape, wanted = tuple(tensor.shape), tuple(place.shape)
        pairs = list(zip(shape[1:], wanted[1:], strict=False))
        wrong = [(got, size) for got, size in pairs if None not in (got, size) and got != size]
        if len(shape) == len(wanted) and (
            not wrong or not self.__dict__.get("_checks_sizes", True)
        ):
            return
        last = len(shape) == len(wanted) and pairs and pairs[-1] == (wrong[0] if wrong else None)
        problem = (
            f"expected {wrong[0][1]} features, got {wrong[0][0]}"
            if last
            else f"expected shape={wanted}, found shape={shape}"
        )
        raise ValueError(
            f"{self._shown_as}: {problem}.\n"
            f"  Input {place.history[0].name!r} has shape {shape}, the model was made for {wanted}."
        )

    def compute_output_spec(
        self, inputs: Any, training: bool | None = None, mask: Any = None
    ) -> Any:
        return self._infer((inputs,), {})

    def compute_output_shape(self, input_shape: Any) -> Any:
        given = structure.flatten_shapes(input_shape)
        if given == structure.flatten_shapes(self.input_shape):
            return self.output_shape
        places = [
            KerasTensor(shape, dtype=place.dtype)
            for shape, place in zip(given, self.inputs, strict=True)
        ]
        return _shapes(self._infer((structure.pack(self.input, places),), {}))

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return None  # the layers set the outputs' masks themselves

    # Configuration

    def get_config(self) -> dict[str, Any]:
        """Return the layers, how they are connected, and the inputs and outputs."""
        if not is_functional_constructor(type(self)):
            return Model.get_config(self)
        kept = {id(node) for node in self._graph.nodes}
        layers = []
        for operation in self._operations:
            nodes = [node for node in operation._inbound_nodes if id(node) in kept]
            form = serialization.serialize_keras_object(operation)
            form["name"] = operation.name
            form["inbound_nodes"] = [
                self._node_config(node, kept) for node in nodes if not node.is_input
            ]
            layers.append(form)

        def place(tensor: KerasTensor) -> list[Any]:
            # Keras counts a functional model's own graph as its first use, here only.
            offset = int(isinstance(tensor.history[0], Functional))
            index = _kept_index(tensor, kept) + offset
            return [tensor.history[0].name, index, tensor.history[2]]

        return {
            "name": self.name,
            "trainable": self.trainable,
            "layers": layers,
            "input_layers": structure.map_structure(place, self.input),
            "output_layers": structure.map_structure(place, self.output),
        }

    def _node_config(self, node: Node, kept: set[int]) -> dict[str, Any]:
        def describe(leaf: Any) -> Any:
            form = serialization.serialize_keras_object(leaf)
            if isinstance(leaf, KerasTensor):
                form["config"]["keras_history"][1] = _kept_index(leaf, kept)
            return form

        in_config = node.operation.settings() if isinstance(node.operation, OpCall) else {}
        kwargs = {key: value for key, value in node.kwargs.items() if key not in in_config}
        return {
            "args": [structure.map_structure(describe, argument) for argument in node.args],
            "kwargs": structure.map_structure(describe, kwargs),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Make a model from `get_config()`."""
        if "input_layers" not in config:
            return super().from_config(config)
        with serialization.CustomObjectScope(custom_objects):
            inputs, outputs = restore_graph(config)
        extra = {} if config.get("trainable", True) else {"trainable": False}
        if cls is Model or not is_functional_constructor(cls):
            cls = Functional
        return cls(inputs=inputs, outputs=outputs, name=config.get("name"), **extra)


def is_functional_constructor(cls: type[Model]) -> bool:
    """Whether a class is made by `cls(inputs, outputs, name=...)`."""
    parameters = inspect.signature(cls.__init__).parameters
    return cls is Functional or list(parameters)[1:4] == ["inputs", "outputs", "name"]


def _check_symbolic(value: Any, argument: str) -> None:
    leaves = structure.flatten(value)
    for leaf in leaves:
        if not isinstance(leaf, KerasTensor):
            raise ValueError(
                f"Model: all {argument} values must be KerasTensors (results of Input() or of "
                f"layers called on them). Got {leaf!r} of type {type(leaf).__name__}."
            )
        if leaf.history is None:
            raise ValueError(f"Model: {leaf!r} in {argument} was not made by Input() or a layer.")
    if not leaves:
        raise ValueError(f"Model: {argument} must not be empty.")


def _cut_at(inputs: Any, outputs: Any) -> tuple[Any, Any]:
    """Let a model start in the middle of another: put new inputs in the place of `inputs`."""

    def fresh(tensor: KerasTensor) -> KerasTensor:
        if isinstance(tensor.history[0], InputLayer):
            return tensor
        return Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=f"{tensor.name}CLONE")

    new_inputs = structure.map_structure(fresh, inputs)
    pairs = zip(structure.flatten(inputs), structure.flatten(new_inputs), strict=True)
    values: dict[int, Any] = {id(old): new for old, new in pairs}

    def recompute(tensor: KerasTensor) -> Any:
        pending = [tensor]
        while pending:
            node = source_node(pending[-1])
            if id(pending[-1]) in values:
                pending.pop()
                continue
            if node.is_input:
                raise ValueError(
                    f"Output is not connected to `inputs`: it depends on {node.operation.name!r}."
                )
            unknown = [parent for parent in node.input_tensors if id(parent) not in values]
            if unknown:
                pending.extend(unknown)
                continue
            args, kwargs = node.arguments_with(values)
            operation = node.operation
            if isinstance(operation, OpCall):
                operation = OpCall(operation.function, operation.name)
            results = structure.flatten(operation(*args, **kwargs))
            values.update(zip(map(id, node.output_tensors), results, strict=True))
        return values[id(tensor)]

    return new_inputs, structure.map_structure(recompute, outputs)


def _kept_index(tensor: KerasTensor, kept: set[int]) -> int:
    """Return the index of the node that made `tensor` among the nodes of this model."""
    operation, node_index, _ = tensor.history
    return sum(id(node) in kept for node in operation._inbound_nodes[:node_index])


def _shapes(value: Any) -> Any:
    return structure.map_structure(lambda tensor: tuple(tensor.shape), value)


def _numbered(names: list[str]) -> list[str]:
    counts: dict[str, int] = {}
    result = []
    for name in names:
        count = counts.get(name, 0)
        counts[name] = count + 1
        result.append(name if count == 0 else f"{name}_{count}")
    return result
