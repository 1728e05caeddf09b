"""Settings of the process: number types, image layout, threads, and what engine is running."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lamina.dtype_policies import DTypePolicy

FLOAT_TYPES = ("bfloat16", "float16", "float32", "float64")
IMAGE_DATA_FORMATS = ("channels_last", "channels_first")

_floatx = "float32"
_epsilon = 1e-7
_image_data_format = "channels_last"
_interactive_logging = True
_dtype_policy: DTypePolicy | None = None
_flash_attention: bool | None = None
_winograd = True
_traceback_filtering = True
_max_epochs: int | None = None
_max_steps_per_epoch: int | None = None


def floatx() -> str:
    """Name of the float type that layers and converted Python floats use: "float32" at first."""
    return _floatx


def set_floatx(value: str) -> None:
    """Choose the default float type.

    Args:
        value: "float32", "float64", "float16" or "bfloat16".

    Raises:
        ValueError: for any other name.
    """
    global _floatx
    if value not in FLOAT_TYPES:
        raise ValueError(f"set_floatx: value must be one of {FLOAT_TYPES}. Got {value!r}.")
    _floatx = value


def epsilon() -> float:
    """Small number that formulas add to avoid dividing by zero: 1e-7 at first."""
    return _epsilon


def set_epsilon(value: float) -> None:
    """Choose the number that `epsilon()` returns.

    Raises:
        TypeError: if `value` is not a number.
        ValueError: if `value` is negative or not finite.
    """
    global _epsilon
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"set_epsilon: value must be a number. Got {value!r}.") from None
    if not 0.0 <= number < float("inf"):
        raise ValueError(f"set_epsilon: value must be finite and >= 0. Got {value!r}.")
    _epsilon = number


def image_data_format() -> str:
    """Default position of the channel axis in image layers: "channels_last" at first."""
    return _image_data_format


def set_image_data_format(data_format: str) -> None:
    """Choose the default position of the channel axis.

    Args:
        data_format: "channels_last" (batch, height, width, channels) or "channels_first".

    Raises:
        ValueError: for any other name.
    """
    global _image_data_format
    if data_format not in IMAGE_DATA_FORMATS:
        raise ValueError(
            f"set_image_data_format: data_format must be one of {IMAGE_DATA_FORMATS}. "
            f"Got {data_format!r}."
        )
    _image_data_format = data_format


def dtype_policy() -> DTypePolicy:
    """The policy of layers that are given none: that of `floatx()` at first."""
    from lamina.dtype_policies import DTypePolicy

    return DTypePolicy(_floatx) if _dtype_policy is None else _dtype_policy


def set_dtype_policy(policy: Any) -> None:
    """Choose the policy of layers that are given none.

    Args:
        policy: a `DTypePolicy` or a name, such as "mixed_bfloat16".

    Raises:
        ValueError: for anything else.
    """
    global _dtype_policy
    from lamina import dtype_policies

    if not isinstance(policy, (str, dtype_policies.DTypePolicy)):
        raise ValueError(
            "set_dtype_policy: policy must be a name such as 'mixed_bfloat16' or a DTypePolicy. "
            f"Got {policy!r}."
        )
    _dtype_policy = dtype_policies.get(policy)


def forget_dtype_policy() -> None:
    """Let layers that are given no policy have that of `floatx()` again, as at first."""
    global _dtype_policy
    _dtype_policy = None


def backend() -> str:
    """Name of what computes: always "lamina"."""
    return "lamina"


def set_backend(backend: str) -> None:
    """Refuse another backend than "lamina": here there is one.

    Raises:
        ValueError: for any other name.
    """
    if backend != "lamina":
        raise ValueError(
            f"set_backend: lamina computes with its own engine and has no backend {backend!r}. "
            "Programs for another one run as they are, unless they use its own functions."
        )


def is_nnx_enabled() -> bool:
    """Whether variables are those of Flax NNX: never, that is a matter of JAX."""
    return False


def enable_flash_attention() -> None:
    """Ask for fused attention. The engine has one way to compute attention: nothing changes."""
    global _flash_attention
    _flash_attention = True


def disable_flash_attention() -> None:
    """Refuse fused attention. The engine has one way to compute attention: nothing changes."""
    global _flash_attention
    _flash_attention = False


def is_flash_attention_enabled() -> bool | None:
    """What was asked for with the two functions above; None at first."""
    return _flash_attention


def enable_winograd() -> None:
    """Let float32 convolutions without strides take Winograd's way (the default).

    That is for kernels of 3 x 3, which then need a quarter of the multiplications, and of 3 to 6
    taps along one axis, which need half or less. The sums are rounded at other places: their error
    against exact arithmetic (root mean square, relative to that of the result) is about twice that
    of the plain sums, for the gradient of the weights four to six times, and below 2e-6 in all. A
    NaN or an infinity in the input reaches up to three pixels further. float64 never takes it.
    """
    global _winograd
    _winograd = True


def disable_winograd() -> None:
    """Let every convolution be a plain sum of products, in what is traced from now on.

    A model that has been trained or called before keeps its programs; `compile` makes new ones for
    training.
    """
    global _winograd
    _winograd = False


def is_winograd_enabled() -> bool:
    """Whether float32 convolutions may take Winograd's way."""
    return _winograd


