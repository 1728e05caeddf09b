"""keras.backend: settings and the few helpers that programs still take from there."""

from lamina.config import (
    epsilon,
    floatx,
    image_data_format,
    set_epsilon,
    set_floatx,
    set_image_data_format,
)
from lamina.names import unique_name
from lamina.ops.core import standardize_dtype
from lamina.tensor import is_keras_tensor
from lamina.utils.session import clear_session


def backend() -> str:
    """The name of what computes: "lamina"."""
    return "lamina"


def get_uid(prefix: str = "") -> int:
    """How many automatic names with this prefix there are, this call's included."""
    name = unique_name(prefix)
    return 1 if name == prefix else int(name.rsplit("_", 1)[1]) + 1


def is_float_dtype(dtype: str) -> bool:
    """Whether a dtype name is a floating point one."""
    return standardize_dtype(dtype).startswith("float")


def is_int_dtype(dtype: str) -> bool:
    """Whether a dtype name is an integer one."""
    return standardize_dtype(dtype).startswith(("int", "uint"))


__all__ = [
    "backend",
    "clear_session",
    "epsilon",
    "floatx",
    "get_uid",
    "image_data_format",
    "is_float_dtype",
    "is_int_dtype",
    "is_keras_tensor",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "standardize_dtype",
]
