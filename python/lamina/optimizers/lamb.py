"""Lamb: Adam with steps in proportion to the size of each weight."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from lamina import ops
from lamina.optimizers.base import Optimizer
from lamina.validation import Real, check_argument
from lamina.variable import Variable


class Lamb(Optimizer):
    """Adam whose step for each weight tensor is scaled by the ratio of its norm to the step's.

    m += (1 - beta_1) * (g - m);  v += (1 - beta_2) * (g ** 2 - v)
    r = m / (1 - beta_1 ** t) / (sqrt(v / (1 - beta_2 ** t)) + epsilon)
    w -= learning_rate * |w| / |r| * r             the ratio is 1 where a norm is 0

    Args:
        learning_rate: number >= 0, schedule, or function.
        beta_1, beta_2: how long the moments remember, in [0, 1).
        epsilon: keeps the division finite.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as for
            `Optimizer`.

    Source: You and others. Large batch optimization for deep learning. 2019.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
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
        self.beta_1 = check("beta_1", beta_1, Real(0, 1, closed="left"))
        self.beta_2 = check("beta_2", beta_2, Real(0, 1, closed="left"))
        self.epsilon = check("epsilon", epsilon, Real(0))

    def _make_slots(self, variables: Sequence[Variable]) -> None:
        """Make the slots of the two moments."""
        self._momentums, self._velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Update one weight."""
        rate = ops.cast(learning_rate, variable.dtype)
        momentum, velocity = self._slots_of(variable, self._momentums, self._velocities)
        step = self._step_number(variable)
        self.assign(momentum, momentum + (gradient - momentum) * (1.0 - self.beta_1))
        self.assign(velocity, velocity + (ops.square(gradient) - velocity) * (1.0 - self.beta_2))
        mean = momentum / (1.0 - ops.power(self.beta_1, step))
        spread = ops.sqrt(velocity / (1.0 - ops.power(self.beta_2, step)))
        direction = mean / (spread + self.epsilon)
        size, length = ops.norm(variable), ops.norm(direction)
        is_known = ops.logical_and(size > 0, length > 0)
        ratio = ops.where(is_known, ops.divide_no_nan(size, length), 1.0)
        self.assign_sub(variable, rate * ratio * direction)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }
