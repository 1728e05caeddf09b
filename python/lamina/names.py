"""Automatic names (`dense`, `dense_1`) and the path a new weight gets (`model/dense/kernel`)."""

from __future__ import annotations

import re
import threading
from typing import Any

_counters: dict[str, int] = {}
_counters_lock = threading.Lock()

# Between a small and a capital letter, and before a capital letter that a small one follows.
_WORD_STARTS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<!^)(?=[A-Z][a-z])")


class _Scope(threading.local):
    """The path under which names are made in this thread; empty outside every layer."""

    path = ""


scope = _Scope()


def to_snake_case(name: str) -> str:
    """Turn a class name into the form used for layers: `SimpleRNN` becomes `simple_rnn`."""
    return _WORD_STARTS.sub("_", re.sub(r"\W", "", name)).lower()


def unique_name(prefix: str) -> str:
    """Return `prefix` the first time, then `prefix_1`, `prefix_2`, and so on."""
    with _counters_lock:
        count = _counters.get(prefix, 0)
        _counters[prefix] = count + 1
    return prefix if count == 0 else f"{prefix}_{count}"


def auto_name(name: str) -> str:
    """Return the next free automatic name for a class or function called `name`."""
    return unique_name(to_snake_case(name))


def reset_names() -> None:
    """Start all counters again, as `clear_session` does."""
    with _counters_lock:
        _counters.clear()


def current_path() -> str:
    """Return the path of the layer being built or called in this thread ("" if none)."""
    return scope.path


def join_path(*parts: str | None) -> str:
    """Join the non-empty parts with slashes."""
    return "/".join(part for part in parts if part)


class name_scope:  # noqa: N801  (Keras's name)
    """Paths of variables made inside begin with `name`.

    Args:
        name: part of a path, without "/".
        caller: kept for Keras's sake.
        deduplicate: kept for Keras's sake; names inside one scope are not numbered.
        override_parent: path to begin at instead of the scope around.

    Raises:
        ValueError: if `name` is not a string, or holds "/".

    Source: https://keras.io/api/ `keras.name_scope`.
    """

    def __init__(
        self,
        name: str,
        caller: Any = None,
        deduplicate: bool = True,
        override_parent: str | None = None,
    ) -> None:
        if not isinstance(name, str) or "/" in name:
            raise ValueError(f"name_scope: name must be a string without '/'. Got {name!r}.")
        self.name = name
        self.caller = caller
        self.deduplicate = deduplicate
        self.override_parent = override_parent

    def __enter__(self) -> name_scope:
        self._outer = scope.path
        parent = self._outer if self.override_parent is None else self.override_parent
        scope.path = join_path(parent, self.name)
        return self

    def __exit__(self, *_: Any) -> None:
        scope.path = self._outer
