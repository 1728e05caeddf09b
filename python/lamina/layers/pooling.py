"""Pooling: windows and whole images reduced to their maximum or mean."""

from __future__ import annotations

from typing import Any

from lamina import config, ops, tracing
from lamina.layers.base import Layer
from lamina.layers.building import is_default_build
from lamina.layers.conv import channels_last, channels_restored, window_output_size
from lamina.layers.spec import InputSpec
from lamina.validation import Boolean, Integers, OneOf

_DATA_FORMAT = OneOf("channels_last", "channels_first", optional=True)


def _pool_constraints(rank: int) -> dict[str, Any]:
    return {
        "pool_size": Integers(rank),
        "strides": Integers(rank, optional=True),
        "padding": OneOf("valid", "same"),
        "data_format": _DATA_FORMAT,
    }


class BasePooling(Layer):
    """What the window pooling layers share. See `MaxPooling2D`."""

    rank = 2
    op = "max_pool2d"

    def __init__(
        self,
        pool_size: Any,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_size, strides, self.padding, data_format = self.validated(
            pool_size=pool_size, strides=strides, padding=padding, data_format=data_format
        )
        self.strides = strides or self.pool_size
        self.data_format = data_format or config.image_data_format()
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self.built = is_default_build(type(self).build)

    def call(self, inputs: Any) -> Any:
        images = channels_last(self._as_float(inputs), self.data_format)
        ones = [1] * (2 - self.rank)  # a sequence is an image of one row
        if ones:
            images = ops.expand_dims(images, axis=1)
        outputs = tracing.apply(
            self.op,
            images,
            pool_size=[*ones, *self.pool_size],
            strides=[*ones, *self.strides],
            padding=self.padding,
        )
        if isinstance(outputs, tuple):  # the positions of the maxima serve the gradient only
            outputs = outputs[0]
        if ones:
            outputs = ops.squeeze(outputs, axis=1)
        return channels_restored(outputs, self.data_format)

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
                f"into input {spatial} with padding={self.padding!r}.\n  Computed output size "
                "would be zero or negative: use padding='same', a smaller pool_size, or larger "
                "inputs."
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
    """Keep the largest value of each window of steps.

    Args:
        pool_size: length of the window.
        strides: step of the window; `pool_size` when None.
        padding: "valid" or "same".
        data_format: "channels_last" (batch, steps, features) or "channels_first".

    Output shape: `(batch, new_steps, features)`.
    """

    rank = 1
    constraints = _pool_constraints(1)

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name=name, **kwargs)


class MaxPooling2D(BasePooling):
    """Keep the largest value of each window of an image.

    Args:
        pool_size: (height, width) of the window, or one integer for both.
        strides: steps of the window; `pool_size` when None.
        padding: "valid" or "same" (padding never wins: it counts as minus infinity).
        data_format: "channels_last" (batch, height, width, channels) or "channels_first".

    Output shape: `(batch, new_height, new_width, channels)`.
    """

    constraints = _pool_constraints(2)

    def __init__(
        self,
        pool_size: Any = (2, 2),
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name=name, **kwargs)


class AveragePooling1D(BasePooling):
    """Take the mean of each window of steps; padding does not count. See `MaxPooling1D`."""

    rank = 1
    op = "avg_pool2d"
    constraints = _pool_constraints(1)

    def __init__(
        self,
        pool_size: Any,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name=name, **kwargs)


class AveragePooling2D(BasePooling):
    """Take the mean of each window of an image; padding does not count. See `MaxPooling2D`."""

    op = "avg_pool2d"
    constraints = _pool_constraints(2)

    def __init__(
        self,
        pool_size: Any,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name=name, **kwargs)


class BaseGlobalPooling(Layer):
    """What the global pooling layers share. See `GlobalMaxPooling2D`."""

    rank = 2
    constraints = {"data_format": _DATA_FORMAT, "keepdims": Boolean()}

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        data_format, self.keepdims = self.validated(data_format=data_format, keepdims=keepdims)
        self.data_format = data_format or config.image_data_format()
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self.built = is_default_build(type(self).build)

    @property
    def _axes(self) -> tuple[int, ...]:
        first = 1 if self.data_format == "channels_last" else 2
        return tuple(range(first, first + self.rank))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        sizes = ((axis, size) for axis, size in enumerate(input_shape))
        if self.keepdims:
            return tuple(1 if axis in self._axes else size for axis, size in sizes)
        return tuple(size for axis, size in sizes if axis not in self._axes)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "data_format": self.data_format,
            "keepdims": self.keepdims,
        }


class GlobalMaxPooling1D(BaseGlobalPooling):
    """Keep the largest value of each feature over all steps.

    Args:
        data_format: "channels_last" (batch, steps, features) or "channels_first".
        keepdims: whether the reduced axis stays with size 1.

    Output shape: `(batch, features)`.
    """

    rank = 1

    def call(self, inputs: Any) -> Any:
        return ops.max(inputs, axis=self._axes, keepdims=self.keepdims)


class GlobalMaxPooling2D(GlobalMaxPooling1D):
    """Keep the largest value of each channel over the whole image.

    Args:
        data_format: "channels_last" (batch, height, width, channels) or "channels_first".
        keepdims: whether the reduced axes stay with size 1.

    Output shape: `(batch, channels)`.
    """

    rank = 2


class GlobalAveragePooling1D(BaseGlobalPooling):
    """Take the mean of each feature over all steps; masked steps do not count.

    Args:
        data_format: "channels_last" (batch, steps, features) or "channels_first".
        keepdims: whether the reduced axis stays with size 1.

    Output shape: `(batch, features)`. The mask ends here.
    """

    rank = 1

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(data_format, keepdims, **kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None:
            return ops.mean(inputs, axis=self._axes, keepdims=self.keepdims)
        axis = self._axes[0]
        weights = ops.expand_dims(ops.cast(mask, inputs.dtype), axis=3 - axis)
        total = ops.sum(inputs * weights, axis=axis, keepdims=self.keepdims)
        return total / ops.sum(weights, axis=axis, keepdims=self.keepdims)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return None


class GlobalAveragePooling2D(BaseGlobalPooling):
    """Take the mean of each channel over the whole image.

    Args:
        data_format: "channels_last" (batch, height, width, channels) or "channels_first".
        keepdims: whether the reduced axes stay with size 1.

    Output shape: `(batch, channels)`.
    """

    def call(self, inputs: Any) -> Any:
        return ops.mean(inputs, axis=self._axes, keepdims=self.keepdims)
