"""Layers that move numbers around without changing them."""

from __future__ import annotations

import math
from typing import Any

from lamina import config, ops
from lamina.layers.base import Layer
from lamina.layers.building import is_default_build
from lamina.layers.repetitions import repetitions
from lamina.layers.spec import InputSpec
from lamina.tensor import KerasTensor
from lamina.validation import Integer, OneOf, Sizes


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
        self.target_shape = self._checked(target_shape)
        self.built = is_default_build(type(self).build)

    def _checked(self, target_shape: Any) -> tuple[int, ...]:
        try:
            sizes = self.constraints["target_shape"].accept(target_shape)
        except ValueError:
            raise ValueError(
                "Reshape: a size is a non-negative integer, and one of them may be -1, to be "
                f"inferred. Got target_shape={target_shape!r}."
            ) from None
        if sizes.count(-1) > 1:
            raise ValueError(
                "Reshape: there can be at most one unknown dimension (-1). "
                f"Got target_shape={target_shape!r}."
            )
        return tuple(sizes)

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
                f"Permute: every axis from 1 to {len(self.dims)} must come once. "
                f"Invalid permutation dims={self.dims}."
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
        self.n = repetitions(type(self).__name__, "n", n)
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
