"""keras.tree: functions on nested lists, tuples and dicts.

Dicts are walked in sorted key order. Source: https://keras.io/api/utils/tree_utils/
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lamina.structure import flatten, is_nested, is_shape

__all__ = [
    "MAP_TO_NONE",
    "assert_same_paths",
    "assert_same_structure",
    "flatten",
    "flatten_with_path",
    "is_nested",
    "lists_to_tuples",
    "map_shape_structure",
    "map_structure",
    "map_structure_up_to",
    "pack_sequence_as",
    "traverse",
]


class MAP_TO_NONE:
    """What the function given to `traverse` returns to put None in a place."""


def _rebuilt(template: Any, items: list[Any]) -> Any:
    """A list, tuple, namedtuple or dict like `template` with other parts, in walking order."""
    if isinstance(template, dict):
        return type(template)(zip(sorted(template), items, strict=True))
    if hasattr(template, "_fields"):
        return type(template)(*items)
    return type(template)(items)


def _children(structure: Any) -> list[tuple[Any, Any]]:
    """(key, part) pairs of a nested value, in walking order."""
    if isinstance(structure, dict):
        return [(key, structure[key]) for key in sorted(structure)]
    return list(enumerate(structure))


def flatten_with_path(structure: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """Return (path, leaf) pairs; a path is the tuple of keys and indices down to the leaf."""
    if not is_nested(structure):
        return [((), structure)]
    return [
        ((key, *path), leaf)
        for key, part in _children(structure)
        for path, leaf in flatten_with_path(part)
    ]


def map_structure(func: Callable[..., Any], *structures: Any, none_is_leaf: bool = True) -> Any:
    """Apply `func` to the leaves of structures of one form.

    Args:
        func: takes one leaf of each structure.
        structures: at least one.
        none_is_leaf: whether None is given to `func`; it stays None otherwise.

    Raises:
        TypeError: if `func` cannot be called.
        ValueError: without a structure, or if the structures differ.
    """
    if not callable(func):
        raise TypeError(f"`func` must be callable. Got {func!r}.")
    if not structures:
        raise ValueError("Must provide at least one structure")
    for other in structures[1:]:
        assert_same_structure(structures[0], other)

    def walk(*parts: Any) -> Any:
        if not is_nested(parts[0]):
            return None if parts[0] is None and not none_is_leaf else func(*parts)
        columns = [_children(part) for part in parts]
        rows = zip(*columns, strict=True)
        mapped = _rebuilt(parts[0], [walk(*(part for _, part in row)) for row in rows])
        if isinstance(mapped, dict):  # walked by sorted keys, returned in the order they had
            return type(mapped)((key, mapped[key]) for key in parts[0])
        return mapped

    return walk(*structures)


def map_structure_up_to(shallow_structure: Any, func: Callable[..., Any], *structures: Any) -> Any:
    """Apply `func` to the parts that stand where `shallow_structure` has leaves.

    Raises:
        ValueError: if a structure does not have the form of `shallow_structure` down to there.
    """
    if not structures:
        raise ValueError("Must provide at least one structure")
    if not is_nested(shallow_structure):
        return func(*structures)
    for other in structures:
        _assert_same_node(shallow_structure, other)
    columns = [_children(part) for part in structures]
    items = [
        map_structure_up_to(part, func, *(column[i][1] for column in columns))
        for i, (_, part) in enumerate(_children(shallow_structure))
    ]
    return _rebuilt(shallow_structure, items)


def map_shape_structure(func: Callable[[Any], Any], structure: Any) -> Any:
    """Apply `func` to every shape (a list or tuple of integers and None) of a structure.

    Raises:
        ValueError: for a leaf that belongs to no shape.
    """
    if not callable(func):
        raise TypeError(f"`func` must be callable. Got {func!r}.")
    if is_shape(structure):
        return func(tuple(structure))
    if not is_nested(structure):
        raise ValueError(f"Cannot map function to unknown objects {structure}")
    return _rebuilt(
        structure, [map_shape_structure(func, part) for _, part in _children(structure)]
    )


def pack_sequence_as(structure: Any, flat_sequence: Sequence[Any]) -> Any:
    """Rebuild `structure` with the values of `flat_sequence` as leaves.

    Raises:
        ValueError: if there are more or fewer values than leaves.
    """
    values = list(flat_sequence)
    count = len(flatten(structure))
    if len(values) != count:
        raise ValueError(
            f"flat_sequence has {len(values)} values, the structure has {count} leaves."
        )
    remaining = iter(values)
    return map_structure(lambda _: next(remaining), structure)


def lists_to_tuples(structure: Any) -> Any:
    """Return the structure with every list turned into a tuple."""
    if not is_nested(structure):
        return structure
    items = [lists_to_tuples(part) for _, part in _children(structure)]
    return tuple(items) if isinstance(structure, list) else _rebuilt(structure, items)


def traverse(func: Callable[[Any], Any], structure: Any, top_down: bool = True) -> Any:
    """Apply `func` to the structure and everything in it.

    Args:
        func: returns a replacement, None to leave a part as it is (and go on inside it), or
            `MAP_TO_NONE` to put None in its place.
        structure: any value.
        top_down: whether a part is visited before what is inside it.
    """
    if not callable(func):
        raise TypeError(f"`func` must be callable. Got {func!r}.")

    def result_of(value: Any) -> tuple[bool, Any]:
        found = func(value)
        if found is None:
            return False, value
        return True, None if found is MAP_TO_NONE else found

    def inside(value: Any) -> Any:
        if not is_nested(value):
            return value
        return _rebuilt(value, [visit(part) for _, part in _children(value)])

    def visit(value: Any) -> Any:
        if top_down:
            done, found = result_of(value)
            return found if done else inside(value)
        return result_of(inside(value))[1]

    return visit(structure)


def assert_same_structure(a: Any, b: Any, check_types: Any = None) -> None:
    """Check that two values nest in the same way. `check_types` is accepted and not used.

    Raises:
        ValueError: naming the first difference.
    """
    del check_types
    if is_nested(a) != is_nested(b):
        raise ValueError(
            f"Structures don't have the same nested structure. Expected {_kind(a)}, got {_kind(b)}."
        )
    if not is_nested(a):
        return
    _assert_same_node(a, b)
    for (_, left), (_, right) in zip(_children(a), _children(b), strict=True):
        assert_same_structure(left, right)


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}" if is_nested(value) else "a leaf"


def _assert_same_node(a: Any, b: Any) -> None:
    if isinstance(a, dict) and isinstance(b, dict):
        missing, extra = set(a) - set(b), set(b) - set(a)
        if missing or extra:
            raise ValueError(
                f"Node keys mismatch; missing key(s): {missing}; extra key(s): {extra}."
            )
        return
    if type(a) is not type(b):
        raise ValueError(f"Node type mismatch; expected {type(a)}, but got {type(b)}.")
    if len(a) != len(b):
        raise ValueError(f"Node arity mismatch; expected {len(a)}, but got {len(b)}.")


def assert_same_paths(a: Any, b: Any) -> None:
    """Check that two values have leaves at the same paths, whatever their containers are.

    Raises:
        ValueError: naming the paths that only one of them has.
    """
    left = {path for path, _ in flatten_with_path(a)}
    right = {path for path, _ in flatten_with_path(b)}
    if left == right:
        return
    lines = ["The paths of `a` and `b` differ."]
    if left - right:
        lines.append(f"Paths in `a` missing in `b`:\n{left - right}")
    if right - left:
        lines.append(f"Paths in `b` missing in `a`:\n{right - left}")
    raise ValueError("\n".join(lines))
