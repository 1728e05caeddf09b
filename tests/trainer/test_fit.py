"""fit against real Keras, and the properties no reference file can show."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import lamina
from tests.conftest import check_golden, golden_names

X = np.random.RandomState(0).normal(size=(40, 4)).astype("float32")
Y = (X @ np.array([[1.0], [-2.0], [0.5], [0.0]], "float32")) + 0.3


@pytest.mark.filterwarnings("ignore:.*data ended before")
@pytest.mark.parametrize("name", golden_names("fit"))
def test_like_keras(name: str) -> None:
    check_golden("fit", name)


def small(**compile_args: Any) -> Any:
    model = lamina.Sequential([lamina.Input((4,)), lamina.layers.Dense(5, "tanh"),
                               lamina.layers.Dense(1)])  # fmt: skip
    generator = np.random.RandomState(3)
    model.set_weights([generator.normal(size=w.shape) * 0.5 for w in model.get_weights()])
    model.compile(**{"optimizer": "adam", "loss": "mse", **compile_args})
    return model


def same(a: Any, b: Any) -> None:
    for left, right in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_history_object() -> None:
    model = small()
    history = model.fit(X, Y, epochs=3, verbose=0)
    assert isinstance(history, lamina.callbacks.History)
    assert history.epoch == [0, 1, 2] and history.model is model
    assert history.params["epochs"] == 3 and history.params["steps"] == 2
    assert model.history is history
    assert all(isinstance(v, float) for v in history.history["loss"])


def test_defaults_are_one_epoch_of_batches_of_32() -> None:
    model = small()
    model.fit(X, Y, verbose=0)
    assert int(np.asarray(model.optimizer.iterations)) == 2


def test_shuffle_changes_the_order_and_uses_every_row_once() -> None:
    seen: list[float] = []

    def record(y_true: Any, y_pred: Any) -> Any:
        return lamina.ops.mean(y_true, axis=-1)

    model = small(metrics=[record])
    for shuffle in (False, True):
        ends: list[float] = []
        running = lamina.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs, e=ends: e.append(logs["record"])
        )
        model.fit(X, Y, batch_size=8, shuffle=shuffle, verbose=0, callbacks=[running])
        seen.append(ends[0])
        # the running mean over all rows is the mean of all rows
        assert ends[-1] == pytest.approx(float(Y.mean()), abs=1e-5)
    assert seen[0] == pytest.approx(float(Y[:8].mean()), abs=1e-6)
    assert seen[1] != pytest.approx(seen[0], abs=1e-6)


def test_steps_per_execution_gives_the_same_bits() -> None:
    one, many = small(), small(steps_per_execution=3)
    one.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    many.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    same(one, many)


def test_run_eagerly_gives_the_same_numbers() -> None:
    traced, eager = small(metrics=["mae"]), small(metrics=["mae"], run_eagerly=True)
    a = traced.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0).history
    b = eager.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0).history
    for key in a:
        np.testing.assert_allclose(a[key], b[key], rtol=1e-5)
    for left, right in zip(traced.get_weights(), eager.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)


def test_callbacks_do_not_change_the_numbers() -> None:
    silent, watched = small(), small()
    silent.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    hook = lamina.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    watched.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0, callbacks=[hook])
    same(silent, watched)


@pytest.mark.filterwarnings("ignore:.*data ended before", "ignore:.*shuffle=True")
def test_generator_data() -> None:
    def batches() -> Any:
        for start in range(0, 40, 8):
            yield X[start : start + 8], Y[start : start + 8]

    arrays, generated = small(), small()
    a = arrays.fit(X, Y, batch_size=8, shuffle=False, verbose=0).history
    b = generated.fit(batches(), verbose=0).history
    same(arrays, generated)
    assert a["loss"] == pytest.approx(b["loss"], rel=1e-6)


@pytest.mark.filterwarnings("ignore:.*shuffle=True")
def test_endless_generator_with_steps() -> None:
    def forever() -> Any:
        while True:
            yield X[:8], Y[:8], np.ones(8)

    model = small()
    model.fit(forever(), steps_per_epoch=3, epochs=2, verbose=0, validation_data=(X, Y))
    assert int(np.asarray(model.optimizer.iterations)) == 6


def test_py_dataset() -> None:
    class Batches(lamina.utils.PyDataset):
        ends = 0

        def __len__(self) -> int:
            return 5

        def __getitem__(self, index: int) -> Any:
            return X[index * 8 : index * 8 + 8], Y[index * 8 : index * 8 + 8]

        def on_epoch_end(self) -> None:
            self.ends += 1

    arrays, served, data = small(), small(), Batches()
    arrays.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    served.fit(data, epochs=2, shuffle=False, verbose=0)
    same(arrays, served)
    assert data.ends >= 2  # Keras says one more, at the start


@pytest.mark.parametrize("convert", [list, lambda a: a.tolist(), lambda a: a.astype("float64"),
                                     np.asfortranarray,
                                     lambda a: lamina.ops.convert_to_tensor(a)])  # fmt: skip
def test_forms_of_data(convert: Any) -> None:
    plain, other = small(), small()
    plain.fit(X, Y, shuffle=False, verbose=0)
    if convert is list or isinstance(convert(X), list):
        other.fit(np.array(convert(X), "float32"), np.array(convert(Y), "float32"), shuffle=False,
                  verbose=0)  # fmt: skip
    else:
        other.fit(convert(X), convert(Y), shuffle=False, verbose=0)
    same(plain, other)


def test_data_is_not_changed_and_not_kept() -> None:
    x, y = X.copy(), Y.copy()
    small().fit(x, y, verbose=0)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)


def test_stop_training_ends_after_the_epoch() -> None:
    class Stop(lamina.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = epoch == 1

    history = small().fit(X, Y, epochs=9, verbose=0, callbacks=[Stop()])
    assert history.epoch == [0, 1]


def test_an_exception_in_a_callback_reaches_the_caller_and_the_model_goes_on() -> None:
    class Broken(lamina.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            raise RuntimeError("from the callback")

    model = small()
    with pytest.raises(RuntimeError, match="from the callback"):
        model.fit(X, Y, verbose=0, callbacks=[Broken()])
    model.fit(X, Y, verbose=0)
    assert np.isfinite(model.evaluate(X, Y, verbose=0))


def test_weights_set_by_a_callback_count() -> None:
    class Reset(lamina.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.set_weights([w * 0 for w in self.model.get_weights()])

    model = small()
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[Reset()])
    assert not any(w.any() for w in model.get_weights())


def test_learns_xor_for_most_seeds() -> None:
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
    y = np.array([[0], [1], [1], [0]], "float32")
    solved = 0
    for seed in range(5):
        lamina.utils.set_random_seed(seed)
        model = lamina.Sequential([lamina.Input((2,)), lamina.layers.Dense(8, "tanh"),
                                   lamina.layers.Dense(1, "sigmoid")])  # fmt: skip
        model.compile(lamina.optimizers.Adam(0.05), "binary_crossentropy")
        model.fit(x, y, epochs=200, batch_size=1, verbose=0)
        solved += int(((model.predict(x, verbose=0) > 0.5) == y).all())
    assert solved >= 4


def test_float64_model_trains_in_float64() -> None:
    model = lamina.Sequential([lamina.Input((4,), dtype="float64"),
                               lamina.layers.Dense(1, dtype="float64")])  # fmt: skip
    model.compile("adam", "mse")
    model.fit(X.astype("float64"), Y.astype("float64"), verbose=0)
    assert model.get_weights()[0].dtype == np.float64
    assert model.predict(X.astype("float64"), verbose=0).dtype == np.float64


def test_a_second_fit_continues_and_epochs_number_from_initial_epoch() -> None:
    model = small()
    first = model.fit(X, Y, epochs=2, verbose=0)
    second = model.fit(X, Y, epochs=5, initial_epoch=2, verbose=0)
    assert first.epoch + second.epoch == [0, 1, 2, 3, 4]
    assert second.history["loss"][-1] < first.history["loss"][0]


def test_losses_nested_as_the_outputs_are() -> None:
    x = np.ones((8, 3), np.float32)
    inputs = lamina.Input((3,))
    outputs = [lamina.layers.Dense(1, name=name)(inputs) for name in ("a", "b")]
    values = []
    for loss in (["mse", "mae"], [["mse"], ["mae"]], {"a": ["mse"], "b": "mae"}):
        model = lamina.Model(inputs, outputs)
        model.compile("sgd", loss=loss)
        values.append(model.test_on_batch(x, [x[:, :1], x[:, :1]]))
    assert values[0] == values[1] == values[2]


def test_class_weights_are_for_training_and_not_for_validation() -> None:
    labels = (Y[:, 0] > 0).astype("int32")
    model = small()
    model.compile("sgd", "binary_crossentropy")
    history = model.fit(
        X, labels, validation_split=0.5, class_weight={0: 5.0, 1: 9.0}, verbose=0
    ).history
    assert history["val_loss"] == [model.evaluate(X[20:], labels[20:], verbose=0)]


def test_logs_are_sorted_by_name_also_with_validation() -> None:
    model = small()
    model.compile("sgd", "mse", metrics=[lamina.metrics.MeanAbsoluteError(name="z_mae")])
    history = model.fit(X, Y, validation_split=0.5, verbose=0).history
    assert list(history) == ["loss", "val_loss", "val_z_mae", "z_mae"]


def test_class_weights_beside_the_weights_of_batches_are_refused() -> None:
    batches = [(X[:4], np.arange(4) % 2, np.ones(4))]
    model = small(loss="binary_crossentropy")
    with pytest.raises(ValueError, match="not both"):
        model.fit(iter(batches), class_weight={0: 1.0, 1: 2.0}, verbose=0)


def test_a_generator_of_validation_data_gives_the_same_batches_every_epoch() -> None:
    drawn = []

    def batches() -> Any:
        for i in itertools.count(1):
            drawn.append(i)
            yield np.full((4, 2), i, "float32"), np.zeros((4, 1), "float32")

    model = lamina.Sequential(
        [
            lamina.Input((2,)),
            lamina.layers.Dense(1, use_bias=False, kernel_initializer="ones"),
        ]
    )
    model.compile(lamina.optimizers.SGD(0.0), "mse")
    history = model.fit(
        np.ones((8, 2)), np.ones((8, 1)), epochs=3, verbose=0,
        validation_data=batches(), validation_steps=2,
    ).history  # fmt: skip
    assert history["val_loss"] == [10.0, 10.0, 10.0]  # as real Keras 3.15.1 has it
    assert drawn == [1, 2]
