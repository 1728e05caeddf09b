"""LSTM and SimpleRNN against real Keras."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import lamina
from tests.conftest import check_golden, golden_names

PREFIXES = ("lstm_", "simplernn_")


@pytest.mark.parametrize("name", [n for n in golden_names("layers") if n.startswith(PREFIXES)])
def test_like_keras(name: str) -> None:
    check_golden("layers", name)


def sequences(*shape: int) -> np.ndarray:
    return np.random.RandomState(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("kind", ["LSTM", "SimpleRNN"])
def test_explicit_mask_repeats_output_and_state(kind: str) -> None:
    layer = getattr(lamina.layers, kind)(3, return_sequences=True)
    x = sequences(2, 5, 4)
    mask = np.array([[True, True, False, False, True], [False, True, True, False, False]])
    y = np.asarray(layer(x, mask=mask))
    np.testing.assert_array_equal(y[0, 2], y[0, 1])
    np.testing.assert_array_equal(y[0, 3], y[0, 1])
    np.testing.assert_array_equal(y[1, 0], np.zeros(3))
    np.testing.assert_array_equal(y[1, 4], y[1, 2])
    skipped = np.asarray(layer(x[:1][:, [0, 1, 4]]))
    np.testing.assert_array_equal(y[0, 4], skipped[0, 2])


@pytest.mark.parametrize("kind", ["LSTM", "SimpleRNN"])
def test_zero_output_for_mask(kind: str) -> None:
    layer = getattr(lamina.layers, kind)(3, return_sequences=True, zero_output_for_mask=True)
    mask = np.array([[True, False, True, False]])
    y = np.asarray(layer(sequences(1, 4, 2), mask=mask))
    np.testing.assert_array_equal(y[0, [1, 3]], np.zeros((2, 3)))
    assert (y[0, [0, 2]] != 0).all()


@pytest.mark.parametrize("kind", ["LSTM", "SimpleRNN"])
def test_chunks_with_carried_state_equal_the_whole_bitwise(kind: str) -> None:
    layer = getattr(lamina.layers, kind)(4, return_sequences=True, return_state=True)
    x = sequences(3, 6, 2)
    whole = np.asarray(layer(x)[0])
    first, *state = layer(x[:, :2])
    second, *_ = layer(x[:, 2:], initial_state=state)
    np.testing.assert_array_equal(np.concatenate([first, second], axis=1), whole)


@pytest.mark.parametrize("kind", ["LSTM", "SimpleRNN"])
def test_stateful_goes_on_where_it_stopped(kind: str) -> None:
    layer = getattr(lamina.layers, kind)(4, stateful=True)
    plain = getattr(lamina.layers, kind)(4)
    x = sequences(3, 6, 2)
    layer(x[:, :2])
    plain(x)
    plain.set_weights(layer.get_weights())
    np.testing.assert_array_equal(np.asarray(layer(x[:, 2:])), np.asarray(plain(x)))
    layer.reset_states()
    np.testing.assert_array_equal(np.asarray(layer(x)), np.asarray(plain(x)))


@pytest.mark.parametrize("kind", ["LSTM", "SimpleRNN"])
def test_any_length_after_the_first(kind: str) -> None:
    inputs = lamina.Input((None, 2))
    model = lamina.Model(inputs, getattr(lamina.layers, kind)(3, return_sequences=True)(inputs))
    assert model.output_shape == (None, None, 3)
    long = model.predict(sequences(2, 9, 2), verbose=0)
    short = model.predict(sequences(2, 9, 2)[:, :4], verbose=0)
    assert long.shape == (2, 9, 3)
    np.testing.assert_array_equal(long[:, :4], short)


@pytest.mark.parametrize("kind", ["LSTM", "SimpleRNN"])
def test_dropout_only_while_training_and_repeatable(kind: str) -> None:
    layer = getattr(lamina.layers, kind)(4, dropout=0.5, recurrent_dropout=0.3, seed=3)
    x = sequences(2, 5, 3)
    still = np.asarray(layer(x))
    np.testing.assert_array_equal(np.asarray(layer(x, training=False)), still)
    first = np.asarray(layer(x, training=True))
    assert np.abs(first - still).max() > 1e-4
    assert np.abs(np.asarray(layer(x, training=True)) - first).max() > 1e-4


def test_lstm_forget_bias_and_initial_values() -> None:
    layer = lamina.layers.LSTM(3)
    layer.build((None, 4, 2))
    kernel, recurrent, bias = layer.get_weights()
    np.testing.assert_array_equal(bias, [0] * 3 + [1] * 3 + [0] * 6)
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(3), atol=1e-5)
    assert kernel.shape == (2, 12)


@pytest.mark.parametrize("kind", ["LSTM", "SimpleRNN"])
@pytest.mark.parametrize(
    ("kwargs", "word"),
    [
        (dict(units=0), "units"),
        (dict(units=-2), "units"),
        (dict(units=3, dropout=1.5), "dropout"),
        (dict(units=3, activation="tanhh"), "tanhh"),
    ],
)
def test_bad_arguments(kind: str, kwargs: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        getattr(lamina.layers, kind)(**kwargs)


def test_input_of_wrong_rank_names_the_layer() -> None:
    with pytest.raises(ValueError, match="memory"):
        lamina.layers.LSTM(3, name="memory")(sequences(4, 5))


def words_model(build: Callable[[], lamina.layers.Layer], mask_zero: bool) -> lamina.Model:
    lamina.utils.set_random_seed(4)
    embedding = lamina.layers.Embedding(13, 5, mask_zero=mask_zero)
    model = lamina.Sequential([lamina.Input((6,), dtype="int32"), embedding, build()])
    model.compile("adam", "mse")
    return model


@pytest.mark.parametrize("mask_zero", [False, True])
@pytest.mark.parametrize(
    "build",
    [
        lambda: lamina.layers.LSTM(4),
        lambda: lamina.layers.GRU(4, go_backwards=True),
        lambda: lamina.layers.GRU(4, reset_after=False, recurrent_dropout=0.3),
        lambda: lamina.layers.SimpleRNN(4),
        lambda: lamina.layers.Bidirectional(lamina.layers.LSTM(2)),
        lambda: lamina.layers.LSTM(4, unroll=True),
    ],
    ids=["lstm", "gru", "reset_before", "simple", "bidirectional", "unrolled"],
)
def test_reading_an_embedding_learns_like_reading_its_rows(
    build: Callable[[], lamina.layers.Layer], mask_zero: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    g = np.random.default_rng(2)
    ids, y = g.integers(0, 11, (20, 6)), g.normal(size=(20, 4))  # two rows are never read
    results = []
    for plan in ("", "plain"):  # the plain one lays the rows out
        monkeypatch.setenv("LAMINA_PLAN", plan)
        model = words_model(build, mask_zero)
        model.fit(ids, y, batch_size=8, epochs=3, verbose=0)
        results.append([model.predict(ids, verbose=0), *model.get_weights()])
    for joined, apart in zip(*results, strict=True):
        np.testing.assert_allclose(joined, apart, rtol=2e-4, atol=2e-5)
