"""Models made by calling layers on `Input()`s: any graph of layers and ops."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from lamina import ops, serialization, structure, tree
from lamina.layers.base import Layer
from lamina.layers.building import stack_level_of_user
from lamina.layers.conversion import mask_of
from lamina.layers.core import Input, InputLayer
from lamina.layers.node import Node, OpCall, source_node
from lamina.layers.state import context
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
        paths = [".".join(map(str, path)) for path, _ in tree.flatten_with_path(outputs)]
        self.__dict__["_graph"] = map_graph(self.inputs, self.outputs, paths)
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
        """Names of the layers that make the outputs."""
        return [tensor.history[0].name for tensor in self.outputs]

    @property
    def input_shape(self) -> Any:
        """Shape of the input, or a list of the shapes of all inputs."""
        return _shapes(self.inputs)

    @property
    def output_shape(self) -> Any:
        """Shape of the output, or a list of the shapes of all outputs."""
        return _shapes(self.outputs)

    @property
    def layers(self) -> list[Layer]:
        """All layers from the inputs to the outputs; recorded ops are not layers."""
        return [operation for operation in self._operations if isinstance(operation, Layer)]

    @layers.setter
    def layers(self, value: Any) -> None:
        Model.layers.fset(self, value)  # type: ignore[attr-defined]

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
                f"{self._shown_as} expects {len(places)} named input(s) with keys "
                f"{self.input_names}, got {len(flat)} tensors."
            )
        fitted = []
        for index, (tensor, place) in enumerate(zip(flat, places, strict=True)):
            if tensor is None:
                self._check_optional(place)
            fitted.append(None if tensor is None else self._fitted(tensor, place, index))
        return fitted

    def _in_order(self, inputs: Any) -> list[Any]:
        """The tensors in the inputs' order, from any structure that can be understood."""
        expected = self.input
        if not structure.is_nested(expected) and not structure.is_nested(inputs):
            return [inputs]
        if not isinstance(inputs, dict):
            is_one = isinstance(expected, (list, tuple)) and len(expected) == 1
            if not (is_one and not structure.is_nested(inputs)) and not _nest_alike(
                inputs, expected
            ):
                self._report_structure(inputs)
            return structure.flatten(inputs)
        if not isinstance(expected, dict):
            return self._by_name(inputs)
        keys = structure.sorted_keys(expected)
        self._check_keys(inputs, keys)
        if len(inputs) > len(keys):
            self._report_structure(inputs)
        return [leaf for key in keys for leaf in structure.flatten(inputs[key])]

    def _by_name(self, inputs: dict[str, Any]) -> list[Any]:
        """The tensors of a dict that is keyed by the names of the inputs."""
        self._check_keys(inputs, self.input_names)
        if not structure.is_nested(self.input):
            self._report_structure(inputs)
        return [leaf for name in self.input_names for leaf in structure.flatten(inputs[name])]

    def _check_keys(self, inputs: dict[str, Any], keys: list[str]) -> None:
        missing = [key for key in keys if key not in inputs]
        if missing:
            raise ValueError(
                f"{self._shown_as}: no data for input {missing[0]!r}. The model "
                f"has inputs {keys}, got {list(inputs)}."
            )

    def _report_structure(self, inputs: Any) -> None:
        """Warn of inputs that are nested in another way; refuse them where the order is open.

        Raises:
            ValueError: for a list where the model has a dict whose keys are not in sorted order.
        """
        names = structure.map_structure(lambda place: place.history[0].name, self.input)
        shown = structure.map_structure(lambda leaf: getattr(leaf, "shape", leaf), inputs)
        message = (
            "The structure of `inputs` doesn't match the expected structure.\n"
            f"{self._shown_as} has inputs {names}, got {shown}."
        )
        count = len(structure.flatten(inputs))
        if isinstance(self.input, dict) and count == len(self.inputs):
            if not isinstance(inputs, dict) and list(self.input) != sorted(self.input):
                raise ValueError(message)
        fits = isinstance(inputs, dict) or count == len(self.inputs)
        if fits and not context.discard_losses:
            warnings.warn(message, stacklevel=stack_level_of_user())

    def _check_optional(self, place: KerasTensor) -> None:
        layer = place.history[0]
        if not layer.optional:
            raise ValueError(
                f"{self._shown_as}: the input {layer.name!r} is not optional, but it got None."
            )

    def _fitted(self, tensor: Any, place: KerasTensor, index: int) -> Any:
        """Add or drop a last axis of size 1, check sizes, convert the dtype."""
        if tensor.dtype == place.dtype and tensor.shape[1:] == place.shape[1:]:
            return tensor
        rank, wanted = len(tensor.shape), len(place.shape)
        mask = mask_of(tensor)
        if rank == wanted + 1 and tensor.shape[-1] == 1:
            tensor = ops.squeeze(tensor, axis=-1)
        elif rank == wanted - 1 and place.shape[-1] == 1:
            tensor = ops.expand_dims(tensor, axis=-1)
        self._check_shape(tensor, place, index)
        if tensor.dtype != place.dtype:
            tensor = ops.cast(tensor, place.dtype)
        if mask is not None and tensor.mask is None:
            tensor.mask = mask
        return tensor

    def _check_shape(self, tensor: Any, place: KerasTensor, index: int) -> None:
        shape, wanted = tuple(tensor.shape), tuple(place.shape)
        pairs = list(zip(shape[1:], wanted[1:], strict=False))
        wrong = [(got, size) for got, size in pairs if None not in (got, size) and got != size]
        if len(shape) == len(wanted) and (
            not wrong or not self.__dict__.get("_checks_sizes", True)
        ):
            return
        last = len(shape) == len(wanted) and pairs and pairs[-1] == (wrong[0] if wrong else None)
        problem = f"expected {wrong[0][1]} features, got {wrong[0][0]}: " if last else ""
        path = ".".join(map(str, tree.flatten_with_path(self.input)[index][0]))
        raise ValueError(
            f"{self._shown_as}: {problem}input with name {place.history[0].name!r} and path "
            f"'{path}': expected shape={wanted}, found shape={shape}."
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
        outputs = self._infer((structure.pack(self.input, places),), {})
        return structure.map_structure(lambda tensor: tuple(tensor.shape), outputs)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return None  # the layers set the outputs' masks themselves

    # Configuration

    def get_build_config(self) -> dict[str, Any] | None:
        return {"input_shape": None}  # the graph says the shapes

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
            "args": tuple(structure.map_structure(describe, arg) for arg in node.args),
            "kwargs": structure.map_structure(describe, kwargs),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Make a model from `get_config()`."""
        if "input_layers" not in config:
            return super().from_config(config)
        with serialization.CustomObjectScope(custom_objects):
            inputs, outputs = restore_graph(config)
        if cls is Model or not is_functional_constructor(cls):
            cls, config = Functional, {key: config.get(key) for key in ("name", "trainable")}
        graph = ("layers", "input_layers", "output_layers")
        extra = {key: value for key, value in config.items() if key not in graph}
        if extra.get("trainable") in (True, None):
            extra.pop("trainable", None)
        return cls(inputs=inputs, outputs=outputs, **extra)


def is_functional_constructor(cls: type[Model]) -> bool:
    """Whether a class is made by `cls(inputs, outputs, name=...)`, or passes on what it gets."""
    parameters = inspect.signature(cls.__init__).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    passes_on = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD} <= kinds
    takes_them = list(parameters)[1:4] == ["inputs", "outputs", "name"]
    return cls is Functional or takes_them or passes_on


def _nest_alike(a: Any, b: Any) -> bool:
    """Whether two values nest in the same way; lists and tuples count as the same."""
    if isinstance(a, dict) or isinstance(b, dict):
        return (
            isinstance(a, dict)
            and isinstance(b, dict)
            and set(a) == set(b)
            and all(_nest_alike(a[key], b[key]) for key in b)
        )
    if not structure.is_nested(a) or not structure.is_nested(b):
        return structure.is_nested(a) == structure.is_nested(b)
    return len(a) == len(b) and all(map(_nest_alike, a, b))


def _check_symbolic(value: Any, argument: str) -> None:
    leaves = structure.flatten(value)
    for leaf in leaves:
        if not isinstance(leaf, KerasTensor):
            raise ValueError(
                f"All `{argument}` values must be KerasTensors (results of Input() or of layers "
                f"called on them). Got {leaf!r} of type {type(leaf).__name__}."
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


def _shapes(tensors: Sequence[KerasTensor]) -> Any:
    shapes = [tuple(tensor.shape) for tensor in tensors]
    return shapes[0] if len(shapes) == 1 else shapes
