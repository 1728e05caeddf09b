"""What a layer does with the values it is called on, before it computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lamina import structure
from lamina.tensor import Tensor


def mask_of(value: Any) -> Any:
    """Return the mask a tensor carries, or None."""
    return getattr(value, "mask", None) if isinstance(value, Tensor) else None


def convert_argument(
    convert: Callable[[Any], Any], value: Any, *, numbers_are_data: bool = True
) -> Any:
    """Convert the leaves of an argument; a list of plain numbers is one array."""
    if isinstance(value, (Tensor, np.ndarray)):
        return convert(value)
    if not structure.is_nested(value):
        if numbers_are_data and isinstance(value, (int, float)) and not isinstance(value, bool):
            return convert(
                np.asarray(value, dtype=np.float32 if isinstance(value, float) else None)
            )
        return convert(value)
    if numbers_are_data and isinstance(value, list) and _is_number_list(value):
        return convert(_array_of(value))
    if isinstance(value, dict):
        return {
            key: convert_argument(convert, item, numbers_are_data=isinstance(item, list))
            for key, item in value.items()
        }
    return structure.map_structure(convert, value)


def _is_number_list(value: list[Any]) -> bool:
    first: Any = value
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    return isinstance(first, (int, float, np.number))


def _array_of(value: list[Any]) -> np.ndarray[Any, Any]:
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(
            "A nested list of numbers must have rows of equal length to be an input."
        ) from None
    return array.astype(np.int32) if array.dtype.kind == "i" else array


def shapes_of(value: Any) -> Any:
    """Return the shapes of a nested structure of tensors."""
    return structure.map_structure(
        lambda leaf: tuple(leaf.shape) if hasattr(leaf, "shape") else None, value
    )


def as_shapes(value: Any) -> Any:
    """Turn the lists of a JSON file into shape tuples."""
    return structure.map_shapes(tuple, value)


def cast_keeping_mask(value: Any, dtype: str) -> Any:
    from lamina import ops

    mask = mask_of(value)
    cast = ops.cast(value, dtype)
    if mask is not None:
        cast.mask = mask
    return cast
