"""Foundations of `lamina.ops`: conversion and promotion of types, axes and sizes."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from lamina import config
from lamina.dtypes import is_float_dtype as is_float_dtype
from lamina.dtypes import join, settle
from lamina.dtypes import standardize_dtype as standardize_dtype
from lamina.tensor import KerasTensor, Tensor
from lamina.tracing import apply, convert, symbolic_op

# Whatever `convert_to_tensor` takes: tensors, variables, arrays, numbers, nested lists of them.
TensorLike: TypeAlias = Any
Axes: TypeAlias = "int | Sequence[int] | None"


def _promoted_name(x: Any) -> str:
    # np.float64 is a Python float and counts as one, as in Keras.
    if isinstance(x, Tensor):
        return x.dtype
    if isinstance(x, (bool, np.bool_)):
        return "bool"
    if isinstance(x, (int, np.integer)):
        return "weak int"
    if isinstance(x, (float, np.floating)):
        return "weak float"
    return str(x.dtype)


def _as_operand(x: TensorLike) -> Any:
    is_number = isinstance(x, (bool, int, float, np.generic))
    return x if is_number or isinstance(x, Tensor) else convert(x)


def result_dtype(*operands: TensorLike, floating: bool = False) -> str:
    """Return the type that an op over `operands` computes in.

    Args:
        operands: tensors, variables and Python numbers.
        floating: whether integers are computed as floats (division, exp ...).
    """
    name = _promoted_name(operands[0])
    for x in operands[1:]:
        name = join(name, _promoted_name(x))
    name = settle(name)
    return config.floatx() if floating and not is_float_dtype(name) else name


def promote(*operands: TensorLike, floating: bool = False) -> tuple[Tensor, ...]:
    """Convert `operands` to tensors of one type, the one `result_dtype` names."""
    values = [_as_operand(x) for x in operands]
    dtype = result_dtype(*values, floating=floating)
    return tuple(to_dtype(x, dtype) for x in values)


def to_dtype(x: TensorLike, dtype: str) -> Tensor:
    """Convert `x` to a tensor of `dtype`; a tensor that has it already is returned as it is."""
    if not isinstance(x, Tensor):
        x = convert(x, dtype=dtype)
    return x if x.dtype == dtype else apply("cast", x, dtype=dtype)


def to_float(x: TensorLike) -> Tensor:
    """Convert `x` to a tensor; integers and booleans become floatx."""
    x = convert(x)
    return x if is_float_dtype(x.dtype) else to_dtype(x, config.floatx())


def normalize_axis(axis: int, ndim: int, op: str) -> int:
    """Return `axis` counted from the front.

    Raises:
        ValueError: if a tensor of `ndim` axes has no such axis.
    """
    if not -ndim <= axis < ndim:
        raise ValueError(f"{op}: axis {axis!r} is out of bounds: it must be in [{-ndim}, {ndim}).")
    return int(axis) % ndim if ndim else 0


def normalize_axes(axis: Axes, ndim: int, op: str) -> list[int]:
    """Return `axis` as a list counted from the front; None stands for every axis."""
    if axis is None:
        return list(range(ndim))
    listed = axis if isinstance(axis, (list, tuple)) else [axis]
    axes = [normalize_axis(int(a), ndim, op) for a in listed]  # type: ignore[arg-type]
    if len(set(axes)) != len(axes):
        raise ValueError(f"{op}: axis names an axis twice. Got {axis!r}.")
    return axes


def reshape_to(x: Tensor, shape: Sequence[int | None]) -> Tensor:
    """Reshape where the caller knows the sizes; None is a size not known yet."""
    return apply("reshape", x, shape=[-1 if d is None else int(d) for d in shape])


def filled(value: float, sizes: Sequence[int | None], dtype: str, like: Tensor) -> Tensor:
    """Return a tensor full of `value`; sizes may be unknown (None) where those of `like` are."""
    number = convert(value, dtype=dtype)
    if None in sizes and like._tracer is not None:
        number = like._tracer.lift(number)
    return apply("broadcast_to", number, shape=[-1 if d is None else int(d) for d in sizes])


def size_of(dims: Sequence[int | None]) -> int | None:
    """Return the product of sizes, None when one of them is not known."""
    total = 1
    for d in dims:
        if d is None:
            return None
        total *= d
    return total


def is_tensor(x: Any) -> bool:
    """Whether `x` is a lamina tensor, concrete or symbolic."""
    return isinstance(x, (Tensor, KerasTensor))


def dtype(x: TensorLike) -> str:
    """Return the name of the type of `x`, e.g. "float32"."""
    known = getattr(x, "dtype", None)
    return standardize_dtype(known) if known is not None else convert(x).dtype


def shape(x: TensorLike) -> tuple[int | None, ...]:
    """Return the sizes of `x`, None where a size is not known yet."""
    return tuple(x.shape) if hasattr(x, "shape") else tuple(convert(x).shape)


def ndim(x: TensorLike) -> int:
    """Return the number of axes of `x`."""
    return len(shape(x))


def size(x: TensorLike) -> int | None:
    """Return the number of elements of `x`, None when a size is not known yet."""
    return size_of(shape(x))


def convert_to_tensor(
    x: TensorLike, dtype: Any = None, sparse: bool | None = None, ragged: bool | None = None
) -> Any:
    """Convert arrays, numbers, lists and variables to a tensor.

    Args:
        x: what to convert. A tensor of the wanted type is returned as it is.
        dtype: the type wanted; None keeps NumPy's own, makes Python floats floatx and Python
            integers int32.
        sparse, ragged: accepted for Keras's sake; lamina's tensors are dense.

    Raises:
        ValueError: if `sparse` or `ragged` is True.
    """
    for name, value in (("sparse", sparse), ("ragged", ragged)):
        if value:
            raise ValueError(f"convert_to_tensor: {name} tensors do not exist here. Got True.")
    if isinstance(x, KerasTensor):
        return cast(x, dtype) if dtype is not None else x
    return convert(x) if dtype is None else to_dtype(x, standardize_dtype(dtype))


def convert_to_numpy(x: TensorLike) -> np.ndarray:
    """Return the values of `x` as a NumPy array."""
    return x.numpy() if hasattr(x, "numpy") else np.asarray(x)


@symbolic_op
def cast(x: TensorLike, dtype: Any) -> Tensor:
    """Convert `x` to `dtype`; floats are truncated towards zero when they become integers."""
    return to_dtype(convert(x), standardize_dtype(dtype))


@symbolic_op
def saturate_cast(x: TensorLike, dtype: Any) -> Tensor:
    """Convert `x` to `dtype`; values outside its range become its nearest end."""
    x, wanted = convert(x), standardize_dtype(dtype)
    if wanted == "bool" or is_float_dtype(wanted) or x.dtype == "bool":
        return to_dtype(x, wanted)
    info = np.iinfo(wanted)
    low, high = float(info.min), float(info.max)
    if is_float_dtype(x.dtype):
        # The largest integer may not exist as a float: clip to the last one that fits.
        high = float(np.nextafter(np.dtype(x.dtype).type(high), 0)) if high > 2**24 else high
        return to_dtype(apply("clip", x, min=low, max=high), wanted)
    own = np.iinfo(x.dtype)
    wide = to_dtype(x, "int64")
    low_int, high_int = builtins.max(info.min, own.min), builtins.min(info.max, own.max)
    wide = apply("maximum", wide, convert(low_int, dtype="int64"))
    return to_dtype(apply("minimum", wide, convert(high_int, dtype="int64")), wanted)


@symbolic_op
def copy(x: TensorLike) -> Tensor:
    """Return a tensor with the values of `x`."""
    return apply("identity", convert(x))


@symbolic_op
def identity_op(x: TensorLike) -> Tensor:
    """Return `x` itself as a tensor: what `+x` means."""
    return convert(x)


@symbolic_op
def stop_gradient(variable: TensorLike) -> Tensor:
    """Return `variable` as a constant: no gradient flows through it."""
    return apply("stop_gradient", convert(variable))


__all__ = [
    "cast",
    "convert_to_numpy",
    "convert_to_tensor",
    "copy",
    "dtype",
    "identity_op",
    "is_tensor",
    "ndim",
    "saturate_cast",
    "shape",
    "size",
    "stop_gradient",
]


def __getattr__(name: str) -> Any:
    # Control flow, scatter and slices live in modules of their own.
    import lamina.ops

    if not name.startswith("_") and hasattr(lamina.ops, name):
        return getattr(lamina.ops, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
