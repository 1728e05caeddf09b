"""Who is compared: lamina, Keras on each backend, plain PyTorch. Runs inside a worker process."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from bench.workloads import Workload

# Peer name -> the module whose import it needs (and whose import time is measured).
MODULES = {
    "lamina": "lamina",
    "keras-tensorflow": "tensorflow",
    "keras-jax": "jax",
    "keras-torch": "torch",
    "pytorch": "torch",
}


class Runner(Protocol):
    """A model under measurement."""

    def fit(self, epochs: int) -> None: ...
    def predict_row(self, times: int) -> None: ...


def environment(peer: str) -> dict[str, str]:
    """Environment of a peer's process: its Keras backend, no graphics card, quiet logs."""
    settings = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu"}
    if peer.startswith("keras-"):
        settings["KERAS_BACKEND"] = peer.removeprefix("keras-")
    # Every peer may keep its compiled modules, as an installed package does.
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, **settings}


def import_statement(peer: str) -> str:
    """What a user's program would import."""
    if peer.startswith("keras-"):
        return "import keras"
    return f"import {MODULES[peer]}"


def versions(peer: str) -> str:
    """Name and version of what this process runs; raises ImportError when it is missing."""
    import importlib

    module = importlib.import_module(MODULES[peer])
    text = f"{MODULES[peer]} {module.__version__}"
    if peer.startswith("keras-"):
        keras = importlib.import_module("keras")
        text = f"keras {keras.__version__} on {text}"
    return text


def make_runner(peer: str, workload: Workload) -> Runner:
    """The workload's model in the peer's library."""
    if peer == "pytorch":
        return TorchRunner(workload)
    import importlib

    keras = importlib.import_module("lamina" if peer == "lamina" else "keras")
    return KerasRunner(keras, workload)


class KerasRunner:
    """Through `fit` and `predict`, as a user would."""

    def __init__(self, keras: Any, workload: Workload) -> None:
        self.x, self.y = workload.data()
        self.batch_size = workload.batch_size
        self.model = workload.build(keras)

    def fit(self, epochs: int) -> None:
        self.model.fit(self.x, self.y, batch_size=self.batch_size, epochs=epochs, verbose=0)

    def predict_row(self, times: int) -> None:
        row = self.x[:1]
        for _ in range(times):
            self.model.predict(row, verbose=0)


class TorchRunner:
    """The loop that PyTorch users write: shuffle, gather, forward, backward, step."""

    def __init__(self, workload: Workload) -> None:
        import torch

        x, y = workload.data()
        self.torch = torch
        if workload.name == "cnn":
            x, y = np.ascontiguousarray(x.transpose(0, 3, 1, 2)), y.argmax(axis=1)
        self.x = torch.from_numpy(x.astype(np.int64) if x.dtype == np.int32 else x)
        self.y = torch.from_numpy(y)
        self.batch_size = workload.batch_size
        self.model, self.loss = _torch_models(torch)[workload.name]()
        self.optimizer = torch.optim.Adam(self.model.parameters(), eps=1e-7)

    def fit(self, epochs: int) -> None:
        self.model.train()
        rows = len(self.x)
        for _ in range(epochs):
            total = 0.0
            order = self.torch.randperm(rows)
            for begin in range(0, rows, self.batch_size):
                batch = order[begin : begin + self.batch_size]
                self.optimizer.zero_grad()
                loss = self.loss(self.model(self.x[batch]), self.y[batch])
                loss.backward()
                self.optimizer.step()
                total += loss.item()

    def predict_row(self, times: int) -> None:
        self.model.eval()
        row = self.x[:1]
        with self.torch.no_grad():
            for _ in range(times):
                self.model(row).numpy()


def _torch_models(torch: Any) -> dict[str, Callable[[], tuple[Any, Any]]]:
    nn = torch.nn

    class LastOutput(nn.Module):
        """Embedding, LSTM, and the output after the last word."""

        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(5000, 128)
            self.lstm = nn.LSTM(128, 64, batch_first=True)
            self.dense = nn.Linear(64, 1)

        def forward(self, ids: Any) -> Any:
            outputs, _ = self.lstm(self.embedding(ids))
            return self.dense(outputs[:, -1])

    def sequential(loss: Any, *layers: Any) -> tuple[Any, Any]:
        return nn.Sequential(*layers), loss

    def regularized() -> tuple[Any, Any]:
        hidden = nn.Linear(30, 64)
        model = nn.Sequential(hidden, nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 1))
        plain = nn.BCEWithLogitsLoss()
        return model, lambda out, y: plain(out, y) + 0.01 * hidden.weight.square().sum()

    bce = nn.BCEWithLogitsLoss()
    return {
        "xor": lambda: sequential(bce, nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1)),
        "binary": lambda: sequential(bce, nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 1)),
        "cnn": lambda: sequential(
            nn.CrossEntropyLoss(),
            nn.Conv2d(1, 32, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(5408, 128),
            nn.ReLU(),
            nn.Linear(128, 10),
        ),
        "lstm": lambda: (LastOutput(), bce),
        "autoencoder": lambda: sequential(
            nn.MSELoss(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 784), nn.Sigmoid()
        ),
        "regularized": regularized,
        "deferred": lambda: sequential(
            nn.MSELoss(), nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 1)
        ),
    }
