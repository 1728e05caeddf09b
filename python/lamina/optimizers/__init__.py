"""Optimizers: how gradients change weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lamina import serialization
from lamina.optimizers import legacy, schedules
from lamina.optimizers.adafactor import Adafactor
from lamina.optimizers.adagrad import Adadelta, Adagrad
from lamina.optimizers.adam import Adam, AdamW
from lamina.optimizers.adamax import Adamax
from lamina.optimizers.base import Optimizer
from lamina.optimizers.ftrl import Ftrl
from lamina.optimizers.lamb import Lamb
from lamina.optimizers.lion import Lion
from lamina.optimizers.loss_scale import LossScaleOptimizer
from lamina.optimizers.multi import MultiOptimizer, OptimizerMap
from lamina.optimizers.muon import Muon
from lamina.optimizers.nadam import Nadam
from lamina.optimizers.rmsprop import RMSprop
from lamina.optimizers.schedule_free import ScheduleFreeAdamW
from lamina.optimizers.sgd import SGD
from lamina.registry import Registry, named

_registry = Registry(
    "optimizer",
    named(
        Adadelta,
        Adafactor,
        Adagrad,
        Adam,
        AdamW,
        Adamax,
        Ftrl,
        Lamb,
        Lion,
        LossScaleOptimizer,
        MultiOptimizer,
        Muon,
        Nadam,
        RMSprop,
        SGD,
        ScheduleFreeAdamW,
        adamw=AdamW,
        rmsprop=RMSprop,
        schedulefreeadamw=ScheduleFreeAdamW,
    ),
    Optimizer,
)


def get(identifier: Any) -> Any:
    """Return the optimizer that a name, configuration or class stands for; None stays.

    Raises:
        ValueError: if nothing has that name; suggests the nearest one.
    """
    found = _registry.get(identifier)
    if found is not None and not isinstance(found, Optimizer):
        raise ValueError(f"optimizer: must be a name, configuration or Optimizer. Got {found!r}.")
    return found


def serialize(optimizer: Optimizer) -> Any:
    """Return the configuration of an optimizer."""
    return serialization.serialize_keras_object(optimizer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Build the optimizer that `serialize` described."""
    return _registry.deserialize(config, custom_objects)


__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "LossScaleOptimizer",
    "MultiOptimizer",
    "Muon",
    "Nadam",
    "Optimizer",
    "OptimizerMap",
    "RMSprop",
    "ScheduleFreeAdamW",
    "deserialize",
    "get",
    "legacy",
    "schedules",
    "serialize",
]
