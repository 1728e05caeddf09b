"""Who is compared: lamina, Keras on each backend, plain PyTorch. Runs inside a worker process."""

from __future__ import annotations

import os
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
    "pytorch-compile": "torch",
}


class Runner(Protocol):
    """A model under measurement."""

    def fit(self, epochs: int) -> None: ...
    def predict_row(self, times: int) -> None: ...
    def call_row(self, times: int) -> None: ...
    def predict_all(self, times: int) -> None: ...


def environment(peer: str, threads: int | None = None) -> dict[str, str]:
    """Environment of a peer's process: its Keras backend, threads, no graphics card, quiet logs."""
    settings = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu"}
    if peer.startswith("keras-"):
        settings["KERAS_BACKEND"] = peer.removeprefix("keras-")
    if threads is not None:
        names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        settings.update(dict.fromkeys(names, str(threads)))
        settings["XLA_FLAGS"] = (
            f"--xla_cpu_multi_thread_eigen={'false' if threads == 1 else 'true'}"
        )
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
    if peer.startswith("pytorch"):
        return TorchRunner(workload, compiled=peer.endswith("-compile"))
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

    def trace_again(self) -> None:
        """Trace, differentiate and plan the step for a batch, and run nothing. Of lamina only."""
        model = self.model
        model.compile(optimizer=model.optimizer, loss=model.loss, metrics=["accuracy"])
        model._step("train", (self.x[: self.batch_size], self.y[: self.batch_size], None))

    def predict_row(self, times: int) -> None:
        row = self.x[:1]
        for _ in range(times):
            self.model.predict(row, verbose=0)

    def call_row(self, times: int) -> None:
        row = self.x[:1]
        for _ in range(times):
            np.asarray(self._detached(self.model(row, training=False)))

    def predict_all(self, times: int) -> None:
        for _ in range(times):
            self.model.predict(self.x, batch_size=256, verbose=0)

    @staticmethod
    def _detached(output: Any) -> Any:
        return output.detach() if hasattr(output, "detach") else output


class TorchRunner:
    """The loop that PyTorch users write: shuffle, gather, forward, backward, step."""

    def __init__(self, workload: Workload, compiled: bool) -> None:
        import torch

        x, y = workload.data()
        self.torch = torch
        model, self.loss = workload.torch(torch)
        self.x = torch.from_numpy(x.astype(np.int64) if x.dtype == np.int32 else x)
        self.y = torch.from_numpy(y)
        if isinstance(self.loss, torch.nn.CrossEntropyLoss):
            self.y = self.y.argmax(dim=1)
        if x.ndim == 4:
            self.x = self._channels_first(self.x)
            model = model.to(memory_format=torch.channels_last)
            self.y = self._channels_first(self.y) if y.ndim == 4 else self.y
        self.batch_size = workload.batch_size
        self.optimizer = torch.optim.Adam(model.parameters(), eps=1e-7, fused=True)
        self.model = torch.compile(model) if compiled else model

    def _channels_first(self, images: Any) -> Any:
        return images.permute(0, 3, 1, 2).contiguous(memory_format=self.torch.channels_last)

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
        with self.torch.inference_mode():
            for _ in range(times):
                self.model(row).numpy()

    call_row = predict_row  # PyTorch has no other way

    def predict_all(self, times: int) -> None:
        self.model.eval()
        with self.torch.inference_mode():
            for _ in range(times):
                parts = [self.model(part) for part in self.x.split(256)]
                self.torch.cat(parts).numpy()
