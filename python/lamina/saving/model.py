"""Whole models in `.keras` files: config, weights, and the optimizer with its state.

The ending of a name decides: `.h5` and `.hdf5` mean the older format (see `legacy_model`).
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from lamina import allowance, serialization
from lamina.saving import legacy_model, weights
from lamina.saving.archive import CONFIG, METADATA, WEIGHTS, Archive, write_archive
from lamina.saving.atomic import replaced
from lamina.saving.folder import Folder, write_folder
from lamina.saving.hdf5 import check_plain
from lamina.saving.untrusted import parse_config

_SUFFIX = ".keras"
# The version of Keras whose form of the file this is.
_FORMAT_VERSION = "3.15.1"
# Variables that loading may make for each byte of weights in the file: the weights, up to three
# slots of an optimizer that was never run, gradients kept by it, and narrow types.
_VARIABLES_PER_BYTE = 16
_FREE_VARIABLES = 64 << 20


def save_model(
    model: Any,
    filepath: Any,
    overwrite: bool = True,
    zipped: bool | None = None,
    **kwargs: Any,
) -> None:
    """Write a model, with its optimizer's state if it is compiled, to a `.keras` file.

    The file appears complete or not at all: it is written beside its place, flushed to disk, and
    renamed. Keras 3 reads it too.

    Args:
        model: the model.
        filepath: path that ends in `.keras`; in `.h5` or `.hdf5` for the older format.
        overwrite: whether an existing file may be replaced.
        zipped: False writes a folder, whose name has another ending, in place of an archive.
        include_optimizer: whether an `.h5` file keeps how the model was compiled.

    Raises:
        ValueError: for another ending, or when the file exists and `overwrite` is False.
        ImportError: when h5py is not installed.
    """
    from lamina.models import Model

    if "save_format" in kwargs:
        raise ValueError(
            "save_model: The `save_format` argument is deprecated; the ending of the file name "
            "says the format."
        )
    path = os.fspath(filepath)
    include_optimizer = kwargs.pop("include_optimizer", True)
    if kwargs:
        raise ValueError(
            f"save_model() knows no {', '.join(map(repr, kwargs))}: it takes model, filepath, "
            "overwrite and zipped."
        )
    if not isinstance(model, Model):
        raise TypeError(f"save_model: model must be a Model. Got {type(model).__name__}.")
    if path.endswith(legacy_model.SUFFIXES):
        legacy_model.save_h5_model(model, path, overwrite, include_optimizer)
        return
    if zipped is False and path.endswith(_SUFFIX):
        raise ValueError(
            f"save_model: the name of a folder (zipped=False) should not end in {_SUFFIX!r}. "
            f"Got {path!r}."
        )
    if zipped is not False and not path.endswith(_SUFFIX):
        raise ValueError(
            "save_model: Invalid filepath extension for saving: the file name must end in "
            f"{_SUFFIX!r}. Got {path!r}."
        )
    if not overwrite and os.path.exists(path):
        raise ValueError(f"save_model: {path!r} exists. Pass overwrite=True to replace it.")
    h5py = weights.require_h5py()
    with serialization.object_sharing():
        config = serialization.serialize_keras_object(model)
    _drop_single_ids(config)
    saved = {"keras_version": _FORMAT_VERSION, "date_saved": time.strftime("%Y-%m-%d@%H:%M:%S")}
    texts = {METADATA: json.dumps(saved), CONFIG: json.dumps(config)}

    def write_weights(target: Any) -> None:
        with h5py.File(target, "w") as file:
            weights.write_parts(file, model)

    if zipped is False:
        return write_folder(path, texts, write_weights)
    with replaced(path) as temporary:
        write_archive(temporary, texts, write_weights)


def load_model(
    filepath: Any,
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """Read a model from a `.keras` file that lamina or Keras 3 wrote.

    A file is data: classes and functions are looked up among lamina's own, the registered ones
    and `custom_objects`, and nothing named in the file is imported, opened or run.

    Args:
        filepath: path that ends in `.keras`, `.h5` or `.hdf5`, or a folder.
        custom_objects: dict from name to class or function that the file names.
        compile: whether to compile the model as it was when it was saved.
        safe_mode: when True, refuse Python code (lambdas) in the file.

    Raises:
        ValueError: when there is no such file, when it is damaged, malicious or of another kind;
            the message names the member.
        TypeError: when it names a class that is not known.
        ImportError: when h5py is not installed.
    """
    path = os.fspath(filepath)
    if path.endswith(legacy_model.SUFFIXES):
        return legacy_model.load_h5_model(path, custom_objects, compile, safe_mode)
    is_folder = os.path.isdir(path)
    if not is_folder and not path.endswith(_SUFFIX):
        raise ValueError(
            f"load_model: File format not supported: {path!r}. Models are read from {_SUFFIX!r} "
            "files."
        )
    if not is_folder and not os.path.isfile(path):
        raise ValueError(
            f"load_model: File not found: {path!r}. Please ensure the file is an accessible zip "
            "archive."
        )
    weights.require_h5py()
    with Folder(path) if is_folder else Archive(path) as archive:
        size = archive.size(WEIGHTS)
        with allowance.limited_to(_FREE_VARIABLES + _VARIABLES_PER_BYTE * size):
            model = _made(archive, custom_objects, compile, safe_mode)
            _read_weights(archive, model)
    return model


def load_model_weights(model: Any, filepath: Any, skip_mismatch: bool = False) -> None:
    """Read the weights of a `.keras` file into a model that exists.

    Raises:
        ValueError: when there is no such file, when it is damaged or malicious, or when a layer
            or shape does not fit.
    """
    path = os.fspath(filepath)
    if not os.path.isfile(path):
        raise ValueError(f"load_weights: File not found: {path!r}.")
    weights.require_h5py()
    with Archive(path) as archive:
        _read_weights(archive, model, skip_mismatch)


def _made(
    archive: Archive | Folder, custom_objects: dict[str, Any] | None, compile: bool, safe_mode: bool
) -> Any:
    """Make the model that the config describes."""
    from lamina.models import Model

    try:
        config = parse_config(archive.text(CONFIG))
        if not compile:
            config["compile_config"] = None
        with serialization.object_sharing():
            made = serialization.deserialize_keras_object(
                config, custom_objects, safe_mode=safe_mode
            )
        if not isinstance(made, Model):
            raise ValueError(f"it describes a {type(made).__name__}, not a model")
    except RecursionError:
        raise _told(archive, CONFIG, "it is nested too deeply", ValueError) from None
    except TypeError as error:
        raise _told(archive, CONFIG, error, TypeError) from error
    except (ValueError, LookupError, AttributeError, OverflowError) as error:
        raise _told(archive, CONFIG, error, ValueError) from error
    return made


def _read_weights(archive: Archive | Folder, model: Any, skip_mismatch: bool = False) -> None:
    h5py = weights.require_h5py()
    source, size = archive.weights()
    with source:
        try:
            file = h5py.File(source, "r")
        except Exception as error:  # h5py answers damage with many kinds
            raise _told(archive, WEIGHTS, f"it is not an HDF5 file: {error}", ValueError) from None
        with file:
            try:
                check_plain(file, size)
                weights.read_parts(file, model, skip_mismatch=skip_mismatch)
            except (ValueError, OSError, RuntimeError, LookupError) as error:
                raise _told(archive, WEIGHTS, error, ValueError) from error


def _drop_single_ids(config: dict[str, Any]) -> None:
    """Keep the numbers of those layers only that the config holds more than once."""
    forms: dict[int, list[dict[str, Any]]] = {}
    waiting: list[Any] = [config]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if "shared_object_id" in item:
                forms.setdefault(item["shared_object_id"], []).append(item)
            waiting.extend(item.values())
        elif isinstance(item, (list, tuple)):
            waiting.extend(item)
    for same in forms.values():
        if len(same) == 1:
            del same[0]["shared_object_id"]


def _told(
    archive: Archive | Folder, member: str, problem: object, kind: type[Exception]
) -> Exception:
    return kind(f"{archive.path!r}: member {member!r}: {problem}")
