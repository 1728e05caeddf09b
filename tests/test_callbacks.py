"""Callbacks: order and contents of hooks, early stopping, checkpoints, schedules, logs."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import callbacks

X = np.random.RandomState(0).normal(size=(20, 3)).astype("float32")
Y = X[:, :1] * 2


class Constant(callbacks.Callback):
    """Writes the given values into the logs, so that a monitored curve can be chosen."""

    def __init__(self, name: str, values: list[float]) -> None:
        super().__init__()
        self.name, self.values = name, values

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        logs[self.name] = self.values[epoch]


class MarkWeights(callbacks.Callback):
    """Sets every weight to the number of the epoch, so that restoring can be seen."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.model.set_weights([np.full(w.shape, float(epoch)) for w in self.model.get_weights()])


def small() -> Any:
    model = lamina.Sequential([lamina.Input((3,)), lamina.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def fit(model: Any, made: list[Any], epochs: int, **kwargs: Any) -> Any:
    return model.fit(X, Y, epochs=epochs, verbose=0, callbacks=made, **kwargs)


# name -> (EarlyStopping arguments, monitored values, epochs run, epoch whose weights remain)
STOPS: dict[str, tuple[dict[str, Any], list[float], int, int]] = {
    "patience0": (dict(), [3, 2, 2, 1], 3, 2),
    "patience2": (dict(patience=2), [3, 2, 2.5, 2.5, 1], 4, 3),
    "restore": (dict(patience=2, restore_best_weights=True), [3, 2, 2.5, 2.5, 1], 4, 1),
    "restore_at_the_end": (dict(patience=9, restore_best_weights=True), [3, 2, 2.5, 2.5], 4, 1),
    "min_delta": (dict(patience=1, min_delta=0.5), [3, 2.8, 2.7], 2, 1),
    "mode_max": (dict(patience=1, mode="max"), [1, 2, 1, 3], 3, 2),
    "baseline": (dict(patience=2, baseline=1.0), [3, 3, 3, 0.5], 2, 1),
    "start_from_epoch": (dict(patience=0, start_from_epoch=2), [1, 2, 3, 4, 5], 4, 3),
    "never": (dict(patience=1), [4, 3, 2, 1], 4, 3),
}


@pytest.mark.parametrize("name", STOPS)
def test_early_stopping(name: str) -> None:
    kwargs, values, epochs, remaining = STOPS[name]
    kwargs = {"mode": "min", **kwargs}
    model = small()
    stop = callbacks.EarlyStopping("watched", **kwargs)
    history = fit(model, [Constant("watched", values), MarkWeights(), stop], len(values))
    assert len(history.epoch) == epochs
    assert model.get_weights()[1][0] == remaining
    assert stop.stopped_epoch == (epochs - 1 if epochs < len(values) else 0)


def test_early_stopping_without_its_value_warns() -> None:
    with pytest.warns(UserWarning, match="val_losss"):
        fit(small(), [callbacks.EarlyStopping("val_losss", mode="min")], 1)


def test_automatic_mode_of_an_unknown_name_asks_for_one() -> None:
    with pytest.raises(ValueError, match="mode"):
        fit(small(), [callbacks.EarlyStopping("val_losss")], 1)


@pytest.mark.parametrize("cls", ["EarlyStopping", "ReduceLROnPlateau"])
def test_unknown_mode(cls: str) -> None:
    with pytest.warns(UserWarning, match="mode"):
        getattr(callbacks, cls)(mode="lowest")


def test_checkpoint_of_every_epoch_formats_its_name(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    path = tmp_path / "{epoch:02d}-{watched:.1f}.weights.h5"
    saving = callbacks.ModelCheckpoint(path, save_weights_only=True)
    model = small()
    fit(model, [Constant("watched", [3, 2, 2.5]), MarkWeights(), saving], 3)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["01-3.0.weights.h5", "02-2.0.weights.h5", "03-2.5.weights.h5"]
    model.load_weights(tmp_path / names[1])
    assert model.get_weights()[1][0] == 1


def test_checkpoint_of_the_best(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    path = tmp_path / "best.weights.h5"
    saving = callbacks.ModelCheckpoint(path, monitor="watched", save_best_only=True, mode="min",
                                       save_weights_only=True)  # fmt: skip
    model = small()
    fit(model, [Constant("watched", [3, 2, 2.5]), MarkWeights(), saving], 3)
    model.load_weights(path)
    assert model.get_weights()[1][0] == 1


def test_checkpoint_by_batches(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    saving = callbacks.ModelCheckpoint(tmp_path / "{batch:02d}.weights.h5",
                                       save_weights_only=True, save_freq=2)  # fmt: skip
    fit(small(), [saving], 1, batch_size=4)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("kwargs", "word"),
    [
        (dict(filepath="a.h5", save_weights_only=True), ".weights.h5"),
        (dict(filepath="a.weights.h5", save_weights_only=True, save_freq="batch"), "save_freq"),
    ],
)
def test_checkpoint_arguments(kwargs: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        callbacks.ModelCheckpoint(**kwargs)


def test_learning_rate_scheduler_sees_epoch_and_rate() -> None:
    seen: list[tuple[int, float]] = []

    def schedule(epoch: int, rate: float) -> float:
        seen.append((epoch, round(rate, 6)))
        return rate / 2

    model = small()
    history = fit(model, [callbacks.LearningRateScheduler(schedule)], 3)
    assert seen == [(0, 0.01), (1, 0.005), (2, 0.0025)]
    np.testing.assert_allclose(history.history["learning_rate"], [0.005, 0.0025, 0.00125])
    fit(model, [callbacks.LearningRateScheduler(lambda epoch: 0.3)], 1)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.3)


def two_rates() -> Any:
    optimizer = lamina.optimizers.MultiOptimizer(
        lamina.optimizers.OptimizerMap(
            lamina.optimizers.SGD(0.01, name="same"),
            {".*kernel": lamina.optimizers.SGD(0.5, name="same")},
        )
    )
    model = lamina.Sequential([lamina.Input((1,)), lamina.layers.Dense(1)])
    model.compile(optimizer, "mse")
    return model


def test_rates_of_several_optimizers_change_one_by_one() -> None:
    model, x = two_rates(), np.ones((2, 1))
    halve = lamina.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)
    logs = model.fit(x, x, epochs=2, verbose=0, callbacks=[halve]).history
    assert logs["learning_rate_same"] == pytest.approx([0.25, 0.125])
    assert logs["learning_rate_same_1"] == pytest.approx([0.005, 0.0025])
    model = two_rates()
    reduce = lamina.callbacks.ReduceLROnPlateau(
        "loss", factor=0.1, patience=1, min_delta=1e9, min_lr=0.005
    )
    logs = model.fit(x, x, epochs=4, verbose=0, callbacks=[reduce]).history
    assert logs["learning_rate_same"] == pytest.approx([0.5, 0.5, 0.05, 0.005])
    assert logs["learning_rate_same_1"] == pytest.approx([0.01, 0.01, 0.005, 0.005])


def test_learning_rate_scheduler_checks_what_it_gets() -> None:
    with pytest.raises((ValueError, TypeError)):
        fit(small(), [callbacks.LearningRateScheduler(lambda epoch: "fast")], 1)


# name -> (arguments, monitored values, learning rate after each epoch, from 1)
PLATEAUS: dict[str, tuple[dict[str, Any], list[float], list[float]]] = {
    "plain": (dict(factor=0.5, patience=1), [3, 3, 3], [1, 0.5, 0.25]),
    "patience": (dict(factor=0.1, patience=2), [3, 3, 3, 2], [1, 1, 0.1, 0.1]),
    "cooldown": (dict(factor=0.5, patience=1, cooldown=2), [3, 3, 3, 3], [1, 0.5, 0.5, 0.25]),
    "min_lr": (dict(factor=0.1, patience=1, min_lr=0.05), [3, 3, 3], [1, 0.1, 0.05]),
    "min_delta": (dict(factor=0.5, patience=1, min_delta=1), [3, 2.5, 2.4], [1, 0.5, 0.25]),
    "max": (dict(factor=0.5, patience=1, mode="max"), [3, 4, 3], [1, 1, 0.5]),
}


@pytest.mark.parametrize("name", PLATEAUS)
def test_reduce_on_plateau(name: str) -> None:
    kwargs, values, expected = PLATEAUS[name]
    kwargs = {"mode": "min", **kwargs}
    model = small()
    model.optimizer.learning_rate = 1.0
    rates: list[float] = []
    watch = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: rates.append(float(model.optimizer.learning_rate))
    )
    reduce = callbacks.ReduceLROnPlateau("watched", **kwargs)
    fit(model, [Constant("watched", values), reduce, watch], len(values))
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


def test_reduce_factor_is_checked() -> None:
    with pytest.raises(ValueError, match="factor"):
        callbacks.ReduceLROnPlateau(factor=1.0)


@pytest.mark.parametrize("separator", [",", ";"])
def test_csv_logger(separator: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    model = small()
    history = fit(model, [callbacks.CSVLogger(path, separator=separator)], 2, validation_split=0.2)
    more = callbacks.CSVLogger(path, separator=separator, append=True)
    again = fit(model, [more], 1, validation_split=0.2)
    with open(path, newline="") as file:
        table = list(csv.DictReader(file, delimiter=separator))
    assert list(table[0]) == ["epoch", "loss", "mae", "val_loss", "val_mae"]
    assert [row["epoch"] for row in table] == ["0", "1", "0"]
    values = [*history.history["loss"], *again.history["loss"]]
    np.testing.assert_allclose([float(row["loss"]) for row in table], values)


def test_lambda_callback_gets_every_hook() -> None:
    seen: list[str] = []
    made = callbacks.LambdaCallback(
        on_train_begin=lambda logs: seen.append("begin"),
        on_epoch_begin=lambda epoch, logs: seen.append(f"epoch {epoch}"),
        on_train_batch_begin=lambda batch, logs: seen.append(f"batch {batch}"),
        on_train_batch_end=lambda batch, logs: seen.append(f"done {batch}"),
        on_epoch_end=lambda epoch, logs: seen.append(f"ended {epoch}"),
        on_train_end=lambda logs: seen.append("end"),
    )
    fit(small(), [made], 1, batch_size=10)
    assert seen == ["begin", "epoch 0", "batch 0", "done 0", "batch 1", "done 1", "ended 0", "end"]


def test_callbacks_know_model_and_params() -> None:
    class Look(callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            self.saw = (self.model, dict(self.params))

    model, look = small(), Look()
    fit(model, [look], 2, batch_size=10)
    assert look.saw[0] is model
    assert look.saw[1]["epochs"] == 2 and look.saw[1]["steps"] == 2


def test_batch_logs_are_running_means() -> None:
    losses: list[float] = []
    watch = callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: losses.append(logs["loss"])
    )
    model = small()
    model.optimizer.learning_rate = 0.0
    predicted = model.predict(X, verbose=0)
    fit(model, [watch], 1, batch_size=5, shuffle=False)
    rows = ((predicted - Y) ** 2)[:, 0]
    np.testing.assert_allclose(losses, [rows[:n].mean() for n in (5, 10, 15, 20)], rtol=1e-5)


def test_callback_list() -> None:
    seen: list[int] = []
    made = callbacks.CallbackList(
        [callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))],
        add_history=True, model=small(), epochs=3,
    )  # fmt: skip
    made.on_train_begin()
    made.on_epoch_end(0, {"loss": 1.0})
    made.on_epoch_end(1, {"loss": 0.5})
    made.on_train_end()
    assert seen == [0, 1]


def test_remote_and_other_names_of_keras_exist() -> None:
    for name in ("Callback", "CallbackList", "CSVLogger", "EarlyStopping", "History",
                 "LambdaCallback", "LearningRateScheduler", "ModelCheckpoint", "ProgbarLogger",
                 "ReduceLROnPlateau", "TerminateOnNaN"):  # fmt: skip
        assert hasattr(callbacks, name)
