"""Layers that combine several tensors into one."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

from lamina import ops
from lamina.layers.base import Layer
from lamina.validation import Integer


class Merge(Layer):
    """What the elementwise merging layers share: a list of tensors goes in.

    Shapes broadcast as in NumPy; inputs of fewer axes are widened behind the batch axis.
    """

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
        if not is_list or not inputs:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): needs a list of inputs. Got {inputs!r}."
            )

    def _check_pair(self, inputs: Any) -> None:
        if len(inputs) != 2:
            kind = type(self).__name__
            raise ValueError(
                f"{self.name}: a {kind} layer should be called on exactly 2 inputs. "
                f"Got {len(inputs)}."
            )

    def call(self, inputs: Any) -> Any:
        self._check_count(inputs)
        rank = max(len(tensor.shape) for tensor in inputs)
        masks = [_mask_of(tensor, rank) for tensor in inputs]
        return self._merge([_widened(tensor, rank) for tensor in inputs], masks)

    def _merge(self, inputs: list[Any], masks: list[Any]) -> Any:
        """Combine tensors of one rank; a mask has size 1 on the axes it does not cover."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        self._check_count(input_shape)
        rank = max(len(shape) for shape in input_shape)
        batches = {shape[0] for shape in input_shape if len(shape)} - {None}
        if len(batches) > 1:
            raise self._incompatible(input_shape, "differ in the batch size")
        widened = [(1,) * (rank - len(shape)) + tuple(shape[1:]) for shape in input_shape]
        sizes = tuple(self._broadcast(sizes, input_shape) for sizes in zip(*widened, strict=True))
        return (batches.pop() if batches else None, *sizes) if rank else ()

    def _broadcast(self, sizes: tuple[int | None, ...], shapes: Any) -> int | None:
        known = {size for size in sizes if size is not None and size != 1}
        if len(known) > 1:
            raise self._incompatible(shapes, "do not broadcast")
        if None in sizes:  # it may yet turn out to be 1
            return None
        return known.pop() if known else 1

    def _incompatible(self, shapes: Any, problem: str) -> ValueError:
        listed = [tuple(shape) for shape in shapes]
        return ValueError(
            f"{self.name} ({type(self).__name__}): inputs have incompatible shapes {listed}, "
            f"which {problem}."
        )

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        masks = self._checked_masks(inputs, mask)
        if masks is None or any(each is None for each in masks):
            return None
        return reduce(ops.logical_or, masks)

    def _checked_masks(self, inputs: Any, mask: Any) -> Any:
        """Return the masks; None if nothing is masked."""
        who = f"{self.name} ({type(self).__name__})"
        if mask is None:
            return None
        if not isinstance(mask, (list, tuple)):
            raise ValueError(f"{who}: `mask` should be a list. Got {type(mask).__name__}.")
        if not isinstance(inputs, (list, tuple)):
            raise ValueError(f"{who}: `inputs` should be a list. Got {type(inputs).__name__}.")
        if len(mask) != len(inputs):
            raise ValueError(
                f"{who}: one mask belongs to one input, so both should have the same length. "
                f"Got {len(inputs)} inputs and {len(mask)} masks."
            )
        return None if all(each is None for each in mask) else list(mask)


def _widened(tensor: Any, rank: int) -> Any:
    """Insert axes of size 1 behind the batch axis until `tensor` has `rank` axes."""
    for _ in range(rank - len(tensor.shape)):
        tensor = ops.expand_dims(tensor, axis=1)
    return tensor


def _mask_of(tensor: Any, rank: int) -> Any:
    """Return the mask of `tensor` with axes of size 1 for those it does not cover, or None."""
    mask = getattr(tensor, "mask", None)
    if mask is None:
        return None
    for _ in range(len(tensor.shape) - len(mask.shape)):
        mask = ops.expand_dims(mask, axis=-1)
    return _widened(mask, rank)


class Add(Merge):
    """Add tensors elementwise."""

    def _merge(self, inputs: list[Any], masks: list[Any]) -> Any:
        return reduce(ops.add, inputs)


