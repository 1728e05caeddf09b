"""lamina.profile and fit(profile=...): what a profile holds, and that nothing else changes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import layers, ops
from lamina.profiling import Limits, Profile, ProfileOptions
from tests.processes import ROOT

ROWS = 32


def images() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.random((80, 8, 8, 3), np.float32)
    return x, random.integers(0, 5, 80)


def classifier() -> Any:
    lamina.utils.set_random_seed(3)
    model = lamina.Sequential(
        [
            lamina.Input((8, 8, 3)),
            layers.Conv2D(16, 3, activation="relu", name="first"),
            layers.BatchNormalization(name="norm"),
            layers.Dropout(0.3, name="drop"),
            layers.Flatten(name="flat"),
            layers.Dense(5, name="last"),
        ],
        name="net",
    )
    model.compile(
        "adam",
        lamina.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def state_of(model: Any) -> list[np.ndarray]:
    return [np.array(v) for v in (*model.variables, *model.optimizer.variables)]


@pytest.fixture(scope="module")
def trained() -> Profile:
    return lamina.profile(classifier(), *images(), batch_size=ROWS, steps=4)


def only(profile: Profile, layer: str, phase: str, name: str) -> Any:
    [found] = [
        op for op in profile.ops
        if op.layer == layer and op.phase == phase and op.name.startswith(name)
    ]  # fmt: skip
    return found


# ---- what a profile holds


def test_every_layer_that_computes_has_forward_and_backward_operations(trained: Profile) -> None:
    found = {(layer, op.phase) for op in trained.ops for layer in op.layers}
    for layer in ("first", "norm", "drop", "last"):
        assert (layer, "forward") in found
        assert (layer, "backward") in found
    assert ("(loss)", "forward") in found
    assert ("(optimizer)", "update") in found
    assert ("(metrics)", "update") in found
    assert ("(batch)", "data") in found


def test_flops_and_bytes_of_dense_and_conv_are_those_of_the_formulas(trained: Profile) -> None:
    features = 6 * 6 * 16
    dense = only(trained, "last", "forward", "dense")
    assert dense.flops == 2 * ROWS * features * 5
    assert dense.bytes_read == 4 * (ROWS * features + features * 5 + 5)
    assert dense.bytes_written == 4 * ROWS * 5
    conv = only(trained, "first", "forward", "conv+relu")
    assert conv.flops == 2 * ROWS * 6 * 6 * 16 * 3 * 3 * 3
    assert conv.bytes_read == 4 * (ROWS * 8 * 8 * 3 + 3 * 3 * 3 * 16 + 16)
    weight_gradient = only(trained, "first", "backward", "conv_weight_grad")
    assert weight_gradient.flops == conv.flops


def test_times_are_those_of_the_steps_that_ran(trained: Profile) -> None:
    assert trained.step.count == 4
    assert 0 < trained.step.best <= trained.step.seconds
    for op in trained.ops:
        assert op.calls == 4
        assert 0 <= op.best <= op.seconds
        assert op.best <= op.mean
        assert 0 <= op.serial
        assert op.busy > 0 or op.seconds == 0
    assert trained.seconds == pytest.approx(sum(op.seconds for op in trained.ops))
    assert sum(layer.seconds for layer in trained.layers) == pytest.approx(trained.seconds)
    assert sum(layer.share for layer in trained.layers) == pytest.approx(1.0)


def test_the_arena_map_lies_in_the_arena(trained: Profile) -> None:
    arena = trained.arena
    assert arena["parameters"] == 4 * sum(v.numpy().size for v in classifier().weights)
    assert arena["optimizer"] > 0
    assert arena["buffers"]
    steps = 1 + max(op.index for op in trained.ops if op.phase != "data")
    for buffer in arena["buffers"]:
        assert 0 <= buffer.offset
        assert buffer.offset + buffer.bytes <= arena["bytes"]
        assert -1 <= buffer.first <= buffer.last <= steps
    for a in arena["buffers"]:
        for b in arena["buffers"]:
            apart = a.offset + a.bytes <= b.offset or b.offset + b.bytes <= a.offset
            assert a is b or apart or a.last < b.first or b.last < a.first


def test_predict_has_no_backward_operations() -> None:
    profile = lamina.profile(classifier(), images()[0], steps=2)
    assert profile.mode == "predict"
    assert {op.phase for op in profile.ops} == {"data", "forward"}
    assert profile.arena["optimizer"] == 0
    assert only(profile, "last", "forward", "dense").flops == 2 * 32 * 6 * 6 * 16 * 5


def test_without_data_a_prediction_is_timed() -> None:
    profile = lamina.profile(classifier(), batch_size=4, steps=1)
    assert profile.inputs == ("x (4, 8, 8, 3) float32",)
    nested = lamina.Model([i := lamina.Input((3,)), j := lamina.Input((2,))],
                          layers.Dense(2)(layers.Concatenate()([i, j])))  # fmt: skip
    assert len(lamina.profile(nested, steps=1).inputs) == 2


def test_layers_inside_layers_are_told_apart_when_asked() -> None:
    block = lamina.Sequential([layers.Dense(4, name="a"), layers.Dense(4, name="b")], name="block")
    model = lamina.Sequential([lamina.Input((3,)), block, layers.Dense(1, name="head")], name="m")
    profile = lamina.profile(model, np.ones((8, 3), np.float32), steps=1)
    assert {"block", "head"} <= {layer.name for layer in profile.layers}
    assert {"block/a", "block/b", "head"} <= {layer.name for layer in profile.by_layer(depth=2)}
    with pytest.raises(ValueError, match="depth"):
        profile.by_layer(0)


def test_limits_follow_the_size_of_the_data() -> None:
    limits = Limits(2, 100.0, 50.0, ((1000, 80.0), (4000, 20.0)))
    assert limits.copy_gbytes == 20.0
    assert limits.copy_gbytes_of(10) == 80.0
    assert limits.copy_gbytes_of(2000) == pytest.approx(50.0)
    assert limits.copy_gbytes_of(1e9) == 20.0
    assert limits.seconds(1e9, 0) == pytest.approx(0.01)
    assert limits.seconds(1e9, 0, item=8) == pytest.approx(0.02)
    assert limits.seconds(0, 20e9) == pytest.approx(1.0)


# ---- its forms


def test_the_table_names_layers_and_operations(trained: Profile) -> None:
    text = str(trained)
    for word in ("first", "norm", "last", "conv+relu", "adam_update", "% peak", "GB/s", "arena"):
        assert word in text
    assert len(trained.table(most_ops=3).splitlines()) < len(text.splitlines())
    assert "more operations" in trained.table(most_ops=3)
    assert "net" in repr(trained)
    assert trained._repr_html_().startswith("<pre>")
    assert max(len(line) for line in text.splitlines()) < 180


def test_to_dict_is_json(trained: Profile) -> None:
    data = json.loads(json.dumps(trained.to_dict()))
    assert {"step", "limits", "layers", "ops", "arena"} <= set(data)
    assert len(data["ops"]) == len(trained.ops)
    assert data["ops"][0]["gflops"] == trained.ops[0].gflops


def test_the_trace_is_well_formed(trained: Profile, tmp_path: Path) -> None:
    trained.save_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    slices = [event for event in events if event["ph"] == "X"]
    assert all(event["dur"] >= 0 and event["ts"] >= 0 for event in slices)
    assert len([e for e in slices if e["cat"] == "step"]) == 4
    names = {e["name"] for e in slices if e["cat"] == "phase"}
    assert names == {"data", "forward", "backward", "update"}
    steps = [e for e in slices if e["cat"] == "step"]
    for event in slices:  # each lies in one of the steps
        if event["tid"] == 0:
            assert any(
                s["ts"] <= event["ts"] and event["ts"] + event["dur"] <= s["ts"] + s["dur"] + 1e-3
                for s in steps
            )
    counters = [event for event in events if event["ph"] == "C"]
    assert max(e["args"]["bytes in use"] for e in counters) <= trained.arena_bytes
    assert any(event["name"] == "thread_name" for event in events)


def test_the_picture_is_a_png(trained: Profile, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figure = trained.plot(tmp_path / "profile.png")
    assert (tmp_path / "profile.png").read_bytes().startswith(b"\x89PNG")
    assert len(figure.axes) == 3


def test_a_profile_without_arithmetic_can_be_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    model = lamina.Sequential([lamina.Input((3,)), layers.Reshape((3, 1))])
    profile = lamina.profile(model, np.ones((2, 3), np.float32), steps=1)
    profile.save(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"table.txt", "trace.json", "profile.png"}


def test_drawing_without_matplotlib_says_what_to_install(
    trained: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        trained.plot()
    trained.save(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"table.txt", "trace.json"}


# ---- nothing else changes


def test_profiling_leaves_the_model_as_it_was() -> None:
    model, twin, (x, y) = classifier(), classifier(), images()
    for one in (model, twin):
        one.fit(x, y, epochs=1, verbose=0, shuffle=False)
    before, logs = state_of(model), model.evaluate(x, y, verbose=0)
    lamina.profile(model, x, y, steps=3)
    for a, b in zip(before, state_of(model), strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.evaluate(x, y, verbose=0) == logs
    for one in (model, twin):  # dropout goes on where it was, too
        one.fit(x, y, epochs=1, verbose=0, shuffle=False)
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_fit_gives_the_same_weights_with_a_profile(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = images()
    how: dict[str, Any] = {"epochs": 2, "verbose": 0, "validation_split": 0.25}
    seen: list[int] = []
    callback = lamina.callbacks.LambdaCallback(on_train_batch_end=lambda b, logs: seen.append(b))
    plain = classifier()
    first = plain.fit(x, y, **how)
    watched = classifier()  # which seeds the random numbers anew
    second = watched.fit(x, y, **how, profile=True, callbacks=[callback])
    assert first.history == second.history
    for a, b in zip(plain.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert seen == [0, 1, 0, 1]
    assert "Profile of 'net' (train)" in capsys.readouterr().out
    assert second.profile.step.count == 2  # of the whole batches; the last ones are smaller
    assert {op.phase for op in second.profile.ops} == {"data", "forward", "backward", "update"}
    assert not hasattr(plain.fit(x, y, verbose=0), "profile")


def test_fit_writes_to_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = images()
    history = classifier().fit(x, y, verbose=0, profile=tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "table.txt").read_text().startswith("Profile of 'net'")
    assert capsys.readouterr().out == ""
    assert isinstance(history.profile, Profile)
    options = {"path": str(tmp_path / "c"), "steps": 1}
    assert classifier().fit(x, y, verbose=0, profile=options).profile.step.count == 1
    assert (tmp_path / "c" / "trace.json").exists()


def test_fit_profiles_generators_and_own_train_steps() -> None:
    class Own(lamina.Model):
        def __init__(self) -> None:
            super().__init__(name="own")
            self.dense = layers.Dense(1, name="dense")

        def call(self, x: Any) -> Any:
            return self.dense(x)

        def train_step(self, data: Any) -> dict[str, Any]:
            x, y = data
            loss = ops.mean(ops.square(self(x) - y))
            weights = self.trainable_variables
            self.optimizer.apply(lamina.gradients(loss, weights), weights)
            return {"loss": loss}

    def batches() -> Any:
        for _ in range(3):
            yield np.ones((4, 2), np.float32), np.ones((4, 1), np.float32)

    model = Own()
    model.compile("sgd")
    profile = model.fit(batches(), verbose=0, profile=ProfileOptions(steps=8)).profile
    assert profile.step.count == 3
    assert {"forward", "backward", "update"} <= {op.phase for op in profile.ops}
    assert "dense" in {layer for op in profile.ops for layer in op.layers}


def test_importing_lamina_does_not_load_the_profiler() -> None:
    code = "import sys, lamina; print([m for m in sys.modules if m.startswith('lamina.profiling')])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_page_shows_the_profiles_that_its_tool_makes() -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    for name in ("cnn_bn", "transformer"):
        shown = page.split(f"<!-- profile {name} -->")[1].split(f"<!-- end {name} -->")[0]
        assert "| kind of operation |" in shown
        assert "% peak" in shown
        picture = ROOT / "docs" / "images" / f"profile-{name}.png"
        assert f"(images/{picture.name})" in shown
        assert picture.read_bytes().startswith(b"\x89PNG")


# ---- complaints


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"mode": "test"}, "mode must be 'train' or 'predict'. Got 'test'"),
        ({"steps": 0}, "steps must be >= 1. Got 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number >= 1. Got 2.5"),
        ({"x": None}, "y is given without x"),
        ({"x": None, "y": None, "mode": "train"}, "needs x and y"),
        ({"y": np.zeros(3)}, "rows"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], complaint: str) -> None:
    x, y = images()
    with pytest.raises(ValueError, match=complaint):
        lamina.profile(classifier(), **{"x": x, "y": y, **arguments})


def test_what_cannot_be_profiled_is_refused() -> None:
    x, y = images()
    with pytest.raises(TypeError, match="must be a lamina Model"):
        lamina.profile("model", x, y)  # type: ignore[arg-type]
    plain = lamina.Sequential([lamina.Input((2,)), layers.Dense(1)])
    with pytest.raises(ValueError, match="not compiled"):
        lamina.profile(plain, np.ones((2, 2)), np.ones((2, 1)))
    eager = classifier()
    eager.run_eagerly = True
    with pytest.raises(ValueError, match="eagerly"):
        lamina.profile(eager, x, y)
    with pytest.raises(ValueError, match="eagerly"):
        eager.fit(x, y, verbose=0, profile=True)
    unknown = lamina.Sequential([layers.Dense(1)])
    with pytest.raises(ValueError, match="x is needed"):
        lamina.profile(unknown)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (3, "profile must be True, False, the path"),
        ({"pth": "a"}, "profile knows the options .*Got 'pth'"),
        ({"steps": 0}, "steps must be a whole number from 1"),
        ({"steps": True}, "steps must be a whole number from 1"),
    ],
)
def test_bad_options_of_fit_are_named(value: Any, complaint: str) -> None:
    x, y = images()
    with pytest.raises(ValueError, match=complaint):
        classifier().fit(x, y, verbose=0, profile=value)
