"""Subclassed models and layers: build, call, config, training, masks, weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamina
from lamina import layers, ops
from tests.conftest import check_golden


def test_like_keras() -> None:
    check_golden("models", "subclass")


class Scale(layers.Layer):
    """A weight a feature; another rule while training."""

    def __init__(self, start: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start = start

    def build(self, input_shape: Any) -> None:
        self.gain = self.add_weight(
            shape=(input_shape[-1],), initializer=lamina.initializers.Constant(self.start),
            name="gain",
        )  # fmt: skip
        self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False, name="seen")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if training:
            self.seen.assign_add(1.0)
            return inputs * self.gain * 2.0
        return inputs * self.gain

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "start": self.start}


class Net(lamina.Model):
    def __init__(self, width: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.hidden = layers.Dense(width, "relu")
        self.scale = Scale(2.0)
        self.blocks = {"a": layers.Dense(1), "b": [layers.Dense(1), layers.Dense(1)]}

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        h = self.scale(self.hidden(inputs), training=training)
        total = self.blocks["a"](h)
        for block in self.blocks["b"]:
            total = total + block(h)
        return total


X = np.random.RandomState(0).normal(size=(12, 3)).astype("float32")
Y = X.sum(1, keepdims=True)


def test_layers_in_lists_and_dicts_are_found() -> None:
    model = Net()
    model(X)
    assert model.built
    assert len(model.layers) == 5
    assert len(model.trainable_weights) == 2 + 1 + 6
    assert [w.name for w in model.non_trainable_weights] == ["seen"]
    assert model.count_params() == 16 + 5 + 15


def test_training_rule_and_assignments_happen_in_fit_only() -> None:
    model = Net()
    model.compile("adam", "mse")
    model.predict(X, verbose=0)
    assert float(np.asarray(model.scale.seen.value)) == 0
    model.fit(X, Y, batch_size=4, epochs=2, verbose=0)
    assert float(np.asarray(model.scale.seen.value)) == 6
    model.evaluate(X, Y, verbose=0)
    assert float(np.asarray(model.scale.seen.value)) == 6
    plain, trained = np.asarray(model.scale(X[:, :1] * np.ones((1, 4)))), np.asarray(
        model.scale(X[:, :1] * np.ones((1, 4)), training=True)
    )  # fmt: skip
    np.testing.assert_allclose(trained, plain * 2, rtol=1e-6)


def test_fit_learns() -> None:
    model = Net()
    model.compile(lamina.optimizers.SGD(0.01), "mse")
    losses = model.fit(X, Y, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2


def test_layer_config_round_trip_and_custom_objects() -> None:
    layer = Scale(3.0, name="mine")
    again = Scale.from_config(layer.get_config())
    assert again.start == 3.0 and again.name == "mine"
    model = lamina.Sequential([lamina.Input((3,)), Scale(3.0)])
    with pytest.raises((ValueError, TypeError), match="Scale"):
        lamina.Sequential.from_config(model.get_config())
    copy = lamina.Sequential.from_config(model.get_config(), custom_objects={"Scale": Scale})
    assert copy.layers[0].start == 3.0


def test_weight_names_and_paths() -> None:
    layer = Scale(name="s")
    layer.build((None, 3))
    assert [w.name for w in layer.weights] == ["gain", "seen"]
    assert [w.path for w in layer.weights] == ["s/gain", "s/seen"]


def test_call_with_several_arguments_and_outputs() -> None:
    class Mix(layers.Layer):
        def call(self, a: Any, b: Any, scale: float = 1.0) -> tuple[Any, Any]:
            return a + b * scale, a - b

    inputs = [lamina.Input((2,)), lamina.Input((2,))]
    plus, minus = Mix()(inputs[0], inputs[1], scale=3.0)
    model = lamina.Model(inputs, [plus, minus])
    a, b = np.ones((1, 2), "float32"), np.full((1, 2), 2.0, "float32")
    p, m = model.predict([a, b], verbose=0)
    np.testing.assert_array_equal(p, [[7.0, 7.0]])
    np.testing.assert_array_equal(m, [[-1.0, -1.0]])


def test_mask_argument_and_propagation() -> None:
    seen = []

    class MaskedMean(layers.Layer):
        def call(self, inputs: Any, mask: Any = None) -> Any:
            seen.append(mask is not None)
            weights = ops.expand_dims(ops.cast(mask, "float32"), -1)
            return ops.sum(inputs * weights, axis=1) / ops.sum(weights, axis=1)

        def compute_mask(self, inputs: Any, mask: Any = None) -> None:
            return None

    ids = np.array([[1, 2, 0], [3, 0, 0]], "int32")
    model = lamina.Sequential([lamina.Input((3,), dtype="int32"),
                               layers.Embedding(5, 2, mask_zero=True), layers.Dropout(0.0),
                               MaskedMean()])  # fmt: skip
    table = model.get_weights()[0]
    expected = [table[[1, 2]].mean(0), table[3]]
    np.testing.assert_allclose(model.predict(ids, verbose=0), expected, rtol=1e-6)
    assert all(seen)


def test_frozen_needs_a_new_compile_and_then_stays() -> None:
    model = Net()
    model(X)
    model.hidden.trainable = False
    model.compile("adam", "mse")
    before = model.hidden.get_weights()[0]
    other = model.blocks["a"].get_weights()[0]
    model.fit(X, Y, epochs=2, verbose=0)
    np.testing.assert_array_equal(model.hidden.get_weights()[0], before)
    assert (model.blocks["a"].get_weights()[0] != other).any()


def test_python_if_on_a_traced_tensor_names_the_layer_and_helps() -> None:
    class Bad(layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs if ops.mean(inputs) > 0 else -inputs

    with pytest.raises(Exception, match="where"):
        lamina.Sequential([Bad()]).predict(X, verbose=0)


def test_missing_super_init_is_explained() -> None:
    class Forgot(layers.Layer):
        def __init__(self) -> None:
            self.inner = layers.Dense(1)

    with pytest.raises(Exception, match="super"):
        Forgot()


def test_overridden_compute_loss_is_honoured() -> None:
    class Counting(lamina.Sequential):
        def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None,
                         sample_weight: Any = None, training: bool = True) -> Any:  # fmt: skip
            return ops.mean(ops.square(y - y_pred)) * 10.0

    model = Counting([lamina.Input((3,)), layers.Dense(1)])
    plain = lamina.Sequential([lamina.Input((3,)), layers.Dense(1)])
    plain.set_weights(model.get_weights())
    model.compile(lamina.optimizers.SGD(0.01), "mse")
    plain.compile(lamina.optimizers.SGD(0.1), "mse")
    model.fit(X, Y, shuffle=False, verbose=0)
    plain.fit(X, Y, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], plain.get_weights()[0], rtol=1e-5)
