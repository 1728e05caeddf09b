"""Counts of changes to built layers, so that traced programs know when they are out of date."""

from __future__ import annotations

from typing import Any

from lamina.tensor import Tensor


class Revision:
    """How often a built layer's attribute was replaced, and how often `trainable` was set."""

    attributes = 0
    trainable = 0


revision = Revision()


def note_replaced(old: Any, new: Any, is_model: bool, is_part: bool) -> None:
    """Count the replacement of a built layer's attribute, if programs may depend on it.

    Args:
        old, new: values of the attribute.
        is_model: whether the owner is a model: it keeps things that no program reads (a history,
            what was compiled), so that only its layers count.
        is_part: whether either value is a layer.
    """
    if new is old or isinstance(new, Tensor) or (is_model and not is_part):
        return
    plain = (bool, int, float, str)
    if isinstance(new, plain) and type(new) is type(old) and new == old:
        return
    revision.attributes += 1
