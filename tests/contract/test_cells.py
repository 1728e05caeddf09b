"""What recurrent cells keep, and layers of the user's own functions."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import layers

CELLS: dict[str, Any] = {
    "LSTMCell": lambda: layers.LSTMCell(3, dropout=0.1, kernel_regularizer="l2"),
    "GRUCell": lambda: layers.GRUCell(3, reset_after=False),
    "SimpleRNNCell": lambda: layers.SimpleRNNCell(3, activation="relu", use_bias=False),
    "StackedRNNCells": lambda: layers.StackedRNNCells([layers.LSTMCell(3), layers.GRUCell(2)]),
}
# Values of which Keras takes any.
FREE = {"name", "implementation"}
ARGUMENTS = [
    pytest.param(name, argument, id=f"{name}-{argument}")
    for name in CELLS
    for argument, p in inspect.signature(getattr(layers, name)).parameters.items()
    if p.kind is not p.VAR_KEYWORD and argument not in FREE
]


@pytest.mark.parametrize("name", CELLS)
def test_config_round_trip(name: str) -> None:
    cell = CELLS[name]()
    config = json.loads(json.dumps(layers.serialize(cell)))
    again = layers.deserialize(config)
    assert type(again) is type(cell)
    assert (
        again.get_config()
        == cell.get_config()
        == type(cell).from_config(config["config"]).get_config()
    )


@pytest.mark.parametrize("name", CELLS)
def test_a_step_is_that_of_the_layer_around_the_cell(name: str) -> None:
    cell = CELLS[name]()
    x = np.random.RandomState(0).normal(size=(2, 4)).astype("float32")
    around = layers.RNN(cell, return_state=True)(x[:, None])
    output, states = cell(x, cell.get_initial_state(batch_size=2))
    np.testing.assert_allclose(output.numpy(), around[0].numpy(), rtol=1e-6)
    ends = lamina.tree.flatten(around[1:])
    for state, end in zip(lamina.tree.flatten(states), ends, strict=True):
        np.testing.assert_allclose(state.numpy(), end.numpy(), rtol=1e-6)


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_a_senseless_value_is_refused_and_named(name: str, argument: str) -> None:
    needed = {} if name == "StackedRNNCells" else {"units": 3}
    with pytest.raises((TypeError, ValueError), match=argument):
        getattr(layers, name)(**{**needed, argument: object()})


@pytest.mark.parametrize("name", CELLS)
def test_a_wrong_argument_is_named(name: str) -> None:
    needed: dict[str, Any] = {"cells": []} if name == "StackedRNNCells" else {"units": 3}
    with pytest.raises((TypeError, ValueError), match="no_such_argument"):
        getattr(layers, name)(**needed, no_such_argument=1)


def doubled(x: Any) -> Any:
    return 2.0 * x


def test_a_lambda_of_a_known_function_goes_through_a_file(tmp_path: Path) -> None:
    model = lamina.Sequential([lamina.Input((None, 3)), layers.Lambda(doubled)])
    assert model.output_shape == (None, None, 3)
    model.save(tmp_path / "model.keras")
    loaded = lamina.models.load_model(tmp_path / "model.keras", {"doubled": doubled})
    x = np.ones((2, 4, 3), "float32")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), 2 * x)
    np.testing.assert_array_equal(layers.Lambda(doubled)(x).numpy(), 2 * x)


@pytest.mark.parametrize("argument", ["function", "mask", "output_shape", "arguments"])
def test_a_senseless_argument_of_lambda_is_refused(argument: str) -> None:
    with pytest.raises((TypeError, ValueError), match=argument):
        layers.Lambda(**{"function": doubled, argument: object()})


def test_a_wrapper_keeps_its_layer() -> None:
    wrapper = layers.Wrapper(layers.Dense(3, name="inside"))
    wrapper.build((2, 5))
    again = layers.deserialize(json.loads(json.dumps(layers.serialize(wrapper))))
    assert again.get_config() == wrapper.get_config()
    assert [w.path for w in wrapper.weights] == ["wrapper/inside/kernel", "wrapper/inside/bias"]
    with pytest.raises((TypeError, ValueError), match="layer"):
        layers.Wrapper(object())
