"""Activation functions on values that include both tails, zero, infinities and NaN."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.golden.cases import Result, add, as_numpy, normal

X = np.concatenate(
    [np.linspace(-9, 9, 61), [0.0, -0.0, 1e-8, -1e-8, 40.0, -40.0, 88.0, -88.0, 120.0, -120.0]]
).astype("float32")
SPECIAL = np.array([np.inf, -np.inf, np.nan], "float32")

NAMES = (
    "linear", "relu", "relu6", "sigmoid", "tanh", "elu", "selu", "gelu", "silu", "swish",
    "softplus", "softsign", "leaky_relu", "hard_sigmoid", "hard_silu", "hard_swish", "exponential",
    "log_sigmoid", "mish", "celu",
)  # fmt: skip
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu_clipped": ("relu", dict(negative_slope=0.1, max_value=3.0, threshold=0.5)),
    "relu_max": ("relu", dict(max_value=1.0)),
    "elu_alpha": ("elu", dict(alpha=0.5)),
    "celu_alpha": ("celu", dict(alpha=0.5)),
    "gelu_tanh": ("gelu", dict(approximate=True)),
    "leaky_relu_slope": ("leaky_relu", dict(negative_slope=0.05)),
}


def activation(name: str, function: str, kwargs: dict[str, Any], special: bool) -> None:
    def run(keras: Any) -> Result:
        f = getattr(keras.activations, function)
        result: Result = {"y": as_numpy(f(keras.ops.convert_to_tensor(X), **kwargs))}
        if special:
            result["special"] = as_numpy(f(keras.ops.convert_to_tensor(SPECIAL), **kwargs))
        return result

    add("activations", name, run)


for each in NAMES:
    # At infinity Keras's backends disagree about 0 * inf for the gated ones; lamina is free there.
    activation(each, each, {}, special=each in ("relu", "sigmoid", "tanh", "elu", "softplus",
                                                "exponential", "linear"))  # fmt: skip
for key, (each, arguments) in VARIANTS.items():
    activation(key, each, arguments, special=False)


def over_axis(name: str, axis: int) -> None:
    def run(keras: Any) -> Result:
        x = keras.ops.convert_to_tensor(normal(3, 4, 5) * 5)
        return {"y": as_numpy(getattr(keras.activations, name)(x, axis=axis))}

    add("activations", f"{name}_axis{axis}", run)


for each in ("softmax", "log_softmax"):
    for where in (-1, 1, 0):
        over_axis(each, where)


def known_names(keras: Any) -> Result:
    return {name: keras.activations.serialize(keras.activations.get(name)) for name in NAMES}


add("activations", "serialized_names", known_names)
