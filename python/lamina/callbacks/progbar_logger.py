"""The progress bar as a callback."""

from __future__ import annotations

from typing import Any

from lamina.callbacks.callback import Callback, Logs, overrides
from lamina.utils.messages import print_message
from lamina.utils.progbar import Progbar


class ProgbarLogger(Callback):
    """Show progress and metrics; `fit`, `evaluate` and `predict` add one unless verbose is 0.

    The trainer reports progress by time, through `on_progress`, so that showing it costs nothing
    per batch. Validation inside `fit` is silent.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0
        self.progbar: Progbar | None = None
        self.target: int | None = None
        self.verbose = 1
        self.epochs = 1
        self._in_fit = False
        self._in_validation = False

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        verbose = params["verbose"]
        self.verbose = 1 if verbose == "auto" else int(verbose)
        self.epochs = params["epochs"]
        self.target = params["steps"]

    @property
    def wants_train_batches(self) -> bool:
        """False unless a subclass has its own batch hooks: `on_progress` is enough."""
        return overrides(
            self,
            "on_batch_begin",
            "on_batch_end",
            "on_train_batch_begin",
            "on_train_batch_end",
            base=ProgbarLogger,
        )

    @property
    def wants_test_batches(self) -> bool:
        """False unless a subclass has its own batch hooks."""
        return overrides(self, "on_test_batch_begin", "on_test_batch_end", base=ProgbarLogger)

    @property
    def wants_predict_batches(self) -> bool:
        """False unless a subclass has its own batch hooks."""
        return overrides(self, "on_predict_batch_begin", "on_predict_batch_end", base=ProgbarLogger)

    @property
    def wants_progress(self) -> bool:
        """Whether `on_progress` would show anything."""
        return self.verbose == 1

    def on_progress(self, step: int, logs: Logs | None = None) -> None:
        """Show that `step` batches of this epoch, evaluation or prediction are done."""
        if self._in_validation:
            return
        self.seen = step
        if self.progbar is None:
            self._new_progbar()
        if self.verbose == 1 and self.progbar is not None:
            self.progbar.update(step, list((logs or {}).items()), finalize=False)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._in_fit = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._in_fit = False

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._new_progbar()
        if self.verbose and self.epochs > 1:
            print_message(f"Epoch {epoch + 1}/{self.epochs}")

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._in_validation = self._in_fit
        if not self._in_validation:
            self._new_progbar()

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._new_progbar()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.on_progress(batch + 1, logs)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.on_progress(batch + 1, logs)

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.on_progress(batch + 1)  # the outputs are no metrics

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._finish(logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        if not self._in_validation:
            self._finish(logs)
        self._in_validation = False

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._finish(None)

    def _new_progbar(self) -> None:
        self.seen = 0
        self.progbar = Progbar(self.target, verbose=self.verbose, stateless_metrics=())

    def _finish(self, logs: Logs | None) -> None:
        if self.progbar is None:
            self._new_progbar()
        if self.target is None:  # the end tells how long an epoch is
            self.target = self.seen
        if self.progbar is not None:
            self.progbar.target = self.target
            self.progbar.update(self.target, list((logs or {}).items()), finalize=True)
