"""Checks of the arguments of fit, evaluate and predict, before anything happens."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np


def _whole(who: str, name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ValueError(f"{who}: {name} must be a whole number >= {least}. Got {value!r}.")
    if value < least:
        raise ValueError(f"{who}: {name} must be >= {least}. Got {value!r}.")
    return int(value)


def optional_whole(who: str, name: str, value: Any, least: int = 1) -> int | None:
    return None if value is None else _whole(who, name, value, least)


def check_verbose(who: str, verbose: Any) -> int:
    if verbose == "auto":
        return 1
    if isinstance(verbose, (bool, int)) and int(verbose) in (0, 1, 2):
        return int(verbose)
    raise ValueError(f"{who}: verbose must be 'auto', 0, 1 or 2. Got {verbose!r}.")


def check_fit(
    batch_size: Any,
    epochs: Any,
    initial_epoch: Any,
    validation_split: Any,
    validation_freq: Any,
    class_weight: Any,
    steps_per_epoch: Any,
    validation_steps: Any,
    validation_batch_size: Any,
    shuffle: Any,
) -> None:
    """Check the arguments of fit that are no data.

    Raises:
        ValueError: naming the argument, its value and what is allowed.
    """
    optional_whole("fit()", "batch_size", batch_size)
    _whole("fit()", "epochs", epochs, 0)
    _whole("fit()", "initial_epoch", initial_epoch, 0)
    optional_whole("fit()", "steps_per_epoch", steps_per_epoch)
    optional_whole("fit()", "validation_steps", validation_steps)
    optional_whole("fit()", "validation_batch_size", validation_batch_size)
    if not isinstance(shuffle, (bool, np.bool_)) and shuffle != "batch":
        raise ValueError(f"fit(): shuffle must be True, False or 'batch'. Got {shuffle!r}.")
    if isinstance(validation_split, bool) or not isinstance(validation_split, numbers.Real):
        raise ValueError(
            f"fit(): validation_split must be a number in [0, 1). Got {validation_split!r}."
        )
    if validation_split is None or not 0.0 <= float(validation_split) < 1.0:
        raise ValueError(f"fit(): validation_split must be in [0, 1). Got {validation_split!r}.")
    if not isinstance(validation_freq, (list, tuple, set)):
        _whole("fit()", "validation_freq", validation_freq, 1)
    if class_weight is not None:
        check_class_weight("fit()", class_weight)


def check_class_weight(who: str, class_weight: Any) -> None:
    if not isinstance(class_weight, Mapping):
        raise ValueError(
            f"{who}: class_weight must be a dict from class number to weight. "
            f"Got {type(class_weight).__name__}."
        )
    for label, weight in class_weight.items():
        if not isinstance(label, numbers.Integral) or not isinstance(weight, numbers.Real):
            raise ValueError(
                f"{who}: class_weight must map class numbers to weights. Got {label!r}: {weight!r}."
            )


def validate_now(epoch: int, validation_freq: Any) -> bool:
    """Whether the epoch (from 0) is one after which validation runs."""
    if isinstance(validation_freq, (list, tuple, set)):
        return epoch + 1 in validation_freq
    return (epoch + 1) % validation_freq == 0
