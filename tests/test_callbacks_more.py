"""SwapEMAWeights, RemoteMonitor and TensorBoard."""

from __future__ import annotations

import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import callbacks, layers

X = np.random.RandomState(0).rand(8, 3).astype("float32")
Y = np.random.RandomState(1).rand(8, 1).astype("float32")


def make_model(**options: Any) -> lamina.Model:
    model = lamina.Sequential(
        [lamina.Input((3,)), layers.Dense(1, kernel_initializer="ones", use_bias=False)]
    )
    model.compile(lamina.optimizers.SGD(0.1, **options), "mse", metrics=["mae"])
    return model


# ---- SwapEMAWeights


class Spy(callbacks.Callback):
    """Notes the weights that each hook sees."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, np.ndarray, np.ndarray]] = []

    def _note(self, hook: str) -> None:
        average = self.model.optimizer._model_variables_moving_average[0]
        weight = self.model.layers[0].kernel
        self.seen.append((hook, weight.numpy().copy(), average.numpy().copy()))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._note(f"begin {epoch}")

    def on_test_begin(self, logs: Any = None) -> None:
        self._note("test begin")

    def on_test_end(self, logs: Any = None) -> None:
        self._note("test end")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._note(f"end {epoch}")


def test_validation_sees_the_averages() -> None:
    model, spy = make_model(use_ema=True, ema_momentum=0.5), Spy()
    model.fit(
        X, Y, epochs=2, validation_data=(X, Y), verbose=0,
        callbacks=[callbacks.SwapEMAWeights(), spy],
    )  # fmt: skip
    seen = {hook: (weight, average) for hook, weight, average in spy.seen}
    weight, average = seen["end 1"]
    assert not np.array_equal(weight, average)
    np.testing.assert_array_equal(seen["test begin"][0], average)
    np.testing.assert_array_equal(seen["test begin"][1], weight)
    np.testing.assert_array_equal(seen["test end"][0], weight)
    np.testing.assert_array_equal(model.layers[0].kernel.numpy(), average)  # as Keras ends


def test_the_end_of_an_epoch_sees_the_averages_when_asked() -> None:
    model, spy = make_model(use_ema=True, ema_momentum=0.5), Spy()
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[callbacks.SwapEMAWeights(True), spy])
    seen = {hook: (weight, average) for hook, weight, average in spy.seen}
    np.testing.assert_array_equal(seen["begin 2"][0], seen["end 1"][1])
    np.testing.assert_array_equal(seen["begin 2"][1], seen["end 1"][0])
    np.testing.assert_array_equal(seen["end 2"][0], seen["end 2"][1])


def test_swapping_needs_averages() -> None:
    with pytest.raises(ValueError, match="use_ema=True"):
        make_model().evaluate(X, Y, verbose=0, callbacks=[callbacks.SwapEMAWeights()])


# ---- RemoteMonitor


@pytest.fixture
def server() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A web server that keeps what it is sent: (content type, body)."""
    received: list[tuple[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            received.append((self.headers["Content-Type"], body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", received
        running.shutdown()


def test_the_remote_monitor_posts_every_epoch(server: Any) -> None:
    root, received = server
    monitors = [
        callbacks.RemoteMonitor(root, send_as_json=True),
        callbacks.RemoteMonitor(root, field="epoch_logs"),
    ]
    history = make_model().fit(X, Y, epochs=2, verbose=0, callbacks=monitors).history
    assert [kind.split("/")[1] for kind, _ in received] == ["json", "x-www-form-urlencoded"] * 2
    last = json.loads(received[2][1])
    assert last == {"epoch": 1, "loss": history["loss"][1], "mae": history["mae"][1]}
    assert json.loads(urllib.parse.parse_qs(received[3][1])["epoch_logs"][0]) == last


def test_an_unreachable_server_costs_a_warning_only() -> None:
    monitor = callbacks.RemoteMonitor("http://127.0.0.1:9")
    with pytest.warns(UserWarning, match="could not reach"):
        make_model().fit(X, Y, verbose=0, callbacks=[monitor])


# ---- TensorBoard


def read_events(folder: Path) -> dict[str, list[tuple[int, str, Any]]]:
    """What TensorBoard's own reader finds: tag -> [(step, plugin, value)]."""
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    from tensorboard.util import tensor_util

    found: dict[str, list[tuple[int, str, Any]]] = {}
    for file in sorted(folder.iterdir()):
        for event in loader.EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                plugin = value.metadata.plugin_data.plugin_name
                array = tensor_util.make_ndarray(value.tensor)
                found.setdefault(value.tag, []).append((event.step, plugin, array))
    return found


def test_tensorboard_reads_what_is_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    model = make_model()
    board = callbacks.TensorBoard(tmp_path, histogram_freq=1, write_images=True, update_freq=1)
    history = model.fit(
        X, Y, batch_size=4, epochs=2, validation_data=(X, Y), verbose=0, callbacks=[board]
    ).history
    train, validation = read_events(tmp_path / "train"), read_events(tmp_path / "validation")
    losses = [value.item() for _, _, value in train["epoch_loss"]]
    np.testing.assert_allclose(losses, history["loss"], rtol=1e-6)
    assert [step for step, _, _ in train["batch_mae"]] == [1, 2, 3, 4]
    np.testing.assert_allclose(train["epoch_learning_rate"][0][2], 0.1, rtol=1e-6)
    step, plugin, rows = train[f"{model.weights[0].path}/histogram"][1]
    kernel = model.weights[0].numpy()
    assert (step, plugin, rows.shape, rows[:, 2].sum()) == (1, "histograms", (30, 3), kernel.size)
    np.testing.assert_allclose([rows[0, 0], rows[-1, 1]], [kernel.min(), kernel.max()], rtol=1e-6)
    assert train[f"{model.weights[0].path}/image"][0][1] == "images"
    assert json.loads(train["keras"][0][2].item())["class_name"] == "Sequential"
    values = [value.item() for _, _, value in validation["epoch_loss"]]
    np.testing.assert_allclose(values, history["val_loss"], rtol=1e-6)
    assert [s for s, _, _ in validation["evaluation_loss_vs_iterations"]] == [2, 4]


def test_tensorboard_writes_embeddings_for_the_projector(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    model = lamina.Sequential(
        [lamina.Input((2,), dtype="int32"), layers.Embedding(5, 3, name="words"), layers.Flatten(),
         layers.Dense(1)]
    )  # fmt: skip
    model.compile("sgd", "mse")
    board = callbacks.TensorBoard(tmp_path, embeddings_freq=1, embeddings_metadata="labels.tsv")
    model.fit(np.ones((4, 2), "int32"), np.ones((4, 1)), verbose=0, callbacks=[board])
    table = np.loadtxt(tmp_path / "train" / "words.tsv", delimiter="\t")
    np.testing.assert_allclose(table, model.get_layer("words").get_weights()[0], rtol=1e-5)
    assert (
        'metadata_path: "labels.tsv"' in (tmp_path / "train" / "projector_config.pbtxt").read_text()
    )


def test_tensorboard_refuses_another_frequency() -> None:
    with pytest.raises(ValueError, match="update_freq"):
        callbacks.TensorBoard(update_freq="sometimes")
