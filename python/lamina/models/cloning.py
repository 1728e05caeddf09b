"""Copies of a model with new weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lamina import structure, tree
from lamina.layers.base import Layer
from lamina.layers.core import Input, InputLayer, Lambda
from lamina.layers.node import OpCall
from lamina.models.functional import Functional
from lamina.models.model import Model
from lamina.models.sequential import Sequential
from lamina.tensor import KerasTensor


def clone_model(
    model: Model,
    input_tensors: Any = None,
    clone_function: Callable[[Layer], Layer] | None = None,
    call_function: Callable[..., Any] | None = None,
    recursive: bool = False,
    **kwargs: Any,
) -> Model:
    """Return a model with the same layers and settings, and freshly initialised weights.

    Args:
        model: Sequential or functional model, or any model with `get_config`.
        input_tensors: symbolic tensors to build on; new inputs when None.
        clone_function: makes the new layer of each layer; `from_config(get_config())` when None.
        call_function: called as `call_function(layer, *args, **kwargs)` in place of the layer
            (functional models only).
        recursive: whether `clone_function` reaches into nested models.

    Raises:
        ValueError: for an argument of the wrong kind.
    """
    if kwargs:
        raise ValueError(f"clone_model: unknown arguments {list(kwargs)}.")
    if not isinstance(model, Model):
        raise ValueError(f"clone_model: model must be a Model. Got {model!r}.")

    def clone_layer(layer: Any) -> Any:
        if isinstance(layer, OpCall):
            return OpCall(layer.function, layer.name)
        if recursive and isinstance(layer, (Functional, Sequential)):
            return clone_model(layer, None, clone_function, call_function, recursive)
        if clone_function is not None and not isinstance(layer, InputLayer):
            return clone_function(layer)
        if isinstance(layer, Lambda):
            return layer.copy()
        return type(layer).from_config(layer.get_config())

    if isinstance(model, Sequential):
        return _clone_sequential(model, input_tensors, clone_layer)
    if isinstance(model, Functional):
        return _clone_functional(model, input_tensors, clone_layer, call_function)
    if input_tensors is not None or clone_function is not None:
        raise ValueError(
            "clone_model: input_tensors and clone_function need a Sequential or functional model."
        )
    clone: Model = type(model).from_config(model.get_config())
    if model.built and (shapes := model.get_build_config()):
        clone.build_from_config(shapes)
    return clone


def _clone_sequential(
    model: Sequential, input_tensors: Any, clone_layer: Callable[[Any], Any]
) -> Sequential:
    if input_tensors is not None and len(structure.flatten(input_tensors)) != 1:
        raise ValueError(
            f"clone_model: `input_tensors` must be a single tensor. Got {input_tensors}."
        )
    layers = [clone_layer(layer) for layer in model.layers]
    first = structure.flatten(input_tensors)[0] if input_tensors is not None else None
    if first is None and model._has_input():
        first = clone_layer(model._stack[0])
    stack = layers if first is None else [first, *layers]
    return Sequential(stack, name=model.name, trainable=model.trainable)


def _clone_functional(
    model: Functional,
    input_tensors: Any,
    clone_layer: Callable[[Any], Any],
    call_function: Callable[..., Any] | None,
) -> Functional:
    if input_tensors is None:
        new_inputs = [
            Input(batch_shape=place.shape, dtype=place.dtype, name=place.history[0].name)
            for place in model.inputs
        ]
    else:
        try:
            tree.assert_same_structure(model.input, input_tensors)
        except ValueError as error:
            raise ValueError(
                "clone_model: `input_tensors` must have the same structure as model.input: "
                f"{model.input}. Got {input_tensors}. {error}"
            ) from None
        new_inputs = structure.flatten(input_tensors)
    values: dict[int, Any] = dict(zip(map(id, model.inputs), new_inputs, strict=True))
    clones = {
        id(operation): clone_layer(operation)
        for operation in model.operations
        if not isinstance(operation, InputLayer)
    }
    for node in model._graph.nodes:
        if node.is_input:
            continue
        args, kwargs = node.arguments_with(values)
        clone = clones[id(node.operation)]
        called = (
            clone if call_function is None else lambda *a, c=clone, **k: call_function(c, *a, **k)
        )
        results = structure.flatten(called(*args, **kwargs))
        values.update(zip(map(id, node.output_tensors), results, strict=True))

    def new(place: KerasTensor) -> Any:
        return values[id(place)]

    return Functional(
        structure.map_structure(new, model.input),
        structure.map_structure(new, model.output),
        name=model.name,
        trainable=model.trainable,
    )
