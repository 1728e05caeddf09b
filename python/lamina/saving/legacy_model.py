"""Whole models in `.h5` files: those of Keras 2, and those that Keras 3 still writes.

The file has the config of the model and how it was compiled in attributes, the weights in groups
by layer, and the optimizer's state in a group of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Iterator
from typing import Any

from lamina import allowance, serialization
from lamina.saving import weights
from lamina.saving.atomic import replaced
from lamina.saving.hdf5 import check_plain
from lamina.saving.legacy_config import Form, present_config
from lamina.saving.legacy_form import legacy_form
from lamina.saving.legacy_training import load_optimizer, present_training
from lamina.saving.legacy_weights import (
    read_arrays,
    read_weights,
    write_variables,
    write_weights,
)
from lamina.saving.untrusted import check_config, parse_config, parse_object

SUFFIXES = (".h5", ".hdf5")
_MODEL, _TRAINING = "model_config", "training_config"
_WEIGHTS, _OPTIMIZER = "model_weights", "optimizer_weights"
# The version of Keras whose form of the file this is.
_FORMAT_VERSION = "3.15.1"
_VARIABLES_PER_BYTE = 16
_FREE_VARIABLES = 64 << 20


def save_h5_model(
    model: Any, path: str, overwrite: bool = True, include_optimizer: bool = True
) -> None:
    """Write a whole model to an `.h5` file, complete or not at all.

    Raises:
        ValueError: when the file exists and `overwrite` is False.
        ImportError: when h5py is not installed.
    """
    h5py = weights.require_h5py()
    if not overwrite and os.path.exists(path):
        raise ValueError(f"save_model: {path!r} exists. Pass overwrite=True to replace it.")
    warnings.warn(
        "HDF5 is the older format of whole models, which cannot describe every one: a '.keras' "
        "file keeps everything, as in model.save('my_model.keras').",
        stacklevel=3,
    )
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    attributes = {
        "keras_version": _FORMAT_VERSION,
        "backend": "lamina",
        _MODEL: json.dumps(legacy_form(model)),
    }
    keeps_state = include_optimizer and model.compiled
    if keeps_state:
        attributes[_TRAINING] = json.dumps(_training(model))
    with replaced(path) as temporary, h5py.File(temporary, "w") as file:
        for key, text in attributes.items():
            file.attrs[key] = text
        write_weights(file.create_group(_WEIGHTS), model)
        if keeps_state and model.optimizer is not None:
            write_variables(file.create_group(_OPTIMIZER), model.optimizer.variables)


def _training(model: Any) -> Form:
    config = dict(model.get_compile_config())
    optimizer = config.pop("optimizer", None)
    return {**legacy_form(config), "optimizer_config": legacy_form(optimizer)}


def load_h5_model(
    path: str,
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """Read a whole model from an `.h5` file of Keras 2, Keras 3 or lamina.

    Raises:
        ValueError: when there is no such file, or it is damaged, malicious or of another kind.
        TypeError: when it names a class that is not known.
        ImportError: when h5py is not installed.
    """
    with _opened(path, "load_model") as file:
        limit = _FREE_VARIABLES + _VARIABLES_PER_BYTE * os.path.getsize(path)
        with (
            allowance.limited_to(limit),
            serialization.CustomObjectScope(custom_objects),
            serialization._safe_mode(safe_mode),
        ):
            is_keras_2 = not _text(file, "keras_version", "2").startswith("3")
            with _told(path, _MODEL):
                model = _made(file, is_keras_2)
            with _told(path, _WEIGHTS):
                read_weights(_group(file, _WEIGHTS), model)
            if compile:
                with _told(path, _TRAINING):
                    _compile(file, model, is_keras_2)
    return model


def load_h5_weights(
    model: Any, path: str, *, by_name: bool = False, skip_mismatch: bool = False
) -> None:
    """Read the weights of an `.h5` file, of a whole model or of weights alone, into a model.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is damaged or malicious, or a layer or shape does not fit.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"load_weights: there is no file {path!r}.")
    with _opened(path, "load_weights") as file, _told(path, _WEIGHTS):
        group = file if "layer_names" in file.attrs else _group(file, _WEIGHTS)
        read_weights(group, model, by_name=by_name, skip_mismatch=skip_mismatch)


def _made(file: Any, is_keras_2: bool) -> Any:
    from lamina.models import Model

    if _MODEL not in file.attrs:
        raise ValueError("No model config found in the file: it holds weights only, if any")
    config = parse_config(_text(file, _MODEL))
    config = present_config(config, is_keras_2=is_keras_2)
    check_config(config)
    made = serialization.deserialize_keras_object(config)
    if not isinstance(made, Model):
        raise ValueError(f"it describes a {type(made).__name__}, not a model")
    return made


def _compile(file: Any, model: Any, is_keras_2: bool) -> None:
    if _TRAINING not in file.attrs:
        warnings.warn(
            "load_model: the file does not say how the model was compiled: call compile() before "
            "training or evaluating it.",
            stacklevel=5,
        )
        return
    training = parse_object(_text(file, _TRAINING))
    config = present_training(training, list(model.output_names), is_keras_2=is_keras_2)
    check_config(config)
    model.compile_from_config(config)
    optimizer = model.optimizer
    if optimizer is None or _OPTIMIZER not in file:
        return
    optimizer.build(model.trainable_variables)
    names, arrays = read_arrays(_group(file, _OPTIMIZER))
    if names:
        load_optimizer(optimizer, names, arrays)


# The file


@contextlib.contextmanager
def _opened(path: str, function: str) -> Iterator[Any]:
    h5py = weights.require_h5py()
    if not os.path.isfile(path):
        raise ValueError(f"{function}: File not found: {path!r}.")
    try:
        file = h5py.File(path, "r")
    except Exception as error:  # h5py answers damage with many kinds
        raise ValueError(f"{function}: {path!r} is not an HDF5 file ({error}).") from None
    with file:
        with _told(path, "the arrays"):
            check_plain(file, os.path.getsize(path))
        yield file


@contextlib.contextmanager
def _told(path: str, member: str) -> Iterator[None]:
    """Let errors name the file and the part of it."""
    try:
        yield
    except RecursionError:
        raise ValueError(f"{path!r}: {member!r}: it is nested too deeply") from None
    except TypeError as error:
        raise TypeError(f"{path!r}: {member!r}: {error}") from error
    except (ValueError, LookupError, AttributeError, OverflowError, OSError, RuntimeError) as error:
        raise ValueError(f"{path!r}: {member!r}: {error}") from error


def _group(file: Any, name: str) -> Any:
    group = file.get(name)
    if group is None or not hasattr(group, "keys"):
        raise ValueError(f"the file has no group {name!r}")
    return group


def _text(file: Any, key: str, default: str | None = None) -> str:
    value = file.attrs.get(key, default)
    if isinstance(value, bytes):
        value = value.decode("utf-8")
    if not isinstance(value, str):
        raise ValueError(f"attribute {key!r} is not a text")
    return value
