"""The older form of configs, under the name that Keras gives it here too.

Source: https://keras.io/api/ `keras.utils.legacy`.
"""

from __future__ import annotations

from typing import Any

_NAMES = ("deserialize_keras_object", "serialize_keras_object")


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module("lamina.legacy.saving"), name)


def __dir__() -> list[str]:
    return list(_NAMES)
