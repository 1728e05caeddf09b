"""Model files: both ways between lamina and Keras, everything a file keeps, atomic saving."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from tests.conftest import check_golden, golden_names
from tests.golden import cases, saving_cases
from tests.golden.weights_cases import listing
from tests.processes import ROOT

h5py = pytest.importorskip("h5py")

REAL_KERAS = os.environ.get("LAMINA_REAL_KERAS")  # a Python that has Keras 3 and torch
NAMES = sorted(saving_cases.MODELS)


@pytest.mark.parametrize("name", golden_names("saving"))
def test_file_of_keras_goes_on_here(name: str) -> None:
    check_golden("saving", name)


def assert_like_reference(result: dict[str, Any], name: str) -> None:
    reference = cases.load("saving")[name]
    assert set(result) == set(reference)
    for key, value in result.items():
        np.testing.assert_allclose(value, reference[key], 1e-4, 1e-5, err_msg=key)


def saved(name: str, folder: Path) -> Path:
    lamina.utils.clear_session()
    path = folder / f"{name}.keras"
    saving_cases.trained(lamina, name).save(path)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_own_file_goes_on_as_the_model_would_have(name: str, tmp_path: Path) -> None:
    model = lamina.saving.load_model(saved(name, tmp_path))
    assert_like_reference(saving_cases.described(model, name), name)


@pytest.mark.skipif(REAL_KERAS is None, reason="LAMINA_REAL_KERAS names no Python with Keras")
def test_real_keras_goes_on_with_our_files(tmp_path: Path) -> None:
    for name in NAMES:
        saved(name, tmp_path)
    script = ROOT / "tests" / "golden" / "real_keras.py"
    environment = {"KERAS_BACKEND": "torch", **os.environ}
    subprocess.run([str(REAL_KERAS), script, tmp_path], check=True, env=environment)
    for name in NAMES:
        with np.load(tmp_path / f"{name}.npz") as result:
            assert_like_reference(dict(result), name)


# Where our config may differ from the one Keras writes, and Keras reads both.
NEUTRAL = ("quantization_config", "shared_object_id", "build_config", "jit_compile", "mask")


def plain(config: Any) -> Any:
    if isinstance(config, list):
        return [plain(item) for item in config]
    if not isinstance(config, dict):
        return config
    kept = {key: plain(value) for key, value in config.items() if key not in NEUTRAL}
    if "optimizer" in kept:  # Keras names its backend's own class
        kept["optimizer"].update(module="keras.optimizers", registered_name=None)
    return kept


def config_of(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


# Keras writes the mask of the reader's embedding as an op of the graph; real Keras reads both.
@pytest.mark.parametrize("name", ["sequential", "functional", "subclass"])
def test_config_is_the_one_keras_writes(name: str, tmp_path: Path) -> None:
    ours = plain(config_of(saved(name, tmp_path)))
    keras = plain(config_of(saving_cases.fixture_path(name)))
    if name == "functional":  # lamina counts names on in nested models
        ours = json.loads(json.dumps(ours).replace("dense_1", "dense").replace("r_1", "r"))
    assert ours == keras


@pytest.mark.parametrize("name", NAMES)
def test_weights_member_has_the_arrays_keras_writes(name: str, tmp_path: Path) -> None:
    listings = []
    for path in (saved(name, tmp_path), saving_cases.fixture_path(name)):
        with zipfile.ZipFile(path) as archive:
            assert sorted(archive.namelist()) == ["config.json", "metadata.json",
                                                  "model.weights.h5"]  # fmt: skip
            (tmp_path / "w.h5").write_bytes(archive.read("model.weights.h5"))
        listings.append([line for line in listing(tmp_path / "w.h5") if "(" in line])
    assert listings[0] == listings[1]


def dense(units: int = 2, **kwargs: Any) -> Any:
    model = lamina.Sequential([lamina.Input((3,)), lamina.layers.Dense(units, **kwargs)])
    model.compile("adam", "mse", metrics=["mae"])
    return model


X = np.arange(6, dtype="float32").reshape(2, 3)


def test_layer_shared_between_nested_models_stays_one(tmp_path: Path) -> None:
    shared = lamina.layers.Dense(3)
    first = lamina.Sequential([lamina.Input((3,)), shared])
    second = lamina.Sequential([lamina.Input((3,)), shared, lamina.layers.Dense(1)])
    inputs = lamina.Input((3,))
    model = lamina.Model(inputs, second(first(inputs)))
    model.save(tmp_path / "m.keras")
    loaded = lamina.models.load_model(tmp_path / "m.keras")
    assert len(loaded.weights) == 4
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))


def test_compile_false_leaves_the_model_uncompiled(tmp_path: Path) -> None:
    dense().save(tmp_path / "m.keras")
    loaded = lamina.saving.load_model(tmp_path / "m.keras", compile=False)
    assert not loaded.compiled and loaded.optimizer is None


def test_uncompiled_and_unbuilt_models(tmp_path: Path) -> None:
    lamina.Sequential([lamina.layers.Dense(2)]).save(tmp_path / "m.keras")
    loaded = lamina.saving.load_model(tmp_path / "m.keras")
    assert not loaded.built and not loaded.compiled
    assert loaded.get_compile_config() == {}


def test_compile_config_round_trip() -> None:
    model = dense()
    other = lamina.Sequential([lamina.Input((3,)), lamina.layers.Dense(2)])
    other.compile_from_config(model.get_compile_config())
    assert other.get_compile_config() == model.get_compile_config()
    assert len(other.optimizer.variables) == 6


def test_own_compile_method_is_warned_about() -> None:
    class Own(lamina.Sequential):
        def compile(self, rate: float) -> None:
            super().compile(lamina.optimizers.SGD(rate), "mse")

    model = Own([lamina.Input((3,)), lamina.layers.Dense(2)])
    with pytest.warns(UserWarning, match="compile_from_config"):
        model.compile_from_config({"optimizer": "sgd"})
    assert not model.compiled


def test_weights_alone_of_a_model_file(tmp_path: Path) -> None:
    model, other = dense(), dense()
    model.save(tmp_path / "m.keras")
    other.load_weights(tmp_path / "m.keras")
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])
    with pytest.raises(ValueError, match=r"m\.keras.*model\.weights\.h5.*shape"):
        dense(5).load_weights(tmp_path / "m.keras")


def test_custom_objects_by_argument_scope_and_not_at_all(tmp_path: Path) -> None:
    def doubled(x: Any) -> Any:
        return x * 2.0

    path = tmp_path / "m.keras"
    model = dense(activation=doubled)
    model.save(path)
    expected = model.predict(X, verbose=0)
    loaded = lamina.saving.load_model(path, custom_objects={"doubled": doubled})
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), expected)
    with lamina.saving.custom_object_scope({"doubled": doubled}):
        lamina.saving.load_model(path)
    with pytest.raises((TypeError, ValueError), match="doubled"):
        lamina.saving.load_model(path)


@pytest.mark.parametrize("name", ["m.h5x", "m", "m.keras.zip"])
def test_other_suffixes_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Invalid filepath extension"):
        dense().save(tmp_path / name)
    with pytest.raises(ValueError, match="File format not supported"):
        lamina.saving.load_model(tmp_path / name)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="File not found.*nowhere"):
        lamina.saving.load_model(tmp_path / "nowhere.keras")


def test_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    dense().save(path)
    kept = path.read_bytes()
    with pytest.raises(ValueError, match="exists"):
        dense().save(path, overwrite=False)
    assert path.read_bytes() == kept
    dense().save(path)
    assert path.read_bytes() != kept


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_interrupted_save_keeps_the_old_file(
    function: str, tmp_path: Path, monkeypatch: Any
) -> None:
    path = tmp_path / "m.keras"
    dense().save(path)
    kept = path.read_bytes()

    def fail(*args: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(os, function, fail)
        with pytest.raises(OSError, match="disk full"):
            dense().save(path)
    assert path.read_bytes() == kept
    assert [p.name for p in tmp_path.iterdir()] == ["m.keras"]


@pytest.mark.parametrize("delay", [0.02, 0.1, 0.25])
def test_killed_while_saving_leaves_a_whole_file(delay: float, tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    dense().save(path)
    code = f"""
        import lamina
        model = lamina.saving.load_model({str(path)!r})
        print("ready", flush=True)
        while True:
            model.save({str(path)!r})
    """
    program = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        time.sleep(delay)
        process.kill()
    assert lamina.saving.load_model(path).built


def test_checkpoint_of_whole_models_goes_on_as_if_never_interrupted(tmp_path: Path) -> None:
    x, y = np.tile(X, (4, 1)), np.ones((8, 2), "float32")
    model = dense()
    callback = lamina.callbacks.ModelCheckpoint(tmp_path / "{epoch}-{loss:.3f}.keras")
    model.fit(x, y, epochs=4, shuffle=False, verbose=0, callbacks=[callback])
    second = next(tmp_path.glob("2-*.keras"))
    resumed = lamina.saving.load_model(second)
    resumed.fit(x, y, epochs=4, initial_epoch=2, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(list(tmp_path.iterdir())) == 4


def test_training_in_the_file_is_decided_by_the_call(tmp_path: Path) -> None:
    """Keras writes `training: false` for each layer that takes it, and does not mean it."""
    inputs = lamina.Input((50,))
    lamina.Model(inputs, lamina.layers.Dropout(0.5)(inputs)).save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    config["config"]["layers"][1]["inbound_nodes"][0]["kwargs"] = {"training": False}
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    model = lamina.saving.load_model(tmp_path / "m.keras")
    x = np.ones((2, 50), "float32")
    assert (model(x, training=True).numpy() == 0).any()
    np.testing.assert_array_equal(model(x).numpy(), x)
