"""Pictures as arrays, under the name that older programs use."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.utils.image import array_to_img, img_to_array, load_img, save_img
from lamina.validation import Integers, check_argument

__all__ = ["array_to_img", "img_to_array", "load_img", "save_img", "smart_resize"]


def smart_resize(
    x: Any,
    size: Any,
    interpolation: str = "bilinear",
    data_format: str = "channels_last",
    backend_module: Any = None,
) -> Any:
    """Scale pictures to a size; what does not fit the new proportions is cut off at the sides.

    Args:
        x: a picture (height, width, channels), or a batch of them.
        size: (height, width) of the result.
        interpolation: as for `ops.image.resize`.
        data_format: "channels_last" or "channels_first".
        backend_module: not used.

    Returns:
        Pictures of the size asked for: an array for an array, else a tensor.

    Raises:
        ValueError: for a size of other than two numbers, or pictures without 3 or 4 axes.
    """
    del backend_module
    from lamina import ops

    rows, columns = check_argument("smart_resize", "size", size, Integers(2))
    pictures = ops.convert_to_tensor(x)
    if pictures.ndim not in (3, 4):
        raise ValueError(
            "smart_resize: x must be a picture, which has 3 axes, or a batch of them. Got shape "
            f"{tuple(pictures.shape)}."
        )
    first = -3 if data_format == "channels_last" else -2
    height, width = pictures.shape[first], pictures.shape[first + 1]
    window: list[Any] = [slice(None)] * pictures.ndim
    window[first] = _middle(height, width * rows // columns)
    window[first + 1] = _middle(width, height * columns // rows)
    resized = ops.image.resize(
        pictures[tuple(window)],
        (rows, columns),
        interpolation=interpolation,
        data_format=data_format,
    )
    return resized.numpy() if isinstance(x, np.ndarray) else resized


def _middle(size: int, wanted: int) -> slice:
    """The middle of an axis: as many of its cells as are wanted, but at least one."""
    kept = max(1, min(size, wanted))
    return slice((size - kept) // 2, (size - kept) // 2 + kept)
