"""Save a model while it trains."""

from __future__ import annotations

import os
import warnings
from typing import Any

from lamina.callbacks.callback import Logs, overrides
from lamina.callbacks.monitor import MonitorCallback, checked_bound
from lamina.utils.messages import print_message
from lamina.validation import Boolean, FilePath, check_argument


class ModelCheckpoint(MonitorCallback):
    """Save the model, or its weights, after epochs or batches.

    Args:
        filepath: file name; may name logs, the epoch (from 1) and, with batches, the batch:
            "{epoch:02d}-{val_loss:.2f}.weights.h5". Ends in ".weights.h5" when only weights are
            saved, else in ".keras" or ".h5".
        monitor: log that decides what is best.
        verbose: 1 prints what happens.
        save_best_only: whether to save only when the log has improved.
        save_weights_only: whether to save weights instead of the whole model.
        mode: "min", "max", or "auto": the metric itself says which way is better.
        save_freq: "epoch", or a number of batches.
        initial_value_threshold: value that the log must beat at first.

    Raises:
        ValueError: for another ending of `filepath` or another `save_freq`.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        owner = type(self).__name__
        threshold = checked_bound(owner, "initial_value_threshold", initial_value_threshold)
        super().__init__(monitor, mode, threshold)
        self.filepath = check_argument(owner, "filepath", filepath, FilePath())
        self.verbose = verbose
        self.save_best_only = check_argument(owner, "save_best_only", save_best_only, Boolean())
        self.save_weights_only = check_argument(
            owner, "save_weights_only", save_weights_only, Boolean()
        )
        self.save_freq = save_freq
        self._current_epoch = 0
        self._batches_since_save = 0
        self._last_batch = -1
        is_count = isinstance(save_freq, int) and not isinstance(save_freq, bool) and save_freq > 0
        if save_freq != "epoch" and not is_count:
            raise ValueError(
                "ModelCheckpoint: save_freq must be 'epoch' or a positive number of batches. "
                f"Got {save_freq!r}. (Unrecognized save_freq)"
            )
        endings = (".weights.h5",) if save_weights_only else (".keras", ".h5")
        if not self.filepath.endswith(endings):
            what = "with save_weights_only=True " if save_weights_only else ""
            raise ValueError(
                f"ModelCheckpoint: {what}the filepath provided must end in "
                f"{' or '.join(f'`{ending}`' for ending in endings)}. Got filepath={self.filepath}"
            )

    @property
    def wants_train_batches(self) -> bool:
        """Only when saving by batches, or when a subclass has its own batch hooks."""
        hooks = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
        return self.save_freq != "epoch" or overrides(self, *hooks, base=ModelCheckpoint)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._current_epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            return
        new_epoch = batch <= self._last_batch
        self._batches_since_save += batch + 1 if new_epoch else batch - self._last_batch
        self._last_batch = batch
        if self._batches_since_save >= int(self.save_freq):
            self._batches_since_save = 0
            self._save(self._current_epoch, batch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, None, logs)

    def _save(self, epoch: int, batch: int | None, logs: Logs | None) -> None:
        path = self._path(epoch, batch, logs or {})
        if not self._should_save(epoch, logs or {}, path):
            return
        if os.path.isdir(path):
            raise IsADirectoryError(
                "ModelCheckpoint: please specify a non-directory filepath. "
                f"This one is an existing directory: {path}"
            )
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)
        self._say(epoch, f"finished saving model to {path}")

    def _should_save(self, epoch: int, logs: Logs, path: str) -> bool:
        if not self.save_best_only:
            self._say(epoch, f"saving model to {path}")
            return True
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(
                f"ModelCheckpoint: save_best_only watches {self.monitor!r}, which is not among the "
                "logs; the model is saved without comparing.",
                stacklevel=4,
            )
            return True
        if getattr(current, "ndim", 0) > 0:
            warnings.warn(
                f"ModelCheckpoint: save_best_only needs a single number to monitor. Got {current}; "
                "the model is saved without comparing.",
                stacklevel=4,
            )
            return True
        before = "None" if self.best is None else f"{self.best:.5f}"
        if not self._is_improvement(current, self.best):
            self._say(epoch, f"{self.monitor} did not improve from {before}")
            return False
        self._say(
            epoch, f"{self.monitor} improved from {before} to {current:.5f}, saving model to {path}"
        )
        self.best = current
        return True

    def _say(self, epoch: int, text: str) -> None:
        if self.verbose > 0:
            print_message(f"\nEpoch {epoch + 1}: {text}")

    def _path(self, epoch: int, batch: int | None, logs: Logs) -> str:
        fields: dict[str, Any] = dict(logs)
        if batch is not None:
            fields.setdefault("batch", batch + 1)
        fields["epoch"] = epoch + 1
        try:
            return self.filepath.format(**fields)
        except KeyError as error:
            raise KeyError(
                f"Failed to format this callback filepath: {self.filepath!r} names {error}, "
                f"which is not among the logs: {', '.join(fields)}"
            ) from None
