"""Activations that Keras 2 had under a name that means something else today."""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.serialization import register_keras_serializable


@register_keras_serializable(package="lamina")
def hard_sigmoid_of_keras_2(x: Any) -> Any:
    """Return clip(x / 5 + 1/2, 0, 1); since Keras 3, `hard_sigmoid` is clip(x / 6 + 1/2, 0, 1)."""
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


FORM = {
    "module": "builtins",
    "class_name": "function",
    "config": "lamina>hard_sigmoid_of_keras_2",
    "registered_name": "function",
}
