"""Layers that put zeros around sequences, images and volumes."""

from __future__ import annotations

from typing import Any

from lamina import config, ops
from lamina.layers.base import Layer
from lamina.layers.building import is_default_build
from lamina.layers.sides import Pairs, Sides, first_space_axis
from lamina.layers.spec import InputSpec
from lamina.validation import Integers, OneOf

_DATA_FORMAT = OneOf("channels_last", "channels_first", optional=True)


class BaseZeroPadding(Layer):
    """What the padding layers share."""

    rank = 2

    def __init__(self, padding: Any, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.padding, data_format = self.validated(padding=padding, data_format=data_format)
        self.data_format = data_format or config.image_data_format()
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self.built = is_default_build(type(self).build)

    def _pairs(self) -> Pairs:
        """Return the zeros before and behind each spatial axis."""
        return tuple(self.padding)

    def call(self, inputs: Any) -> Any:
        widths = [(0, 0)] * len(inputs.shape)
        for axis, pair in enumerate(self._pairs(), first_space_axis(self.data_format)):
            widths[axis] = pair
        return ops.pad(inputs, widths)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        shape = list(input_shape)
        for axis, pair in enumerate(self._pairs(), first_space_axis(self.data_format)):
            shape[axis] = None if shape[axis] is None else shape[axis] + sum(pair)
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "padding": self.padding, "data_format": self.data_format}


class ZeroPadding1D(BaseZeroPadding):
    """Put steps of zeros before and behind sequences.

    Args:
        padding: (before, behind), or one integer for both.
        data_format: "channels_last" (batch, steps, features) or "channels_first".

    Output shape: `(batch, before + steps + behind, features)`.
    """

    rank = 1
    constraints = {"padding": Integers(2, min=0), "data_format": _DATA_FORMAT}

    def __init__(self, padding: Any = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(padding, data_format, **kwargs)

    def _pairs(self) -> Pairs:
        return (self.padding,)


class ZeroPadding2D(BaseZeroPadding):
    """Surround images with zeros.

    Args:
        padding: one integer for all sides, (rows, columns), or ((top, bottom), (left, right)).
        data_format: "channels_last" (batch, height, width, channels) or "channels_first".

    Output shape: height and width plus the padding.
    """

    constraints = {"padding": Sides(2), "data_format": _DATA_FORMAT}

    def __init__(
        self, padding: Any = (1, 1), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(padding, data_format, **kwargs)


class ZeroPadding3D(BaseZeroPadding):
    """Surround volumes with zeros.

    Args:
        padding: one integer for all sides, one for each axis, or a pair for each axis.
        data_format: "channels_last" (batch, depth, height, width, channels) or "channels_first".

    Output shape: depth, height and width plus the padding.
    """

    rank = 3
    constraints = {"padding": Sides(3), "data_format": _DATA_FORMAT}

    def __init__(
        self,
        padding: Any = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(padding, data_format, **kwargs)
