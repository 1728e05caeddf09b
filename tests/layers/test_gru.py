"""GRU against real Keras, and the rules of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamina
from tests.conftest import check_golden, golden_names

FAMILY = "recurrent_attention"
both_ways = pytest.mark.parametrize("reset_after", [True, False])


@pytest.mark.parametrize("name", [n for n in golden_names(FAMILY) if n.startswith("gru_")])
def test_like_keras(name: str) -> None:
    check_golden(FAMILY, name)


def sequences(*shape: int) -> np.ndarray:
    return np.random.RandomState(0).normal(size=shape).astype("float32")


@both_ways
def test_layer_equals_the_loop_over_its_cell(reset_after: bool) -> None:
    layer = lamina.layers.GRU(3, return_sequences=True, reset_after=reset_after)
    loop = lamina.layers.RNN(
        lamina.layers.GRUCell(3, reset_after=reset_after), return_sequences=True
    )
    x = sequences(2, 5, 4)
    layer(x)
    loop(x)
    layer.set_weights([0.3 * sequences(*w.shape) for w in layer.get_weights()])
    loop.set_weights(layer.get_weights())
    mask = np.array([[True, False, True, True, False], [False, True, True, False, True]])
    np.testing.assert_allclose(layer(x, mask=mask), loop(x, mask=mask), rtol=1e-5, atol=1e-6)


def test_explicit_mask_repeats_output_and_state() -> None:
    layer = lamina.layers.GRU(3, return_sequences=True)
    x = sequences(2, 5, 4)
    mask = np.array([[True, True, False, False, True], [False, True, True, False, False]])
    y = np.asarray(layer(x, mask=mask))
    np.testing.assert_array_equal(y[0, 2], y[0, 1])
    np.testing.assert_array_equal(y[0, 3], y[0, 1])
    np.testing.assert_array_equal(y[1, 0], np.zeros(3))
    skipped = np.asarray(layer(x[:1][:, [0, 1, 4]]))
    np.testing.assert_array_equal(y[0, 4], skipped[0, 2])


@both_ways
def test_chunks_with_carried_state_equal_the_whole_bitwise(reset_after: bool) -> None:
    layer = lamina.layers.GRU(4, return_sequences=True, return_state=True, reset_after=reset_after)
    x = sequences(3, 6, 2)
    whole = np.asarray(layer(x)[0])
    first, *state = layer(x[:, :2])
    second, *_ = layer(x[:, 2:], initial_state=state)
    np.testing.assert_array_equal(np.concatenate([first, second], axis=1), whole)


def test_stateful_goes_on_where_it_stopped() -> None:
    layer, plain = lamina.layers.GRU(4, stateful=True), lamina.layers.GRU(4)
    x = sequences(3, 6, 2)
    layer(x[:, :2])
    plain(x)
    plain.set_weights(layer.get_weights())
    np.testing.assert_array_equal(np.asarray(layer(x[:, 2:])), np.asarray(plain(x)))
    layer.reset_states()
    np.testing.assert_array_equal(np.asarray(layer(x)), np.asarray(plain(x)))


def test_any_length_after_the_first() -> None:
    inputs = lamina.Input((None, 2))
    model = lamina.Model(inputs, lamina.layers.GRU(3, return_sequences=True)(inputs))
    assert model.output_shape == (None, None, 3)
    long = model.predict(sequences(2, 9, 2), verbose=0)
    short = model.predict(sequences(2, 9, 2)[:, :4], verbose=0)
    np.testing.assert_array_equal(long[:, :4], short)


@both_ways
def test_dropout_only_while_training(reset_after: bool) -> None:
    layer = lamina.layers.GRU(
        4, dropout=0.5, recurrent_dropout=0.3, seed=3, reset_after=reset_after
    )
    x = sequences(2, 5, 3)
    still = np.asarray(layer(x))
    np.testing.assert_array_equal(np.asarray(layer(x, training=False)), still)
    first = np.asarray(layer(x, training=True))
    assert np.abs(first - still).max() > 1e-4
    assert np.abs(np.asarray(layer(x, training=True)) - first).max() > 1e-4


def test_each_gate_has_its_own_recurrent_dropout() -> None:
    cell = lamina.layers.GRUCell(50, recurrent_dropout=0.5, seed=1)
    masks = np.asarray(cell.recurrent_masks(lamina.ops.ones((4, 50)), True))
    assert masks.shape == (3, 4, 50)
    assert set(np.unique(masks)) == {0.0, 2.0}
    assert (masks[0] != masks[1]).any() and (masks[1] != masks[2]).any()


@both_ways
def test_dropout_trains(reset_after: bool) -> None:
    model = lamina.Sequential(
        [lamina.Input((5, 3)), lamina.layers.GRU(4, recurrent_dropout=0.4, reset_after=reset_after)]
    )
    before = model.get_weights()
    model.compile("sgd", "mse")
    loss = model.train_on_batch(sequences(6, 5, 3), sequences(6, 4))
    assert np.isfinite(float(np.asarray(loss)))
    assert all((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize(("reset_after", "bias"), [(True, (2, 9)), (False, (9,))])
def test_weights_and_config(reset_after: bool, bias: tuple[int, ...]) -> None:
    layer = lamina.layers.GRU(3, reset_after=reset_after, activation="relu", name="memory")
    layer.build((None, 4, 2))
    assert [w.path for w in layer.weights] == [
        f"memory/gru_cell/{name}" for name in ("kernel", "recurrent_kernel", "bias")
    ]
    assert [w.shape for w in layer.weights] == [(2, 9), (3, 9), bias]
    copy = lamina.layers.GRU.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert copy.reset_after is reset_after and copy.units == 3
    cell = lamina.layers.GRUCell(3, reset_after=reset_after)
    assert lamina.layers.GRUCell.from_config(cell.get_config()).get_config() == cell.get_config()


@pytest.mark.parametrize(
    ("kwargs", "word"),
    [
        (dict(units=0), "units"),
        (dict(units=3, dropout=1.5), "dropout"),
        (dict(units=3, activation="tanhh"), "tanhh"),
        (dict(units=3, reset_after="yes"), "reset_after"),
        (dict(units=3, reset_afer=True), "reset_after"),
    ],
)
def test_bad_arguments(kwargs: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        lamina.layers.GRU(**kwargs)


def test_input_of_wrong_rank_names_the_layer() -> None:
    with pytest.raises(ValueError, match="memory"):
        lamina.layers.GRU(3, name="memory")(sequences(4, 5))
