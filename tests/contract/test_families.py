"""What every loss, metric, optimizer, schedule, initializer, constraint and regularizer keeps."""

from __future__ import annotations

import inspect
import json
from types import ModuleType
from typing import Any

import pytest

from lamina import callbacks, constraints, initializers, losses, metrics, optimizers, regularizers
from lamina.optimizers import schedules

# Arguments of the classes that can't be made without any.
NEEDED: dict[str, dict[str, Any]] = {
    "MeanMetricWrapper": {"fn": losses.mean_squared_error},
    "MeanIoU": {"num_classes": 3},
    "IoU": {"num_classes": 3, "target_class_ids": [0]},
    "OneHotIoU": {"num_classes": 3, "target_class_ids": [0]},
    "OneHotMeanIoU": {"num_classes": 3},
    "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtPrecision": {"precision": 0.5},
    "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5},
    "ExponentialDecay": {"initial_learning_rate": 0.1, "decay_steps": 5, "decay_rate": 0.9},
    "InverseTimeDecay": {"initial_learning_rate": 0.1, "decay_steps": 5, "decay_rate": 0.9},
    "PolynomialDecay": {"initial_learning_rate": 0.1, "decay_steps": 5},
    "CosineDecay": {"initial_learning_rate": 0.1, "decay_steps": 5},
    "CosineDecayRestarts": {"initial_learning_rate": 0.1, "first_decay_steps": 5},
    "PiecewiseConstantDecay": {"boundaries": [2, 4], "values": [0.1, 0.05, 0.01]},
    "LossScaleOptimizer": {"inner_optimizer": optimizers.SGD(0.1)},
    "ModelCheckpoint": {"filepath": "model.keras"},
    "BackupAndRestore": {"backup_dir": "backup"},
    "CSVLogger": {"filename": "log.csv"},
    "LearningRateScheduler": {"schedule": lambda epoch, rate: rate},
    "MultiOptimizer": {"default_optimizer": optimizers.SGD(0.1), "optimizers_and_filters": []},
}
# Made by hand elsewhere: base classes, and classes whose arguments are other objects' business.
BASES = {
    "Loss", "Metric", "Optimizer", "LearningRateSchedule", "Initializer", "RandomInitializer",
    "Constraint", "Regularizer", "Mean", "LossScaleOptimizer", "MultiOptimizer",
    "LossFunctionWrapper", "OptimizerMap", "Callback", "CallbackList",
}  # fmt: skip
# Free text, and values of which Keras takes any.
FREE = {"verbose", "profile_batch", "name", "fn", "weights", "kwargs", "table"}


def classes(module: ModuleType) -> dict[str, type]:
    """The public classes of a family by their own names (aliases and base classes left out)."""
    return {
        name: value
        for name, value in sorted(vars(module).items())
        if isinstance(value, type)
        and value.__name__ == name
        and value.__module__.startswith("lamina")
        and hasattr(value, "get_config")
        and name not in BASES
        and not name.startswith("_")
    }


FAMILIES: dict[str, ModuleType] = {
    "losses": losses,
    "metrics": metrics,
    "optimizers": optimizers,
    "schedules": schedules,
    "initializers": initializers,
    "constraints": constraints,
    "regularizers": regularizers,
}
ALL = [
    pytest.param(module, name, cls, id=f"{family}-{name}")
    for family, module in FAMILIES.items()
    for name, cls in classes(module).items()
]


def test_the_families_are_found() -> None:
    assert all(len(classes(module)) > 3 for module in FAMILIES.values())


@pytest.mark.parametrize(("module", "name", "cls"), ALL)
def test_config_round_trip(module: ModuleType, name: str, cls: type) -> None:
    made = cls(**NEEDED.get(name, {}))
    config = made.get_config()
    if name != "MeanMetricWrapper":  # its function is registered by the user
        config = json.loads(json.dumps(config))
        again = module.deserialize(json.loads(json.dumps(module.serialize(made))))
        assert type(again) is cls
        assert json.loads(json.dumps(again.get_config())) == config
    assert cls.from_config(made.get_config()).get_config() == made.get_config()


@pytest.mark.parametrize(("module", "name", "cls"), ALL)
def test_a_wrong_argument_is_named(module: ModuleType, name: str, cls: type) -> None:
    if name == "MeanMetricWrapper":
        pytest.skip("hands unknown arguments to its function")
    with pytest.raises((TypeError, ValueError), match="no_such_argument|takes no arguments"):
        cls(**NEEDED.get(name, {}), no_such_argument=1)


CALLBACKS = {
    name: cls
    for name, cls in sorted(vars(callbacks).items())
    if isinstance(cls, type) and issubclass(cls, callbacks.Callback) and name not in BASES
}
ARGUMENTS = [
    pytest.param(cls, argument, id=f"{family}-{name}-{argument}")
    for family, found in {
        **{family: classes(module) for family, module in FAMILIES.items()},
        "callbacks": CALLBACKS,
    }.items()
    for name, cls in found.items()
    for argument, p in inspect.signature(cls).parameters.items()
    if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and argument not in FREE
]


@pytest.mark.parametrize(("cls", "argument"), ARGUMENTS)
def test_a_senseless_value_is_refused_and_named(cls: type, argument: str) -> None:
    kwargs = {**NEEDED.get(cls.__name__, {}), argument: object()}
    # Of some callbacks Keras takes the default in place of an unknown `mode`, and says so.
    with pytest.raises((TypeError, ValueError, UserWarning), match=argument):
        cls(**kwargs)


@pytest.mark.parametrize("name", sorted(set(CALLBACKS) - {"LambdaCallback", "ReduceLROnPlateau"}))
def test_a_wrong_argument_of_a_callback_is_named(name: str) -> None:
    with pytest.raises((TypeError, ValueError), match="no_such_argument|takes no arguments"):
        CALLBACKS[name](**NEEDED.get(name, {}), no_such_argument=1)
