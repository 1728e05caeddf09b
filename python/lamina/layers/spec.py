"""What a layer expects of its inputs, checked before it is built or called."""

from __future__ import annotations

from typing import Any

from lamina import structure
from lamina.tensor import KerasTensor, Tensor
from lamina.validation import Boolean, Integer, check_argument

Shape = tuple["int | None", ...]


class InputSpec:
    """Rank, dtype and sizes an input must have.

    Args:
        dtype: name of the only accepted dtype, or None for any.
        shape: tuple of sizes with None where any size goes.
        ndim: exact number of axes.
        max_ndim: largest number of axes.
        min_ndim: smallest number of axes.
        axes: dict from axis to its size (None for any).
        allow_last_axis_squeeze: accept a missing or extra last axis of size 1.
        name: key of this input when inputs come as a dict.
        optional: whether None is accepted in place of a tensor.
    """

    def __init__(
        self,
        dtype: str | None = None,
        shape: Any = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: dict[int, int | None] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
        optional: bool = False,
    ) -> None:
        self.dtype = dtype
        self.shape = None if shape is None else tuple(shape)
        rank = Integer(min=0, optional=True)
        self.ndim = (
            len(self.shape)
            if self.shape is not None
            else check_argument("InputSpec", "ndim", ndim, rank)
        )
        self.max_ndim = check_argument("InputSpec", "max_ndim", max_ndim, rank)
        self.min_ndim = check_argument("InputSpec", "min_ndim", min_ndim, rank)
        self.name = name
        self.optional = check_argument("InputSpec", "optional", optional, Boolean())
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        try:
            self.axes = {int(axis): size for axis, size in (axes or {}).items()}
        except (TypeError, ValueError, AttributeError):
            raise TypeError(
                f"InputSpec: axes must be a dict from axis to size. Got {axes!r}."
            ) from None
        limit = self.ndim if self.ndim is not None else self.max_ndim
        if self.axes and limit is not None and max(self.axes) >= limit:
            raise ValueError(
                f"InputSpec: axis {max(self.axes)} of axes does not exist with {limit} axes."
            )

    def __repr__(self) -> str:
        fields = ("dtype", "shape", "ndim", "max_ndim", "min_ndim", "axes")
        given = [f"{field}={getattr(self, field)}" for field in fields if getattr(self, field)]
        return f"InputSpec({', '.join(given)})"

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "dtype": self.dtype,
            "shape": self.shape,
            "ndim": self.ndim,
            "max_ndim": self.max_ndim,
            "min_ndim": self.min_ndim,
            "axes": self.axes,
            "optional": self.optional,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InputSpec:
        """Make a spec from `get_config()`."""
        return cls(**config)

    def mismatch(self, shape: Shape, dtype: str) -> str | None:
        """Return what is wrong with an input ("expected 784 features, got 783"), or None."""
        rank = len(shape)
        if self.ndim is not None and rank != self.ndim and not self._can_squeeze(shape):
            return f"expected {self.ndim} axes, got {rank}"
        if self.max_ndim is not None and rank > self.max_ndim:
            return f"expected at most {self.max_ndim} axes, got {rank}"
        if self.min_ndim is not None and rank < self.min_ndim:
            return f"expected at least {self.min_ndim} axes, got {rank}"
        if self.dtype is not None and dtype != self.dtype:
            return f"expected dtype {self.dtype}, got {dtype}"
        for axis, size in self.axes.items():
            if size is not None and shape[axis] not in (size, None):
                return _size_mismatch(axis, rank, size, shape[axis])
        return self._shape_mismatch(shape)

    def _shape_mismatch(self, shape: Shape) -> str | None:
        if self.shape is None:
            return None
        expected, got = self.shape, shape
        if self.allow_last_axis_squeeze:
            expected = expected[:-1] if expected and expected[-1] == 1 else expected
            got = got[:-1] if got and got[-1] == 1 else got
        for axis, (size, actual) in enumerate(zip(expected, got, strict=False)):
            if size is not None and actual is not None and size != actual:
                return _size_mismatch(axis, len(shape), size, actual)
        return None

    def _can_squeeze(self, shape: Shape) -> bool:
        if not self.allow_last_axis_squeeze or self.shape is None:
            return False
        longer = shape if len(shape) > len(self.shape) else self.shape
        return abs(len(shape) - len(self.shape)) == 1 and longer[-1] == 1


def _size_mismatch(axis: int, rank: int, expected: int, got: int | None) -> str:
    if axis in (-1, rank - 1):
        return f"expected {expected} features, got {got} (the last axis)"
    return f"expected size {expected} on axis {axis}, got {got}"


def check_inputs(specs: Any, inputs: Any, layer_name: str, class_name: str) -> None:
    """Raise a `ValueError` that names the layer when `inputs` do not fit its `input_spec`.

    Args:
        specs: an `InputSpec`, or a list or dict of them.
        inputs: the first argument of the call.
        layer_name: the layer's name.
        class_name: the layer's class name.
    """
    if isinstance(specs, InputSpec) and isinstance(inputs, (Tensor, KerasTensor)):
        problem = specs.mismatch(inputs.shape, inputs.dtype)
        if problem:
            raise _misfit(layer_name, class_name, problem, "", inputs, specs)
        return
    flat_specs = structure.flatten(specs)
    flat_inputs: list[Any]
    if isinstance(inputs, dict) and all(spec is None or spec.name for spec in flat_specs):
        flat_inputs = [inputs.get(spec.name) for spec in flat_specs if spec is not None]
    else:
        flat_inputs = structure.flatten(inputs)
    who = f"{layer_name} ({class_name})"
    if len(flat_inputs) != len(flat_specs):
        raise ValueError(f"{who}: expected {len(flat_specs)} inputs, got {len(flat_inputs)}.")
    for index, (spec, value) in enumerate(zip(flat_specs, flat_inputs, strict=True)):
        if spec is None or (value is None and spec.optional):
            continue
        if not hasattr(value, "shape"):
            raise ValueError(f"{who}: input {index} must be a tensor. Got {value!r}.")
        problem = spec.mismatch(tuple(value.shape), value.dtype)
        if problem:
            which = "" if len(flat_specs) == 1 else f" {index}"
            raise _misfit(layer_name, class_name, problem, which, value, spec)


def _misfit(
    layer_name: str, class_name: str, problem: str, which: str, value: Any, spec: InputSpec
) -> ValueError:
    shape = tuple(value.shape)
    sizes = f" (expected shape={spec.shape}, found shape={shape})" if spec.shape else ""
    return ValueError(
        f"{layer_name} ({class_name}): {problem}{sizes}.\n  input{which} {shape} is incompatible "
        f"with the layer, wanted {spec!r}."
    )
