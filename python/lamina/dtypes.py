"""The element types: their names, what they promote to, and how they reach NumPy and come back.

The engine computes in float32, float64, int32, int64, uint8 and bool. The others are stored: an op
widens them and rounds its results. NumPy has no bfloat16 and no float8; where the package ml_dtypes
is installed its types stand in for them, elsewhere arrays of them are float32.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from lamina import _core, config

FLOATS = ("float16", "bfloat16", "float32", "float64")
FLOAT8 = ("float8_e4m3fn", "float8_e5m2")
INTEGERS = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "int64")
# What tensors can be made of.
DTYPES = (*FLOATS, *INTEGERS, "bool", *FLOAT8)
_NAMES = frozenset(DTYPES)
# Names that Keras knows, and that a config may hold, but of which there are no tensors.
_FOREIGN = frozenset(("uint64", "complex64", "complex128", "string"))
_ALIASES = {"int": "int32", "double": "float64", "bool_": "bool", "str": "string"}

# Types whose arrays hold bits, and the type of those.
_BITS = {"bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}
_FLOAT_NAMES = frozenset(FLOATS + FLOAT8)
_INTEGER_NAMES = frozenset(INTEGERS)

# Each type's direct successors: promotion goes to the nearest common one. A Python number is weak:
# it lifts a tensor to its kind (integer, float) but never widens one that is of it.
_SUCCESSORS: dict[str, tuple[str, ...]] = {
    "bool": ("weak int",),
    "weak int": ("uint8", "int8"),
    "uint8": ("uint16", "int16"),
    "uint16": ("uint32", "int32"),
    "uint32": ("uint64", "int64"),
    "uint64": ("weak float",),
    "int8": ("int16",),
    "int16": ("int32",),
    "int32": ("int64",),
    "int64": ("weak float",),
    "weak float": ("float16", "bfloat16"),
    "float16": ("float32",),
    "bfloat16": ("float32",),
    "float32": ("float64",),
    "float64": (),
}
_WEAK: dict[Any, str] = {bool: "bool", int: "weak int", float: "weak float"}
_NARROW_RESULT = {"int64": "int32", "uint64": "uint32", "float64": "float32"}


def standardize_dtype(dtype: Any) -> str:
    """Return the name of a type given as name, NumPy dtype, Python type, or None (floatx).

    Raises:
        ValueError: if there is no such type.
    """
    if type(dtype) is str and dtype in _NAMES:
        return dtype
    if dtype is None or dtype is float or (isinstance(dtype, str) and dtype == "float"):
        return config.floatx()
    name = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", None)
    if name is None:
        name = str(getattr(dtype, "name", dtype)).removeprefix("torch.")
    name = _ALIASES.get(name, name)
    if name not in _NAMES and name not in _FOREIGN:
        raise ValueError(f"Invalid dtype: {dtype!r}. Allowed: {', '.join(DTYPES)}.")
    return str(name)


def engine_dtype(dtype: Any) -> str:
    """Return the name of a type that a tensor can have.

    Raises:
        ValueError: for any other.
    """
    name = standardize_dtype(dtype)
    if name in _FOREIGN:
        if name == "uint64":
            return "int64"
        raise ValueError(f"there are no tensors of dtype {name!r}. Allowed: {', '.join(DTYPES)}.")
    return name


def is_float_dtype(dtype: str) -> bool:
    """Whether `dtype` names a floating point type."""
    return dtype in _FLOAT_NAMES


def is_int_dtype(dtype: str) -> bool:
    """Whether `dtype` names an integer type; bool is none."""
    return dtype in _INTEGER_NAMES


@functools.cache
def _above(name: str) -> frozenset[str]:
    found = {name}
    for successor in _SUCCESSORS[name]:
        found |= _above(successor)
    return frozenset(found)


@functools.cache
def join(a: str, b: str) -> str:
    """The type two types promote to. "weak int" and "weak float" stand for Python numbers."""
    if a == b:
        return a
    for name in (a, b):
        if name in FLOAT8:
            raise ValueError(
                f"float8 has no implicit conversions: cast {name!r} before it meets another type."
            )
        if name not in _SUCCESSORS:
            raise ValueError(f"dtype {name!r} cannot be promoted.")
    common = _above(a) & _above(b)
    # The least: everything common lies above it.
    return next(name for name in common if common == _above(name))


def settle(name: str) -> str:
    """The type that stands for a weak one after promotion."""
    if name == "weak int":
        return "int32"
    return config.floatx() if name == "weak float" else name


def result_type(*dtypes: Any) -> str:
    """Return the type that operands of these types promote to, as Keras does.

    Args:
        dtypes: names, Python types (`int`, `float`: weak) or None (floatx).

    Returns:
        The name; 64-bit results become 32-bit ones, and nothing at all gives floatx.

    Raises:
        ValueError: for an unknown type, and for float8, which is never converted by itself.
    """
    result = None
    for dtype in dtypes:
        name = _WEAK.get(dtype) if isinstance(dtype, type) else None
        name = standardize_dtype(dtype) if name is None else name
        if name in FLOAT8:
            raise ValueError(
                f"float8 has no implicit conversions: cast it before it meets another type. Got "
                f"{dtypes!r}."
            )
        if name not in _SUCCESSORS:
            raise ValueError(f"Invalid dtype: {dtype!r} cannot be promoted.")
        result = name if result is None else join(result, name)
    if result is None:
        return config.floatx()
    settled = settle(result)
    return _NARROW_RESULT.get(settled, settled)


# ---- NumPy.


@functools.cache
def _stand_in(name: str) -> Any:
    """ml_dtypes' NumPy type of this name, None where the package is not installed."""
    try:
        import ml_dtypes  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return None
    return np.dtype(getattr(ml_dtypes, name))


