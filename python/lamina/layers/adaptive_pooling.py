"""Pooling to a given size: each axis is cut into equal parts."""

from __future__ import annotations

from typing import Any

from lamina import config, ops
from lamina.layers.base import Layer
from lamina.layers.building import is_default_build
from lamina.layers.spec import InputSpec
from lamina.validation import Integers, OneOf


def _constraints(rank: int) -> dict[str, Any]:
    return {
        "output_size": Integers(rank),
        "data_format": OneOf("channels_last", "channels_first", optional=True),
    }


class BaseAdaptivePooling(Layer):
    """What the adaptive pooling layers share. See `AdaptiveMaxPooling2D`."""

    rank = 2
    takes_maximum = True

    def __init__(self, output_size: Any, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.output_size, data_format = self.validated(
            output_size=output_size, data_format=data_format
        )
        self.data_format = data_format or config.image_data_format()
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self.built = is_default_build(type(self).build)

    def call(self, inputs: Any) -> Any:
        pool = ops.adaptive_max_pool if self.takes_maximum else ops.adaptive_average_pool
        return pool(self._as_float(inputs), self.output_size, self.data_format)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        shape = tuple(input_shape)
        if self.data_format == "channels_last":
            return (shape[0], *self.output_size, shape[-1])
        return (*shape[:2], *self.output_size)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "output_size": self.output_size,
            "data_format": self.data_format,
        }


class AdaptiveMaxPooling1D(BaseAdaptivePooling):
    """Cut sequences into equal parts and keep the largest value of each.

    Args:
        output_size: number of parts.
        data_format: "channels_last" (batch, steps, features) or "channels_first".

    Output shape: `(batch, output_size, features)`.
    """

    rank = 1
    constraints = _constraints(1)


class AdaptiveMaxPooling2D(BaseAdaptivePooling):
    """Cut images into equal parts and keep the largest value of each.

    Part i of n reaches from floor(i * size / n) to ceil((i + 1) * size / n).

    Args:
        output_size: (height, width) of the result, or one integer for both.
        data_format: "channels_last" (batch, height, width, channels) or "channels_first".

    Output shape: `(batch, *output_size, channels)`.
    """

    rank = 2
    constraints = _constraints(2)


class AdaptiveMaxPooling3D(BaseAdaptivePooling):
    """Cut volumes into equal parts and keep the largest value of each.

    Args:
        output_size: (depth, height, width) of the result, or one integer for all.
        data_format: "channels_last" (batch, depth, height, width, channels) or "channels_first".

    Output shape: `(batch, *output_size, channels)`.
    """

    rank = 3
    constraints = _constraints(3)


class AdaptiveAveragePooling1D(BaseAdaptivePooling):
    """Cut sequences into equal parts and take the mean of each.

    Args:
        output_size: number of parts.
        data_format: "channels_last" (batch, steps, features) or "channels_first".

    Output shape: `(batch, output_size, features)`.
    """

    rank = 1
    takes_maximum = False
    constraints = _constraints(1)


class AdaptiveAveragePooling2D(BaseAdaptivePooling):
    """Cut images into equal parts and take the mean of each.

    Args:
        output_size: (height, width) of the result, or one integer for both.
        data_format: "channels_last" (batch, height, width, channels) or "channels_first".

    Output shape: `(batch, *output_size, channels)`.
    """

    rank = 2
    takes_maximum = False
    constraints = _constraints(2)


class AdaptiveAveragePooling3D(BaseAdaptivePooling):
    """Cut volumes into equal parts and take the mean of each.

    Args:
        output_size: (depth, height, width) of the result, or one integer for all.
        data_format: "channels_last" (batch, depth, height, width, channels) or "channels_first".

    Output shape: `(batch, *output_size, channels)`.
    """

    rank = 3
    takes_maximum = False
    constraints = _constraints(3)
