"""Weights files: round trips, files of real Keras, the structure Keras writes, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from tests.conftest import check_golden, golden_names
from tests.golden.weights_cases import FIXTURE, cnn, fixture_model, subclass

h5py = pytest.importorskip("h5py")


@pytest.mark.parametrize("name", golden_names("weights"))
def test_like_keras(name: str) -> None:
    check_golden("weights", name)


def changed(model: Any) -> Any:
    model.set_weights([w + 1 for w in model.get_weights()])
    return model


@pytest.mark.parametrize("build", [fixture_model, cnn, subclass])
def test_round_trip(build: Any, tmp_path: Path) -> None:
    model = build(lamina)
    path = tmp_path / "m.weights.h5"
    model.save_weights(path)
    other = changed(build(lamina))
    other.load_weights(str(path))
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def trained(model: Any, x: np.ndarray, y: np.ndarray, epochs: int) -> Any:
    model.fit(x, y, epochs=epochs, shuffle=False, verbose=0)
    return model


def dense() -> Any:
    model = lamina.Sequential([lamina.Input((3,)), lamina.layers.Dense(4, "tanh"),
                               lamina.layers.Dense(1)])  # fmt: skip
    model.compile("adam", "mse")
    return model


def test_training_goes_on_after_loading_as_if_never_interrupted(tmp_path: Path) -> None:
    x = np.random.RandomState(0).normal(size=(12, 3)).astype("float32")
    y = x[:, :1] * 2
    model = trained(dense(), x, y, 3)
    model.save_weights(tmp_path / "m.weights.h5")
    resumed = dense()
    resumed.optimizer.build(resumed.trainable_variables)
    resumed.load_weights(tmp_path / "m.weights.h5")
    trained(model, x, y, 3)
    trained(resumed, x, y, 3)
    for a, b in zip(model.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["m.h5", "m.weights", "m.npz", "m"])
def test_other_suffixes_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=".weights.h5"):
        dense().save_weights(tmp_path / name)


def test_overwrites_by_default(tmp_path: Path) -> None:
    path = tmp_path / "m.weights.h5"
    dense().save_weights(path)
    model = dense()
    model.save_weights(path)
    other = dense()
    other.load_weights(path)
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises((OSError, ValueError), match="nowhere"):
        dense().load_weights(tmp_path / "nowhere.weights.h5")


@pytest.mark.parametrize("size", [0, 10, 500, 3000])
def test_damaged_file_is_an_error_and_changes_nothing(size: int, tmp_path: Path) -> None:
    path = tmp_path / "m.weights.h5"
    path.write_bytes(FIXTURE.read_bytes()[:size])
    model = fixture_model(lamina)
    before = model.get_weights()
    with pytest.raises((OSError, ValueError, KeyError)):
        model.load_weights(path)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_file_of_another_model_names_layer_and_shapes_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "m.weights.h5"
    dense().save_weights(path)
    other = lamina.Sequential([lamina.Input((3,)), lamina.layers.Dense(5, name="wider"),
                               lamina.layers.Dense(1)])  # fmt: skip
    before = other.get_weights()
    with pytest.raises(ValueError) as caught:
        other.load_weights(path)
    for word in ("4", "5"):
        assert word in str(caught.value)
    for a, b in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_interrupted_save_keeps_the_old_file(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "m.weights.h5"
    model = dense()
    model.save_weights(path)
    kept = path.read_bytes()

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(h5py.Group, "create_dataset", fail)
    with pytest.raises(OSError, match="disk full"):
        changed(model).save_weights(path)
    assert path.read_bytes() == kept
    assert [p.name for p in tmp_path.iterdir()] == ["m.weights.h5"]
