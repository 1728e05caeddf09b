"""Sequential: every way to tell it its input shape, growth, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamina
from lamina import layers
from tests.conftest import check_golden, golden_names

Dense = lamina.layers.Dense


@pytest.mark.parametrize("name", [n for n in golden_names("models") if n.startswith("sequential_")])
def test_like_keras(name: str) -> None:
    check_golden("models", name)


def first_layers() -> dict[str, lamina.Sequential]:
    k = lamina.layers
    return {
        "Input": lamina.Sequential([lamina.Input((4,)), Dense(3)]),
        "input_shape": lamina.Sequential([Dense(3, input_shape=(4,))]),
        "input_dim": lamina.Sequential([Dense(3, input_dim=4)]),
        "batch_input": lamina.Sequential([k.InputLayer(shape=(4,)), Dense(3)]),
    }


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("how", ["Input", "input_shape", "input_dim", "batch_input"])
def test_input_shape_given_in_every_way(how: str) -> None:
    model = first_layers()[how]
    assert model.built
    assert model.input_shape == (None, 4) and model.output_shape == (None, 3)
    assert [layer.name for layer in model.layers][-1].startswith("dense")
    assert len(model.layers) == 1
    assert model.predict(np.zeros((2, 4)), verbose=0).shape == (2, 3)


def test_input_dim_warns_as_keras_does() -> None:
    with pytest.warns(UserWarning, match="input_shape|input_dim"):
        Dense(3, input_dim=4)


def test_input_length_of_an_embedding() -> None:
    with pytest.warns(UserWarning, match="input_length"):
        layer = lamina.layers.Embedding(50, 8, input_length=10)
    model = lamina.Sequential([layer, lamina.layers.LSTM(4), Dense(1, "sigmoid")])
    assert model.predict(np.zeros((2, 10), "int32"), verbose=0).shape == (2, 1)


def test_deferred_says_so_before_it_is_built() -> None:
    model = lamina.Sequential([Dense(3), Dense(1)])
    assert not model.built
    assert model.weights == []
    with pytest.raises((ValueError, AttributeError)):
        _ = model.input_shape
    with pytest.raises(ValueError, match="built"):
        model.count_params()


@pytest.mark.parametrize("how", ["fit", "predict", "evaluate", "call", "build", "train_on_batch"])
def test_deferred_is_built_by_first_use(how: str) -> None:
    model = lamina.Sequential([Dense(3, "relu"), Dense(1)])
    model.compile("adam", "mse")
    x, y = np.zeros((5, 4), "float32"), np.zeros((5, 1), "float32")
    {
        "fit": lambda: model.fit(x, y, verbose=0),
        "predict": lambda: model.predict(x, verbose=0),
        "evaluate": lambda: model.evaluate(x, y, verbose=0),
        "call": lambda: model(x),
        "build": lambda: model.build((None, 4)),
        "train_on_batch": lambda: model.train_on_batch(x, y),
    }[how]()
    assert model.built and model.count_params() == 19
    assert model.predict(np.zeros((7, 4)), verbose=0).shape == (7, 1)


def test_add_pop_and_growing_after_use() -> None:
    model = lamina.Sequential([lamina.Input((4,)), Dense(3)])
    kept = model.get_weights()
    assert model.predict(np.zeros((1, 4)), verbose=0).shape == (1, 3)
    model.add(Dense(2))
    assert model.predict(np.zeros((1, 4)), verbose=0).shape == (1, 2)
    model.pop()
    assert model.output_shape == (None, 3)
    np.testing.assert_array_equal(model.get_weights()[0], kept[0])


def test_nested_sequential() -> None:
    inner = lamina.Sequential([Dense(3, "relu"), Dense(2)], name="inner")
    model = lamina.Sequential([lamina.Input((4,)), inner, Dense(1)])
    assert model.count_params() == 15 + 8 + 3
    assert model.get_layer("inner") is inner


@pytest.mark.parametrize("bad", ["dense", 3, None, Dense])
def test_add_something_else(bad: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        lamina.Sequential([lamina.Input((4,))]).add(bad)


def test_adding_a_layer_that_does_not_fit_leaves_the_model_as_it_was() -> None:
    model = lamina.Sequential([lamina.Input((4,)), Dense(3)])
    with pytest.raises(ValueError):
        model.add(lamina.layers.Conv2D(2, 3))
    assert len(model.layers) == 1
    assert model.predict(np.zeros((2, 4)), verbose=0).shape == (2, 3)


def test_two_layers_of_one_name() -> None:
    model = lamina.Sequential([lamina.Input((4,)), Dense(3, name="a")])
    with pytest.raises(ValueError, match="a"):
        model.add(Dense(3, name="a"))


def test_predict_of_an_empty_model() -> None:
    model = lamina.Sequential()
    with pytest.raises((ValueError, TypeError)):
        model.predict(np.zeros((1, 2)), verbose=0)


def test_config_round_trip() -> None:
    model = lamina.Sequential([lamina.Input((4,)), Dense(3, "relu", kernel_regularizer="l2"),
                               lamina.layers.Dropout(0.2), Dense(1)], name="s")  # fmt: skip
    again = lamina.Sequential.from_config(model.get_config())
    assert again.name == "s" and again.get_config() == model.get_config()
    assert [tuple(w.shape) for w in again.weights] == [tuple(w.shape) for w in model.weights]


def test_the_first_data_do_not_bind_later_sizes() -> None:
    layers = lamina.layers
    words = lamina.Sequential([layers.Embedding(5, 2), layers.LSTM(3), layers.Dense(1)])
    words.compile("adam", "mse")
    words.fit(np.ones((4, 3), int), np.ones((4, 1)), verbose=0)
    assert words.predict(np.ones((2, 5), int), verbose=0).shape == (2, 1)
    images = lamina.Sequential(
        [layers.Conv2D(2, 2), layers.GlobalAveragePooling2D(), layers.Dense(1)]
    )
    images.compile("adam", "mse")
    images.fit(np.ones((4, 6, 6, 1)), np.ones((4, 1)), verbose=0)
    assert images.predict(np.ones((2, 8, 8, 1)), verbose=0).shape == (2, 1)
    with pytest.raises(ValueError, match="conv2d"):
        images.predict(np.ones((2, 8, 8, 3)), verbose=0)
    rows = lamina.Sequential([layers.Dense(2, name="first")])
    rows.predict(np.ones((2, 3)), verbose=0)
    with pytest.raises(ValueError, match="first"):
        rows.predict(np.ones((2, 4)), verbose=0)


def test_adding_a_layer_leaves_the_others_alone() -> None:
    """Or a stack that grows layer by layer would take quadratic time."""
    calls = []

    class Counted(layers.Layer):
        def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> Any:
            calls.append(self.name)
            return input_shape

        def call(self, x: Any) -> Any:
            return x

    model = lamina.Sequential([lamina.Input((3,))])
    for number in range(5):
        model.add(Counted(name=f"counted_{number}"))
    assert calls == [f"counted_{number}" for number in range(5)]
    model.pop()
    model.add(layers.Dense(2))
    assert len(calls) == 5
    with pytest.raises(ValueError, match="ndim|rank|dimension"):
        model.add(layers.Conv2D(2, 3))
    model.add(layers.Dense(1))
    assert model.output_shape == (None, 1)
    assert model.predict(np.ones((2, 3), "float32"), verbose=0).shape == (2, 1)
    assert [layer.name[:5] for layer in model.layers] == ["count"] * 4 + ["dense"] * 2
