"""Use the averages of the weights where a model is judged."""

from __future__ import annotations

from typing import Any

from lamina.callbacks.callback import Callback, Logs
from lamina.validation import Boolean, check_argument


class SwapEMAWeights(Callback):
    """Exchange the weights with their moving averages for evaluation, prediction and saving.

    Needs an optimizer with `use_ema=True`. During `evaluate`, `predict` and validation the model
    has the averages; after them its own weights again.

    Args:
        swap_on_epoch: whether to exchange them at the end of each epoch too, until the next one
            begins, so that callbacks that come after this one (ModelCheckpoint) see the averages.

    Raises:
        ValueError: at the first exchange, when the optimizer keeps no averages.

    Source: https://keras.io/api/callbacks/swap_ema_weights/
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        self.swap_on_epoch = check_argument(
            "SwapEMAWeights", "swap_on_epoch", swap_on_epoch, Boolean()
        )
        self._is_swapped_for_epoch = False

    def _swap(self) -> None:
        optimizer = getattr(self.model, "optimizer", None)
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        # A MultiOptimizer keeps averages of the weights of those of its members that do.
        members = getattr(optimizer, "optimizers", [optimizer])
        keepers = [member for member in members if getattr(member, "use_ema", False)]
        if not keepers:
            raise ValueError(
                "SwapEMAWeights must be used when `use_ema=True` is set: there are no "
                f"averages to swap in otherwise. Got optimizer={optimizer!r}."
            )
        for keeper in keepers:
            averages = getattr(keeper, "_model_variables_moving_average", None)
            if averages is None:
                raise ValueError(
                    "SwapEMAWeights: the optimizer has no averages yet; train the model first."
                )
            for weight, average in zip(keeper._trainable_variables, averages, strict=True):
                value = weight.numpy().copy()
                weight.assign(average)
                average.assign(value)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if self._is_swapped_for_epoch:
            self._is_swapped_for_epoch = False
            self._swap()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if not self.swap_on_epoch:
            return
        epochs: Any = (self.params or {}).get("epochs")
        if epochs is not None and epoch + 1 >= epochs:  # training ends with the averages
            self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
            return
        self._swap()
        self._is_swapped_for_epoch = True

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._swap()

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._swap()

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._swap()

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._swap()
