"""Adamax: Adam with the greatest gradient in the place of the mean square."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from lamina import ops
from lamina.optimizers.base import Optimizer
from lamina.validation import Real, check_argument
from lamina.variable import Variable


class Adamax(Optimizer):
    """Gradient descent with steps divided by the greatest recent gradient.

    m += (1 - beta_1) * (g - m)
    u = max(beta_2 * u, |g|)
    w -= learning_rate / (1 - beta_1 ** t) * m / (u + epsilon)

    Args:
        learning_rate: number >= 0, schedule, or function.
        beta_1, beta_2: how long m and u remember, in [0, 1).
        epsilon: keeps the division finite.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as for
            `Optimizer`.

    Source: Kingma, Ba. Adam: a method for stochastic optimization. 2014. Section 7.1.
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
        """Make the slots of the momentum and of the greatest gradient."""
        self._m, self._u = self.add_optimizer_variables(variables, ["momentum", "norm"])

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Update one weight or flat buffer."""
        rate = ops.cast(learning_rate, variable.dtype)
        momentum, norm = self._slots_of(variable, self._m, self._u)
        step = self._step_number(variable)
        self.assign(momentum, momentum + (gradient - momentum) * (1.0 - self.beta_1))
        self.assign(norm, ops.maximum(self.beta_2 * norm, ops.abs(gradient)))
        rate = rate / (1.0 - ops.power(self.beta_1, step))
        self.assign_sub(variable, rate * momentum / (norm + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }
