"""Files: models and weights that lamina and Keras both read."""

import importlib
from typing import TYPE_CHECKING, Any

from lamina.saving.weights import load_weights, save_weights
from lamina.serialization import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)

if TYPE_CHECKING:
    from lamina.saving.file_editor import KerasFileEditor
    from lamina.saving.model import load_model, save_model

__all__ = [
    "CustomObjectScope",
    "KerasFileEditor",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "load_model",
    "load_weights",
    "register_keras_serializable",
    "save_model",
    "save_weights",
    "serialize_keras_object",
]


# What brings the standard library's archives along is imported when it is used.
_LATER = {
    "KerasFileEditor": "lamina.saving.file_editor",
    "load_model": "lamina.saving.model",
    "save_model": "lamina.saving.model",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)
