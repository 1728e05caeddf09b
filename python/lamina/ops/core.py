"""Foundations of `lamina.ops`: conversion, promotion of types, control flow, scatter."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from lamina import config
from lamina.tensor import KerasTensor, Tensor
from lamina.tracing import apply, convert, is_tracing, symbolic_op

# Whatever `convert_to_tensor` takes: tensors, variables, arrays, numbers, nested lists of them.
TensorLike: TypeAlias = Any
Axes: TypeAlias = "int | Sequence[int] | None"

# Promotion climbs this ladder: the result is the highest rung among the operands. Python numbers
# are weak: they lift a bool or an integer into their kind but never widen a tensor of that kind.
_RUNGS = ("bool", "weak int", "uint8", "int32", "int64", "weak float", "float32", "float64")
_RUNG_OF = {name: rung for rung, name in enumerate(_RUNGS)}
_ALIASES = {"int": "int32", "double": "float64", "bool_": "bool"}
DTYPES = ("float32", "float64", "int32", "int64", "uint8", "bool")


def standardize_dtype(dtype: Any) -> str:
    """Return the name of a type given as name, NumPy dtype, Python type, or None (floatx).

    Raises:
        ValueError: if the engine has no such type.
    """
    if dtype is None or dtype is float or dtype == "float":
        return config.floatx()
    name = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", None)
    if name is None:
        name = getattr(dtype, "name", str(dtype))
    name = _ALIASES.get(name, name)
    if name not in DTYPES:
        raise ValueError(f"Unknown dtype {dtype!r}. Allowed: {', '.join(DTYPES)}.")
    return name


def is_float_dtype(dtype: str) -> bool:
    """Whether `dtype` names a floating point type."""
    return dtype in ("float32", "float64")


def _rung(x: Any) -> int:
    # np.float64 is a Python float and counts as one, as in Keras.
    if isinstance(x, (bool, np.bool_)):
        return 0
    if isinstance(x, (int, np.integer)):
        return 1
    if isinstance(x, (float, np.floating)):
        return 5
    return _RUNG_OF[x.dtype]


def _as_operand(x: TensorLike) -> Any:
    is_number = isinstance(x, (bool, int, float, np.generic))
    return x if is_number or isinstance(x, Tensor) else convert(x)


def result_dtype(*operands: TensorLike, floating: bool = False) -> str:
    """Return the type that an op over `operands` computes in.

    Args:
        operands: tensors, variables and Python numbers.
        floating: whether integers are computed as floats (division, exp ...).
    """
    top = max(_rung(x) for x in operands)
    if top == _RUNG_OF["weak float"] or (floating and top < _RUNG_OF["weak float"]):
        return config.floatx()
    return "int32" if top == _RUNG_OF["weak int"] else _RUNGS[top]


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
        raise ValueError(f"{op}: axis must be in [{-ndim}, {ndim}). Got {axis!r}.")
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


def _leaves(structure: Any) -> list[Any]:
    if isinstance(structure, dict):
        return [leaf for key in structure for leaf in _leaves(structure[key])]
    if isinstance(structure, (list, tuple)):
        return [leaf for part in structure for leaf in _leaves(part)]
    return [structure]


def _map_leaves(fn: Callable[..., Any], *structures: Any) -> Any:
    first = structures[0]
    if isinstance(first, dict):
        return {key: _map_leaves(fn, *(s[key] for s in structures)) for key in first}
    if isinstance(first, (list, tuple)):
        parts = [_map_leaves(fn, *group) for group in zip(*structures, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    return None if first is None else fn(*structures)


@symbolic_op
def cond(pred: TensorLike, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """Return `true_fn()` where `pred` holds, else `false_fn()`.

    While a model is traced both functions run and their results are selected elementwise, so
    neither may assign variables; both must return the same structure and shapes.
    """
    if isinstance(pred, (bool, np.bool_)) or not is_tracing():
        return true_fn() if bool(pred) else false_fn()
    condition = to_dtype(convert(pred), "bool")

    def select(a: TensorLike, b: TensorLike) -> Tensor:
        return apply("select", condition, *promote(a, b))

    return _map_leaves(select, true_fn(), false_fn())


def switch(index: TensorLike, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """Return `branches[index](*operands)`; an index outside is clamped to the nearest."""
    if not is_tracing() or isinstance(index, (int, np.integer)):
        return branches[builtins.min(builtins.max(int(index), 0), len(branches) - 1)](*operands)
    chosen = branches[-1](*operands)
    for position in range(len(branches) - 2, -1, -1):
        here = apply("less_equal", *promote(index, position))
        chosen = _map_leaves(
            lambda a, b, here=here: apply("select", here, *promote(a, b)),
            branches[position](*operands),
            chosen,
        )
    return chosen


def while_loop(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    loop_vars: Any,
    maximum_iterations: int | None = None,
) -> Any:
    """Repeat `body` while `cond` holds and return the last loop variables.

    The condition needs a value, so inside a traced model it may depend on sizes and Python
    numbers only; loops of a known length are written with `fori_loop` or `scan`.
    """
    is_single = not isinstance(loop_vars, (list, tuple))
    values = (loop_vars,) if is_single else tuple(loop_vars)
    done = 0
    while (maximum_iterations is None or done < maximum_iterations) and bool(cond(*values)):
        result = body(*values)
        values = tuple(result) if isinstance(result, (list, tuple)) else (result,)
        done += 1
    if is_single:
        return values[0]
    return type(loop_vars)(values)


def fori_loop(lower: int, upper: int, body_fun: Callable[[int, Any], Any], init_val: Any) -> Any:
    """Return the value after `value = body_fun(i, value)` for i from `lower` to `upper` - 1."""
    value = init_val
    for i in range(int(lower), int(upper)):
        value = body_fun(i, value)
    return value


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int = 1,
) -> tuple[Any, Any]:
    """Carry a value along the first axis of `xs` and stack what `f` returns at each step.

    Args:
        f: `(carry, x) -> (carry, y)`.
        init: first carry.
        xs: tensor or structure of tensors, or None with `length`.
        length: number of steps; by default the first size in `xs`.
        reverse: whether to go from the last element to the first.
        unroll: accepted for Keras's sake; the loop is always unrolled into the graph.
    """
    from lamina.ops.joining import stack

    steps = length if length is not None else shape(_leaves(xs)[0])[0]
    if steps is None:
        raise ValueError("scan: the number of steps must be known. Got an unknown first axis.")
    order = range(steps - 1, -1, -1) if reverse else range(steps)
    carry, outputs = init, []
    for i in order:
        x = None if xs is None else _map_leaves(lambda leaf, i=i: convert(leaf)[i], xs)
        carry, y = f(carry, x)
        outputs.append(y)
    if reverse:
        outputs.reverse()
    stacked = _map_leaves(lambda *parts: stack(list(parts)), *outputs) if outputs else None
    return carry, stacked


def map(f: Callable[[Any], Any], xs: Any) -> Any:  # noqa: A001
    """Apply `f` to each element along the first axis of `xs` and stack the results."""
    return scan(lambda carry, x: (carry, f(x)), None, xs)[1]


def vectorized_map(function: Callable[[Any], Any], elements: Any) -> Any:
    """Apply `function` to each element along the first axis of `elements`."""
    return map(function, elements)


@symbolic_op
def scatter(indices: TensorLike, values: TensorLike, shape: Sequence[int]) -> Tensor:
    """Add `values` into zeros of `shape` at `indices`.

    Args:
        indices: integers (n, k): the first k coordinates of each value.
        values: (n, *shape[k:]).
        shape: sizes of the result.
    """
    ids = convert(indices)
    ids = ids if ids.dtype in ("int32", "int64") else to_dtype(ids, "int32")
    return apply("scatter_add", ids, convert(values), shape=[int(d) for d in shape])


@symbolic_op
def scatter_update(
    inputs: TensorLike, indices: TensorLike, updates: TensorLike, reduction: str | None = None
) -> Tensor:
    """Return `inputs` with `updates` written at `indices` (n, k), or added with reduction="add".

    Where an index comes twice without reduction, the result is the sum of its updates.
    """
    inputs, updates = promote(inputs, updates)
    if reduction not in (None, "add"):
        raise ValueError(f"scatter_update: reduction must be None or 'add'. Got {reduction!r}.")
    added = scatter(indices, updates, inputs.shape)
    if reduction == "add":
        return apply("add", inputs, added)
    hits = scatter(indices, apply("broadcast_to", convert(1.0), shape=list(updates.shape)),
                   inputs.shape)  # fmt: skip
    return apply("select", apply("greater", hits, convert(0.0)), added, inputs)


@symbolic_op
def slice(  # noqa: A001
    inputs: TensorLike, start_indices: Sequence[int], shape: Sequence[int]
) -> Tensor:
    """Cut a block out of `inputs`.

    Args:
        inputs: tensor of any rank.
        start_indices: first index on each axis.
        shape: size of the block on each axis; -1 reaches to the end.
    """
    inputs = convert(inputs)
    begin = [int(s) for s in start_indices]
    end = []
    for start, length, dim in zip(begin, shape, inputs.shape, strict=True):
        end.append(-1 if dim is None and length == -1 else start + int(length))
        if length == -1 and dim is not None:
            end[-1] = dim
        elif dim is not None and not 0 <= start <= end[-1] <= dim:
            raise ValueError(f"slice: [{start}, {end[-1]}) does not lie inside an axis of {dim}.")
    return apply("slice", inputs, begin=begin, end=end, strides=[1] * inputs.ndim)


@symbolic_op
def slice_update(inputs: TensorLike, start_indices: Sequence[int], updates: TensorLike) -> Tensor:
    """Return `inputs` with the block `updates` written at `start_indices`."""
    inputs, updates = promote(inputs, updates)
    begin = [int(s) for s in start_indices]
    end = [s + d for s, d in zip(begin, updates.shape, strict=True)]
    low = begin
    high = [d - e for d, e in zip(inputs.shape, end, strict=True)]
    inside = np.pad(np.ones(updates.shape, bool), list(zip(low, high, strict=True)))
    padded = apply("pad", updates, low=low, high=high, mode="constant", value=0.0)
    return apply("select", convert(inside), padded, inputs)


__all__ = [
    "cast",
    "cond",
    "convert_to_numpy",
    "convert_to_tensor",
    "copy",
    "dtype",
    "fori_loop",
    "identity_op",
    "is_tensor",
    "map",
    "ndim",
    "saturate_cast",
    "scan",
    "scatter",
    "scatter_update",
    "shape",
    "size",
    "slice",
    "slice_update",
    "stop_gradient",
    "switch",
    "vectorized_map",
    "while_loop",
]
