"""The base class of callbacks."""

from __future__ import annotations

from typing import Any

Logs = dict[str, Any]


class Callback:
    """Base class: override the hooks you need.

    `self.model` is the model, `self.params` a dict with "epochs", "steps" and "verbose". Logs hold
    plain floats; those of a batch are the running means of its epoch.

    Overriding a batch hook costs a call into Python at every batch. Without one, an epoch runs in
    C++ from end to end. Setting `self.model.stop_training = True` ends `fit` after the epoch.
    """

    def __init__(self) -> None:
        self.params: dict[str, Any] | None = None
        self._model: Any = None

    @property
    def model(self) -> Any:
        """The model that is being trained, evaluated or used."""
        return self._model

    def set_params(self, params: dict[str, Any]) -> None:
        """Receive "epochs", "steps" and "verbose" before anything runs."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Receive the model before anything runs."""
        self._model = model

    @property
    def wants_train_batches(self) -> bool:
        """Whether training must call this callback at every batch."""
        return overrides(
            self, "on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end"
        )

    @property
    def wants_test_batches(self) -> bool:
        """Whether evaluation must call this callback at every batch."""
        return overrides(self, "on_test_batch_begin", "on_test_batch_end")

    @property
    def wants_predict_batches(self) -> bool:
        """Whether prediction must call this callback at every batch."""
        return overrides(self, "on_predict_batch_begin", "on_predict_batch_end")

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Older name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Older name of `on_train_batch_end`."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before an epoch of training; `epoch` counts from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After an epoch and its validation; `logs` has the metrics, with `val_` where validated.

        What a callback adds to `logs` is seen by those after it and by History.
        """

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a training batch."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a training batch; `logs` has the running means of the epoch."""
        self.on_batch_end(batch, logs=logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of evaluation or validation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of evaluation or validation."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of prediction."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of prediction; `logs` has the "outputs"."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """At the beginning of `fit`."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """At the end of `fit`; `logs` are those of the last epoch."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """At the beginning of `evaluate` or of a validation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """At the end of `evaluate` or of a validation."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """At the beginning of `predict`."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """At the end of `predict`."""


def overrides(callback: Callback, *hooks: str, base: type[Callback] = Callback) -> bool:
    """Whether the object, or its class, has its own version of one of `base`'s hooks."""
    return any(
        getattr(getattr(callback, hook), "__func__", None) is not getattr(base, hook)
        for hook in hooks
    )
