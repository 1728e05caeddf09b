"""`lamina.ops.numpy`: the functions of `lamina.ops` that NumPy has too."""

from __future__ import annotations

from typing import Any

from lamina.ops.binary import *  # noqa: F403
from lamina.ops.creation import *  # noqa: F403
from lamina.ops.elementwise import *  # noqa: F403
from lamina.ops.integers import *  # noqa: F403
from lamina.ops.joining import *  # noqa: F403
from lamina.ops.layout import *  # noqa: F403
from lamina.ops.linalg import *  # noqa: F403
from lamina.ops.nan import *  # noqa: F403
from lamina.ops.reduce import *  # noqa: F403
from lamina.ops.series import *  # noqa: F403
from lamina.ops.sorting import *  # noqa: F403


def __getattr__(name: str) -> Any:
    # What a name of NumPy maps to may stand with other functions of its kind.
    import lamina.ops

    if not name.startswith("_") and hasattr(lamina.ops, name):
        return getattr(lamina.ops, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
