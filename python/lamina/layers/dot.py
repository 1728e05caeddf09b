"""The product of two tensors row by row."""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.layers.merging import Merge
from lamina.validation import Boolean, Constraint, Either, Integer


class _AxisPair(Constraint):
    """Two integers."""

    def accept(self, value: Any) -> Any:
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            raise ValueError
        axes = [Integer().accept(item) for item in value]
        return axes if isinstance(value, list) else tuple(axes)

    def describe(self) -> str:
        return "a tuple of two of them"


class Dot(Merge):
    """Multiply two tensors and sum over one axis of each, separately for each row of the batch.

    Args:
        axes: the axis of both inputs to sum over, or (axis of the first, axis of the second).
        normalize: whether the inputs are divided by their length along that axis first; the
            result is then the cosine of their angle.

    Input shapes: `(batch, ...)` twice. Output shape: the batch, the axes left of the first, those
    left of the second; `(batch, 1)` where none is left.
    """

    constraints = {"axes": Either(Integer(), _AxisPair()), "normalize": Boolean()}

    def __init__(self, axes: Any, normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axes, self.normalize = self.validated(axes=axes, normalize=normalize)

    def _check_count(self, inputs: Any) -> None:
        super()._check_count(inputs)
        self._check_pair(inputs)

    def _summed_axes(self, shapes: list[tuple[int | None, ...]]) -> tuple[int, int]:
        """Return the axes to sum over, counted from the front; their sizes must agree."""
        axes = (self.axes,) * 2 if isinstance(self.axes, int) else tuple(self.axes)
        for axis, shape in zip(axes, shapes, strict=True):
            if not -len(shape) <= axis < len(shape) or axis % len(shape) == 0:
                raise ValueError(
                    f"{self.name} (Dot): axes {self.axes} must name an axis behind the batch axis "
                    f"of inputs of shapes {shapes}."
                )
        first, second = (axis % len(shape) for axis, shape in zip(axes, shapes, strict=True))
        for left, right in ((0, 0), (first, second)):
            sizes = shapes[0][left], shapes[1][right]
            if None not in sizes and sizes[0] != sizes[1]:
                raise ValueError(
                    f"{self.name} (Dot): inputs have incompatible shapes {shapes}: the sizes "
                    f"{sizes} of axes {(left, right)} differ."
                )
        return first, second

    def call(self, inputs: Any) -> Any:
        self._check_count(inputs)
        shapes = [tuple(tensor.shape) for tensor in inputs]
        axes = self._summed_axes(shapes)
        a, b = inputs
        if self.normalize:
            a, b = ops.normalize(a, axis=axes[0]), ops.normalize(b, axis=axes[1])
        letters = "bcdefghijklmnopqrstuvwxyz"
        left = letters[: len(shapes[0]) - 1]
        right = letters[len(left) :][: len(shapes[1]) - 1]
        right = right[: axes[1] - 1] + left[axes[0] - 1] + right[axes[1] :]
        summed = left[axes[0] - 1]
        kept = (left + right).replace(summed, "")
        outputs = ops.einsum(f"a{left},a{right}->a{kept}", a, b)
        return outputs if kept else ops.expand_dims(outputs, axis=-1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        self._check_count(input_shape)
        shapes = [tuple(shape) for shape in input_shape]
        first, second = self._summed_axes(shapes)
        a, b = shapes
        kept = (*a[1:first], *a[first + 1 :], *b[1:second], *b[second + 1 :])
        return (a[0], *(kept or (1,)))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axes": self.axes, "normalize": self.normalize}


def dot(inputs: Any, axes: Any = -1, **kwargs: Any) -> Any:
    """Functional form of `Dot`."""
    return Dot(axes=axes, **kwargs)(inputs)
