"""Checks of a model's config that may be hostile, before any object is made from it."""

from __future__ import annotations

import json
from typing import Any

_DTYPES = frozenset((
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64",
    "float16", "float32", "float64",
))  # fmt: skip
_GREATEST_SETTING = 1_000_000  # of a setting that by itself makes a list as long
_COUNTS = ("num_thresholds", "num_classes")


def parse_config(text: str) -> dict[str, Any]:
    """Return the config in a JSON text.

    Raises:
        ValueError: when it is not one, and for parts that could take memory without end.
    """
    config = parse_object(text)
    if not isinstance(config.get("class_name"), str):
        raise ValueError("it does not describe an object: 'class_name' is missing")
    check_config(config)
    return config


def parse_object(text: str) -> dict[str, Any]:
    """Return the dict in a JSON text.

    Raises:
        ValueError: when it holds no dict.
    """
    try:
        parsed = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON ({error})") from None
    if not isinstance(parsed, dict):
        raise ValueError("it does not describe an object: 'class_name' is missing")
    return parsed


def check_config(config: dict[str, Any]) -> None:
    """Refuse parts of a config that could take memory without end.

    Raises:
        ValueError: names the part.
    """
    waiting: list[Any] = [config]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            _check(item)
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _check(form: dict[str, Any]) -> None:
    name, settings = form.get("class_name"), form.get("config")
    if name in ("__numpy__", "__tensor__") and isinstance(settings, dict):
        if settings.get("dtype") not in _DTYPES:
            raise ValueError(f"an array has the type {str(settings.get('dtype'))[:50]!r}")
    for key in _COUNTS:
        count = form.get(key)
        if isinstance(count, (int, float)) and count > _GREATEST_SETTING:
            raise ValueError(f"{key} is {count}, more than {_GREATEST_SETTING}")
    module = form.get("module")
    if isinstance(module, str) and "ops" in module.split("."):
        for node in form.get("inbound_nodes") or ():
            if not _has_tensor(node):
                raise ValueError(f"op {str(form.get('name'))[:200]!r} does not use any input")


def _has_tensor(value: Any) -> bool:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if item.get("class_name") == "__keras_tensor__":
                return True
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
    return False
