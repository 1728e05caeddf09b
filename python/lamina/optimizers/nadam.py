"""Nadam: Adam that looks ahead along its momentum."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from lamina import config, ops
from lamina.optimizers.base import Optimizer
from lamina.validation import Real, check_argument
from lamina.variable import Variable


class Nadam(Optimizer):
    """Adam with Nesterov momentum, whose share beta_1 grows over the first steps.

    u(t) = beta_1 * (1 - 0.96 ** t / 2);  p(t) = u(1) * ... * u(t)
    m += (1 - beta_1) * (g - m);  v += (1 - beta_2) * (g ** 2 - v)
    a = u(t + 1) * m / (1 - p(t + 1)) + (1 - u(t)) * g / (1 - p(t))
    w -= learning_rate * a / (sqrt(v / (1 - beta_2 ** t)) + epsilon)

    Args:
        learning_rate: number >= 0, schedule, or function.
        beta_1, beta_2: how long the moments remember, in [0, 1).
        epsilon: keeps the division finite.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as for
            `Optimizer`.

    Source: Dozat. Incorporating Nesterov momentum into Adam. 2016.
    """

    _is_sweep = True

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
        """Make the slots of the two moments, and the product of the momentum's shares."""
        self._momentums, self._velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )
        self._u_product = self._own_variable(1.0, config.floatx(), "variable")

    def _share(self, step: Any) -> Any:
        return self.beta_1 * (1.0 - 0.5 * ops.power(0.96, step))

    def _begin_update(self) -> None:
        step = ops.cast(self.iterations + 1, self._u_product.dtype)
        self.assign(self._u_product, self._u_product * self._share(step))

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Update one weight or flat buffer."""
        rate = ops.cast(learning_rate, variable.dtype)
        momentum, velocity = self._slots_of(variable, self._momentums, self._velocities)
        step = self._step_number(variable)
        share, next_share = self._share(step), self._share(step + 1.0)
        product = ops.cast(self._u_product, variable.dtype)
        self.assign(momentum, momentum + (gradient - momentum) * (1.0 - self.beta_1))
        self.assign(velocity, velocity + (ops.square(gradient) - velocity) * (1.0 - self.beta_2))
        ahead = momentum * (next_share / (1.0 - product * next_share)) + gradient * (
            (1.0 - share) / (1.0 - product)
        )
        spread = ops.sqrt(velocity / (1.0 - ops.power(self.beta_2, step)))
        self.assign_sub(variable, rate * ahead / (spread + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }
