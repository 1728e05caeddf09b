"""Losses and metrics over every structure of outputs: log names and their numbers, or the error."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np

from tests.golden.cases import Result, add, uniform

Pair = namedtuple("Pair", ("p", "q"))
X, A, B = uniform(8, 3), uniform(8, 1, seed=2), uniform(8, 1, seed=3)

SHAPES: dict[str, Any] = {
    "one": lambda a, b: a,
    "list": lambda a, b: [a, b],
    "tuple": lambda a, b: (a, b),
    "dict": lambda a, b: {"z": a, "b": b},
    "nested": lambda a, b: {"a": [a, b], "b": b},
    "deep": lambda a, b: [{"p": a}, (b, a)],
    "named": lambda a, b: Pair(a, b),
    "same": lambda a, b: [a, a],
}


def functional(keras: Any, shape: str) -> Any:
    inputs = keras.Input((3,), name="i")
    a = keras.layers.Dense(1, kernel_initializer="ones", name="da")(inputs)
    b = keras.layers.Dense(1, "sigmoid", kernel_initializer="ones", name="db")(inputs)
    return keras.Model(inputs, SHAPES[shape](a, b))


def subclass(keras: Any, shape: str) -> Any:
    class Outputs(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.a = keras.layers.Dense(1, kernel_initializer="ones", name="da")
            self.b = keras.layers.Dense(1, "sigmoid", kernel_initializer="ones", name="db")

        def call(self, x: Any) -> Any:
            return SHAPES[shape](self.a(x), self.b(x))

    return Outputs()


def structure(
    name: str,
    shape: str,
    loss: Any,
    weights: Any = None,
    metrics: Any = None,
    build: Any = functional,
) -> None:
    def run(keras: Any) -> Result:
        model = build(keras, shape)
        try:
            model.compile("sgd", loss, loss_weights=weights, metrics=metrics)
            labels = SHAPES[shape](A, B)
            history = model.fit(X, labels, batch_size=4, shuffle=False, verbose=0).history
        except (ValueError, KeyError) as error:
            return {"error": type(error).__name__}
        return {"keys": list(history), "values": np.array(list(history.values()), "float32")}

    add("structures", name, run)


LOSSES: dict[str, Any] = {
    "name": "mse",
    "list": ["mse", "mae"],
    "first": ["mse", None],
    "second": [None, "mae"],
    "three": ["mse", "mae", "mse"],
    "a_and_both": ["mse", ["mse", "mae"]],
    "wrapped": [["mse"], ["mae"]],
    "dict_z": {"z": "mse", "b": "mae"},
    "dict_names": {"da": "mse", "db": "mae"},
    "dict_name": {"db": "mae"},
    "dict_a": {"a": "mse"},
    "dict_ab": {"a": ["mse", "mae"], "b": "mae"},
    "dict_wrong": {"da": "mse", "dc": "mae"},
    "inner": [{"p": "mse"}, ("mse", "mae")],
    "inner_part": [{"p": "mse"}, "mae"],
    "named": Pair("mse", "mae"),
}
# What real Keras meets with an accident of Python, or only with its own dtype error.
_ACCIDENTS = {
    "one": ("list", "first", "second", "three", "a_and_both", "wrapped", "inner", "inner_part",
            "named"),
    "dict": ("three", "a_and_both", "wrapped"),
    "nested": ("list", "first", "second", "a_and_both", "wrapped", "named"),
    "deep": ("list", "first", "a_and_both", "named"),
    "tuple": (), "list": (), "named": (), "same": (),
}  # fmt: skip
for _shape in SHAPES:
    for _name, _loss in LOSSES.items():
        if _name not in _ACCIDENTS[_shape]:
            structure(f"{_shape}_{_name}", _shape, _loss)

structure("weights_list", "list", ["mse", "mae"], [0.5, 2.0])
structure("weights_dict", "list", ["mse", "mae"], {"da": 0.5, "db": 2.0})
structure("weights_of_dict", "dict", {"z": "mse", "b": "mae"}, {"z": 0.5, "b": 2.0})
structure("weights_few", "list", ["mse", "mae"], [0.5])
structure("weights_many", "list", "mse", [0.5, 2.0])
structure("weights_number", "list", "mse", 2.0)
structure("weights_one", "one", "mse", 0.5)
structure("weights_one_list", "one", ["mse"], [0.5])
structure("weights_nested", "nested", {"a": ["mse", "mae"], "b": "mae"},
          {"a": [0.5, 2.0], "b": 3.0})  # fmt: skip

METRICS: dict[str, Any] = {
    "flat": ["mae", "mse"],
    "short": ["mae"],
    "lists": [["mae"], ["mse", "mae"]],
    "none": [["mae"], None],
    "dict": {"z": ["mae"]},
    "nested": {"a": ["mae", ["mse", "mae"]], "b": "mae"},
    "wrong": {"q": "mae"},
    "text": "mae",
}
for _shape in ("one", "list", "dict", "nested"):
    for _name, _metrics in METRICS.items():
        if (_shape, _name) != ("one", "none"):
            structure(f"metrics_{_shape}_{_name}", _shape, "mse", metrics=_metrics, build=subclass)
