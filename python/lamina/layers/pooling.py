"""Pooling over windows that slide along one to three spatial axes."""

from __future__ import annotations

from typing import Any

from lamina import config, ops
from lamina.layers.base import Layer
from lamina.layers.building import is_default_build
from lamina.layers.conv import window_output_size
from lamina.layers.spec import InputSpec
from lamina.validation import Integers, OneOf


def _constraints(rank: int) -> dict[str, Any]:
    return {
        "pool_size": Integers(rank),
        "strides": Integers(rank, optional=True),
        "padding": OneOf("valid", "same"),
        "data_format": OneOf("channels_last", "channels_first", optional=True),
    }


class BasePooling(Layer):
    """What the window pooling layers share. See `MaxPooling2D`."""

    rank = 2
    takes_maximum = True

    def __init__(
        self,
        pool_size: Any,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.pool_size, strides, self.padding, data_format = self.validated(
            pool_size=pool_size, strides=strides, padding=padding, data_format=data_format
        )
        self.strides = strides or self.pool_size
        self.data_format = data_format or config.image_data_format()
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self.built = is_default_build(type(self).build)

    def call(self, inputs: Any) -> Any:
        pool = ops.max_pool if self.takes_maximum else ops.average_pool
        return pool(
            self._as_float(inputs), self.pool_size, self.strides, self.padding, self.data_format
        )

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        shape = tuple(input_shape)
        last = self.data_format == "channels_last"
        spatial = shape[1:-1] if last else shape[2:]
        sizes = tuple(
            window_output_size(size, window, stride, 1, self.padding)
            for size, window, stride in zip(spatial, self.pool_size, self.strides, strict=True)
        )
        if any(size is not None and size < 1 for size in sizes):
            raise ValueError(
                f"{self.name} ({type(self).__name__}): pool_size {self.pool_size} does not fit "
                f"into input {spatial} with padding={self.padding!r}: the result would be "
                "empty. Use padding='same', a smaller pool_size, or larger inputs."
            )
        return (shape[0], *sizes, shape[-1]) if last else (*shape[:2], *sizes)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "padding": self.padding,
            "strides": self.strides,
            "data_format": self.data_format,
        }


class MaxPooling1D(BasePooling):
    """Keep the largest value of each window of sequences.

    Args:
        pool_size: length of the window.
        strides: step of the window; `pool_size` when None.
        padding: "valid" or "same".
        data_format: "channels_last" (batch, steps, features) or "channels_first".

    Output shape: `(batch, new_steps, features)`.
    """

    rank = 1
    constraints = _constraints(1)

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)


class MaxPooling2D(BasePooling):
    """Keep the largest value of each window of images.

    Args:
        pool_size: (height, width) of the window, or one integer for both.
        strides: steps of the window; `pool_size` when None.
        padding: "valid" or "same" (padding never wins: it counts as minus infinity).
        data_format: "channels_last" (batch, height, width, channels) or "channels_first".

    Output shape: `(batch, new_height, new_width, channels)`.
    """

    rank = 2
    constraints = _constraints(2)

    def __init__(
        self,
        pool_size: Any = (2, 2),
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)


class MaxPooling3D(BasePooling):
    """Keep the largest value of each window of volumes.

    Args:
        pool_size: (depth, height, width) of the window, or one integer for all.
        strides: steps of the window; `pool_size` when None.
        padding: "valid" or "same".
        data_format: "channels_last" (batch, depth, height, width, channels) or "channels_first".

    Output shape: `(batch, new_depth, new_height, new_width, channels)`.
    """

    rank = 3
    constraints = _constraints(3)

    def __init__(
        self,
        pool_size: Any = (2, 2, 2),
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)


class AveragePooling1D(BasePooling):
    """Take the mean of each window of sequences; padding does not count.

    Args:
        pool_size: length of the window.
        strides: step of the window; `pool_size` when None.
        padding: "valid" or "same".
        data_format: "channels_last" (batch, steps, features) or "channels_first".

    Output shape: `(batch, new_steps, features)`.
    """

    rank = 1
    takes_maximum = False
    constraints = _constraints(1)


class AveragePooling2D(BasePooling):
    """Take the mean of each window of images; padding does not count.

    Args:
        pool_size: (height, width) of the window, or one integer for both.
        strides: steps of the window; `pool_size` when None.
        padding: "valid" or "same".
        data_format: "channels_last" (batch, height, width, channels) or "channels_first".

    Output shape: `(batch, new_height, new_width, channels)`.
    """

    rank = 2
    takes_maximum = False
    constraints = _constraints(2)


class AveragePooling3D(BasePooling):
    """Take the mean of each window of volumes; padding does not count.

    Args:
        pool_size: (depth, height, width) of the window, or one integer for all.
        strides: steps of the window; `pool_size` when None.
        padding: "valid" or "same".
        data_format: "channels_last" (batch, depth, height, width, channels) or "channels_first".

    Output shape: `(batch, new_depth, new_height, new_width, channels)`.
    """

    rank = 3
    takes_maximum = False
    constraints = _constraints(3)
