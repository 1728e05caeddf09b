"""What the image functions share: the order of axes, and types that hold no fractions."""

from __future__ import annotations

from typing import Any, NamedTuple

from lamina import config
from lamina.dtypes import is_float_dtype
from lamina.ops.core import saturate_cast, to_dtype
from lamina.tensor import Tensor
from lamina.tracing import apply


def is_channels_first(op: str, data_format: str | None) -> bool:
    """Return whether images have their channels before height and width.

    Raises:
        ValueError: for an unknown `data_format`.
    """
    layout = data_format or config.image_data_format()
    if layout not in ("channels_last", "channels_first"):
        raise ValueError(
            f"{op}: data_format must be 'channels_last' or 'channels_first'. Got {data_format!r}."
        )
    return bool(layout == "channels_first")


class Axes(NamedTuple):
    """Positions of the axes of an image or a batch of images."""

    height: int
    width: int
    channels: int


def image_axes(op: str, images: Tensor, data_format: str | None) -> Axes:
    """Return the axes of `images`, counted from the front.

    Raises:
        ValueError: if they are neither one image (3 axes) nor a batch (4 axes).
    """
    check_rank(op, images)
    first = images.ndim - 3
    if is_channels_first(op, data_format):
        return Axes(first + 1, first + 2, first)
    return Axes(first, first + 1, first + 2)


def check_rank(op: str, images: Tensor) -> None:
    """Raise a `ValueError` unless `images` have 3 or 4 axes."""
    if images.ndim not in (3, 4):
        raise ValueError(
            f"{op}: images must have 3 axes (one image) or 4 (a batch). Got shape {images.shape}."
        )


def as_batch(op: str, images: Tensor, data_format: str | None) -> Tensor:
    """Return `images` as a channels-last batch; `from_batch` undoes it."""
    check_rank(op, images)
    if images.ndim == 3:
        images = apply("reshape", images, shape=[1, *known_sizes(op, images)])
    if is_channels_first(op, data_format):
        return apply("transpose", images, perm=[0, 2, 3, 1])
    return images


def from_batch(op: str, batch: Tensor, like: Tensor, data_format: str | None) -> Tensor:
    """Bring a channels-last batch into the layout and rank of `like`."""
    if is_channels_first(op, data_format):
        batch = apply("transpose", batch, perm=[0, 3, 1, 2])
    if like.ndim == 3:
        return apply("reshape", batch, shape=[-1 if d is None else d for d in batch.shape[1:]])
    return batch


def known_sizes(op: str, x: Tensor) -> list[int]:
    """Return the shape of `x`, whose sizes must all be known.

    Raises:
        ValueError: if one is not.
    """
    if any(size is None for size in x.shape):
        raise ValueError(f"{op}: all sizes of the images must be known here. Got shape {x.shape}.")
    return [int(size) for size in x.shape]


def working_float(x: Tensor) -> Tensor:
    """Return `x` in the type it is computed in: float32 for integers and narrow floats."""
    return x if x.dtype in ("float32", "float64") else to_dtype(x, "float32")


def restored(y: Tensor, dtype: str) -> Tensor:
    """Return computed values in the images' type: integers rounded and kept in their range."""
    if y.dtype == dtype:
        return y
    if is_float_dtype(dtype):
        return to_dtype(y, dtype)
    return saturate_cast(apply("round", y), dtype)


def pair(op: str, name: str, value: Any) -> tuple[int, int]:
    """Return two positive integers given as such or as one for both."""
    values = tuple(value) if isinstance(value, (list, tuple)) else (value, value)
    if len(values) != 2 or any(int(v) < 1 for v in values):
        raise ValueError(f"{op}: {name} must be an integer >= 1, or two of them. Got {value!r}.")
    return int(values[0]), int(values[1])
