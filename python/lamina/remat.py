"""Rematerialization: asking that intermediate values be computed twice rather than kept.

The engine plans the memory of a whole step at once, and keeps what the reverse pass reads. It does
not compute anything twice, so that these functions change no number, no time and no memory; they
let programs that ask for it run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

_MODES = ("full", "activations", "larger_than", "list_of_layers", None)
_F = TypeVar("_F", bound=Callable[..., Any])


class RematMode(NamedTuple):
    """What a scope asks for."""

    mode: str | None
    output_size_threshold: int
    layer_names: list[str]


class _Scopes(threading.local):
    def __init__(self) -> None:
        self.entered: list[RematScope] = []


_scopes = _Scopes()


class RematScope:
    """Layers made inside ask that their intermediate values be computed twice.

    Args:
        mode: "full", "activations", "larger_than" (outputs above `output_size_threshold`),
            "list_of_layers" (those in `layer_names`) or None.
        output_size_threshold: elements.
        layer_names: names of layers.

    Raises:
        ValueError: for another mode, or without `layer_names` where they are needed.

    Source: https://keras.io/api/ `keras.RematScope`. The engine keeps the values all the same.
    """

    def __init__(
        self,
        mode: str | None = "full",
        output_size_threshold: int = 1024,
        layer_names: list[str] | None = None,
    ) -> None:
        if mode not in _MODES:
            raise ValueError(f"RematScope: mode must be one of {_MODES}. Got {mode!r}.")
        if mode == "list_of_layers" and not layer_names:
            raise ValueError("RematScope: mode 'list_of_layers' needs layer_names.")
        self.mode = mode
        self.output_size_threshold = output_size_threshold
        self.layer_names = list(layer_names or [])

    def __enter__(self) -> RematScope:
        _scopes.entered.append(self)
        return self

    def __exit__(self, *_: Any) -> None:
        _scopes.entered.pop()


def current_remat_mode() -> RematMode | None:
    """What the innermost scope asks for, None outside of all."""
    if not _scopes.entered:
        return None
    scope = _scopes.entered[-1]
    return RematMode(scope.mode, scope.output_size_threshold, scope.layer_names)


def remat(f: _F) -> _F:
    """Return a function that computes what `f` does. The engine keeps what the gradient reads."""
    return f
