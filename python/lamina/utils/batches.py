"""The x, y and sample weights of training as one tuple, and apart again."""

from __future__ import annotations

from typing import Any


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """Return `x`, `(x, y)` or `(x, y, sample_weight)`: what a data set or a generator gives.

    An `x` that is itself a list or tuple is put into a tuple of one.
    """
    if y is None:
        return (x,) if isinstance(x, (list, tuple)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """Return x, y and sample_weight of a batch; None for what it lacks.

    Raises:
        ValueError: for a tuple of more than three.
    """
    parts = tuple(data) if isinstance(data, (list, tuple)) else (data,)
    if not 1 <= len(parts) <= 3:
        raise ValueError(
            "a batch must be x, (x,), (x, y) or (x, y, sample_weight). "
            f"Got a {type(data).__name__} of {len(parts)}."
        )
    return (*parts, None, None)[:3]
