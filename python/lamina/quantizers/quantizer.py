"""Quantizers: objects that turn a tensor into whole numbers and a scale."""

from __future__ import annotations

from typing import Any

from lamina.ops.core import TensorLike
from lamina.quantizers.integer import abs_max_quantize
from lamina.tensor import Tensor


class Quantizer:
    """Base of quantizers: callables from a tensor to `(quantized, scale)`.

    Args:
        output_dtype: dtype of the quantized numbers.
    """

    def __init__(self, output_dtype: str = "int8") -> None:
        self.output_dtype = output_dtype

    def __call__(self, x: Any) -> Any:
        """Return `x` as it is; subclasses quantize."""
        return x

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments. To be written by the subclass."""
        raise NotImplementedError(f"{type(self).__name__} does not implement get_config()")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Quantizer:
        """Make a quantizer from `get_config()`."""
        return cls(**config)


class AbsMaxQuantizer(Quantizer):
    """Scale by the largest absolute value, as `abs_max_quantize` does.

    Args:
        axis: axis or axes that share one scale; may be left to the call.
        value_range: lowest and highest result.
        epsilon: added to the largest value, so that zeros divide.
        output_dtype: dtype of the quantized numbers.
    """

    def __init__(
        self,
        axis: Any = None,
        value_range: tuple[int, int] = (-127, 127),
        epsilon: float = 1e-7,
        output_dtype: str = "int8",
    ) -> None:
        super().__init__(output_dtype=output_dtype)
        if isinstance(axis, int):
            axis = (axis,)
        self.axis: tuple[int, ...] | None = None if axis is None else tuple(axis)
        self.value_range = value_range
        self.epsilon = epsilon

    def __call__(
        self, x: TensorLike, axis: Any = None, to_numpy: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return the quantized numbers and their scale.

        Args:
            x: floating point numbers.
            axis: instead of the constructor's; the last axis when neither is given.
            to_numpy: kept for compatibility.
        """
        return abs_max_quantize(
            x,
            self.axis_for(axis),
            value_range=self.value_range,
            dtype=self.output_dtype,
            epsilon=self.epsilon,
            to_numpy=to_numpy,
        )

    def axis_for(self, axis: Any) -> Any:
        """Return the axes that a call with `axis` uses."""
        if axis is not None:
            return axis
        return (-1,) if self.axis is None else self.axis

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "value_range": self.value_range,
            "epsilon": self.epsilon,
            "output_dtype": self.output_dtype,
        }
        if self.axis is not None:
            config["axis"] = self.axis
        return config
