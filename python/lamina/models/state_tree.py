"""Variables as nested dicts of values, by the parts of their paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lamina.variable import Variable


def state_tree(variables: Sequence[Variable], as_arrays: bool) -> dict[str, Any]:
    """Return the values of variables, nested by path.

    Raises:
        ValueError: when two variables have the same path.
    """
    tree: dict[str, Any] = {}
    for variable in variables:
        *parents, name = variable.path.split("/")
        node = tree
        for part in parents:
            node = node.setdefault(part, {})
        if name in node:
            raise ValueError(
                "The following variable path is found twice in the model, so that its state "
                f"cannot be a tree: {variable.path!r}. Give the layers names of their own."
            )
        node[name] = variable.numpy() if as_arrays else variable.value
    return tree


def assign_state(variables: Sequence[Variable], values: Mapping[str, Any]) -> None:
    """Set variables from values nested by path; what is not named stays.

    Raises:
        ValueError: for a path that no variable has.
    """
    by_path = {variable.path: variable for variable in variables}
    for path, value in _flat(values, ""):
        if path not in by_path:
            raise ValueError(f"No variable has the path {path!r}. There are {sorted(by_path)}.")
        by_path[path].assign(value)


def _flat(values: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        path = f"{prefix}/{name}" if prefix else name
        found += _flat(value, path) if isinstance(value, Mapping) else [(path, value)]
    return found