class Subtract(Merge):
    """Subtract the second tensor from the first, elementwise."""

    def _check_count(self, inputs: Any) -> None:
        super()._check_count(inputs)
        self._check_pair(inputs)

    def _merge(self, inputs: list[Any], masks: list[Any]) -> Any:
        return ops.subtract(*inputs)


class Multiply(Merge):
    """Multiply tensors elementwise.

    A masked step counts as ones; a step that all inputs mask gives zeros.
    """

    def _merge(self, inputs: list[Any], masks: list[Any]) -> Any:
        factors = [
            tensor if mask is None else ops.where(mask, tensor, ops.ones_like(tensor))
            for tensor, mask in zip(inputs, masks, strict=True)
        ]
        product = reduce(ops.multiply, factors)
        if any(mask is None for mask in masks):
            return product
        return ops.where(reduce(ops.logical_or, masks), product, ops.zeros_like(product))


class Average(Merge):
    """Take the mean of tensors elementwise."""

    def _merge(self, inputs: list[Any], masks: list[Any]) -> Any:
        return reduce(ops.add, inputs) / len(inputs)


def _extreme(choose: Callable[[Any, Any], Any], inputs: list[Any], masks: list[Any]) -> Any:
    """Fold `choose` over the inputs, passing over masked steps.

    Where all are masked the first input stays.
    """
    best, counts = inputs[0], masks[0]  # counts: where `best` is not masked; None: everywhere
    for tensor, mask in zip(inputs[1:], masks[1:], strict=True):
        chosen = choose(best, tensor)
        if counts is not None:
            chosen = ops.where(counts, chosen, tensor)
        if mask is not None:
            chosen = ops.where(mask, chosen, best)
        unmasked = counts is None or mask is None
        best, counts = chosen, None if unmasked else ops.logical_or(counts, mask)
    return best


class Maximum(Merge):
    """Take the largest value elementwise; masked steps do not count."""

    def _merge(self, inputs: list[Any], masks: list[Any]) -> Any:
        return _extreme(ops.maximum, inputs, masks)


class Minimum(Merge):
    """Take the smallest value elementwise; masked steps do not count."""

    def _merge(self, inputs: list[Any], masks: list[Any]) -> Any:
        return _extreme(ops.minimum, inputs, masks)


class Concatenate(Merge):
    """Join tensors along an axis.

    Args:
        axis: the axis along which sizes may differ.

    Raises: ValueError when sizes differ on another axis.
    """

    constraints = {"axis": Integer()}

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
            raise self._mismatch(shapes)
        joined: list[int | None] = []
        for position, sizes in enumerate(zip(*shapes, strict=True)):
            if position == axis:
                joined.append(None if None in sizes else sum(sizes))
                continue
            known = {size for size in sizes if size is not None}
            if len(known) > 1:
                raise self._mismatch(shapes)
            joined.append(known.pop() if known else None)
        return tuple(joined)

    def _mismatch(self, shapes: list[tuple[int | None, ...]]) -> ValueError:
        return ValueError(
            f"{self.name} (Concatenate): requires inputs with matching shapes except for the "
            f"concatenation axis {self.axis}. Got shapes {shapes}."
        )

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        masks = self._checked_masks(inputs, mask)
        if masks is None:
            return None
        whole = [_whole_mask(tensor, each) for tensor, each in zip(inputs, masks, strict=True)]
        rank = len(inputs[0].shape)
        if self.axis in (-1, rank - 1):  # features are joined: a step counts where any counts
            return reduce(ops.logical_or, whole)
        return ops.concatenate(whole, axis=self.axis if self.axis >= 0 else self.axis + 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}


def _whole_mask(tensor: Any, mask: Any) -> Any:
    """Return the mask on every axis of `tensor` but the last; no mask is True everywhere."""
    rank = len(tensor.shape)
    if mask is None:
        return ops.ones_like(tensor[..., 0], dtype="bool")
    mask = ops.cast(mask, "bool")
    missing = rank - 1 - len(mask.shape)
    if missing < 0:  # one for every feature
        return ops.any(mask, axis=-1)
    for _ in range(missing):
        mask = ops.expand_dims(mask, axis=-1)
    return ops.logical_and(mask, ops.ones_like(tensor[..., 0], dtype="bool")) if missing else mask


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
