"""Weights as `.h5` files of Keras 2 keep them: one group for each layer, arrays by name.

The same layout is written by Keras 3 for whole models in `.h5` files.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from lamina import dtypes
from lamina.saving.weights import read_array, require_h5py, write_array

_TOP = "top_level_model_weights"
_GREATEST_ATTRIBUTE = 64_000  # bytes that HDF5 takes in the header of a group
_REFERENCE = 16  # bytes that a text takes there
_Assignments = list[tuple[Any, Any]]  # variables, and arrays of the file


# Writing


def write_weights(group: Any, model: Any) -> None:
    """Write the weights of a model's layers into an open HDF5 group."""
    write_names(group, "layer_names", [layer.name for layer in model.layers])
    for layer in model.layers:
        write_variables(group.create_group(layer.name), _weights(layer))
    write_variables(group.create_group(_TOP), _own_weights(model))


def write_variables(group: Any, variables: Iterable[Any]) -> None:
    """Write variables under their paths, and the list of these names."""
    names: list[str] = []
    for variable in variables:
        name, count = variable.path, 1
        while name in names:
            name, count = f"{variable.path}_{count}", count + 1
        names.append(name)
        write_array(group, name, np.asarray(variable.numpy()))
    write_names(group, "weight_names", names)


def write_names(group: Any, key: str, names: list[str]) -> None:
    """Write a list of names as attributes, in parts where it is too long for one."""
    text = require_h5py().string_dtype()
    most = _GREATEST_ATTRIBUTE // _REFERENCE
    if len(names) <= most:
        group.attrs[key] = np.asarray(names, dtype=text)
        return
    for part, start in enumerate(range(0, len(names), most)):
        group.attrs[f"{key}{part}"] = np.asarray(names[start : start + most], dtype=text)


# Reading


def read_names(group: Any, key: str) -> list[str]:
    """Return a list of names that is kept in attributes, whole or in parts.

    Raises:
        ValueError: when there is none, or when it holds something else.
    """
    parts = [key] if key in group.attrs else []
    while not parts or (parts != [key] and f"{key}{len(parts)}" in group.attrs):
        if f"{key}{len(parts)}" not in group.attrs:
            raise ValueError(f"{group.name!r} has no attribute {key!r}")
        parts.append(f"{key}{len(parts)}")
    names = [name for part in parts for name in np.ravel(group.attrs[part])]
    if not all(isinstance(name, (str, bytes)) for name in names):
        raise ValueError(f"{group.name!r}: attribute {key!r} is not a list of names")
    return [name.decode("utf-8") if isinstance(name, bytes) else str(name) for name in names]


def read_arrays(group: Any) -> tuple[list[str], list[Any]]:
    """Return the names of a group's arrays, and the arrays, which are not read yet.

    Raises:
        ValueError: when one is missing or no plain array of numbers.
    """
    names = read_names(group, "weight_names")
    return names, [_array(group, name) for name in names]


def _array(group: Any, name: str) -> Any:
    data = group.get(name)
    if data is None or not hasattr(data, "dtype"):
        raise ValueError(f"{group.name!r} has no array {name!r}")
    is_plain = data.dtype.kind in "fiub" or dtypes.bits_name(data.dtype, data.attrs.get("dtype"))
    if not is_plain:
        raise ValueError(f"{data.name!r} is not a plain array of numbers")
    return data


def read_weights(
    group: Any, model: Any, *, by_name: bool = False, skip_mismatch: bool = False
) -> None:
    """Read what `write_weights`, Keras 2 or Keras 3 wrote; change nothing unless everything fits.

    Args:
        group: an open HDF5 group.
        model: the model.
        by_name: whether layers are found by their names instead of their order; the others are
            left as they are.
        skip_mismatch: whether layers that do not fit are left as they are, with a warning.

    Raises:
        ValueError: when a layer is missing, or numbers or shapes of weights differ.
    """
    layers = _layers_by_name if by_name else _layers_in_order
    assignments: _Assignments = []
    for layer, arrays in layers(group, model):
        weights = _weights(layer)
        assignments += _matched(f"{layer.name} ({type(layer).__name__})", weights, arrays,
                                skip_mismatch)  # fmt: skip
    if _TOP in group:
        _, arrays = read_arrays(group[_TOP])
        assignments += _matched(model.name, _own_weights(model), arrays, skip_mismatch)
    for variable, data in assignments:
        variable.assign(read_array(data))


def _stored_layers(group: Any) -> list[tuple[str, list[Any]]]:
    stored = []
    for name in read_names(group, "layer_names"):
        if name not in group or not hasattr(group[name], "keys"):
            raise ValueError(f"{group.name!r} has no group {name!r}")
        stored.append((name, read_arrays(group[name])[1]))
    return stored


def _layers_in_order(group: Any, model: Any) -> list[tuple[Any, list[Any]]]:
    stored = [arrays for _, arrays in _stored_layers(group) if arrays]
    layers = [layer for layer in model.layers if _weights(layer)]
    if len(layers) != len(stored):
        raise ValueError(
            f"Layer count mismatch: the file has {len(stored)} layers with weights, model "
            f"{model.name!r} has {len(layers)}."
        )
    return list(zip(layers, stored, strict=True))


def _layers_by_name(group: Any, model: Any) -> list[tuple[Any, list[Any]]]:
    stored = dict(_stored_layers(group))
    return [(layer, stored[layer.name]) for layer in model.layers if layer.name in stored]


def _matched(who: str, weights: list[Any], arrays: list[Any], skip_mismatch: bool) -> _Assignments:
    """Pair a layer's weights with the arrays of the file."""
    problem = None
    if len(weights) != len(arrays):
        problem = (
            f"Weight count mismatch for layer {who}: it has {len(weights)} weights, the file has "
            f"{len(arrays)}."
        )
    for weight, data in zip(weights, arrays, strict=False):
        if problem is None and tuple(weight.shape) != tuple(data.shape):
            problem = (
                f"Shape mismatch in layer {who}: weight {weight.path!r} has shape "
                f"{tuple(weight.shape)}, the file has {tuple(data.shape)}."
            )
    if problem is None:
        return list(zip(weights, arrays, strict=True))
    if not skip_mismatch:
        raise ValueError(problem)
    warnings.warn(f"Skipping loading weights: {problem}", stacklevel=6)
    return []


def _weights(layer: Any) -> list[Any]:
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def _own_weights(model: Any) -> list[Any]:
    """Return the weights that belong to the model itself, not to a layer of it."""
    own = [*model._trainable_variables, *model._non_trainable_variables]
    return [variable for variable in own if variable in _weights(model)]
