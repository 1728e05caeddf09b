"""RNN over any cells, StackedRNNCells, ConvLSTM: what golden values do not show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina

layers = lamina.layers


def sequences(*shape: int) -> np.ndarray:
    return np.random.RandomState(0).normal(size=shape).astype("float32")


def three_cells() -> list[Any]:
    return [layers.LSTMCell(4), layers.GRUCell(3), layers.SimpleRNNCell(2)]


@lamina.saving.register_keras_serializable("tests")
class SumCell(layers.Layer):
    """Adds up its inputs; starts from ones."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.state_size = 3

    def get_initial_state(self, batch_size: int) -> Any:
        return lamina.ops.ones((batch_size, 3))

    def call(self, inputs: Any, states: Any) -> Any:
        total = states[0] + inputs
        return total, [total]


def test_stacked_cells_equal_layers_in_a_row() -> None:
    stacked = layers.RNN(three_cells(), return_sequences=True)
    row = [
        layers.LSTM(4, return_sequences=True),
        layers.GRU(3, return_sequences=True),
        layers.SimpleRNN(2, return_sequences=True),
    ]
    x = y = sequences(2, 5, 3)
    stacked(x)
    for layer, cell in zip(row, stacked.cell.cells, strict=True):
        layer(y)
        layer.set_weights(cell.get_weights())
        y = np.asarray(layer(y))
    np.testing.assert_allclose(np.asarray(stacked(x)), y, rtol=1e-5, atol=1e-6)


