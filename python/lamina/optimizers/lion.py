"""Lion: steps of one size along the sign of the momentum."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from lamina import ops
from lamina.optimizers.base import Optimizer
from lamina.validation import Real, check_argument
from lamina.variable import Variable


class Lion(Optimizer):
    """Gradient descent by signs.

    w -= learning_rate * sign(beta_1 * m + (1 - beta_1) * g)
    m = beta_2 * m + (1 - beta_2) * g

    Args:
        learning_rate: number >= 0, schedule, or function; a third to a tenth of Adam's is usual.
        beta_1: share of the momentum in a step, in (0, 1].
        beta_2: how long the momentum remembers, in [0, 1].
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as for
            `Optimizer`.

    Source: Chen and others. Symbolic discovery of optimization algorithms. 2023.
    """

    _is_sweep = True

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate,
            weight_decay,
            clipnorm,
            clipvalue,
            global_clipnorm,
            use_ema,
            ema_momentum,
            ema_overwrite_frequency,
            loss_scale_factor,
            gradient_accumulation_steps,
            name,
            **kwargs,
        )
        check = functools.partial(check_argument, type(self).__name__)
        explanation = (
            "Argument `beta_1` must be in the [0, 1] range. Otherwise, the optimizer degenerates "
            f"to SignSGD. Received: beta_1={beta_1}."
        )
        self.beta_1 = check("beta_1", beta_1, Real(0, 1, closed="right"), explanation)
        self.beta_2 = check("beta_2", beta_2, Real(0, 1))

    def _make_slots(self, variables: Sequence[Variable]) -> None:
        """Make the slots of the momentum."""
        self._momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Update one weight or flat buffer."""
        rate = ops.cast(learning_rate, variable.dtype)
        momentum = self._slot_of(self._momentums, variable)
        mixed = momentum * self.beta_1 + gradient * (1.0 - self.beta_1)
        self.assign_sub(variable, rate * ops.sign(mixed))
        self.assign(momentum, momentum * self.beta_2 + gradient * (1.0 - self.beta_2))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
        }
