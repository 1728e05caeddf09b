"""Callbacks that change the learning rate."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from lamina.callbacks.callback import Callback, Logs
from lamina.callbacks.monitor import MonitorCallback
from lamina.utils.messages import print_message


class LearningRateScheduler(Callback):
    """Set the learning rate before every epoch.

    Args:
        schedule: function of the epoch (from 0) and the present learning rate, or of the epoch
            alone; returns the new one as a float.
        verbose: 1 prints the new rate.

    The logs of the epoch get "learning_rate".
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        if not callable(schedule):
            raise TypeError(
                f"LearningRateScheduler: schedule must be a function. Got {schedule!r}."
            )
        self.schedule = schedule
        self.verbose = verbose

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = self.model.optimizer
        if not hasattr(optimizer, "learning_rate"):
            raise ValueError('Optimizer must have a "learning_rate" attribute.')
        present = current_rate(optimizer)
        rate = self.schedule(epoch, present) if self._takes_rate() else self.schedule(epoch)
        if not isinstance(rate, (float, np.floating)):
            raise ValueError(
                "LearningRateScheduler: schedule must return a float. "
                f"Got {rate!r} at epoch {epoch}."
            )
        optimizer.learning_rate = float(rate)
        if self.verbose > 0:
            print_message(
                f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}."
            )

    def _takes_rate(self) -> bool:
        """Whether the schedule has room for a second argument; an old one takes the epoch only."""
        try:
            inspect.signature(self.schedule).bind(0, 0.0)
        except TypeError:
            return False
        except ValueError:  # a builtin that does not tell its signature
            return True
        return True

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = current_rate(self.model.optimizer)


class ReduceLROnPlateau(MonitorCallback):
    """Multiply the learning rate by a factor when a metric has stopped improving.

    Args:
        monitor: name of the log to watch.
        factor: what the rate is multiplied by, below 1.
        patience: number of epochs without improvement after which that happens.
        verbose: 1 prints the new rate.
        mode: "min", "max", or "auto": the metric itself says which way is better.
        min_delta: smallest change that counts as an improvement.
        cooldown: number of epochs to wait after a reduction before watching again.
        min_lr: the rate never falls below this.

    The logs of the epoch get "learning_rate".

    Raises:
        ValueError: if `factor` is 1 or more.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        if kwargs:
            warnings.warn(
                f"ReduceLROnPlateau: these arguments have no effect: {', '.join(kwargs)}.",
                stacklevel=2,
            )
        if factor >= 1.0:
            raise ValueError(
                f"ReduceLROnPlateau does not support a factor >= 1.0. Got factor={factor}"
            )
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self._reset()

    def _reset(self) -> None:
        self.best = None
        self.wait = 0
        self.cooldown_counter = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.monitor_op is None:
            self._set_monitor_op()
        logs = {} if logs is None else logs
        logs["learning_rate"] = current_rate(self.model.optimizer)
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(
                f"Learning rate reduction is conditioned on metric `{self.monitor}` which is not "
                f"available. Available metrics are: {','.join(logs)}.",
                stacklevel=2,
            )
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_improvement(current, self.best):
            self.best = current
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and self._reduce(epoch):
                self.cooldown_counter = self.cooldown
                self.wait = 0

    def in_cooldown(self) -> bool:
        """Whether a recent reduction is still being waited out."""
        return self.cooldown_counter > 0

    def _reduce(self, epoch: int) -> bool:
        before = current_rate(self.model.optimizer)
        if before <= np.float32(self.min_lr):
            return False
        rate = max(before * self.factor, self.min_lr)
        self.model.optimizer.learning_rate = rate
        if self.verbose > 0:
            print_message(
                f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {rate}."
            )
        return True


def current_rate(optimizer: Any) -> float:
    """The learning rate of an optimizer as a number, also while a schedule decides it."""
    return float(np.asarray(optimizer.learning_rate))
