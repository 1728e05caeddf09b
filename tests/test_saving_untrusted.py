"""Model files as attacks: refused with the file and the member named, in little memory."""

from __future__ import annotations

import copy
import io
import json
import os
import resource
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina

h5py = pytest.importorskip("h5py")

MEGABYTE = 1 << 20
MEMBERS = ("metadata.json", "config.json", "model.weights.h5")


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A file in which nothing is wrong."""
    model = lamina.Sequential([lamina.Input((3,)), lamina.layers.Dense(2, activation="relu")])
    model.compile("adam", "mse", metrics=[lamina.metrics.AUC()])
    path = tmp_path / "good.keras"
    model.save(path)
    return path


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in MEMBERS}


def rewritten(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    """Write `bad.keras` beside `path`, with these members in place of its own or beside them."""
    bad = path.with_name("bad.keras")
    with zipfile.ZipFile(bad, "w", method) as archive:
        for name, data in {**contents(path), **members}.items():
            archive.writestr(name, data)
    return bad


def assert_refused(path: Path, member: str, *words: str, kind: Any = ValueError) -> None:
    with pytest.raises(kind) as caught:
        lamina.saving.load_model(path)
    for word in (path.name, member, *words):
        assert word in str(caught.value)


# The archive


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../../up", "a/../../up", "..\\up", "C:\\up", "\\\\host\\up"]
)
def test_names_that_lead_out(name: str, good: Path) -> None:
    assert_refused(rewritten(good, {name: b"x"}), "up" if "up" in name else "passwd", "out of")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
@pytest.mark.parametrize("name", ["config.json", "extra"])
def test_links_and_devices(kind: int, name: str, good: Path) -> None:
    bad = good.with_name("bad.keras")
    with zipfile.ZipFile(bad, "w") as archive:
        for member, data in {**contents(good), "extra": b"/etc/passwd"}.items():
            info = zipfile.ZipInfo(member)
            info.create_system = 3
            info.external_attr = ((kind if member == name else stat.S_IFREG) | 0o644) << 16
            archive.writestr(info, data)
    assert_refused(bad, name, "link")


@pytest.mark.parametrize("name", MEMBERS)
def test_member_twice(name: str, good: Path) -> None:
    bad = rewritten(good, {})
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(bad, "a") as archive:
        archive.writestr(name, b"{}")
    assert_refused(bad, name, "twice")


@pytest.mark.parametrize("name", MEMBERS)
def test_missing_member(name: str, good: Path) -> None:
    bad = good.with_name("bad.keras")
    with zipfile.ZipFile(bad, "w") as archive:
        for member, data in contents(good).items():
            if member != name:
                archive.writestr(member, data)
    assert_refused(bad, name, "missing")


def test_unknown_members_may_be_small_but_not_huge(good: Path) -> None:
    lamina.saving.load_model(rewritten(good, {"notes.txt": b"hello"}))
    assert_refused(rewritten(good, {"notes.bin": bytes(2 * MEGABYTE)}), "notes.bin", "too large")


def test_too_many_members(good: Path) -> None:
    bad = rewritten(good, {f"extra{i}": b"" for i in range(1100)})
    assert_refused(bad, "", "members")


def test_huge_table_of_contents(good: Path) -> None:
    bad = rewritten(good, {f"{i:05}{'x' * 60000}": b"" for i in range(20)})
    assert_refused(bad, "", "table of contents")


@pytest.mark.parametrize("name", MEMBERS)
def test_bombs(name: str, good: Path) -> None:
    bad = rewritten(good, {name: bytes(80 * MEGABYTE)}, zipfile.ZIP_DEFLATED)
    assert bad.stat().st_size < MEGABYTE
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert_refused(bad, name)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # kilobytes


def test_compressed_archives_are_read(good: Path) -> None:
    a = lamina.saving.load_model(good)
    b = lamina.saving.load_model(rewritten(good, {}, zipfile.ZIP_DEFLATED))
    np.testing.assert_array_equal(a.get_weights()[0], b.get_weights()[0])
    assert_refused(rewritten(good, {}, zipfile.ZIP_LZMA), "metadata.json", "method")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("size", [1, 10**6, 2**31])
def test_announced_sizes_are_not_believed(size: int, method: int, good: Path) -> None:
    bad = rewritten(good, {}, method)
    data = bytearray(bad.read_bytes())
    place = data.rindex(b"PK\x01\x02", 0, data.rindex(b"model.weights.h5"))
    data[place + 24 : place + 28] = size.to_bytes(4, "little")  # unpacked size
    bad.write_bytes(data)
    assert_refused(bad, "model.weights.h5")


@pytest.mark.parametrize("part", [0.0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.9999])
def test_truncated_files(part: float, good: Path) -> None:
    data = good.read_bytes()
    bad = good.with_name("bad.keras")
    bad.write_bytes(data[: int(part * len(data))])
    assert_refused(bad, "", "zip archive")


def test_flipped_bytes_are_found_or_change_nothing(good: Path) -> None:
    expected = lamina.saving.load_model(good).get_weights()
    data, bad = good.read_bytes(), good.with_name("bad.keras")
    found = 0
    for place in range(3, len(data), 331):
        bad.write_bytes(data[:place] + bytes([data[place] ^ 0x15]) + data[place + 1 :])
        try:
            loaded = lamina.saving.load_model(bad).get_weights()
        except ValueError as error:
            assert "bad.keras" in str(error)
            found += 1
        else:
            for a, b in zip(expected, loaded, strict=True):
                np.testing.assert_array_equal(a, b)
    assert found > 40


# The config

Change = Callable[[dict[str, Any]], Any]


def with_config(good: Path, change: Change) -> Path:
    config = copy.deepcopy(json.loads(contents(good)["config.json"]))
    changed = change(config)
    return rewritten(good, {"config.json": json.dumps(changed or config).encode()})


def with_dense(good: Path, **settings: Any) -> Path:
    return with_config(good, lambda c: c["config"]["layers"][1]["config"].update(settings))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"x"', "{}", "\xff", "[" * 100_000])
def test_config_that_is_none(text: str, good: Path) -> None:
    bad = rewritten(good, {"config.json": text.encode("latin-1")})
    assert_refused(bad, "config.json")


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("subprocess", "Popen"), ("builtins", "eval"), ("lamina.saving", "Archive"),
     ("keras.models", "load_model"), ("keras.src.utils", "get_file"), ("lamina._core", "Variable")],
)  # fmt: skip
def test_names_outside_the_registry(module: str, name: str, good: Path) -> None:
    form = {"module": module, "class_name": name, "config": {}, "registered_name": name}
    bad = with_config(good, lambda config: config["config"]["layers"].append(form))
    assert_refused(bad, "config.json", name, kind=(TypeError, ValueError))
    function = {**form, "class_name": "function", "config": name, "registered_name": "function"}
    bad = with_dense(good, activation=function)
    assert_refused(bad, "config.json", name, kind=(TypeError, ValueError))


def test_lambda_code_does_not_run(good: Path, tmp_path: Path) -> None:
    marker = str(tmp_path / "ran")
    layer = lamina.layers.Lambda(lambda x: (open(marker, "w").close(), x)[1])
    form = lamina.saving.serialize_keras_object(layer)
    bad = with_config(good, lambda config: config["config"]["layers"].append(form))
    assert_refused(bad, "config.json", "safe_mode")
    assert not os.path.exists(marker)
    lamina.saving.load_model(bad, safe_mode=False)
    assert os.path.exists(marker)


def test_not_a_model(good: Path) -> None:
    bad = with_config(good, lambda config: config["config"]["layers"][1])
    assert_refused(bad, "config.json", "Dense")


@pytest.mark.parametrize("units", [10**8, 10**10, 2**62, 10**30, -5, "many", None, [3]])
def test_sizes_that_do_not_fit_the_weights(units: Any, good: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert_refused(with_dense(good, units=units), "config.json", kind=(ValueError, TypeError))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


@pytest.mark.parametrize("dtype", ["U400000000", "O", "V1000000000", "float32, float32", None])
def test_types_of_arrays_in_the_config(dtype: Any, good: Path) -> None:
    value = {"class_name": "__numpy__", "config": {"value": [1, 2], "dtype": dtype}}
    bad = with_dense(good, bias_initializer={"class_name": "Constant", "config": {"value": value}})
    assert_refused(bad, "config.json", "type")


def test_metric_with_endless_thresholds(good: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        config["compile_config"]["metrics"][0]["config"]["num_thresholds"] = 10**10

    assert_refused(with_config(good, change), "config.json", "num_thresholds")


def test_op_that_makes_an_array_of_its_own(good: Path) -> None:
    inputs = lamina.Input((3,))
    config = json.loads(lamina.Model(inputs, lamina.ops.exp(inputs)).to_json())
    op = config["config"]["layers"][1]
    op.update(class_name="Zeros", config={"name": op["name"]})
    op["inbound_nodes"] = [{"args": [[10**6, 10**6]], "kwargs": {}}]
    bad = with_config(good, lambda _: config)
    assert_refused(bad, "config.json", "input")


# The weights


def with_weights(good: Path, change: Callable[[Any], Any]) -> Path:
    file = io.BytesIO(contents(good)["model.weights.h5"])
    with h5py.File(file, "a") as opened:
        change(opened)
    return rewritten(good, {"model.weights.h5": file.getvalue()})


def replace(file: Any, name: str, value: Any) -> None:
    del file[name]
    file[name] = value


KERNEL = "layers/dense/vars/0"


def external(file: Any) -> None:
    replace(file, KERNEL, h5py.ExternalLink("/etc/passwd.h5", "x"))


def soft(file: Any) -> None:
    replace(file, KERNEL, h5py.SoftLink("/layers/dense/vars/1"))


def group_link(file: Any) -> None:
    replace(file, "layers/dense", h5py.ExternalLink("other.h5", "/"))


def unused_link(file: Any) -> None:
    file["unused"] = h5py.ExternalLink("other.h5", "/")


def cycle(file: Any) -> None:
    file["layers/dense/again"] = file["layers"]


def stored_elsewhere(file: Any) -> None:
    del file[KERNEL]
    file.create_dataset(KERNEL, (3, 2), "f4", external=[("/etc/passwd", 0, 24)])


def virtual(file: Any) -> None:
    del file[KERNEL]
    layout = h5py.VirtualLayout((3, 2), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (3, 2))
    file.create_virtual_dataset(KERNEL, layout)


def huge(file: Any) -> None:
    del file[KERNEL]
    file.create_dataset(KERNEL, (10**7, 10**5), "f4", chunks=(1000, 1000))


def many(file: Any) -> None:
    for i in range(30):
        file.create_dataset(f"more/{i}", (MEGABYTE,), "f4", chunks=(1000,))


def words(file: Any) -> None:
    replace(file, KERNEL, ["a", "b"])


def other_shape(file: Any) -> None:
    replace(file, KERNEL, np.zeros((2, 3), "f4"))


def absent(file: Any) -> None:
    del file[KERNEL]


def named_type(file: Any) -> None:
    file["type"] = np.dtype("f4")


def deep(file: Any) -> None:
    file.create_group("/".join("x" * 400))


@pytest.mark.parametrize(
    "change",
    [external, soft, group_link, unused_link, cycle, stored_elsewhere, virtual, huge, many, words,
     other_shape, absent, named_type, deep],
)  # fmt: skip
def test_weights_that_are_not_plain_arrays_in_the_file(
    change: Callable[[Any], None], good: Path
) -> None:
    assert_refused(with_weights(good, change), "model.weights.h5")


def test_weights_that_are_no_hdf5(good: Path) -> None:
    bad = rewritten(good, {"model.weights.h5": b"\x89HDF\r\n\x1a\n" + bytes(900)})
    assert_refused(bad, "model.weights.h5")
    assert_refused(rewritten(good, {"model.weights.h5": b""}), "model.weights.h5")


# Older files: .h5


@pytest.fixture
def good_h5(tmp_path: Path) -> Path:
    model = lamina.Sequential([lamina.Input((3,)), lamina.layers.Dense(2, activation="relu")])
    model.compile("adam", "mse")
    path = tmp_path / "bad.h5"
    with pytest.warns(UserWarning, match="older format"):
        model.save(path)
    lamina.saving.load_model(path)
    return path


def change_h5_config(path: Path, key: str, change: Callable[[dict[str, Any]], Any]) -> None:
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs[key])
        changed = change(config)
        file.attrs[key] = json.dumps(config if changed is None else changed)


def h5_kernel(path: Path) -> str:
    with h5py.File(path) as file:
        group = file["model_weights/dense"]
        return f"{group.name}/{group.attrs['weight_names'][0]}"


def h5_external(file: Any, name: str) -> None:
    replace(file, name, h5py.ExternalLink("/etc/passwd.h5", "x"))


def h5_soft(file: Any, name: str) -> None:
    replace(file, name, h5py.SoftLink("/model_weights"))


def h5_group_link(file: Any, name: str) -> None:
    replace(file, "model_weights", h5py.ExternalLink("other.h5", "/"))


def h5_optimizer_link(file: Any, name: str) -> None:
    replace(file, "optimizer_weights", h5py.SoftLink("/model_weights"))


def h5_elsewhere(file: Any, name: str) -> None:
    del file[name]
    file.create_dataset(name, (3, 2), "f4", external=[("/etc/passwd", 0, 24)])


def h5_virtual(file: Any, name: str) -> None:
    del file[name]
    layout = h5py.VirtualLayout((3, 2), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (3, 2))
    file.create_virtual_dataset(name, layout)


def h5_huge(file: Any, name: str) -> None:
    del file[name]
    file.create_dataset(name, (10**7, 10**5), "f4", chunks=(1000, 1000))


def h5_words(file: Any, name: str) -> None:
    replace(file, name, ["a", "b"])


def h5_absent(file: Any, name: str) -> None:
    del file[name]


def h5_other_shape(file: Any, name: str) -> None:
    replace(file, name, np.zeros((2, 3), "f4"))


def h5_no_names(file: Any, name: str) -> None:
    del file["model_weights"].attrs["layer_names"]


def h5_numbers_as_names(file: Any, name: str) -> None:
    file["model_weights"].attrs["layer_names"] = np.arange(3)


def h5_strange_names(file: Any, name: str) -> None:
    file["model_weights"].attrs["layer_names"] = ["../../etc", "/model_weights"]


@pytest.mark.parametrize(
    "change",
    [h5_external, h5_soft, h5_group_link, h5_optimizer_link, h5_elsewhere, h5_virtual, h5_huge,
     h5_words, h5_absent, h5_other_shape, h5_no_names, h5_numbers_as_names, h5_strange_names],
)  # fmt: skip
def test_h5_weights_that_are_not_plain_arrays(
    change: Callable[[Any, str], None], good_h5: Path
) -> None:
    name = h5_kernel(good_h5)
    with h5py.File(good_h5, "a") as file:
        change(file, name)
    assert_refused(good_h5, "")
    with pytest.raises(ValueError, match=r"bad\.h5"):
        lamina.Sequential([lamina.Input((3,)), lamina.layers.Dense(2)]).load_weights(good_h5)


@pytest.mark.parametrize("name", ["os.system", "system", "Popen", "eval", "load_model", "get_file"])
def test_h5_names_outside_the_registry(name: str, good_h5: Path) -> None:
    form = {"class_name": name, "config": {"name": "x"}}
    change_h5_config(
        good_h5, "model_config", lambda config: config["config"]["layers"].append(form)
    )
    assert_refused(good_h5, "model_config", name, kind=(TypeError, ValueError))


@pytest.mark.parametrize("version", ["2.15.0", "3.15.1"])
def test_h5_lambda_code_does_not_run(version: str, good_h5: Path, tmp_path: Path) -> None:
    marker = str(tmp_path / "ran")
    layer = lamina.layers.Lambda(lambda x: (open(marker, "w").close(), x)[1], name="lam")
    form: dict[str, Any] = lamina.saving.serialize_keras_object(layer)
    if version[0] == "2":
        code = form["config"]["function"]["config"]["code"]
        form["config"].update(function=[code, None, None], function_type="lambda")
    change_h5_config(
        good_h5, "model_config",
        lambda config: config["config"]["layers"].append(
            {"class_name": "Lambda", "config": form["config"]}
        ),
    )  # fmt: skip
    with h5py.File(good_h5, "a") as file:
        file.attrs["keras_version"] = version
    assert_refused(good_h5, "model_config", "arbitrary code")
    if version[0] == "2":  # bytes of another Python: not even then
        with pytest.raises(ValueError, match="custom_objects"):
            lamina.saving.load_model(good_h5, safe_mode=False)
    assert not os.path.exists(marker)


@pytest.mark.parametrize("units", [10**8, 2**62, 10**30, -5, "many", None, [3]])
def test_h5_sizes_that_do_not_fit_the_weights(units: Any, good_h5: Path) -> None:
    change_h5_config(
        good_h5, "model_config",
        lambda config: config["config"]["layers"][1]["config"].update(units=units),
    )  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert_refused(good_h5, "model_config", kind=(ValueError, TypeError))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"x"', "{}", "[" * 50_000])
@pytest.mark.parametrize("key", ["model_config", "training_config"])
def test_h5_configs_that_are_none(text: str, key: str, good_h5: Path) -> None:
    if (key, text) == ("training_config", "{}"):
        return  # nothing was given to compile()
    with h5py.File(good_h5, "a") as file:
        file.attrs[key] = text
    assert_refused(good_h5, key)


def test_h5_configs_of_other_types(good_h5: Path) -> None:
    for value in (3, [1.0, 2.0], np.zeros(3)):
        with h5py.File(good_h5, "a") as file:
            file.attrs["model_config"] = value
        assert_refused(good_h5, "model_config")


def test_h5_nodes_that_are_none(good_h5: Path) -> None:
    inputs = lamina.Input((3,), name="in")
    model = lamina.Model(inputs, lamina.layers.Dense(2, name="out")(inputs))
    with pytest.warns(UserWarning, match="older format"):
        model.save(good_h5)
    nodes: list[Any] = [
        3, [[]], [["in"]], [["in", 0, 7, {}]], [["in", 10**30, 0, {}]], [["absent", 0, 0, {}]],
        [{"args": 3}], "x", [["out", 0, 0, {}]],
    ]  # fmt: skip
    for version in ("2.4.0", "3.15.1"):
        for node in nodes:
            change_h5_config(
                good_h5, "model_config",
                lambda config, node=node: config["config"]["layers"][1].update(inbound_nodes=node),
            )  # fmt: skip
            with h5py.File(good_h5, "a") as file:
                file.attrs["keras_version"] = version
            assert_refused(good_h5, "", kind=(ValueError, TypeError))


def test_h5_truncated_and_flipped(good_h5: Path) -> None:
    data = good_h5.read_bytes()
    for part in (0.0, 0.01, 0.3, 0.7, 0.99):
        good_h5.write_bytes(data[: int(part * len(data))])
        assert_refused(good_h5, "")
    for place in range(3, len(data), 977):
        good_h5.write_bytes(data[:place] + bytes([data[place] ^ 0x15]) + data[place + 1 :])
        try:
            lamina.saving.load_model(good_h5)
        except (ValueError, TypeError) as error:
            assert "bad.h5" in str(error)


def test_h5_failing_while_saving_keeps_the_old_file(good_h5: Path, monkeypatch: Any) -> None:
    kept, model = good_h5.read_bytes(), lamina.saving.load_model(good_h5)

    def fail(*args: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", fail)
        with (
            pytest.raises(OSError, match="disk full"),
            pytest.warns(UserWarning, match="older format"),
        ):
            model.save(good_h5)
    assert good_h5.read_bytes() == kept
    assert [path.name for path in good_h5.parent.iterdir()] == ["bad.h5"]
