"""Stop when the loss is no longer a number."""

from __future__ import annotations

import math

from lamina.callbacks.callback import Callback, Logs
from lamina.utils.messages import print_message
from lamina.validation import Boolean, check_argument


class TerminateOnNaN(Callback):
    """Stop training at the first batch whose loss is NaN or infinite.

    Args:
        raise_error: whether to raise instead of ending the training in order.

    Raises:
        RuntimeError: at that batch, when `raise_error`.
    """

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = check_argument("TerminateOnNaN", "raise_error", raise_error, Boolean())

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(
                f"TerminateOnNaN: NaN or Inf loss encountered: {loss} in batch {batch}."
            )
        print_message(f"Batch {batch}: Invalid loss, terminating training")
        self.model.stop_training = True