def test_states_are_nested_as_the_cells_are() -> None:
    layer = layers.RNN([layers.LSTMCell(4), SumCell()], return_state=True)
    assert layer.state_size == [[4, 4], 3]
    inputs = lamina.Input((5, 3))
    with pytest.raises(ValueError):  # 4 features do not add to 3
        layer(sequences(2, 5, 3))
    layer = layers.RNN([SumCell(), layers.LSTMCell(4)], return_state=True)
    output, (total,), (hidden, carry) = layer(sequences(2, 5, 3))
    np.testing.assert_allclose(np.asarray(total), 1 + sequences(2, 5, 3).sum(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(output), np.asarray(hidden))
    assert carry.shape == (2, 4)
    assert layer.compute_output_shape((2, 5, 3)) == ((2, 4), (2, 3), [(2, 4), (2, 4)])
    symbolic = layer(inputs)
    assert [t.shape for t in lamina.tree.flatten(symbolic)] == [(None, 4), (None, 3)] + [
        (None, 4)
    ] * 2
    model = lamina.Model(inputs, lamina.tree.flatten(symbolic))
    predicted = model.predict(sequences(2, 5, 3), verbose=0)
    np.testing.assert_allclose(predicted[1], np.asarray(total), rtol=1e-5)


def test_initial_states_are_nested_too() -> None:
    layer = layers.RNN([SumCell(), layers.SimpleRNNCell(2)], return_state=True)
    x = sequences(2, 6, 3)
    whole, *states = layer(x)
    _, *middle = layer(x[:, :2])
    output, *last = layer(x[:, 2:], initial_state=middle)
    np.testing.assert_allclose(np.asarray(output), np.asarray(whole), rtol=1e-5)
    np.testing.assert_allclose(np.asarray(last[0]), np.asarray(states[0]), rtol=1e-5)
    with pytest.raises(ValueError, match="expected 2 initial states, got 1"):
        layer(x, initial_state=middle[:1])


def test_stateful_cells_go_on_and_start_anew() -> None:
    layer = layers.RNN([SumCell(), layers.LSTMCell(2)], stateful=True)
    plain = layers.RNN([SumCell(), layers.LSTMCell(2)])
    x = sequences(2, 6, 3)
    layer(x[:, :4])
    plain(x)
    plain.set_weights(layer.get_weights())
    np.testing.assert_allclose(np.asarray(layer(x[:, 4:])), np.asarray(plain(x)), rtol=1e-5)
    layer.reset_state()
    assert all(not np.asarray(s.value).any() for s in lamina.tree.flatten(layer.states))
    with pytest.raises(ValueError, match="batch size"):
        layer(x[:1])


def test_masked_steps_of_stacked_cells_leave_all_states_alone() -> None:
    layer = layers.RNN(three_cells(), return_state=True)
    x = sequences(2, 5, 3)
    mask = np.array([[True, True, False, False, True], [True] * 5])
    masked = lamina.tree.flatten(layer(x, mask=mask))
    skipped = lamina.tree.flatten(layer(x[:1][:, [0, 1, 4]]))
    for got, wanted in zip(masked, skipped, strict=True):
        np.testing.assert_allclose(np.asarray(got)[:1], np.asarray(wanted), rtol=1e-5, atol=1e-6)


def test_file_round_trip(tmp_path: Path) -> None:
    inputs = lamina.Input((3, 6, 5, 2))
    images = layers.ConvLSTM2D(2, 3, return_sequences=True)(inputs)
    rows = layers.Reshape((3, -1))(images)
    outputs = layers.RNN([layers.LSTMCell(4), SumCell2(), layers.GRUCell(3)])(rows)
    model = lamina.Model(inputs, outputs)
    model.save(tmp_path / "model.keras")
    loaded = lamina.saving.load_model(tmp_path / "model.keras")
    x = sequences(2, 3, 6, 5, 2)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


@lamina.saving.register_keras_serializable("tests")
class SumCell2(SumCell):
    """The same for four features."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.state_size = 4

    def get_initial_state(self, batch_size: int) -> Any:
        return lamina.ops.ones((batch_size, 4))


def test_unknown_numbers_of_rows_and_steps() -> None:
    inputs = lamina.Input((None, 3))
    layer = layers.RNN([SumCell(), layers.LSTMCell(2)], return_sequences=True)
    model = lamina.Model(inputs, layer(inputs))
    assert model.output_shape == (None, None, 2)
    long = model.predict(sequences(2, 7, 3), verbose=0)
    short = model.predict(sequences(2, 7, 3)[:, :4], verbose=0)
    np.testing.assert_allclose(long[:, :4], short, rtol=1e-5, atol=1e-6)


def test_shapes_inside_a_layer_without_a_shape_rule() -> None:
    class Outer(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = layers.RNN([SumCell(), layers.LSTMCell(2)], return_sequences=True)
            self.images = layers.ConvLSTM1D(2, 1)

        def call(self, inputs: Any) -> Any:
            return self.inner(inputs), self.images(lamina.ops.expand_dims(inputs, -1))

    inputs = lamina.Input((None, 3))
    outputs = Outer()(inputs)
    assert [t.shape for t in outputs] == [(None, None, 2), (None, 3, 2)]
    model = lamina.Model(inputs, outputs)
    assert [p.shape for p in model.predict(sequences(4, 5, 3), verbose=0)] == [(4, 5, 2), (4, 3, 2)]


def test_every_gate_has_masks_of_its_own_once_the_state_is_dropped() -> None:
    for cell_class, gates in ((layers.LSTMCell, 4), (layers.GRUCell, 3)):
        cell = cell_class(50, dropout=0.5, recurrent_dropout=0.5, seed=1)
        state = lamina.ops.ones((4, 50))
        masks = np.asarray(cell.get_recurrent_dropout_mask(state))
        assert masks.shape == (gates, 4, 50)
        assert (masks[0] != masks[1]).any()
        assert len(cell.get_dropout_mask(state)) == gates
        assert np.asarray(cell_class(50, dropout=0.5).get_dropout_mask(state)).shape == (4, 50)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_dropout_of_the_engine_equals_that_of_the_loop(kind: str) -> None:
    settings = dict(dropout=0.4, recurrent_dropout=0.3, seed=7)
    layer = getattr(layers, kind)(5, return_sequences=True, **settings)
    loop = layers.RNN(getattr(layers, f"{kind}Cell")(5, **settings), return_sequences=True)
    x = sequences(3, 4, 6)
    layer(x)
    loop(x)
    loop.set_weights(layer.get_weights())
    for _ in range(2):
        np.testing.assert_allclose(
            np.asarray(layer(x, training=True)), np.asarray(loop(x, training=True)),
            rtol=1e-5, atol=1e-6,
        )  # fmt: skip


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_dropout_trains_alike_through_the_engine_and_the_loop(kind: str) -> None:
    settings = dict(dropout=0.4, recurrent_dropout=0.3, seed=7)
    x, y = sequences(3, 4, 6), sequences(3, 5)
    weights: list[Any] = []
    for make in (
        lambda: getattr(layers, kind)(5, **settings),
        lambda: layers.RNN(getattr(layers, f"{kind}Cell")(5, **settings)),
    ):
        model = lamina.Sequential([lamina.Input((4, 6)), make()])
        model.set_weights([0.3 * sequences(*w.shape) for w in model.get_weights()])
        model.compile(lamina.optimizers.SGD(0.5), "mse")
        model.train_on_batch(x, y)
        weights.append(model.get_weights())
    for engine, loop in zip(*weights, strict=True):
        np.testing.assert_allclose(engine, loop, rtol=1e-4, atol=1e-6)


def test_conv_lstm_cell_equals_the_layer() -> None:
    layer = layers.ConvLSTM2D(3, (2, 3), dropout=0.3, recurrent_dropout=0.2, seed=3)
    x = sequences(2, 3, 5, 4, 2)
    still = np.asarray(layer(x))
    assert still.shape == (2, 4, 2, 3) == layer.compute_output_shape(x.shape)
    states = layer.cell.get_initial_state(2)
    for step in range(3):
        output, states = layer.cell(x[:, step], states)
    np.testing.assert_allclose(np.asarray(output), still, rtol=1e-5, atol=1e-6)
    assert np.abs(np.asarray(layer(x, training=True)) - still).max() > 1e-4
    np.testing.assert_array_equal(np.asarray(layer(x)), still)


def test_conv_lstm_state_and_config() -> None:
    layer = layers.ConvLSTM1D(3, 2, strides=2, return_state=True, stateful=True, name="c")
    x = sequences(2, 3, 7, 2)
    output, hidden, carry = layer(x)
    assert output.shape == hidden.shape == carry.shape == (2, 3, 3)
    again, *_ = layer(x)
    assert np.abs(np.asarray(again) - np.asarray(output)).max() > 1e-4
    config = layer.get_config()
    assert config["filters"] == 3 and config["kernel_size"] == (2,) and "units" not in config
    assert type(layer).from_config(config).get_config() == config


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: layers.RNN(3), "cell must have `call`"),
        (lambda: layers.RNN([layers.LSTMCell(2), layers.Dense(2)]), "must have `state_size`"),
        (lambda: layers.StackedRNNCells([object()]), "StackedRNNCells: cell must have `call`"),
        (lambda: layers.ConvLSTM2D(0, 3), "ConvLSTM2D: filters must be"),
        (lambda: layers.ConvLSTM2D(2, (3, 3, 3)), "ConvLSTM2D: kernel_size must be"),
        (lambda: layers.ConvLSTM2D(2, 3, strides=2, dilation_rate=2), "ConvLSTM2D: Specifying"),
        (lambda: layers.ConvLSTM2D(2, 3)(lamina.Input((3, None, 4, 2))), "must be known"),
        (lambda: layers.RNN(SumCell(), stateful=True)(lamina.Input((3, 3))), "known batch"),
        (lambda: layers.LSTM(2, use_cudnn="yes"), "use_cudnn"),
    ],
)  # fmt: skip
def test_bad_arguments(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_float16_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lamina.dtype_policies, "_explained_narrow", False)  # it is said once
    with pytest.warns(UserWarning, match="mixed_float16"):
        layer = layers.LSTM(3, return_state=True, dtype="mixed_float16")
    output, *states = layer(sequences(2, 4, 3))
    assert {t.dtype for t in (output, *states)} == {"float16"}
    assert layer.weights[0].dtype == "float32"