def enable_traceback_filtering() -> None:
    """Leave lamina's own frames out of tracebacks (the default, as in Keras)."""
    global _traceback_filtering
    _traceback_filtering = True


def disable_traceback_filtering() -> None:
    """Show every frame of a traceback."""
    global _traceback_filtering
    _traceback_filtering = False


def is_traceback_filtering_enabled() -> bool:
    """Whether lamina's own frames may be left out of tracebacks."""
    return _traceback_filtering


def _limit(name: str, value: int | None) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ValueError(f"set_{name}: {name} must be an integer >= 0 or None. Got {value!r}.")
    return value


def limited(count: int | None, limit: int | None) -> int | None:
    """`count`, or `limit` where that is lower (or `count` is open); no limit: 0 or None."""
    if not limit:
        return count
    return limit if count is None else min(count, limit)


def max_epochs() -> int | None:
    """The most epochs that any `fit` runs; None for no limit."""
    return _max_epochs


def set_max_epochs(max_epochs: int | None) -> None:
    """Limit every `fit` to this many epochs, to try a program out. None lifts the limit.

    Raises:
        ValueError: for a negative number.
    """
    global _max_epochs
    _max_epochs = _limit("max_epochs", max_epochs)


def max_steps_per_epoch() -> int | None:
    """The most steps that any epoch, `evaluate` or `predict` runs; None for no limit."""
    return _max_steps_per_epoch


def set_max_steps_per_epoch(max_steps_per_epoch: int | None) -> None:
    """Limit every epoch to this many steps, to try a program out. None lifts the limit.

    Raises:
        ValueError: for a negative number.
    """
    global _max_steps_per_epoch
    _max_steps_per_epoch = _limit("max_steps_per_epoch", max_steps_per_epoch)


def enable_unsafe_deserialization() -> None:
    """Let files run the Python code they hold (Lambda layers), for the rest of the process."""
    from lamina import serialization

    serialization.enable_unsafe_deserialization()


def isa() -> str:
    """Instruction-set level of the engine in use: "v2", "v3" or "v4" (x86-64), or "generic"."""
    from lamina import _core

    return str(_core.isa())


def num_threads() -> int:
    """Threads that the next step of this thread may use."""
    from lamina import _core

    return int(_core.num_threads())


def set_num_threads(n: int) -> None:
    """Limit the engine to `n` threads; results do not depend on it.

    Raises:
        TypeError: if `n` is not an integer.
        ValueError: if `n` is less than 1.
    """
    import operator

    from lamina import _core

    try:
        count = operator.index(n)
    except TypeError:
        raise TypeError(f"set_num_threads: n must be an integer. Got {n!r}.") from None
    if isinstance(n, bool) or count < 1:
        raise ValueError(f"set_num_threads: n must be an integer >= 1. Got {n!r}.")
    _core.set_num_threads(count)


def info() -> dict[str, Any]:
    """Everything that `show()` prints, as a dictionary."""
    import platform

    import numpy

    from lamina import _core

    return {
        "lamina": _core.version(),
        "isa": _core.isa(),
        "threads": _core.num_threads(),
        "compiler": _core.compiler(),
        "eigen": _core.eigen_version(),
        "openmp": _core.openmp_runtime(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "platform": f"{sys.platform} {platform.machine()}",
        "floatx": floatx(),
    }


def show() -> None:
    """Print version, instruction set, threads, compiler, Eigen version and OpenMP runtime."""
    for name, value in info().items():
        print(f"{name:<10}{value}")


def enable_interactive_logging() -> None:
    """Send progress and messages to standard output (the default)."""
    global _interactive_logging
    _interactive_logging = True


def disable_interactive_logging() -> None:
    """Send progress and messages to the logger "lamina" instead of standard output."""
    global _interactive_logging
    _interactive_logging = False


def is_interactive_logging_enabled() -> bool:
    """Whether progress and messages go to standard output."""
    return _interactive_logging
