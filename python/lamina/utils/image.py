"""Pictures in files and as arrays, by way of Pillow."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from lamina import config
from lamina.validation import OneOf, check_argument

_FORMATS = OneOf("channels_last", "channels_first")
_COLOR_MODES = OneOf("rgb", "rgba", "grayscale")
_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")
_GRAY_MODES = ("L", "I;16", "I")
_MODES = {4: "RGBA", 3: "RGB"}


def _pillow(owner: str) -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(f"{owner} needs Pillow: pip install pillow") from None
    return Image


def _data_format(owner: str, data_format: str | None) -> str:
    given = config.image_data_format() if data_format is None else data_format
    return str(check_argument(f"{owner}: Invalid data_format", "data_format", given, _FORMATS))


def img_to_array(img: Any, data_format: str | None = None, dtype: Any = None) -> np.ndarray:
    """Turn a picture into an array.

    Args:
        img: a Pillow picture, or an array (height, width) or with a third axis of channels.
        data_format: "channels_last" or "channels_first", of the result; the global one when None.
        dtype: of the result; the default float type when None.

    Returns:
        (height, width, channels) or (channels, height, width).

    Raises:
        ValueError: for another data format or number of axes.
    """
    data_format = _data_format("img_to_array", data_format)
    array = np.asarray(img, dtype=dtype or config.floatx())
    if array.ndim == 2:
        array = array[:, :, None]
    elif array.ndim != 3:
        raise ValueError(f"img_to_array: Unsupported image shape {array.shape}: 2 or 3 axes.")
    return array.transpose(2, 0, 1) if data_format == "channels_first" else array


def array_to_img(
    x: Any, data_format: str | None = None, scale: bool = True, dtype: Any = None
) -> Any:
    """Turn an array into a Pillow picture.

    Args:
        x: array of three axes with 1, 3 or 4 channels.
        data_format: "channels_last" or "channels_first", of `x`; the global one when None.
        scale: whether values are stretched to [0, 255]; otherwise they are taken as they are.
        dtype: to compute in; the default float type when None.

    Raises:
        ValueError: for another number of axes or channels.
    """
    data_format = _data_format("array_to_img", data_format)
    image = _pillow("array_to_img")
    array = np.asarray(x, dtype=dtype or config.floatx())
    if array.ndim != 3:
        raise ValueError(
            f"array_to_img: x must be one picture, which has 3 axes. Got shape {array.shape}."
        )
    if data_format == "channels_first":
        array = array.transpose(1, 2, 0)
    if scale:
        array = array - array.min()
        top = array.max()
        array = (array / top if top != 0 else array) * 255
    channels = array.shape[2]
    if channels in _MODES:
        return image.fromarray(array.astype("uint8"))
    if channels == 1:
        wide = array.max() > 255  # such as heights or X-rays
        return image.fromarray(array[:, :, 0].astype("int32" if wide else "uint8"))
    raise ValueError(f"array_to_img: Unsupported channel number: {channels}. It must be 1, 3 or 4.")


def load_img(
    path: Any,
    color_mode: str = "rgb",
    target_size: tuple[int, int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Any:
    """Read a picture from a file.

    Args:
        path: of the file, or an open file.
        color_mode: "rgb", "rgba" or "grayscale", into which it is converted.
        target_size: (height, width) to scale it to; its own size when None.
        interpolation: "nearest", "bilinear", "bicubic", "hamming", "box" or "lanczos".
        keep_aspect_ratio: whether to cut the sides off that would be squeezed.

    Returns:
        A Pillow picture.
    """
    image = _pillow("load_img")
    color_mode = check_argument("load_img", "color_mode", color_mode, _COLOR_MODES)
    if not hasattr(path, "read"):
        path = os.fspath(path)
    with image.open(path) as file:
        if color_mode == "grayscale":
            img = file.copy() if file.mode in _GRAY_MODES else file.convert("L")
        else:
            img = file.convert(color_mode.upper())
    if target_size is None:
        return img
    method = check_argument("load_img", "interpolation", interpolation, OneOf(*_INTERPOLATIONS))
    height, width = target_size
    if img.size == (width, height):
        return img
    resample = getattr(image.Resampling, method.upper())
    box = _middle(img.size, (width, height)) if keep_aspect_ratio else None
    return img.resize((width, height), resample, box=box)


def _middle(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the largest box in the middle of `size` that has the proportions of `target`."""
    width, height = size
    crop_height = min(height, width * target[1] // target[0])
    crop_width = min(width, height * target[0] // target[1])
    left, top = (width - crop_width) // 2, (height - crop_height) // 2
    return left, top, left + crop_width, top + crop_height


def save_img(
    path: Any,
    x: Any,
    data_format: str | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **kwargs: Any,
) -> None:
    """Write an array as a picture.

    Args:
        path: of the file, or an open file.
        x: array of three axes.
        data_format: "channels_last" or "channels_first", of `x`; the global one when None.
        file_format: "png", "jpeg" ...; by the file's name when None.
        scale: whether values are stretched to [0, 255].
        **kwargs: for Pillow's `save`.
    """
    img = array_to_img(x, data_format=data_format, scale=scale)
    if img.mode == "RGBA" and file_format in ("jpg", "jpeg"):
        warnings.warn(
            "save_img: JPEG has no transparency; it is left out of the picture.", stacklevel=2
        )
        img = img.convert("RGB")
    kind = "jpeg" if file_format == "jpg" else file_format
    img.save(path, format=kind, **kwargs)
