"""Labels and sample weights, brought into the structure of the outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lamina import structure
from lamina.validation import did_you_mean


def aligned(
    y: Any, y_pred: Any, names: Sequence[Any], what: str, is_used: Sequence[bool] = ()
) -> Any:
    """`y` in the structure of `y_pred`.

    It may have that structure, be a dict by output name, be flat, or hold only what the used
    losses need (`is_used`, by flattened place).

    Raises:
        ValueError: when it is none of these.
    """
    count = len(structure.flatten(y_pred))
    if _same_form(y, y_pred):
        return y
    if isinstance(y, Mapping):
        keys = list(y_pred) if isinstance(y_pred, Mapping) else list(names)
        unknown = [key for key in y if key not in keys]
        if not unknown and isinstance(y_pred, Mapping):
            return {key: y.get(key) for key in y_pred}
        if not unknown:
            return structure.pack(y_pred, [y.get(name) for name in names])
        if len(structure.flatten(y)) != count:
            hint = did_you_mean(str(unknown[0]), [key for key in keys if isinstance(key, str)])
            raise ValueError(f"{what} names {unknown[0]!r}, but the outputs are {keys}.{hint}")
    flat = structure.flatten(y)
    if len(flat) == count:
        return structure.pack(y_pred, flat)
    if len(flat) == sum(is_used) and len(is_used) == count:
        remaining = iter(flat)
        return structure.pack(y_pred, [next(remaining) if used else None for used in is_used])
    shown = f": {list(names)}" if any(names) else ""
    has = f"has {len(flat)} arrays" if structure.is_nested(y) else "is one array"
    raise ValueError(f"{what} {has}, the model has {count} outputs{shown}.")


def _same_form(a: Any, b: Any) -> bool:
    """Whether two values nest alike; a label may be None."""
    if not structure.is_nested(b):
        return not structure.is_nested(a)
    if isinstance(b, dict):
        return isinstance(a, dict) and set(a) == set(b) and all(_same_form(a[k], b[k]) for k in b)
    return (
        isinstance(a, (list, tuple))
        and len(a) == len(b)
        and all(_same_form(one, other) for one, other in zip(a, b, strict=True))
    )


def spread_weights(sample_weight: Any, y_pred: Any, names: Sequence[Any]) -> Any:
    """Sample weights in the structure of the outputs; a single array counts for all of them."""
    if not structure.is_nested(sample_weight):
        return structure.map_structure(lambda _: sample_weight, y_pred)
    return aligned(sample_weight, y_pred, names, "sample_weight")


def is_label_kind(y_true: Any, y_pred: Any) -> tuple[bool, bool]:
    """(binary, sparse): how `accuracy` reads labels of this shape."""
    true_shape, pred_shape = y_true.shape, y_pred.shape
    binary = pred_shape[-1] == 1
    shorter = len(true_shape) < len(pred_shape)
    column = bool(true_shape) and true_shape[-1] == 1 and pred_shape[-1] != 1
    return binary, shorter or column
