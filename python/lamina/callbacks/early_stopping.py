"""Stop when a metric no longer improves."""

from __future__ import annotations

import functools
import warnings
from typing import Any

from lamina.callbacks.callback import Logs
from lamina.callbacks.monitor import MonitorCallback, checked_bound
from lamina.utils.messages import print_message
from lamina.validation import Boolean, Integer, check_argument


class EarlyStopping(MonitorCallback):
    """Stop training when a metric has stopped improving.

    Args:
        monitor: name of the log to watch.
        min_delta: smallest change that counts as an improvement.
        patience: number of epochs without improvement after which training stops.
        verbose: 1 prints what happens.
        mode: "min", "max", or "auto": the metric itself says which way is better.
        baseline: value that must be beaten for the patience to start anew.
        restore_best_weights: whether to go back to the weights of the best epoch at the end.
        start_from_epoch: number of epochs to wait before watching.

    Source: Prechelt. Early stopping, but when? 1998.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        check = functools.partial(check_argument, type(self).__name__)
        self.patience = check("patience", patience, Integer(0))
        self.verbose = verbose
        self.baseline = checked_bound("EarlyStopping", "baseline", baseline)
        self.restore_best_weights = check("restore_best_weights", restore_best_weights, Boolean())
        self.start_from_epoch = check("start_from_epoch", start_from_epoch, Integer(0))
        self._reset()

    def _reset(self) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best = None
        self.best_epoch = 0
        self.best_weights: list[Any] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.monitor_op is None:
            self._set_monitor_op()
        value = self.get_monitor_value(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        improved = self._is_improvement(value, self.best)
        if improved:
            self._remember(epoch, value)
        # A new best that misses the baseline is remembered, and the patience runs on.
        restarts = improved and (
            self.baseline is None or self._is_improvement(value, self.baseline)
        )
        self.wait = 0 if restarts else self.wait + 1
        if not improved and self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _remember(self, epoch: int, value: float) -> None:
        self.best, self.best_epoch = value, epoch
        if self.restore_best_weights:
            self.best_weights = self.model.get_weights()

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch > 0 and self.verbose > 0:
            print_message(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose > 0:
                print_message(
                    f"EarlyStopping: going back to the weights of epoch {self.best_epoch + 1}, "
                    "the best one."
                )
            self.model.set_weights(self.best_weights)

    def get_monitor_value(self, logs: Logs | None) -> float | None:
        """The watched log, or None after a warning that names the logs there are."""
        logs = logs or {}
        value = logs.get(self.monitor)
        if value is None:
            warnings.warn(
                f"EarlyStopping watches {self.monitor!r}, which this epoch did not log; it logged "
                f"{', '.join(logs) or 'nothing'}. Training goes on.",
                stacklevel=2,
            )
        return value
