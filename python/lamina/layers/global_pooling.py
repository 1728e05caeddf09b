"""Pooling over everything there is: one number for each feature."""

from __future__ import annotations

from typing import Any

from lamina import config, ops
from lamina.layers.base import Layer
from lamina.layers.building import is_default_build
from lamina.layers.spec import InputSpec
from lamina.validation import Boolean, OneOf


class BaseGlobalPooling(Layer):
    """What the global pooling layers share. See `GlobalMaxPooling2D`."""

    rank = 2
    constraints = {
        "data_format": OneOf("channels_last", "channels_first", optional=True),
        "keepdims": Boolean(),
    }

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


class _GlobalMaximum(BaseGlobalPooling):
    def call(self, inputs: Any) -> Any:
        return ops.max(inputs, axis=self._axes, keepdims=self.keepdims)


class _GlobalMean(BaseGlobalPooling):
    def call(self, inputs: Any) -> Any:
        return ops.mean(inputs, axis=self._axes, keepdims=self.keepdims)


class GlobalMaxPooling1D(_GlobalMaximum):
    """Keep the largest value of each feature over all steps.

    Args:
        data_format: "channels_last" (batch, steps, features) or "channels_first".
        keepdims: whether the reduced axis stays with size 1.

    Output shape: `(batch, features)`.
    """

    rank = 1


class GlobalMaxPooling2D(_GlobalMaximum):
    """Keep the largest value of each channel over the whole image.

    Args:
        data_format: "channels_last" (batch, height, width, channels) or "channels_first".
        keepdims: whether the reduced axes stay with size 1.

    Output shape: `(batch, channels)`.
    """

    rank = 2


class GlobalMaxPooling3D(_GlobalMaximum):
    """Keep the largest value of each channel over the whole volume.

    Args:
        data_format: "channels_last" (batch, depth, height, width, channels) or "channels_first".
        keepdims: whether the reduced axes stay with size 1.

    Output shape: `(batch, channels)`.
    """

    rank = 3


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

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None


class GlobalAveragePooling2D(_GlobalMean):
    """Take the mean of each channel over the whole image.

    Args:
        data_format: "channels_last" (batch, height, width, channels) or "channels_first".
        keepdims: whether the reduced axes stay with size 1.

    Output shape: `(batch, channels)`.
    """

    rank = 2


class GlobalAveragePooling3D(_GlobalMean):
    """Take the mean of each channel over the whole volume.

    Args:
        data_format: "channels_last" (batch, depth, height, width, channels) or "channels_first".
        keepdims: whether the reduced axes stay with size 1.

    Output shape: `(batch, channels)`.
    """

    rank = 3
