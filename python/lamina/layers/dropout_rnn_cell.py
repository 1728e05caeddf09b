"""Dropout inside recurrent cells: one mask for all steps of a sequence."""

from __future__ import annotations

from typing import Any

from lamina import ops, random


class DropoutRNNCell:
    """What a cell needs to drop the same inputs and states at every step of a sequence.

    For a cell written as `class Cell(Layer, DropoutRNNCell)`. The cell sets `dropout`,
    `recurrent_dropout` (probabilities) and `seed_generator`; `RNN` draws new masks for every
    call. With `dropout_mask_count` set, a list of that many masks is drawn, such as one for
    each gate.
    """

    dropout: float
    recurrent_dropout: float
    seed_generator: Any
    dropout_mask_count: int | None = None

    def get_dropout_mask(self, step_input: Any) -> Any:
        """Return the mask(s) of the inputs of a step, (batch, features); None without dropout."""
        return self._kept_mask("_dropout_mask", step_input, self.dropout)

    def get_recurrent_dropout_mask(self, step_input: Any) -> Any:
        """Return the mask(s) of the state, of its shape; None without recurrent dropout."""
        return self._kept_mask("_recurrent_dropout_mask", step_input, self.recurrent_dropout)

    def reset_dropout_mask(self) -> None:
        """Forget the masks of the inputs, so that the next sequence draws new ones."""
        self.__dict__.pop("_dropout_mask", None)

    def reset_recurrent_dropout_mask(self) -> None:
        """Forget the masks of the state, so that the next sequence draws new ones."""
        self.__dict__.pop("_recurrent_dropout_mask", None)

    def _kept_mask(self, key: str, like: Any, rate: float) -> Any:
        if rate <= 0:
            return None
        # Past the attribute tracking of layers: a mask lives during one call only.
        if key not in self.__dict__:
            ones = ops.ones_like(like)
            masks = [
                random.dropout(ones, rate=rate, seed=self.seed_generator)
                for _ in range(self.dropout_mask_count or 1)
            ]
            self.__dict__[key] = masks if self.dropout_mask_count else masks[0]
        return self.__dict__[key]
