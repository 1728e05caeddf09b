"""Weights in several files, models in folders, and the editor of weights files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina

h5py = pytest.importorskip("h5py")

KILOBYTE = 1 / (1 << 20)  # in gigabytes
X = np.ones((2, 20), "float32")


def model(units: int = 10) -> Any:
    k = lamina.layers
    made = lamina.Sequential([lamina.Input((20,)), k.Dense(units, name="a"), k.Dense(3, name="b")])
    made.compile("adam", "mse")
    made.train_on_batch(X, np.zeros((2, 3), "float32"))
    return made


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def same(a: Any, b: Any) -> bool:
    pairs = zip(a.get_weights(), b.get_weights(), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def test_weights_over_several_files(tmp_path: Path) -> None:
    source, other = model(), model()
    path = tmp_path / "m.weights.json"
    source.save_weights(path, max_shard_size=KILOBYTE)
    shards = [name for name in names(tmp_path) if name.endswith(".weights.h5")]
    assert shards[:2] == ["m_00000.weights.h5", "m_00001.weights.h5"]
    index = json.loads(path.read_text(encoding="utf-8"))
    total = sum(
        np.asarray(v.numpy()).nbytes for v in [*source.weights, *source.optimizer.variables]
    )
    assert index["metadata"]["total_size"] == total
    assert index["weight_map"]["/layers/dense/vars"] == shards[:1]
    assert len(index["weight_map"]["/optimizer/vars"]) > 1
    assert not same(source, other)
    other.load_weights(path)
    assert same(source, other)
    for a, b in zip(source.optimizer.variables, other.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_saving_again_leaves_no_old_files(tmp_path: Path) -> None:
    path = tmp_path / "m.weights.json"
    for _ in range(3):
        source = model()
        source.save_weights(path, max_shard_size=KILOBYTE)
        listed = json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()
        assert {path.name, *(name for shards in listed for name in shards)} == set(names(tmp_path))
        other = model()
        other.load_weights(path)
        assert same(source, other)


def test_failing_while_saving_keeps_the_old_weights(tmp_path: Path, monkeypatch: Any) -> None:
    path, source, other = tmp_path / "m.weights.json", model(), model()
    source.save_weights(path, max_shard_size=KILOBYTE)
    kept = names(tmp_path)

    def fail(*args: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="disk full"):
            model().save_weights(path, max_shard_size=KILOBYTE)
    assert names(tmp_path) == kept
    other.load_weights(path)
    assert same(source, other)


def test_refused_arguments(tmp_path: Path) -> None:
    source = model()
    with pytest.raises(ValueError, match="exceeds the maximum shard size"):
        source.save_weights(tmp_path / "m.weights.json", max_shard_size=KILOBYTE / 8)
    assert names(tmp_path) == []
    with pytest.raises(ValueError, match=r"weights\.json"):
        source.save_weights(tmp_path / "m.json", max_shard_size=1)
    with pytest.raises(ValueError, match=r"weights\.h5"):
        source.save_weights(tmp_path / "m.weights.json")
    with pytest.warns(UserWarning, match=r"m\.weights\.json"):
        source.save_weights(tmp_path / "m.weights.h5", max_shard_size=1)
    assert names(tmp_path) == ["m.weights.json", "m_00000.weights.h5"]


@pytest.mark.parametrize("name", ["../up.h5", "/etc/x.h5", "a\\b.h5", "c:x.h5", 3, "x.npz", ".."])
def test_index_that_leads_elsewhere(name: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.weights.json"
    path.write_text(json.dumps({"weight_map": {"/vars": [name]}}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"m\.weights\.json.*not a file beside"):
        model().load_weights(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3}}'])
def test_damaged_index(text: str, tmp_path: Path) -> None:
    path = tmp_path / "m.weights.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"m\.weights\.json.*index"):
        model().load_weights(path)


def test_damaged_linked_and_missing_files(tmp_path: Path) -> None:
    path, source = tmp_path / "m.weights.json", model()
    source.save_weights(path, max_shard_size=1)
    shard = tmp_path / "m_00000.weights.h5"
    data = shard.read_bytes()
    shard.write_bytes(data[:500])
    with pytest.raises(ValueError, match=r"m_00000"):
        source.load_weights(path)
    shard.rename(tmp_path / "moved.h5")
    with pytest.raises(ValueError, match=r"m_00000"):
        source.load_weights(path)
    (tmp_path / "moved.h5").write_bytes(data)
    shard.symlink_to(tmp_path / "moved.h5")
    with pytest.raises(ValueError, match="link"):
        source.load_weights(path)


# Folders


def test_model_as_a_folder(tmp_path: Path) -> None:
    source = model()
    for _ in range(2):  # the second time over the first
        source.save(tmp_path / "m", zipped=False)
    assert names(tmp_path) == ["m"]
    assert names(tmp_path / "m") == ["config.json", "metadata.json", "model.weights.h5"]
    assert same(source, lamina.saving.load_model(tmp_path / "m"))
    with pytest.raises(ValueError, match="should not end in"):
        source.save(tmp_path / "m.keras", zipped=False)
    (tmp_path / "m" / "config.json").unlink()
    with pytest.raises(ValueError, match=r"config\.json.*missing"):
        lamina.saving.load_model(tmp_path / "m")
    (tmp_path / "m" / "config.json").symlink_to("/etc/passwd")
    with pytest.raises(ValueError, match=r"config\.json.*link"):
        lamina.saving.load_model(tmp_path / "m")


# The editor


def test_editor_makes_a_file_fit_another_model(tmp_path: Path, capsys: Any) -> None:
    source = model()
    source.save(tmp_path / "m.keras")
    editor = lamina.saving.KerasFileEditor(tmp_path / "m.keras")
    assert editor.metadata["keras_version"].startswith("3")
    assert editor.weights_dict["layers"]["dense"]["0"].shape == (20, 10)
    assert editor.object_metadata["layers/dense"] == {"name": "a"}
    editor.summary()
    assert "dense_1" in capsys.readouterr().out
    result = editor.compare(source)
    assert result == {"status": "success", "error_count": 0, "match_count": 4}
    wider = model(11)
    assert editor.compare(wider)["error_count"] == 3
    editor.add_weights("dense", {"0": np.ones((20, 11)), "1": np.ones(11)})
    editor.delete_weight("dense_1", "0")
    assert editor.compare(wider) == {"status": "error", "error_count": 1, "match_count": 3}
    editor.add_weights("layers/dense_1", {"0": np.ones((11, 3))})
    editor.delete_object("optimizer")
    editor.save(tmp_path / "w.weights.h5")
    with pytest.warns(UserWarning, match="optimizer"):
        wider.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_array_equal(wider.get_weights()[0], np.ones((20, 11)))


def test_editor_names_objects(tmp_path: Path) -> None:
    model().save_weights(tmp_path / "w.weights.h5")
    editor = lamina.saving.KerasFileEditor(tmp_path / "w.weights.h5")
    editor.rename_object("dense_1", "dense_2")
    editor.add_object("layers/more/dense", {"0": np.ones(2)})
    assert set(editor.weights_dict["layers"]) == {"dense", "dense_2", "more"}
    with pytest.raises(ValueError, match="several"):
        editor.delete_object("dense")
    with pytest.raises(ValueError, match="no object"):
        editor.delete_object("absent")
    with pytest.raises(ValueError, match="already"):
        editor.rename_object("dense_2", "dense")
    with pytest.raises(ValueError, match="no weight"):
        editor.delete_weight("dense_2", "7")
    with pytest.raises(ValueError, match="name must end"):
        editor.save(tmp_path / "x.h5")
    with pytest.raises(ValueError, match="name must end"):
        lamina.saving.KerasFileEditor(tmp_path / "x.h5")
