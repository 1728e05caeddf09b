"""Pickles and deep copies of models.

A model of lamina's own layers goes as its config and the values of its variables: that works
however deep the graph is. Any other model goes object by object, as Python's pickle does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina import serialization

if TYPE_CHECKING:
    from lamina.models.model import Model


def portable_state(model: Model) -> tuple[Any, ...] | None:
    """Return the arguments of `restore_model`, or None for a model with code of the user's."""
    from lamina.models.functional import Functional
    from lamina.models.sequential import Sequential

    if type(model) not in (Functional, Sequential):
        return None
    layers = model._flatten_layers()
    if any(type(layer).__module__.split(".")[0] != "lamina" for layer in layers):
        return None
    if any(layer.quantization_mode is not None for layer in layers):
        return None  # its weights' order, and whether it was calibrated, are not in the config
    config = serialization.serialize_keras_object(model)
    config.pop("compile_config", None)
    if _holds_code(config):
        return None
    compiled = None
    if model.compiled:
        optimizer = _optimizer_state(model)
        if optimizer is None:
            return None
        arguments = {k: v for k, v in model._compile_arguments.items() if k != "optimizer"}
        compiled = (arguments, *optimizer)
    return config, [variable.numpy() for variable in model.variables], compiled


def _holds_code(config: Any) -> bool:
    """Whether a config names classes or functions that are not lamina's."""
    if isinstance(config, dict):
        if "class_name" in config and "config" in config:
            module = str(config.get("module") or "keras").split(".")[0]
            name = config["class_name"]
            if module != "keras" or name in ("function", "__lambda__", "Lambda"):
                return True
            if config.get("registered_name") not in (None, "Functional", name):
                return True
        return any(_holds_code(value) for value in config.values())
    if isinstance(config, (list, tuple)):
        return any(_holds_code(value) for value in config)
    return False


def _optimizer_state(model: Model) -> tuple[Any, bool, list[np.ndarray]] | None:
    optimizer = model.optimizer
    if optimizer is None:
        return None, False, []
    config = serialization.serialize_keras_object(optimizer)
    if type(optimizer).__module__.split(".")[0] != "lamina" or _holds_code(config):
        return None
    known = {id(variable) for variable in model.trainable_variables}
    if optimizer._undecayed_ids or optimizer._undecayed_names:
        return None  # which the config does not tell
    if optimizer.built and {id(v) for v in optimizer._trainable_variables} != known:
        return None  # built for something else than this model's weights
    return config, optimizer.built, [variable.numpy() for variable in optimizer.variables]


def restore_model(
    config: dict[str, Any],
    values: Sequence[np.ndarray],
    compiled: tuple[dict[str, Any], Any, bool, list[np.ndarray]] | None,
) -> Any:
    """Make the model that `portable_state` described."""
    model = serialization.deserialize_keras_object(config)
    for variable, value in zip(model.variables, values, strict=True):
        variable.assign(value)
    if compiled is not None:
        arguments, optimizer_config, is_built, slots = compiled
        optimizer = serialization.deserialize_keras_object(optimizer_config)
        model.compile(optimizer=optimizer, **arguments)
        if is_built:
            optimizer.build(model.trainable_variables)
        if optimizer is not None:
            for variable, value in zip(optimizer.variables, slots, strict=True):
                variable.assign(value)
    return model
