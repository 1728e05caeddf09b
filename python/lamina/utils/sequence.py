"""Sequences of different lengths to one array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

SIDES = ("pre", "post")


def pad_sequences(
    sequences: Sequence[Any],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray:
    """Bring sequences to one length.

    Args:
        sequences: list of sequences; their elements may be numbers or equally shaped arrays.
        maxlen: the length; None: that of the longest sequence.
        dtype: type of the result; `object` for strings.
        padding: "pre" fills short sequences before, "post" after their elements.
        truncating: "pre" cuts long sequences at the beginning, "post" at the end.
        value: what fills.

    Returns:
        Array of shape (sequences, maxlen, *element).

    Raises:
        ValueError: for other sides, sequences that are none, or elements of different shapes.
    """
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in SIDES:
            raise ValueError(f"pad_sequences: {name} must be 'pre' or 'post'. Got {side!r}.")
    if not hasattr(sequences, "__len__"):
        raise ValueError(f"pad_sequences: sequences must be a list of lists. Got {sequences!r}.")
    rows = list(sequences)
    for row in rows:
        if not hasattr(row, "__len__"):
            raise ValueError(f"pad_sequences: every sequence must be a list. Found {row!r}.")
    if not rows and maxlen is None:
        raise ValueError("pad_sequences: sequences is empty, so maxlen must be given.")
    length = max(len(row) for row in rows) if maxlen is None else maxlen
    is_text = np.issubdtype(np.dtype(dtype), np.str_) or np.dtype(dtype) == object
    if isinstance(value, str) and not is_text:
        raise ValueError(
            f"pad_sequences: value {value!r} is text, which dtype {dtype!r} cannot hold; "
            "use dtype=object."
        )
    element = next((np.asarray(row).shape[1:] for row in rows if len(row)), ())
    result = np.full((len(rows), length, *element), value, dtype=dtype)
    for number, row in enumerate(rows):
        kept = row[-length:] if truncating == "pre" else row[:length]
        if not len(kept) or length == 0:
            continue
        items = np.asarray(kept, dtype=dtype)
        if items.shape[1:] != element:
            raise ValueError(
                f"pad_sequences: elements of sequence {number} have shape {items.shape[1:]}, "
                f"those before have {element}."
            )
        if padding == "post":
            result[number, : len(items)] = items
        else:
            result[number, length - len(items) :] = items
    return result
