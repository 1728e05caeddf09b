"""Layers that make sequences, images and volumes larger."""

from __future__ import annotations

from typing import Any

from lamina import config, ops
from lamina.layers.base import Layer
from lamina.layers.building import is_default_build
from lamina.layers.repetitions import repetitions
from lamina.layers.sides import first_space_axis
from lamina.layers.spec import InputSpec
from lamina.validation import Integer, Integers, OneOf

_DATA_FORMAT = OneOf("channels_last", "channels_first", optional=True)


class UpSampling1D(Layer):
    """Repeat each step of sequences.

    Args:
        size: how often, at least 1.

    Output shape: `(batch, steps * size, features)`.
    """

    constraints = {"size": Integer(min=1)}

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = repetitions(type(self).__name__, "size", size)
        self.input_spec = InputSpec(ndim=3)
        self.built = is_default_build(type(self).build)

    def call(self, inputs: Any) -> Any:
        return ops.repeat(inputs, self.size, axis=1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        batch, steps, features = input_shape
        return (batch, None if steps is None else steps * self.size, features)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}


class BaseUpSampling(Layer):
    """What the upsampling of images and volumes shares."""

    rank = 2

    def __init__(self, size: Any, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size, data_format = self.validated(size=size, data_format=data_format)
        self.data_format = data_format or config.image_data_format()
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self.built = is_default_build(type(self).build)

    def call(self, inputs: Any) -> Any:
        outputs = inputs
        for axis, factor in enumerate(self.size, first_space_axis(self.data_format)):
            outputs = ops.repeat(outputs, factor, axis=axis)
        return outputs

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        shape = list(input_shape)
        for axis, factor in enumerate(self.size, first_space_axis(self.data_format)):
            shape[axis] = None if shape[axis] is None else shape[axis] * factor
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size, "data_format": self.data_format}


class UpSampling2D(BaseUpSampling):
    """Make images larger by whole factors.

    Args:
        size: factors for height and width, or one for both.
        data_format: "channels_last" (batch, height, width, channels) or "channels_first".
        interpolation: "nearest" (rows and columns are repeated), "bilinear", "bicubic",
            "lanczos3" or "lanczos5"; see `lamina.ops.image.resize`.

    Output shape: height and width multiplied by `size`.
    """

    constraints = {
        "size": Integers(2),
        "data_format": _DATA_FORMAT,
        "interpolation": OneOf("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"),
    }

    def __init__(
        self,
        size: Any = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **kwargs: Any,
    ) -> None:
        super().__init__(size, data_format, **kwargs)
        self.interpolation = self.validated(interpolation=interpolation)

    def call(self, inputs: Any) -> Any:
        first = first_space_axis(self.data_format)
        sizes = inputs.shape[first : first + 2]
        if None in sizes:  # shapes only
            return super().call(inputs)
        return ops.image.resize(
            inputs,
            [size * factor for size, factor in zip(sizes, self.size, strict=True)],
            interpolation=self.interpolation,
            data_format=self.data_format,
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "interpolation": self.interpolation}


class UpSampling3D(BaseUpSampling):
    """Repeat the cells of volumes along depth, height and width.

    Args:
        size: factors for depth, height and width, or one for all.
        data_format: "channels_last" (batch, depth, height, width, channels) or "channels_first".

    Output shape: depth, height and width multiplied by `size`.
    """

    rank = 3
    constraints = {"size": Integers(3), "data_format": _DATA_FORMAT}

    def __init__(
        self, size: Any = (2, 2, 2), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(size, data_format, **kwargs)
