"""Reading images between their pixels and beyond their edges."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from lamina.ops.core import TensorLike, reshape_to, to_dtype
from lamina.ops.image.layout import restored, working_float
from lamina.ops.joining import unstack
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op

FILL_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")
_FARTHEST = 1e9  # places beyond it are all the same; they must fit into an int32


def check_fill_mode(op: str, fill_mode: Any) -> None:
    """Raise a `ValueError` unless `fill_mode` says what lies beyond the edges."""
    if fill_mode not in FILL_MODES:
        raise ValueError(
            f"{op}: fill_mode must be one of {', '.join(FILL_MODES)}. Got {fill_mode!r}."
        )


def _inside(index: Tensor, size: int, fill_mode: str) -> Tensor:
    """Return for each index of an endless axis the index in [0, size) that stands for it."""
    from lamina.ops import absolute, clip, floor_divide, mod

    def mirrored(i: Tensor, span: int) -> Tensor:  # 0 .. span .. 0, period 2 span
        return absolute(mod(i + span, 2 * span) - span)

    if fill_mode == "wrap":
        return mod(index, size)
    if fill_mode == "mirror":
        return mirrored(index, size - 1) if size > 1 else index * 0
    if fill_mode == "reflect":
        return floor_divide(mirrored(2 * index + 1, 2 * size), 2)
    return clip(index, 0, size - 1)


def _corners(place: Tensor, order: int) -> list[tuple[Tensor, Tensor | None]]:
    """Return the neighbours along one axis and what each counts (None: all)."""
    place = apply("clip", place, min=-_FARTHEST, max=_FARTHEST)
    if order == 0:
        return [(to_dtype(apply("round", place), "int32"), None)]
    below = apply("floor", place)
    share = apply("subtract", place, below)
    first = to_dtype(below, "int32")
    return [(first, 1.0 - share), (first + 1, share)]


def sampled(
    cells: Tensor, sizes: Sequence[int], places: Sequence[Tensor], offset: Any, order: int,
    fill_mode: str, fill_value: Any,
) -> Tensor:  # fmt: skip
    """Read values between cells.

    Args:
        cells: (number of cells, values of a cell): a grid of `sizes` (one or several, one after
            the other), flattened.
        sizes: lengths of the grid's axes.
        places: one tensor of coordinates per axis of the grid, of one shape.
        offset: position of the first cell of the grid that each place is in (integers that
            broadcast with the places), or 0.
        order: 0 for the nearest cell, 1 for linear interpolation.
        fill_mode, fill_value: what lies outside; see `map_coordinates`.

    Returns:
        Tensor of the places' shape and one more axis, the values of a cell.
    """
    from lamina.ops import expand_dims, logical_and, where

    strides = [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))]
    total: Any = None
    for corner in itertools.product(*(_corners(place, order) for place in places)):
        position, is_inside, weight = offset, None, None
        for (index, share), size, stride in zip(corner, sizes, strides, strict=True):
            position = position + _inside(index, size, fill_mode) * stride
            if fill_mode == "constant":
                fits = logical_and(index >= 0, index < size)
                is_inside = fits if is_inside is None else logical_and(is_inside, fits)
            if share is not None:
                weight = share if weight is None else weight * share
        value = apply("gather", cells, position, axis=0)
        if is_inside is not None:
            fill = to_dtype(convert(fill_value), cells.dtype)
            value = where(expand_dims(is_inside, -1), value, fill)
        if weight is not None:
            value = value * expand_dims(weight, -1)
        total = value if total is None else total + value
    return total


@symbolic_op
def map_coordinates(
    inputs: TensorLike,
    coordinates: TensorLike,
    order: int,
    fill_mode: str = "constant",
    fill_value: float = 0,
) -> Tensor:
    """Read a tensor at places that need not be whole numbers.

    Args:
        inputs: tensor of any rank.
        coordinates: (rank, ...): for each axis of `inputs` the place to read at; or a list.
        order: 0 for the nearest element, 1 for linear interpolation.
        fill_mode: what lies beyond the edges. "constant": `fill_value`; "nearest": the last
            element; "wrap": the tensor again; "mirror": its mirror image, the last element once;
            "reflect": its mirror image, the last element twice.
        fill_value: number for "constant".

    Returns:
        Tensor of the shape of one coordinate and of the type of `inputs`.

    Raises:
        ValueError: for another order or fill mode, or another number of coordinates.
    """
    check_fill_mode("map_coordinates", fill_mode)
    if order not in (0, 1):
        raise ValueError(f"map_coordinates: order must be 0 or 1. Got {order!r}.")
    inputs = convert(inputs)
    places = _places(inputs, coordinates)
    sizes = [1 if size is None else int(size) for size in inputs.shape]  # unknown: shapes only
    cells = reshape_to(inputs if order == 0 else working_float(inputs), [None, 1])
    values = sampled(cells, sizes, places, 0, order, fill_mode, fill_value)
    return restored(reshape_to(values, places[0].shape), inputs.dtype)


def _places(inputs: Tensor, coordinates: Any) -> list[Tensor]:
    if isinstance(coordinates, (list, tuple)):
        parts = [convert(each) for each in coordinates]
    else:
        coordinates = convert(coordinates)
        if coordinates.ndim < 2:
            raise ValueError(
                "map_coordinates: coordinates must have at least 2 axes, the first with one entry "
                f"for each axis of inputs. Got shape {coordinates.shape}."
            )
        parts = unstack(coordinates, axis=0)
    if len(parts) != inputs.ndim:
        raise ValueError(
            f"map_coordinates: there must be one coordinate for each of the {inputs.ndim} axes of "
            f"inputs. Got {len(parts)}."
        )
    return [working_float(part) for part in parts]


__all__ = ["map_coordinates"]
