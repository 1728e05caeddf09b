"""keras.backend: settings and the helpers that programs still take from there."""

from typing import Any

from lamina.config import (
    epsilon,
    floatx,
    image_data_format,
    set_epsilon,
    set_floatx,
    set_image_data_format,
)
from lamina.dtypes import result_type, standardize_dtype
from lamina.names import name_scope, unique_name
from lamina.ops import cast, convert_to_numpy, convert_to_tensor, is_tensor, shape
from lamina.scopes import (
    StatelessScope,
    SymbolicScope,
    device,
    get_stateless_scope,
    in_stateless_scope,
    in_symbolic_scope,
)
from lamina.tensor import KerasTensor, is_keras_tensor
from lamina.tracing import infer_outputs as compute_output_spec
from lamina.utils.session import clear_session
from lamina.variable import Variable


def backend() -> str:
    """The name of what computes: "lamina"."""
    return "lamina"


def get_uid(prefix: str = "") -> int:
    """How many automatic names with this prefix there are, this call's included."""
    name = unique_name(prefix)
    return 1 if name == prefix else int(name.rsplit("_", 1)[1]) + 1


def is_float_dtype(dtype: Any) -> bool:
    """Whether a dtype, or its name, is a floating point one."""
    return standardize_dtype(dtype).startswith(("float", "bfloat"))


def is_int_dtype(dtype: Any) -> bool:
    """Whether a dtype, or its name, is an integer one."""
    return standardize_dtype(dtype).startswith(("int", "uint"))


def get_keras_mask(x: Any) -> Any:
    """The mask that a tensor carries, or None."""
    return getattr(x, "mask", None)


def set_keras_mask(x: Any, mask: Any) -> None:
    """Let a tensor carry a mask, which the next layer sees; None takes it away."""
    x.mask = mask


__all__ = [
    "KerasTensor",
    "StatelessScope",
    "SymbolicScope",
    "Variable",
    "backend",
    "cast",
    "clear_session",
    "compute_output_spec",
    "convert_to_numpy",
    "convert_to_tensor",
    "device",
    "epsilon",
    "floatx",
    "get_keras_mask",
    "get_stateless_scope",
    "get_uid",
    "image_data_format",
    "in_stateless_scope",
    "in_symbolic_scope",
    "is_float_dtype",
    "is_int_dtype",
    "is_keras_tensor",
    "is_tensor",
    "name_scope",
    "result_type",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "set_keras_mask",
    "shape",
    "standardize_dtype",
]
