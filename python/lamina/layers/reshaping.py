"""Layers that move numbers around without changing them."""

from __future__ import annotations

import math
from typing import Any

from lamina import config, ops
from lamina.layers.base import Layer
from lamina.layers.building import is_default_build
from lamina.layers.spec import InputSpec
from lamina.tensor import KerasTensor
from lamina.validation import Integer, Integers, OneOf, Sizes


def _reshaped(inputs: Any, sizes: tuple[int | None, ...]) -> Any:
    """Reshape every row to `sizes`; the batch size may be unknown."""
    batch = inputs.shape[0]
    known = tuple(size for size in sizes if size is not None)
    if len(known) < len(sizes):  # one size is inferred, so the batch must be known
        return ops.reshape(inputs, (batch, *(-1 if size is None else size for size in sizes)))
    return ops.reshape(inputs, (-1 if batch is None else batch, *known))


class Flatten(Layer):
    """Make one axis of all axes but the batch.

    Args:
        data_format: "channels_last" or "channels_first" (the order of an image's values is the
            same for both).

    Input shape: `(batch, ...)`. Output shape: `(batch, product of the others)`.
    """

    constraints = {"data_format": OneOf("channels_last", "channels_first", optional=True)}

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        data_format = self.validated(data_format=data_format)
        self.data_format = data_format or config.image_data_format()
        self.input_spec = InputSpec(min_ndim=1)
        self.built = is_default_build(type(self).build)

    def call(self, inputs: Any) -> Any:
        rank = len(inputs.shape)
        if self.data_format == "channels_first" and rank > 2:
            inputs = ops.transpose(inputs, (0, *range(2, rank), 1))
        return _reshaped(inputs, self.compute_output_shape(inputs.shape)[1:])

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        batch, *sizes = input_shape
        if not sizes:
            return (batch, 1)
        unknown = any(size is None for size in sizes)
        return (batch, None if unknown else math.prod(sizes))

    def compute_output_spec(self, inputs: Any) -> KerasTensor:
        return KerasTensor(self.compute_output_shape(inputs.shape), dtype=inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}


