"""Callbacks that change the learning rate."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from lamina.callbacks.callback import Callback, Logs
from lamina.callbacks.monitor import MonitorCallback
from lamina.utils.messages import print_message
from lamina.validation import Integer, Real, check_argument


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
        for log, optimizer in optimizers_by_log(self.model.optimizer).items():
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
                    f"\nEpoch {epoch + 1}: LearningRateScheduler setting {_what(log)} to {rate}."
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
            logs.update(current_rates(self.model.optimizer))


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
        check = functools.partial(check_argument, type(self).__name__)
        if check("factor", factor, Real()) >= 1.0:
            raise ValueError(
                f"ReduceLROnPlateau: factor must be below 1.0, to lower the rate. Got {factor}."
            )
        self.factor = factor
        self.patience = check("patience", patience, Integer(0))
        self.verbose = verbose
        self.cooldown = check("cooldown", cooldown, Integer(0))
        self.min_lr = check("min_lr", min_lr, Real())
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
        logs.update(current_rates(self.model.optimizer))
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(
                f"ReduceLROnPlateau watches {self.monitor!r}, which this epoch did not log; it "
                f"logged {', '.join(logs) or 'nothing'}. The rate stays.",
                stacklevel=2,
            )
            return
        cooling, improved = self.in_cooldown(), self._is_improvement(current, self.best)
        if cooling:
            self.cooldown_counter -= 1
        if improved:
            self.best = current
        if cooling or improved:
            self.wait = 0
        if improved or self.in_cooldown():
            return
        self.wait += 1
        if self.wait >= self.patience and self._reduce(epoch):
            self.cooldown_counter, self.wait = self.cooldown, 0

    def in_cooldown(self) -> bool:
        """Whether a recent reduction is still being waited out."""
        return self.cooldown_counter > 0

    def _reduce(self, epoch: int) -> bool:
        """Reduce every rate that is above the least one; tell whether there was any."""
        has_reduced = False
        for log, optimizer in optimizers_by_log(self.model.optimizer).items():
            before = current_rate(optimizer)
            if before <= np.float32(self.min_lr):
                continue
            rate = max(before * self.factor, self.min_lr)
            optimizer.learning_rate = rate
            has_reduced = True
            if self.verbose > 0:
                print_message(
                    f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing {_what(log)} to {rate}."
                )
        return has_reduced


def optimizers_by_log(optimizer: Any) -> dict[str, Any]:
    """The optimizers with a learning rate of their own, by the name of its log.

    That is "learning_rate"; with a MultiOptimizer "learning_rate_" and the optimizer's name, and
    a number where names are equal.
    """
    members = getattr(optimizer, "optimizers", None)
    if members is None:
        return {"learning_rate": optimizer}
    named: dict[str, Any] = {}
    for member in members:
        name = log = f"learning_rate_{member.name}"
        count = 0
        while log in named:
            count += 1
            log = f"{name}_{count}"
        named[log] = member
    return named


def current_rates(optimizer: Any) -> dict[str, float]:
    """The learning rates by the names of their logs."""
    return {log: current_rate(each) for log, each in optimizers_by_log(optimizer).items()}


def _what(log: str) -> str:
    return f"{log.removeprefix('learning_rate_')} learning rate".removeprefix("learning_rate ")


def current_rate(optimizer: Any) -> float:
    """The learning rate of an optimizer as a number, also while a schedule decides it."""
    return float(np.asarray(optimizer.learning_rate))
