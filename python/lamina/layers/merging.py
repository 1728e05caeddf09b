"""Layers that combine several tensors into one."""

from __future__ import annotations

from functools import reduce
from typing import Any

from lamina import ops
from lamina.layers.base import Layer
from lamina.validation import Integer


class Merge(Layer):
    """What the elementwise merging layers share: a list of at least two tensors goes in.

    Shapes broadcast as in NumPy; inputs of fewer axes are widened behind the batch axis.
    """

    minimum_inputs = 2

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        self._check_count(input_shape)
        self.compute_output_shape(input_shape)

    def _check_count(self, inputs: Any) -> None:
        is_list = isinstance(inputs, (list, tuple)) and all(
            hasattr(item, "shape") or isinstance(item, (list, tuple)) for item in inputs
        )
        if not is_list or len(inputs) < self.minimum_inputs:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): needs a list of "
                f"{self.minimum_inputs} inputs or more. Got {inputs!r}."
            )

    def call(self, inputs: Any) -> Any:
        self._check_count(inputs)
        rank = max(len(tensor.shape) for tensor in inputs)
        return self._merge([_widened(tensor, rank) for tensor in inputs])

    def _merge(self, inputs: list[Any]) -> Any:
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        self._check_count(input_shape)
        rank = max(len(shape) for shape in input_shape)
        widened = [(*shape[:1], *(1,) * (rank - len(shape)), *shape[1:]) for shape in input_shape]
        return tuple(self._broadcast(sizes, input_shape) for sizes in zip(*widened, strict=True))

    def _broadcast(self, sizes: tuple[int | None, ...], shapes: Any) -> int | None:
        known = {size for size in sizes if size is not None and size != 1}
        if len(known) > 1:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): inputs have incompatible shapes "
                f"{[tuple(shape) for shape in shapes]}."
            )
        if known:
            return known.pop()
        return None if None in sizes else 1

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        if previous_mask is None or any(mask is None for mask in previous_mask):
            return None
        return reduce(ops.logical_or, previous_mask)


def _widened(tensor: Any, rank: int) -> Any:
    """Insert axes of size 1 behind the batch axis until `tensor` has `rank` axes."""
    for _ in range(rank - len(tensor.shape)):
        tensor = ops.expand_dims(tensor, axis=1)
    return tensor


class Add(Merge):
    """Add tensors elementwise."""

    def _merge(self, inputs: list[Any]) -> Any:
        return reduce(ops.add, inputs)


class Subtract(Merge):
    """Subtract the second tensor from the first, elementwise."""

    def _check_count(self, inputs: Any) -> None:
        super()._check_count(inputs)
        if len(inputs) != 2:
            raise ValueError(
                f"{self.name} (Subtract): should be called on exactly 2 inputs. Got {len(inputs)}."
            )

    def _merge(self, inputs: list[Any]) -> Any:
        return ops.subtract(*inputs)


class Multiply(Merge):
    """Multiply tensors elementwise."""

    def _merge(self, inputs: list[Any]) -> Any:
        return reduce(ops.multiply, inputs)


class Average(Merge):
    """Take the mean of tensors elementwise."""

    def _merge(self, inputs: list[Any]) -> Any:
        return reduce(ops.add, inputs) / len(inputs)


class Maximum(Merge):
    """Take the largest value elementwise."""

    def _merge(self, inputs: list[Any]) -> Any:
        return reduce(ops.maximum, inputs)


class Minimum(Merge):
    """Take the smallest value elementwise."""

    def _merge(self, inputs: list[Any]) -> Any:
        return reduce(ops.minimum, inputs)


class Concatenate(Merge):
    """Join tensors along an axis.

    Args:
        axis: the axis along which sizes may differ.

    Raises: ValueError when sizes differ on another axis.
    """

    constraints = {"axis": Integer()}
    minimum_inputs = 1

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = self.validated(axis=axis)

    def call(self, inputs: Any) -> Any:
        self._check_count(inputs)
        return ops.concatenate(inputs, axis=self.axis)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        self._check_count(input_shape)
        shapes = [tuple(shape) for shape in input_shape]
        rank = len(shapes[0])
        axis = self.axis + rank if self.axis < 0 else self.axis
        if not 0 <= axis < rank or any(len(shape) != rank for shape in shapes):
            raise ValueError(
                f"{self.name} (Concatenate): inputs must have the same number of axes, axis "
                f"{self.axis} among them. Got shapes {shapes}."
            )
        joined: list[int | None] = []
        for position, sizes in enumerate(zip(*shapes, strict=True)):
            if position == axis:
                joined.append(None if None in sizes else sum(sizes))
                continue
            known = {size for size in sizes if size is not None}
            if len(known) > 1:
                raise ValueError(
                    f"{self.name} (Concatenate): inputs need matching shapes except on axis "
                    f"{self.axis}. Got shapes {shapes}."
                )
            joined.append(known.pop() if known else None)
        return tuple(joined)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        if previous_mask is None or all(mask is None for mask in previous_mask):
            return None
        rank = len(inputs[0].shape)
        if self.axis in (-1, rank - 1):  # features are joined: a step counts where all count
            return reduce(ops.logical_and, [mask for mask in previous_mask if mask is not None])
        masks = [
            ops.ones(tensor.shape[:2], dtype="bool") if mask is None else mask
            for tensor, mask in zip(inputs, previous_mask, strict=True)
        ]
        return ops.concatenate(masks, axis=self.axis)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}


def add(inputs: Any, **kwargs: Any) -> Any:
    """Functional form of `Add`."""
    return Add(**kwargs)(inputs)


def subtract(inputs: Any, **kwargs: Any) -> Any:
    """Functional form of `Subtract`."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Any, **kwargs: Any) -> Any:
    """Functional form of `Multiply`."""
    return Multiply(**kwargs)(inputs)


def average(inputs: Any, **kwargs: Any) -> Any:
    """Functional form of `Average`."""
    return Average(**kwargs)(inputs)


def maximum(inputs: Any, **kwargs: Any) -> Any:
    """Functional form of `Maximum`."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Any, **kwargs: Any) -> Any:
    """Functional form of `Minimum`."""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs: Any, axis: int = -1, **kwargs: Any) -> Any:
    """Functional form of `Concatenate`."""
    return Concatenate(axis=axis, **kwargs)(inputs)