class Reshape(Layer):
    """Give every row another shape.

    Args:
        target_shape: sizes without the batch axis; one may be -1, to be inferred.

    Output shape: `(batch, *target_shape)`.
    Raises: ValueError when the number of values differs.
    """

    constraints = {"target_shape": Sizes(-1)}

    def __init__(self, target_shape: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target_shape = self.validated(target_shape=target_shape)
        if self.target_shape.count(-1) > 1:
            raise ValueError(
                f"Reshape: target_shape must have at most one -1. Got {self.target_shape}."
            )
        self.built = is_default_build(type(self).build)

    def call(self, inputs: Any) -> Any:
        return _reshaped(inputs, self.compute_output_shape(inputs.shape)[1:])

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        batch, *sizes = input_shape
        fixed = math.prod(size for size in self.target_shape if size != -1)
        if any(size is None for size in sizes):
            return (batch, *(None if size == -1 else size for size in self.target_shape))
        total = math.prod(sizes)
        fits = total == fixed if -1 not in self.target_shape else fixed > 0 and total % fixed == 0
        if not fits:
            raise ValueError(
                f"{self.name} (Reshape): rows of shape {tuple(sizes)} have {total} values, which "
                f"do not fit target_shape {self.target_shape}."
            )
        return (batch, *(total // fixed if size == -1 else size for size in self.target_shape))

    def compute_output_spec(self, inputs: Any) -> KerasTensor:
        return KerasTensor(self.compute_output_shape(inputs.shape), dtype=inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "target_shape": self.target_shape}


class Permute(Layer):
    """Reorder the axes of every row.

    Args:
        dims: new order of the axes, counted from 1 (the batch axis stays first).

    Output shape: the input's, reordered: `Permute((2, 1))` swaps two axes.
    """

    constraints = {"dims": Sizes()}

    def __init__(self, dims: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = self.validated(dims=dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                f"Permute: dims must be a permutation of 1 to {len(self.dims)}. Got {self.dims}."
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)
        self.built = is_default_build(type(self).build)

    def call(self, inputs: Any) -> Any:
        return ops.transpose(inputs, (0, *self.dims))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (input_shape[0], *(input_shape[axis] for axis in self.dims))

    def compute_output_spec(self, inputs: Any) -> KerasTensor:
        return KerasTensor(self.compute_output_shape(inputs.shape), dtype=inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dims": self.dims}


class RepeatVector(Layer):
    """Repeat each row `n` times along a new time axis.

    Args:
        n: number of repetitions, at least 1.

    Input shape: `(batch, features)`. Output shape: `(batch, n, features)`.
    """

    constraints = {"n": Integer(min=1)}

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = self.validated(n=n)
        self.input_spec = InputSpec(ndim=2)
        self.built = is_default_build(type(self).build)

    def call(self, inputs: Any) -> Any:
        return ops.repeat(ops.expand_dims(inputs, axis=1), self.n, axis=1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (input_shape[0], self.n, input_shape[1])

    def compute_output_spec(self, inputs: Any) -> KerasTensor:
        return KerasTensor(self.compute_output_shape(inputs.shape), dtype=inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n": self.n}


class UpSampling2D(Layer):
    """Repeat the rows and columns of images.

    Args:
        size: factors for height and width, or one for both.
        data_format: "channels_last" (batch, height, width, channels) or "channels_first".
        interpolation: "nearest".

    Output shape: height and width multiplied by `size`.
    """

    constraints = {
        "size": Integers(2),
        "data_format": OneOf("channels_last", "channels_first", optional=True),
        "interpolation": OneOf("nearest"),
    }

    def __init__(
        self,
        size: Any = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.size, data_format, self.interpolation = self.validated(
            size=size, data_format=data_format, interpolation=interpolation
        )
        self.data_format = data_format or config.image_data_format()
        self.input_spec = InputSpec(ndim=4)
        self.built = is_default_build(type(self).build)

    @property
    def _first_axis(self) -> int:
        return 1 if self.data_format == "channels_last" else 2

    def call(self, inputs: Any) -> Any:
        outputs = inputs
        for axis, factor in enumerate(self.size, self._first_axis):
            outputs = ops.repeat(outputs, factor, axis=axis)
        return outputs

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        shape = list(input_shape)
        for axis, factor in enumerate(self.size, self._first_axis):
            shape[axis] = None if shape[axis] is None else shape[axis] * factor
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "size": self.size,
            "data_format": self.data_format,
            "interpolation": self.interpolation,
        }


class ZeroPadding2D(Layer):
    """Surround images with zeros.

    Args:
        padding: one integer for all sides, (rows, columns), or ((top, bottom), (left, right)).
        data_format: "channels_last" (batch, height, width, channels) or "channels_first".

    Output shape: height and width plus the padding.
    """

    constraints = {"data_format": OneOf("channels_last", "channels_first", optional=True)}

    def __init__(
        self, padding: Any = (1, 1), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        data_format = self.validated(data_format=data_format)
        self.data_format = data_format or config.image_data_format()
        self.padding = _sides(padding)
        self.input_spec = InputSpec(ndim=4)
        self.built = is_default_build(type(self).build)

    @property
    def _axis_padding(self) -> list[tuple[int, int]]:
        none = (0, 0)
        if self.data_format == "channels_last":
            return [none, *self.padding, none]
        return [none, none, *self.padding]

    def call(self, inputs: Any) -> Any:
        return ops.pad(inputs, self._axis_padding)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        pairs = zip(input_shape, self._axis_padding, strict=True)
        return tuple(None if size is None else size + sum(pair) for size, pair in pairs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "padding": self.padding, "data_format": self.data_format}


def _sides(padding: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Normalise the three ways to write a padding."""
    both = Integers(2, min=0)
    try:
        if isinstance(padding, (list, tuple)) and any(
            isinstance(item, (list, tuple)) for item in padding
        ):
            height, width = (both.accept(item) for item in padding)
            return (height[0], height[1]), (width[0], width[1])
        rows, columns = both.accept(padding)
    except ValueError:
        raise ValueError(
            "ZeroPadding2D: padding must be an integer >= 0, a tuple of 2 of them, or a tuple of 2 "
            f"pairs. Got {padding!r}."
        ) from None
    return (rows, rows), (columns, columns)
