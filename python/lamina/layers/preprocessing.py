"""Layers that prepare data inside the model."""

from __future__ import annotations

from typing import Any

from lamina import tracing
from lamina.layers.base import Layer
from lamina.layers.building import is_default_build
from lamina.validation import Real


class Rescaling(Layer):
    """Compute `inputs * scale + offset`.

    Args:
        scale: factor; `1 / 255` maps bytes to [0, 1]. A list holds one per channel.
        offset: term added afterwards.

    Input and output shape: any.
    """

    constraints = {"scale": Real(), "offset": Real()}

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale if _is_vector(scale) else self.validated(scale=scale)
        self.offset = offset if _is_vector(offset) else self.validated(offset=offset)
        self.supports_masking = True
        self.built = is_default_build(type(self).build)

    def call(self, inputs: Any) -> Any:
        scale = tracing.convert(self.scale, self.compute_dtype)
        offset = tracing.convert(self.offset, self.compute_dtype)
        return self._as_float(inputs) * scale + offset

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}


def _is_vector(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) > 0
