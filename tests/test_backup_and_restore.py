"""A run of training that was killed ends as if it had not been."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import callbacks, layers

X = np.random.RandomState(0).rand(50, 6).astype("float32")
Y = np.random.RandomState(1).rand(50, 1).astype("float32")


def make_model(**options: Any) -> lamina.Model:
    model = lamina.Sequential(
        [
            lamina.Input((6,)),
            layers.Dense(8, activation="relu"),
            layers.Dropout(0.3),
            layers.BatchNormalization(),
            layers.Dense(1),
        ]
    )
    model.compile("adam", "mse", metrics=["mae"], **options)
    return model


def train(model: lamina.Model, *calls: callbacks.Callback, **arguments: Any) -> Any:
    return model.fit(
        X, Y, **{"epochs": 5, "batch_size": 8, "verbose": 0, "callbacks": list(calls), **arguments}
    )


class Stop(callbacks.Callback):
    """Ends `fit` with an error after a batch."""

    def __init__(self, epoch: int, batch: int) -> None:
        super().__init__()
        self.at, self.epoch = (epoch, batch), 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if (self.epoch, batch) == self.at:
            raise RuntimeError("stopped")


@pytest.mark.filterwarnings("ignore:fit... the data ended")
@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}], ids=["graph", "eager"])
@pytest.mark.parametrize(
    ("save_freq", "arguments"),
    [("epoch", {}), (1, {}), (2, {}), (3, {"steps_per_epoch": 4}), (1, {"shuffle": "batch"})],
)
def test_a_stopped_run_goes_on_exactly(
    save_freq: Any, arguments: Any, options: Any, tmp_path: Path
) -> None:
    lamina.utils.set_random_seed(7)
    whole = make_model(**options)
    history = train(whole, **arguments)

    lamina.utils.set_random_seed(7)
    folder = tmp_path / "backup"
    with pytest.raises(RuntimeError, match="stopped"):
        train(
            make_model(**options), callbacks.BackupAndRestore(folder, save_freq), Stop(2, 2),
            **arguments,
        )  # fmt: skip
    lamina.utils.set_random_seed(99)  # a new process knows nothing of the old one
    again = make_model(**options)
    rest = train(again, callbacks.BackupAndRestore(folder, save_freq), **arguments)

    for one, other in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert rest.epoch == [2, 3, 4]
    assert rest.history["loss"] == history.history["loss"][2:]
    assert not folder.exists()


PROGRAM = """
import os, signal, sys
import lamina
from lamina import callbacks
from tests.test_backup_and_restore import make_model, train

folder, result, kill_at = sys.argv[1], sys.argv[2], int(sys.argv[3])

class Kill(callbacks.Callback):
    count = 0
    def on_train_batch_end(self, batch, logs=None):
        Kill.count += 1
        if Kill.count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

lamina.utils.set_random_seed(7)
model = make_model()
train(model, callbacks.BackupAndRestore(folder, save_freq=3), Kill())
model.save_weights(result)
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_a_program_killed_twice_ends_as_one_that_was_not(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]

    def run(folder: str, result: str, kill_at: int) -> int:
        command = [sys.executable, "-c", PROGRAM, tmp_path / folder, tmp_path / result, kill_at]
        return subprocess.run(list(map(str, command)), cwd=root, timeout=120).returncode

    assert run("none", "whole.weights.h5", 0) == 0
    assert run("backup", "again.weights.h5", 11) != 0
    assert run("backup", "again.weights.h5", 9) != 0
    assert run("backup", "again.weights.h5", 0) == 0
    whole, again = make_model(), make_model()
    for model in (whole, again):
        model.optimizer.build(model.trainable_variables)
    whole.load_weights(tmp_path / "whole.weights.h5")
    again.load_weights(tmp_path / "again.weights.h5")
    for one, other in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


class Batches(lamina.utils.PyDataset):
    """The data in batches of 8, made in Python."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> Any:
        rows = slice(8 * index, 8 * index + 8)
        return X[rows], Y[rows]


@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}], ids=["graph", "eager"])
def test_a_stopped_run_over_a_dataset_goes_on_exactly(options: Any, tmp_path: Path) -> None:
    def run(*calls: Any) -> lamina.Model:
        model = make_model(**options)
        model.fit(Batches(), epochs=4, verbose=0, callbacks=list(calls), shuffle=False)
        return model

    lamina.utils.set_random_seed(7)
    whole = run()
    lamina.utils.set_random_seed(7)
    with pytest.raises(RuntimeError, match="stopped"):
        run(callbacks.BackupAndRestore(tmp_path / "b", 2), Stop(2, 4))
    lamina.utils.set_random_seed(99)
    again = run(callbacks.BackupAndRestore(tmp_path / "b", 2))
    for one, other in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_backup_before_serves_when_the_last_is_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    call = callbacks.BackupAndRestore(folder, double_checkpoint=True)
    with pytest.raises(RuntimeError):
        train(make_model(), call, Stop(2, 0))
    latest = folder / "epoch_2_batch_0.weights.h5"
    assert sorted(p.name for p in folder.glob("*.h5")) == [
        "epoch_1_batch_0.weights.h5",
        latest.name,
    ]
    latest.write_bytes(b"0")
    with pytest.warns(UserWarning, match="can't be used"):
        history = train(make_model(), call)
    assert history.epoch == [1, 2, 3, 4]


def test_a_backup_of_another_model_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    with pytest.raises(RuntimeError):
        train(make_model(), callbacks.BackupAndRestore(folder), Stop(2, 0))
    other = lamina.Sequential([lamina.Input((6,)), layers.Dense(1)])
    other.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="can't be used"):
        history = train(other, callbacks.BackupAndRestore(folder))
    assert history.epoch == [0, 1, 2, 3, 4]


def test_the_folder_may_stay(tmp_path: Path) -> None:
    call = callbacks.BackupAndRestore(tmp_path / "b", delete_checkpoint=False)
    train(make_model(), call)
    assert (tmp_path / "b" / "training_metadata.json").exists()
    assert train(make_model(), call).epoch == []  # nothing is left to do
    assert train(make_model(), call, epochs=6).epoch == [5]


@pytest.mark.parametrize("wrong", [{"backup_dir": ""}, {"backup_dir": "b", "save_freq": 0.15}])
def test_wrong_arguments(wrong: Any) -> None:
    with pytest.raises(ValueError, match=list(wrong)[-1]):
        callbacks.BackupAndRestore(**wrong)
