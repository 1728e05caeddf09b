"""Bidirectional, TimeDistributed and Wrapper against real Keras, and their own rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamina
from tests.conftest import check_golden, golden_names

PREFIXES = ("bidirectional_", "time_distributed_")
FAMILY = "recurrent_attention"
layers = lamina.layers


@pytest.mark.parametrize("name", [n for n in golden_names(FAMILY) if n.startswith(PREFIXES)])
def test_like_keras(name: str) -> None:
    check_golden(FAMILY, name)


def sequences(*shape: int) -> np.ndarray:
    return np.random.RandomState(0).normal(size=shape).astype("float32")


def test_bidirectional_states_and_shapes() -> None:
    layer = layers.Bidirectional(layers.LSTM(2, return_sequences=True, return_state=True))
    x = sequences(2, 4, 3)
    output, *states = layer(x)
    assert layer.compute_output_shape((None, None, 3)) == (
        (None, None, 4), (None, 2), (None, 2), (None, 2), (None, 2),
    )  # fmt: skip
    np.testing.assert_array_equal(np.asarray(output)[:, -1, :2], np.asarray(states[0]))
    np.testing.assert_array_equal(np.asarray(output)[:, 0, 2:], np.asarray(states[2]))
    again = layer(x, initial_state=states)
    assert np.abs(np.asarray(again[0]) - np.asarray(output)).max() > 1e-5
    with pytest.raises(ValueError, match="initial_state"):
        layer(x, initial_state=states[:3])


def test_bidirectional_config_round_trip() -> None:
    layer = layers.Bidirectional(layers.GRU(2, name="a"), merge_mode="sum", name="b")
    copy = layers.Bidirectional.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert (copy.forward_layer.name, copy.backward_layer.name) == ("forward_a", "backward_a")
    assert copy.backward_layer.go_backwards and copy.merge_mode == "sum"
    layer.build((None, 4, 3))
    assert len(layer.weights) == 6 and len(layer._flatten_layers()) == 5


def test_bidirectional_stateful() -> None:
    layer = layers.Bidirectional(layers.GRU(2, stateful=True))
    x = sequences(2, 4, 3)
    first, second = np.asarray(layer(x)), np.asarray(layer(x))
    assert np.abs(first - second).max() > 1e-5
    layer.reset_state()
    np.testing.assert_array_equal(np.asarray(layer(x)), first)


def test_bidirectional_keeps_what_the_config_lacks() -> None:
    layer = layers.Bidirectional(layers.GRU(2, use_cudnn=False))
    assert layer.forward_layer.use_cudnn is layer.backward_layer.use_cudnn is False


def test_bidirectional_freezes_both_layers() -> None:
    layer = layers.Bidirectional(layers.GRU(2))
    layer.build((None, 4, 3))
    layer.trainable = False
    assert not layer.trainable_weights and len(layer.non_trainable_weights) == 6


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: layers.Bidirectional(3), "layer"),
        (lambda: layers.Bidirectional(layers.Dense(2)), "go_backwards"),
        (lambda: layers.Bidirectional(layers.GRU(2), merge_mode="x"), "merge_mode"),
        (lambda: layers.Bidirectional(layers.GRU(2), backward_layer=3), "backward_layer"),
        (lambda: layers.Bidirectional(layers.GRU(2), backward_layer=layers.GRU(2)), "go_backwards"),
        (
            lambda: layers.Bidirectional(
                layers.GRU(2),
                backward_layer=layers.GRU(2, go_backwards=True, return_sequences=True),
            ),
            "return_sequences",
        ),
        (lambda: layers.TimeDistributed(3), "layer"),
        (lambda: layers.Wrapper("dense"), "layer"),
    ],
)
def test_bad_arguments(make: Any, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        make()


class Centered(lamina.layers.Layer):
    """Looks at all rows at once."""

    def call(self, inputs: Any) -> Any:
        return inputs - lamina.ops.mean(inputs, axis=0, keepdims=True)


def test_time_distributed_calls_a_users_layer_for_each_step() -> None:
    x = sequences(3, 4, 2)
    expected = x - x.mean(axis=0, keepdims=True)
    np.testing.assert_allclose(layers.TimeDistributed(Centered())(x), expected, atol=1e-6)


def test_time_distributed_steps_one_by_one_equal_all_at_once() -> None:
    x, dense = sequences(3, 4, 2), layers.Dense(5, activation="tanh")
    whole = np.asarray(layers.TimeDistributed(dense)(x))
    for step in range(4):
        np.testing.assert_array_equal(whole[:, step], np.asarray(dense(x[:, step])))


def test_time_distributed_passes_masks_to_a_recurrent_layer_and_on() -> None:
    inner = layers.LSTM(2)
    x = sequences(2, 3, 4, 5)
    mask = np.array([[[1, 1, 0, 0]] * 3, [[1, 0, 1, 1]] * 3], bool)
    y = np.asarray(layers.TimeDistributed(inner)(x, mask=mask))
    np.testing.assert_array_equal(y[:, 1], np.asarray(inner(x[:, 1], mask=mask[:, 1])))


def test_time_distributed_shapes_and_errors() -> None:
    layer = layers.TimeDistributed(layers.Dense(2), name="each")
    assert layer(lamina.Input((None, 3))).shape == (None, None, 2)
    assert [w.path for w in layer.weights] == ["each/dense/kernel", "each/dense/bias"]
    with pytest.raises(ValueError, match="each.*at least 3 axes"):
        layers.TimeDistributed(layers.Dense(2), name="each")(sequences(3, 2))
    with pytest.raises(ValueError, match="mask"):
        layer(sequences(2, 4, 3), mask=np.ones((3, 4), bool))
    copy = layers.TimeDistributed.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()


def test_wrapper_calls_its_layer() -> None:
    dense = layers.Dense(2)
    wrapper, x = layers.Wrapper(dense), sequences(3, 4)
    np.testing.assert_array_equal(np.asarray(wrapper(x)), np.asarray(dense(x)))
    assert [w.shape for w in wrapper.weights] == [(4, 2), (2,)]
    assert layers.Wrapper.from_config(wrapper.get_config()).layer.units == 2
