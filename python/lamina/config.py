"""Settings of the process: number types, image layout, threads, and what engine is running."""

from __future__ import annotations

import sys
from typing import Any

FLOAT_TYPES = ("float32", "float64")
IMAGE_DATA_FORMATS = ("channels_last", "channels_first")

_floatx = "float32"
_epsilon = 1e-7
_image_data_format = "channels_last"
_interactive_logging = True


def floatx() -> str:
    """Name of the float type that layers and converted Python floats use: "float32" at first."""
    return _floatx


def set_floatx(value: str) -> None:
    """Choose the default float type.

    Args:
        value: "float32" or "float64".

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


def backend() -> str:
    """Name of what computes: always "lamina"."""
    return "lamina"


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
