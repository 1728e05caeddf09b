"""How a model in an `.h5` file was compiled, and what is kept of its optimizer."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from lamina import serialization
from lamina.saving.legacy_config import Form

# What Keras 2 called the slots of its optimizers, both of the new kind and of the older one, and
# how their names end here.
_SLOTS = {
    "SGD": {"m": "momentum", "momentum": "momentum"},
    "RMSprop": {
        "velocity": "velocity", "rms": "velocity", "momentum": "momentum",
        "average_gradient": "average_gradient", "mg": "average_gradient",
    },
    "Adagrad": {"accumulator": "accumulator"},
    "Adadelta": {
        "accumulated_grad": "accumulated_grad", "accum_grad": "accumulated_grad",
        "accumulated_delta_var": "accumulated_delta_var", "accum_var": "accumulated_delta_var",
    },
    "Adamax": {"m": "momentum", "u": "norm", "v": "norm"},
    "Ftrl": {"accumulator": "accumulator", "linear": "linear"},
    "Lion": {"m": "momentum"},
    "Adafactor": {"r": "r", "c": "c", "v": "v"},
}  # fmt: skip
_ADAM_SLOTS = {"m": "momentum", "v": "velocity", "vhat": "velocity_hat"}
_AVERAGE = {"average": "average"}
_COMPILE_SETTINGS = (
    "loss", "loss_weights", "metrics", "weighted_metrics", "run_eagerly", "steps_per_execution",
    "jit_compile",
)  # fmt: skip


def present_training(training: Form, output_names: list[str], *, is_keras_2: bool) -> Form:
    """Return what `compile` was given, as a `.keras` file has it.

    Args:
        training: the training config of the file.
        output_names: names of the model's outputs.
        is_keras_2: whether Keras 2 wrote it.
    """
    config = {key: training[key] for key in _COMPILE_SETTINGS if key in training}
    for key in ("metrics", "weighted_metrics"):
        if key in config:
            config[key] = _metrics(config[key], output_names if is_keras_2 else [])
    if "loss" in config:
        config["loss"] = _losses(config["loss"])
    if "optimizer_config" in training:
        config["optimizer"] = _optimizer(training["optimizer_config"], is_keras_2)
    return config


def _is_form(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("class_name"), str)


def _losses(value: Any) -> Any:
    if isinstance(value, list):
        return [_losses(item) for item in value]
    if not isinstance(value, dict):
        return value
    if not _is_form(value):
        return {key: _losses(item) for key, item in value.items()}
    settings = dict(value.get("config") or {})
    function = settings.pop("fn", None)
    if settings.get("reduction") == "auto":
        settings["reduction"] = "sum_over_batch_size"
    if value["class_name"] == "LossFunctionWrapper" and isinstance(function, str):
        return function
    return {"module": "keras.losses", **value, "config": settings}


def _metrics(value: Any, output_names: list[str]) -> Any:
    if isinstance(value, list):
        return [_metrics(item, output_names) for item in value]
    if not isinstance(value, dict):
        return value
    if not _is_form(value):
        return {key: _metrics(item, output_names) for key, item in value.items()}
    settings = dict(value.get("config") or {})
    if isinstance(settings.get("fn"), str):
        settings["fn"] = {
            "module": "keras.metrics",
            "class_name": "function",
            "config": settings["fn"],
            "registered_name": "function",
        }
    if len(output_names) > 1 and isinstance(settings.get("name"), str):
        # Keras 2 put the output's name into the metric's; here it comes by itself.
        for output in output_names:
            settings["name"] = settings["name"].removeprefix(f"{output}_")
    return {"module": "keras.metrics", **value, "config": settings}


def _optimizer(form: Any, is_keras_2: bool) -> Any:
    if not _is_form(form) or not isinstance(form.get("config"), dict):
        return form
    name, settings = form["class_name"], dict(form["config"])
    if serialization.get_registered_object(name) is None:
        name = name.removeprefix("Custom>")
    if is_keras_2 and "lr" in settings:
        settings["learning_rate"] = settings.pop("lr")
    decay = settings.pop("decay", 0.0) if is_keras_2 else 0.0
    rate = settings.get("learning_rate")
    if decay and name != "Nadam" and isinstance(rate, (int, float)):
        # The older optimizers let the rate fall by themselves.
        schedule = {"initial_learning_rate": rate, "decay_steps": 1, "decay_rate": decay}
        settings["learning_rate"] = {
            "module": "keras.optimizers.schedules",
            "class_name": "InverseTimeDecay",
            "config": schedule,
        }
    return {"module": "keras.optimizers", **form, "class_name": name, "config": settings}


# The optimizer's state


def load_optimizer(optimizer: Any, names: list[str], values: list[Any]) -> None:
    """Give a built optimizer the state in a file; warn and change nothing when it does not fit.

    Args:
        optimizer: the optimizer, built.
        names: names of the arrays in the file, in its order.
        values: the arrays.
    """
    try:
        if names and names[0].endswith(":0"):
            assignments = _by_slot(optimizer, names, values)
        else:
            variables = optimizer.variables
            if len(values) <= 2 and all(value.shape == () for value in values):
                variables = variables[: len(values)]  # it never ran: the iteration and the rate
            if len(variables) != len(values):
                raise ValueError(f"it has {len(variables)} variables, the file has {len(values)}")
            assignments = list(zip(variables, values, strict=True))
        for variable, value in assignments:
            if tuple(variable.shape) != tuple(value.shape):
                raise ValueError(
                    f"{variable.path!r} has shape {tuple(variable.shape)}, the file has "
                    f"{tuple(value.shape)}"
                )
    except ValueError as error:
        warnings.warn(
            f"load_model: the optimizer's state was not loaded, it begins anew: {error}.",
            stacklevel=4,
        )
        return
    for variable, data in assignments:
        value = np.asarray(data[()])
        variable.assign(value.astype(variable.dtype) if value.ndim == 0 else value)


def _by_slot(optimizer: Any, names: list[str], values: list[Any]) -> list[tuple[Any, Any]]:
    """Match the arrays of an optimizer of Keras 2 with our variables, slot by slot."""
    kind = next(cls.__name__ for cls in type(optimizer).__mro__ if cls.__module__[:7] == "lamina.")
    slots = {**_AVERAGE, **_SLOTS.get(kind, _ADAM_SLOTS)}
    iteration, assignments = 0, []
    waiting: dict[str, list[Any]] = {}
    for name, value in zip(names, values, strict=True):
        parts = name.removesuffix(":0").split("/")
        if parts[-1] in ("iteration", "iter") and value.shape == ():
            iteration = int(value[()])
            assignments.append((optimizer.variables[0], value))
        elif parts[-1] == "momentum_cache":
            assignments.append((optimizer._u_product, value))
        elif parts[-1] != "learning_rate":
            # New optimizers name the slot first, older ones last.
            slot = next((slots[part] for part in (parts[1:2] + parts[-1:]) if part in slots), None)
            if slot is None:
                raise ValueError(f"{name!r} is not a part of {kind}")
            waiting.setdefault(slot, []).append(value)
    for slot, arrays in waiting.items():
        variables = _slot(optimizer, slot)
        if not variables:  # Keras 2 kept momenta that are not used
            continue
        if len(variables) != len(arrays):
            raise ValueError(
                f"{kind} has {len(variables)} variables {slot!r}, the file has {len(arrays)}"
            )
        assignments += zip(variables, arrays, strict=True)
    if kind == "Nadam" and "Nadam/momentum_cache:0" not in names:
        product = _nadam_product(optimizer.beta_1, iteration)
        assignments.append((optimizer._u_product, np.asarray(product, "float32")))
    return assignments


def _slot(optimizer: Any, slot: str) -> list[Any]:
    """Return the variables of one slot, in the order of the weights."""
    if slot in ("r", "c", "v"):  # Adafactor's; weights that are no matrices have scalars there
        return [v for v in getattr(optimizer, f"_{slot}") if slot == "v" or v.shape]
    return [v for v in optimizer.variables if v.path.endswith(f"_{slot}")]


def _nadam_product(beta_1: float, iteration: int) -> float:
    """Return the product of the momenta so far, which Keras 2 did not save."""
    product = 1.0
    for step in range(1, min(iteration, 10_000) + 1):
        product *= beta_1 * (1.0 - 0.5 * 0.96**step)
    return product
