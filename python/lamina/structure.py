"""Nested lists, tuples and dicts of values: flatten, rebuild, map.

Dicts are walked in sorted key order, as Keras does, so that two dicts with equal keys line up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any


def _is_namedtuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields")


def sorted_keys(value: dict[Any, Any]) -> list[Any]:
    """The keys in the order in which a dict is walked."""
    try:
        return sorted(value)
    except TypeError:  # keys of several types have no order
        return list(value)


def rebuilt(template: Any, items: Iterable[Any]) -> Any:
    """A list, tuple or namedtuple of the type of `template` with other items."""
    return type(template)(*items) if _is_namedtuple(template) else type(template)(items)


def is_nested(structure: Any) -> bool:
    """Whether `structure` is a list, tuple or dict."""
    return isinstance(structure, (list, tuple, dict))


def iterate(value: Any) -> Iterator[Any]:
    """Yield the leaves of `value`, left to right."""
    if isinstance(value, dict):
        for key in sorted_keys(value):
            yield from iterate(value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from iterate(item)
    else:
        yield value


def flatten(structure: Any) -> list[Any]:
    """Return the leaves of `structure` as a list."""
    return list(iterate(structure))


def map_structure(fn: Callable[..., Any], value: Any, *others: Any) -> Any:
    """Apply `fn` to each leaf of `value` (and the matching parts of `others`)."""
    if isinstance(value, dict):
        mapped = {
            key: map_structure(fn, value[key], *(other[key] for other in others))
            for key in sorted_keys(value)
        }
        return {key: mapped[key] for key in value}
    if isinstance(value, (list, tuple)):
        items = [
            map_structure(fn, item, *(other[i] for other in others)) for i, item in enumerate(value)
        ]
        return rebuilt(value, items)
    return fn(value, *others)


def pack(template: Any, leaves: Iterable[Any]) -> Any:
    """Rebuild the structure of `template` with `leaves` in flattened order."""
    remaining = iter(leaves)
    return map_structure(lambda _: next(remaining), template)


def is_shape(value: Any) -> bool:
    """Whether `value` is one shape: a list or tuple of integers and None."""
    return isinstance(value, (list, tuple)) and all(
        size is None or (isinstance(size, int) and not isinstance(size, bool)) for size in value
    )


def map_shapes(fn: Callable[[tuple[int | None, ...]], Any], value: Any) -> Any:
    """Apply `fn` to each shape in a nested structure of shapes."""
    if value is None:
        return None
    if is_shape(value):
        return fn(tuple(value))
    if isinstance(value, dict):
        return {key: map_shapes(fn, item) for key, item in value.items()}
    return type(value)(map_shapes(fn, item) for item in value)


def flatten_shapes(value: Any) -> list[tuple[int | None, ...]]:
    """Return all shapes in a nested structure of shapes."""
    if value is None:
        return []
    if is_shape(value):
        return [tuple(value)]
    items = [value[key] for key in sorted_keys(value)] if isinstance(value, dict) else value
    return [shape for item in items for shape in flatten_shapes(item)]
