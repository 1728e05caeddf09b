"""Helpers around models: labels, sequences, seeds, downloads, progress."""

from __future__ import annotations

from typing import Any

from lamina.config import (
    disable_interactive_logging,
    enable_interactive_logging,
    is_interactive_logging_enabled,
)
from lamina.utils import legacy
from lamina.utils.batches import pack_x_y_sample_weight, unpack_x_y_sample_weight
from lamina.utils.numerical import normalize, to_categorical
from lamina.utils.progbar import Progbar
from lamina.utils.seed import set_random_seed
from lamina.utils.sequence import pad_sequences
from lamina.utils.session import clear_session

# Keras offers these under `utils` too; they live where they are made and load when asked for.
_ELSEWHERE = {
    "Config": "lamina.utils.settings",
    "CustomObjectScope": "lamina.serialization",
    "custom_object_scope": "lamina.serialization",
    "PyDataset": "lamina.utils.dataset",
    "Sequence": "lamina.utils.dataset",
    "array_to_img": "lamina.utils.image",
    "deserialize_keras_object": "lamina.serialization",
    "get_custom_objects": "lamina.serialization",
    "get_file": "lamina.utils.download",
    "get_registered_name": "lamina.serialization",
    "get_registered_object": "lamina.serialization",
    "get_source_inputs": "lamina.layers.node",
    "img_to_array": "lamina.utils.image",
    "is_keras_tensor": "lamina.tensor",
    "load_img": "lamina.utils.image",
    "register_keras_serializable": "lamina.serialization",
    "save_img": "lamina.utils.image",
    "serialize_keras_object": "lamina.serialization",
    "standardize_dtype": "lamina.dtypes",
}

__all__ = [
    "Progbar",
    "clear_session",
    "disable_interactive_logging",
    "enable_interactive_logging",
    "is_interactive_logging_enabled",
    "legacy",
    "normalize",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "set_random_seed",
    "to_categorical",
    "unpack_x_y_sample_weight",
]


def __getattr__(name: str) -> Any:
    home = _ELSEWHERE.get(name)
    if home is None:
        raise AttributeError(f"module 'lamina.utils' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *_ELSEWHERE})
