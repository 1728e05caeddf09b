"""Layers that cut off the sides of sequences, images and volumes."""

from __future__ import annotations

from typing import Any

from lamina import config
from lamina.layers.base import Layer
from lamina.layers.building import is_default_build
from lamina.layers.sides import Pairs, Sides, first_space_axis
from lamina.layers.spec import InputSpec
from lamina.validation import Integers, OneOf

_DATA_FORMAT = OneOf("channels_last", "channels_first", optional=True)


class BaseCropping(Layer):
    """What the cropping layers share."""

    data_format = "channels_last"
    cropping: Any = ()

    def _cuts(self) -> Pairs:
        """Return how much goes at the beginning and at the end of each spatial axis."""
        return tuple(self.cropping)

    def _refusal(self) -> str:
        """Return what an error says about a cropping that leaves nothing."""
        return (
            "Values in `cropping` argument should be smaller than the corresponding spatial "
            "dimension of the input."
        )

    def call(self, inputs: Any) -> Any:
        self.compute_output_shape(inputs.shape)
        kept = [slice(None)] * len(inputs.shape)
        for axis, (begin, end) in enumerate(self._cuts(), first_space_axis(self.data_format)):
            kept[axis] = slice(begin, -end or None)
        return inputs[tuple(kept)]

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        shape = list(input_shape)
        for axis, (begin, end) in enumerate(self._cuts(), first_space_axis(self.data_format)):
            size = shape[axis]
            if size is None:
                continue
            if begin + end >= size:
                raise ValueError(
                    f"{self.name} ({type(self).__name__}): {self._refusal()} Cutting {begin} and "
                    f"{end} leaves nothing of axis {axis} in input shape {tuple(input_shape)}."
                )
            shape[axis] = size - begin - end
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cropping": self.cropping}


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

    def _cuts(self) -> Pairs:
        return (self.cropping,)

    def _refusal(self) -> str:
        return (
            "The sum of the `cropping` parameter of `Cropping1D` layer must be smaller than what "
            "it cuts from, the number of steps."
        )


class BaseImageCropping(BaseCropping):
    """What the cropping of images and volumes shares."""

    rank = 2

    def __init__(self, cropping: Any, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cropping, data_format = self.validated(cropping=cropping, data_format=data_format)
        self.data_format = data_format or config.image_data_format()
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self.built = is_default_build(type(self).build)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}


class Cropping2D(BaseImageCropping):
    """Cut rows and columns off the sides of images.

    Args:
        cropping: one integer for all sides, (rows, columns), or ((top, bottom), (left, right)).
        data_format: "channels_last" (batch, height, width, channels) or "channels_first".

    Output shape: height and width less the cropping.
    """

    constraints = {"cropping": Sides(2), "data_format": _DATA_FORMAT}

    def __init__(
        self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(cropping, data_format, **kwargs)


class Cropping3D(BaseImageCropping):
    """Cut off the sides of volumes.

    Args:
        cropping: one integer for all sides, one for each axis, or a pair for each axis.
        data_format: "channels_last" (batch, depth, height, width, channels) or "channels_first".

    Output shape: depth, height and width less the cropping.
    """

    rank = 3
    constraints = {"cropping": Sides(3), "data_format": _DATA_FORMAT}

    def __init__(
        self,
        cropping: Any = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(cropping, data_format, **kwargs)