def outgoing(name: str) -> str:
    """The type in which a graph's outputs of type `name` leave it: one that NumPy has."""
    return "float32" if name in _BITS else name


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The NumPy type that arrays of `name` have: float32 for those that NumPy lacks."""
    if name not in _BITS:
        return np.dtype(name)
    found = _stand_in(name)
    return np.dtype("float32") if found is None else found


def to_numpy(buffer: _core.Tensor) -> np.ndarray:
    """The engine's numbers as an array: on the same memory, unless NumPy lacks the type."""
    name = buffer.dtype
    if name not in _BITS:
        return buffer.to_numpy()
    stand_in = _stand_in(name)
    if stand_in is not None:
        return buffer.to_numpy().view(stand_in)
    return _core.eager("cast", [buffer], {"dtype": "float32"})[0].to_numpy()


def from_numpy(array: np.ndarray, dtype: str | None = None) -> _core.Tensor:
    """The engine's tensor of an array, converted to `dtype` if it is given."""
    own = array.dtype.name
    if own in _BITS:
        buffer = _core.Tensor.of_bits(np.ascontiguousarray(array).view(_BITS[own]), own)
        buffer = buffer if array.ndim else _scalar(buffer)
    elif dtype is None or dtype in _BITS:
        own = own if own in _NAMES else ("int64" if array.dtype.kind in "iu" else "float64")
        buffer = _core.Tensor(np.ascontiguousarray(array, dtype=own).reshape(array.shape))
    else:
        return _core.Tensor(np.ascontiguousarray(array, dtype=dtype).reshape(array.shape))
    if dtype is None or buffer.dtype == dtype:
        return buffer
    return _core.eager("cast", [buffer], {"dtype": dtype})[0]


def from_bits(bits: np.ndarray, name: str) -> np.ndarray:
    """The array of type `name` (bfloat16, a float8) whose items are these bits."""
    whole = np.ascontiguousarray(bits).view(_BITS[name]).reshape(bits.shape)
    return to_numpy(_core.Tensor.of_bits(whole, name))


def bits_name(dtype: np.dtype[Any], said: Any) -> str | None:
    """`said`, if it names a type whose bits a field of opaque bytes of `dtype` can hold."""
    name = _BITS.get(said) if isinstance(said, str) else None
    fits = name is not None and dtype.kind == "V" and dtype.itemsize == np.dtype(name).itemsize
    return said if fits else None


def _scalar(buffer: _core.Tensor) -> _core.Tensor:
    return _core.eager("reshape", [buffer], {"shape": []})[0]
