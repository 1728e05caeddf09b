"""Images moved, turned and bent."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.ops.core import TensorLike, reshape_to, to_dtype
from lamina.ops.image.filters import gaussian_blur
from lamina.ops.image.layout import as_batch, from_batch, known_sizes, restored, working_float
from lamina.ops.image.sampling import check_fill_mode, sampled
from lamina.ops.joining import stack
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op

_ORDERS = {"nearest": 0, "bilinear": 1}


def _order(op: str, interpolation: Any) -> int:
    if interpolation not in _ORDERS:
        raise ValueError(
            f"{op}: interpolation must be 'nearest' or 'bilinear'. Got {interpolation!r}."
        )
    return _ORDERS[interpolation]


def _grid(batch: Tensor) -> tuple[Tensor, Tensor]:
    """Return x and y of every pixel, (1, height, width) each."""
    height, width = batch.shape[1:3]
    y, x = np.meshgrid(np.arange(height or 1), np.arange(width or 1), indexing="ij")
    return convert(x[None], dtype="float32"), convert(y[None], dtype="float32")


def _read(
    images: Tensor, batch: Tensor, x: Tensor, y: Tensor, order: int, fill_mode: str,
    fill_value: Any,
) -> Tensor:  # fmt: skip
    """Return a batch whose pixels come from the places (x, y), (batch or 1, height, width)."""
    count, height, width, channels = batch.shape
    height, width = height or 1, width or 1  # unknown sizes: shapes only
    if count is None:
        first = to_dtype(batch[:, :1, :1, 0], "int32") * 0
    else:
        first = convert((np.arange(count) * height * width)[:, None, None], dtype="int32")
    cells = reshape_to(batch if order == 0 else working_float(batch), [None, channels])
    values = sampled(cells, (height, width), (y, x), first, order, fill_mode, fill_value)
    return restored(values, images.dtype)


def _rows_of_eight(op: str, transform: TensorLike) -> Tensor:
    rows = convert(transform, dtype="float32")
    if rows.ndim not in (1, 2) or rows.shape[-1] != 8:
        raise ValueError(f"{op}: transform must have shape (8,) or (batch, 8). Got {rows.shape}.")
    return rows if rows.ndim == 2 else reshape_to(rows, [1, 8])


@symbolic_op
def affine_transform(
    images: TensorLike,
    transform: TensorLike,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Tensor:
    """Move, turn, stretch and shear images.

    The pixel at (x, y) of the result is read at ((a0 x + a1 y + a2) / k, (b0 x + b1 y + b2) / k)
    with k = c0 x + c1 y + 1.

    Args:
        images: (height, width, channels) or (batch, height, width, channels), or channels before
            height.
        transform: [a0, a1, a2, b0, b1, b2, c0, c1] for all images or one row for each.
        interpolation: "nearest" or "bilinear".
        fill_mode, fill_value: what lies beyond the edges; see `map_coordinates`.
        data_format: "channels_last" or "channels_first"; None: the configured one.

    Returns:
        Images of the same shape and type.
    """
    order = _order("affine_transform", interpolation)
    check_fill_mode("affine_transform", fill_mode)
    images = convert(images)
    batch = as_batch("affine_transform", images, data_format)
    rows = _rows_of_eight("affine_transform", transform)
    a0, a1, a2, b0, b1, b2, c0, c1 = (rows[:, i, None, None] for i in range(8))
    x, y = _grid(batch)
    k = c0 * x + c1 * y + 1.0
    moved = _read(images, batch, (a0 * x + a1 * y + a2) / k, (b0 * x + b1 * y + b2) / k, order,
                  fill_mode, fill_value)  # fmt: skip
    return from_batch("affine_transform", moved, images, data_format)


def _from_unit_square(corners: Tensor) -> Tensor:
    """Return the projections (batch, 3, 3) that take the corners of the unit square to `corners`.

    Source: Heckbert. Fundamentals of texture mapping and image warping. 1989.
    """
    top_left, top_right, bottom_left, bottom_right = (corners[:, i] for i in range(4))
    right, bottom = top_right - bottom_right, bottom_left - bottom_right
    bend = top_left - top_right - bottom_left + bottom_right
    area = _cross(right, bottom)
    g, h = _cross(bend, bottom) / area, _cross(right, bend) / area
    across = top_right - top_left + g[:, None] * top_right
    down = bottom_left - top_left + h[:, None] * bottom_left
    last = stack([g, h, 0.0 * g + 1.0], axis=1)
    return stack([*_rows(across, down, top_left), last], axis=1)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _rows(*columns: Tensor) -> list[Tensor]:
    """Return the first and second coordinates of the columns."""
    return [stack([column[:, i] for column in columns], axis=1) for i in range(2)]


def _inverse_direction(m: Tensor) -> Tensor:
    """Return the adjugates of (batch, 3, 3): inverses but for a factor, which does not matter."""
    from lamina.ops import cross

    first, second, third = (m[:, i] for i in range(3))
    sides = [cross(second, third), cross(third, first), cross(first, second)]
    return stack(sides, axis=2)


def _points(name: str, points: TensorLike) -> Tensor:
    corners = convert(points, dtype="float32")
    if corners.ndim not in (2, 3) or tuple(corners.shape[-2:]) != (4, 2):
        raise ValueError(
            f"perspective_transform: {name} must have shape (4, 2) or (batch, 4, 2). "
            f"Got {corners.shape}."
        )
    return corners if corners.ndim == 3 else reshape_to(corners, [1, 4, 2])


@symbolic_op
def perspective_transform(
    images: TensorLike,
    start_points: TensorLike,
    end_points: TensorLike,
    interpolation: str = "bilinear",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Tensor:
    """Move four points of images to four others, straight lines staying straight.

    Args:
        images: (height, width, channels) or (batch, height, width, channels), or channels before
            height.
        start_points: (4, 2) or (batch, 4, 2): x and y of top left, top right, bottom left and
            bottom right.
        end_points: where they go, in the same form.
        interpolation: "nearest" or "bilinear".
        fill_value: number for what lies beyond the edges.
        data_format: "channels_last" or "channels_first"; None: the configured one.

    Returns:
        Images of the same shape and type.
    """
    order = _order("perspective_transform", interpolation)
    images = convert(images)
    batch = as_batch("perspective_transform", images, data_format)
    start, end = _points("start_points", start_points), _points("end_points", end_points)
    back = apply("matmul", _from_unit_square(start), _inverse_direction(_from_unit_square(end)))
    x, y = _grid(batch)
    rows = [
        back[:, i, 0, None, None] * x + back[:, i, 1, None, None] * y + back[:, i, 2, None, None]
        for i in range(3)
    ]
    moved = _read(images, batch, rows[0] / rows[2], rows[1] / rows[2], order, "constant",
                  fill_value)  # fmt: skip
    return from_batch("perspective_transform", moved, images, data_format)


@symbolic_op
def elastic_transform(
    images: TensorLike,
    alpha: float = 20.0,
    sigma: float = 5.0,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    seed: Any = None,
    data_format: str | None = None,
) -> Tensor:
    """Bend images at random, as if they were printed on rubber.

    Every pixel is read `alpha` times a smooth random field away from its place.

    Args:
        images: (height, width, channels) or (batch, height, width, channels), or channels before
            height.
        alpha: how strongly.
        sigma: how smoothly: standard deviation of the blur of the random field, and its scale.
        interpolation: "nearest" or "bilinear".
        fill_mode, fill_value: what lies beyond the edges; see `map_coordinates`.
        seed: integer or `SeedGenerator`.
        data_format: "channels_last" or "channels_first"; None: the configured one.

    Returns:
        Images of the same shape and type.

    Source: Simard, Steinkraus, Platt. Best practices for convolutional neural networks. 2003.
    """
    from lamina import random

    order = _order("elastic_transform", interpolation)
    check_fill_mode("elastic_transform", fill_mode)
    images = convert(images)
    batch = as_batch("elastic_transform", images, data_format)
    count, height, width = known_sizes("elastic_transform", batch)[:3]
    noise = random.normal((count, height, width, 2), dtype="float32", seed=seed) * float(sigma)
    taps = int(6 * sigma) | 1
    field = gaussian_blur(noise, (taps, taps), (sigma, sigma), data_format="channels_last")
    x, y = _grid(batch)
    shift = field * float(alpha)
    moved = _read(images, batch, x + shift[..., 0], y + shift[..., 1], order, fill_mode,
                  fill_value)  # fmt: skip
    return from_batch("elastic_transform", moved, images, data_format)


__all__ = ["affine_transform", "elastic_transform", "perspective_transform"]
