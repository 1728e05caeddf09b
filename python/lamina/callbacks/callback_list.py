"""Calls every callback in order, and says which calls anybody needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lamina.callbacks.callback import Callback, Logs
from lamina.callbacks.history import History
from lamina.callbacks.progbar_logger import ProgbarLogger


class CallbackList(Callback):
    """A list of callbacks behind the interface of one.

    Args:
        callbacks: callbacks, also nested in lists; None for none.
        add_history: whether to append a `History` when there is none.
        add_progbar: whether to append a `ProgbarLogger` when there is none.
        model: given to every callback.
        **params: given to every callback, when there are any.

    Raises:
        TypeError: if an element is no callback.
    """

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        super().__init__()
        self.callbacks: list[Any] = list(_flatten(callbacks))
        for callback in self.callbacks:
            _check_callback(callback)
        self._history = self._find(History)
        self._progbar = self._find(ProgbarLogger)
        if add_history and self._history is None:
            self._history = History()
            self.callbacks.append(self._history)
        if add_progbar and self._progbar is None:
            self._progbar = ProgbarLogger()
            self.callbacks.append(self._progbar)
        self.set_model(model)
        self.set_params(params)

    def _find(self, kind: type[Any]) -> Any:
        found = [callback for callback in self.callbacks if isinstance(callback, kind)]
        return found[-1] if found else None

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params
        if params:
            for callback in self.callbacks:
                callback.set_params(params)

    def set_model(self, model: Any) -> None:
        if model is None:
            return
        super().set_model(model)
        if self._history is not None:
            model.history = self._history
        for callback in self.callbacks:
            callback.set_model(model)

    @property
    def wants_train_batches(self) -> bool:
        """Whether any callback needs a call at every training batch."""
        return any(_wants(callback, "wants_train_batches") for callback in self.callbacks)

    @property
    def wants_test_batches(self) -> bool:
        """Whether any callback needs a call at every batch of evaluation."""
        return any(_wants(callback, "wants_test_batches") for callback in self.callbacks)

    @property
    def wants_predict_batches(self) -> bool:
        """Whether any callback needs a call at every batch of prediction."""
        return any(_wants(callback, "wants_predict_batches") for callback in self.callbacks)

    @property
    def wants_progress(self) -> bool:
        """Whether anybody shows progress: `on_progress` should then be called now and then."""
        return self._progbar is not None and self._progbar.wants_progress

    def on_progress(self, step: int, logs: Logs | None = None) -> None:
        """Tell the progress bar that `step` batches are done; called by time, not by batch."""
        if self._progbar is not None:
            self._progbar.on_progress(step, logs)

    def _each(self, hook: str, *arguments: Any) -> None:
        *position, logs = arguments
        logs = {} if logs is None else logs  # one dict for all: what one adds, the next sees
        for callback in self.callbacks:
            getattr(callback, hook)(*position, logs)

    def _each_batch(self, hook: str, batch: int, logs: Logs | None) -> None:
        logs = {} if logs is None else logs
        for callback in self.callbacks:
            getattr(callback, hook)(batch, logs=logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._each_batch("on_batch_begin", batch, logs)

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._each_batch("on_batch_end", batch, logs)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._each_batch("on_train_batch_begin", batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._each_batch("on_train_batch_end", batch, logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._each_batch("on_test_batch_begin", batch, logs)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._each_batch("on_test_batch_end", batch, logs)

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._each_batch("on_predict_batch_begin", batch, logs)

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._each_batch("on_predict_batch_end", batch, logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._each("on_epoch_begin", epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._each("on_epoch_end", epoch, logs)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._each("on_train_begin", logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._each("on_train_end", logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._each("on_test_begin", logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._each("on_test_end", logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._each("on_predict_begin", logs)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._each("on_predict_end", logs)


def _flatten(callbacks: Any) -> Iterable[Any]:
    if callbacks is None:
        return
    if isinstance(callbacks, dict):
        callbacks = callbacks.values()
    elif not isinstance(callbacks, (list, tuple)):
        yield callbacks
        return
    for callback in callbacks:
        yield from _flatten(callback)


def _check_callback(callback: Any) -> None:
    """Refuse what has no hooks; a look-alike of another library may pass."""
    if isinstance(callback, type):
        raise TypeError(
            f"callbacks: {callback.__name__} is a class; make an object: {callback.__name__}()."
        )
    if not (hasattr(callback, "on_epoch_end") and hasattr(callback, "set_model")):
        raise TypeError(
            f"callbacks: every element must be a Callback. Got {callback!r} "
            f"of type {type(callback).__name__}."
        )


def _wants(callback: Any, name: str) -> bool:
    # A callback that is none of ours may override anything: it gets every call.
    return bool(getattr(callback, name, True))
