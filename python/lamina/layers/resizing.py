"""Layers that cut, pad and repeat along space and time."""

from __future__ import annotations

from typing import Any

from lamina import config, ops
from lamina.layers.base import Layer
from lamina.layers.building import is_default_build
from lamina.layers.spec import InputSpec
from lamina.validation import Constraint, Integer, Integers, OneOf

_DATA_FORMAT = OneOf("channels_last", "channels_first", optional=True)


class _Sides(Constraint):
    """One integer for all sides, one for each axis, or a pair for each axis."""

    def accept(self, value: Any) -> tuple[tuple[int, int], tuple[int, int]]:
        pair = Integers(2, min=0)
        if isinstance(value, (list, tuple)) and len(value) == 2:
            rows, columns = (pair.accept(item) for item in value)
        else:
            rows = columns = (Integer(min=0).accept(value),) * 2
        return (rows[0], rows[1]), (columns[0], columns[1])

    def describe(self) -> str:
        return "an integer >= 0, a tuple of 2 of them, or a tuple of 2 pairs of them"


def _first_space_axis(data_format: str) -> int:
    return 1 if data_format == "channels_last" else 2


class BaseCropping(Layer):
    """What the cropping layers share."""

    def _cuts(self) -> dict[int, tuple[int, int]]:
        """Return how much goes at the beginning and at the end of each axis."""
        raise NotImplementedError

    def call(self, inputs: Any) -> Any:
        self.compute_output_shape(inputs.shape)
        kept = [slice(None)] * len(inputs.shape)
        for axis, (begin, end) in self._cuts().items():
            kept[axis] = slice(begin, -end or None)
        return inputs[tuple(kept)]

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        shape = list(input_shape)
        for axis, (begin, end) in self._cuts().items():
            size = shape[axis]
            if size is None:
                continue
            if begin + end >= size:
                raise ValueError(
                    f"{self.name} ({type(self).__name__}): cropping "
                    f"{begin} and {end} leaves nothing of axis {axis} in input shape "
                    f"{tuple(input_shape)}."
                )
            shape[axis] = size - begin - end
        return tuple(shape)


class Cropping1D(BaseCropping):
    """Cut steps off the beginning and the end of sequences.

    Args:
        cropping: (beginning, end), or one integer for both.

    Output shape: `(batch, steps - beginning - end, features)`.
    """

    constraints = {"cropping": Integers(2, min=0)}

    def __init__(self, cropping: Any = (1, 1), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cropping = self.validated(cropping=cropping)
        self.input_spec = InputSpec(ndim=3)
        self.built = is_default_build(type(self).build)

    def _cuts(self) -> dict[int, tuple[int, int]]:
        return {1: self.cropping}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cropping": self.cropping}


class Cropping2D(BaseCropping):
    """Cut rows and columns off the sides of images.

    Args:
        cropping: one integer for all sides, (rows, columns), or ((top, bottom), (left, right)).
        data_format: "channels_last" (batch, height, width, channels) or "channels_first".

    Output shape: height and width less the cropping.
    """

    constraints = {"cropping": _Sides(), "data_format": _DATA_FORMAT}

    def __init__(
        self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.cropping, data_format = self.validated(cropping=cropping, data_format=data_format)
        self.data_format = data_format or config.image_data_format()
        self.input_spec = InputSpec(ndim=4)
        self.built = is_default_build(type(self).build)

    def _cuts(self) -> dict[int, tuple[int, int]]:
        return dict(enumerate(self.cropping, _first_space_axis(self.data_format)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cropping": self.cropping, "data_format": self.data_format}


class ZeroPadding1D(Layer):
    """Put steps of zeros before and behind sequences.

    Args:
        padding: (before, behind), or one integer for both.
        data_format: "channels_last" (batch, steps, features) or "channels_first".

    Output shape: `(batch, before + steps + behind, features)`.
    """

    constraints = {"padding": Integers(2, min=0), "data_format": _DATA_FORMAT}

    def __init__(self, padding: Any = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.padding, data_format = self.validated(padding=padding, data_format=data_format)
        self.data_format = data_format or config.image_data_format()
        self.input_spec = InputSpec(ndim=3)
        self.built = is_default_build(type(self).build)

    def call(self, inputs: Any) -> Any:
        pairs = [(0, 0)] * 3
        pairs[_first_space_axis(self.data_format)] = self.padding
        return ops.pad(inputs, pairs)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        shape = list(input_shape)
        axis = _first_space_axis(self.data_format)
        shape[axis] = None if shape[axis] is None else shape[axis] + sum(self.padding)
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "padding": self.padding, "data_format": self.data_format}


class UpSampling1D(Layer):
    """Repeat each step of sequences.

    Args:
        size: how often, at least 1.

    Output shape: `(batch, steps * size, features)`.
    """

    constraints = {"size": Integer(min=1)}

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = self.validated(size=size)
        self.input_spec = InputSpec(ndim=3)
        self.built = is_default_build(type(self).build)

    def call(self, inputs: Any) -> Any:
        return ops.repeat(inputs, self.size, axis=1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        batch, steps, features = input_shape
        return (batch, None if steps is None else steps * self.size, features)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}
