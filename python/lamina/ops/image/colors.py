"""Colour spaces."""

from __future__ import annotations

import numpy as np

from lamina.dtypes import is_float_dtype
from lamina.ops.core import TensorLike, to_dtype
from lamina.ops.image.layout import image_axes, working_float
from lamina.ops.joining import stack, unstack
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op

# What red, green and blue contribute to how light a colour looks (ITU-R BT.601).
LIGHTNESS = (0.2989, 0.587, 0.114)


@symbolic_op
def rgb_to_grayscale(images: TensorLike, data_format: str | None = None) -> Tensor:
    """Return how light each pixel is: 0.2989 red + 0.587 green + 0.114 blue.

    Args:
        images: (height, width, 3) or (batch, height, width, 3), or channels before height. With a
            single channel they are returned as they are.
        data_format: "channels_last" or "channels_first"; None: the configured one.

    Returns:
        Images of the same type with one channel.
    """
    images = convert(images)
    axis = image_axes("rgb_to_grayscale", images, data_format).channels
    if images.shape[axis] == 1:
        return images
    _check_channels("rgb_to_grayscale", images, axis)
    x = working_float(images)
    shape = [3 if i == axis else 1 for i in range(x.ndim)]
    weights = convert(np.reshape(LIGHTNESS, shape), dtype=x.dtype)
    gray = apply("sum", apply("multiply", x, weights), axes=[axis], keepdims=True)
    return to_dtype(gray, images.dtype)


def _check_channels(op: str, images: Tensor, axis: int) -> None:
    if images.shape[axis] != 3:
        raise ValueError(
            f"{op}: images must have 3 channels on axis {axis}. Got shape {images.shape}."
        )


def _floating_images(op: str, images: TensorLike, data_format: str | None) -> tuple[Tensor, int]:
    images = convert(images)
    axis = image_axes(op, images, data_format).channels
    if not is_float_dtype(images.dtype):
        raise ValueError(
            f"{op}: images must be floating point numbers in [0, 1]. Got dtype {images.dtype}."
        )
    _check_channels(op, images, axis)
    return images, axis


@symbolic_op
def rgb_to_hsv(images: TensorLike, data_format: str | None = None) -> Tensor:
    """Convert red, green, blue to hue, saturation, value, all in [0, 1].

    Args:
        images: floats (height, width, 3) or (batch, height, width, 3), or channels before height.
        data_format: "channels_last" or "channels_first"; None: the configured one.
    """
    from lamina.ops import maximum, minimum, mod, where

    images, axis = _floating_images("rgb_to_hsv", images, data_format)
    red, green, blue = unstack(images, axis=axis)
    value = maximum(maximum(red, green), blue)
    spread = value - minimum(minimum(red, green), blue)
    saturation = where(value > 0, spread / where(value > 0, value, 1.0), 0.0)
    safe = where(spread > 0, spread, 1.0)
    sector = where(  # sixths of the colour circle, from red
        value == red,
        (green - blue) / safe,
        where(value == green, (blue - red) / safe + 2.0, (red - green) / safe + 4.0),
    )
    hue = where(spread > 0, mod(sector / 6.0, 1.0), 0.0)
    return stack([hue, saturation, value], axis=axis)


@symbolic_op
def hsv_to_rgb(images: TensorLike, data_format: str | None = None) -> Tensor:
    """Convert hue, saturation, value to red, green, blue, all in [0, 1].

    Args:
        images: floats (height, width, 3) or (batch, height, width, 3), or channels before height.
        data_format: "channels_last" or "channels_first"; None: the configured one.
    """
    from lamina.ops import absolute, clip, mod

    images, axis = _floating_images("hsv_to_rgb", images, data_format)
    hue, saturation, value = unstack(images, axis=axis)
    sixth = mod(hue, 1.0) * 6.0
    strengths = (
        absolute(sixth - 3.0) - 1.0,
        2.0 - absolute(sixth - 2.0),
        2.0 - absolute(sixth - 4.0),
    )
    white = 1.0 - saturation
    mixed = [(white + saturation * clip(s, 0.0, 1.0)) * value for s in strengths]
    return stack(mixed, axis=axis)


__all__ = ["hsv_to_rgb", "rgb_to_grayscale", "rgb_to_hsv"]
