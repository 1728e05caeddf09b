"""Write logs that TensorBoard shows."""

from __future__ import annotations

import os
import time
import warnings
from typing import Any

import numpy as np

from lamina.callbacks.callback import Callback, Logs, overrides
from lamina.callbacks.event_file import EventFile, write_projector
from lamina.validation import Boolean, FilePath, Integer, check_argument

_SETTINGS = {
    "log_dir": FilePath(),
    "histogram_freq": Integer(0),
    "write_graph": Boolean(),
    "write_images": Boolean(),
    "write_steps_per_second": Boolean(),
    "embeddings_freq": Integer(0),
}


class TensorBoard(Callback):
    """Write losses, metrics, weights and the model's graph for TensorBoard.

    Needs `pip install tensorboard`; look at the files with `tensorboard --logdir logs`. Training
    logs go to the run "train", those of validation and `evaluate` to "validation".

    Args:
        log_dir: folder of the runs.
        histogram_freq: every how many epochs to write histograms of the weights; 0: never.
        write_graph: whether to write the model's configuration.
        write_images: whether to write the weights as pictures too, when histograms are written.
        write_steps_per_second: whether to write how many steps were made in a second.
        update_freq: "epoch", "batch", or after how many batches to write the running means.
        profile_batch: must be 0; use a profiler of the process instead.
        embeddings_freq: every how many epochs to write the tables of Embedding layers for the
            projector; 0: never.
        embeddings_metadata: file with a label per row, or a dict from layer name to such a file.

    Raises:
        ImportError: at the beginning of training, when the package is missing.
        ValueError: for another `update_freq`.

    Source: https://keras.io/api/callbacks/tensorboard/
    """

    log_dir: str
    histogram_freq: int
    write_graph: bool
    write_images: bool
    write_steps_per_second: bool
    embeddings_freq: int

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: str | int = "epoch",
        profile_batch: int | str | tuple[int, int] = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: str | dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        is_count = isinstance(update_freq, int) and not isinstance(update_freq, bool)
        if update_freq not in ("epoch", "batch") and not (is_count and int(update_freq) > 0):
            raise ValueError(
                "TensorBoard: update_freq must be 'epoch', 'batch' or a positive number of "
                f"batches. Got {update_freq!r}."
            )
        if profile_batch:
            warnings.warn(
                "TensorBoard: profile_batch is not used: lamina writes no TensorFlow profile.",
                stacklevel=2,
            )
        self._take_settings(
            log_dir=log_dir,
            histogram_freq=histogram_freq,
            write_graph=write_graph,
            write_images=write_images,
            write_steps_per_second=write_steps_per_second,
            embeddings_freq=embeddings_freq,
        )
        self.update_freq = 1 if update_freq == "batch" else update_freq
        if not isinstance(embeddings_metadata, (str, dict, type(None))):
            raise TypeError(
                "TensorBoard: embeddings_metadata must be a file name, a dict of them by layer "
                f"name, or None. Got {embeddings_metadata!r}."
            )
        self.embeddings_metadata = embeddings_metadata
        self._runs: dict[str, EventFile] = {}
        self._is_training = False
        self._steps_before_epoch = 0
        self._time = 0.0

    def _take_settings(self, **settings: Any) -> None:
        for argument, value in settings.items():
            checked = check_argument("TensorBoard", argument, value, _SETTINGS[argument])
            setattr(self, argument, checked)

    @property
    def wants_train_batches(self) -> bool:
        """Only when writing between epochs, or when a subclass has its own batch hooks."""
        hooks = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
        return self.update_freq != "epoch" or overrides(self, *hooks, base=TensorBoard)

    def _run(self, name: str) -> EventFile:
        if name not in self._runs:
            self._runs[name] = EventFile(os.path.join(self.log_dir, name))
        return self._runs[name]

    def _step(self) -> int:
        optimizer = getattr(self.model, "optimizer", None)
        return int(optimizer.iterations.numpy()) if optimizer is not None else 0

    # ---- training

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._is_training = True
        run = self._run("train")
        if self.write_graph:
            try:
                run.model(self.model.to_json())
            except (TypeError, ValueError, NotImplementedError) as error:
                warnings.warn(f"TensorBoard: the graph is not written: {error}", stacklevel=3)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._steps_before_epoch, self._time = self._step(), time.perf_counter()
        self._batch_time = self._time

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self.update_freq == "epoch":
            return
        step = self._step()
        now = time.perf_counter()
        if self.write_steps_per_second:
            rate = 1.0 / max(now - self._batch_time, 1e-9)
            self._run("train").scalar("batch_steps_per_second", rate, step)
        self._batch_time = now
        if step % int(self.update_freq) == 0:
            for name, value in _numbers(logs):
                self._run("train").scalar(f"batch_{name}", value, step)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        train = self._run("train")
        for name, value in _numbers(logs):
            if name.startswith("val_"):
                self._run("validation").scalar(f"epoch_{name[4:]}", value, epoch)
            else:
                train.scalar(f"epoch_{name}", value, epoch)
        optimizer = getattr(self.model, "optimizer", None)
        if optimizer is not None:
            rate = float(np.asarray(optimizer.learning_rate))
            train.scalar("epoch_learning_rate", rate, epoch)
        if self.write_steps_per_second:
            seconds = max(time.perf_counter() - self._time, 1e-9)
            done = self._step() - self._steps_before_epoch
            train.scalar("epoch_steps_per_second", done / seconds, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._write_weights(train, epoch)
        if self.embeddings_freq and epoch % self.embeddings_freq == 0:
            self._write_embeddings()
        for run in self._runs.values():
            run.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._is_training = False
        self._close()

    # ---- evaluation, alone or inside training

    def on_test_end(self, logs: Logs | None = None) -> None:
        run = self._run("validation")
        for name, value in _numbers(logs):
            run.scalar(f"evaluation_{name}_vs_iterations", value, self._step())
        if not self._is_training:
            self._close()

    def _close(self) -> None:
        for run in self._runs.values():
            run.close()
        self._runs.clear()

    # ---- weights

    def _write_weights(self, run: EventFile, epoch: int) -> None:
        for weight in self.model.weights:
            value = np.asarray(weight.numpy(), np.float64)
            run.histogram(f"{weight.path}/histogram", value, epoch)
            pictures = _as_pictures(value) if self.write_images else None
            if pictures is not None:
                run.image(f"{weight.path}/image", pictures, epoch)

    def _write_embeddings(self) -> None:
        from lamina.layers import Embedding

        tables = {
            layer.name: layer.embeddings.numpy()
            for layer in self.model.layers
            if isinstance(layer, Embedding)
        }
        labels = self.embeddings_metadata
        if not isinstance(labels, dict):
            labels = dict.fromkeys(tables, labels) if labels is not None else {}
        unknown = sorted(set(labels) - set(tables))
        if unknown:
            raise ValueError(
                f"TensorBoard: embeddings_metadata names layers that are no Embedding: {unknown}. "
                f"There are {sorted(tables)}."
            )
        write_projector(os.path.join(self.log_dir, "train"), tables, labels)


def _numbers(logs: Logs | None) -> list[tuple[str, float]]:
    """The single numbers among the logs."""
    return [(k, float(v)) for k, v in (logs or {}).items() if np.size(v) == 1]


def _as_pictures(weight: np.ndarray) -> np.ndarray | None:
    """A weight as grey pictures (count, height, width); None when it has too many axes."""
    value = np.squeeze(weight)
    if value.ndim == 0:
        return value.reshape(1, 1, 1)
    if value.ndim == 1:
        return value[None, None, :]
    if value.ndim == 2:
        return (value.T if value.shape[0] > value.shape[1] else value)[None]
    return value.transpose(2, 0, 1) if value.ndim == 3 else None
