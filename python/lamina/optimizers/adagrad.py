"""Adagrad and Adadelta: steps scaled by all past gradients, or by a window of them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from lamina import initializers, ops
from lamina.optimizers.base import Optimizer
from lamina.validation import Real, check_argument
from lamina.variable import Variable


class Adagrad(Optimizer):
    """Gradient descent with steps divided by the root of the sum of all squared gradients.

    a += g ** 2
    w -= learning_rate * g / sqrt(a + epsilon)

    Args:
        learning_rate: number >= 0, schedule, or function.
        initial_accumulator_value: first value of a, >= 0.
        epsilon: keeps the division finite.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as for
            `Optimizer`.

    Source: Duchi, Hazan, Singer. Adaptive subgradient methods for online learning. 2011.
    """

    _is_sweep = True

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
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
        self.initial_accumulator_value = check(
            "initial_accumulator_value", initial_accumulator_value, Real(0)
        )
        self.epsilon = check("epsilon", epsilon, Real(0))

    def _make_slots(self, variables: Sequence[Variable]) -> None:
        """Make the slots of the sums."""
        self._accumulators = self.add_optimizer_variables(
            variables, "accumulator", initializers.Constant(self.initial_accumulator_value)
        )

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Update one weight or flat buffer."""
        rate = ops.cast(learning_rate, variable.dtype)
        total = self._slot_of(self._accumulators, variable)
        self.assign(total, total + ops.square(gradient))
        self.assign_sub(variable, rate * gradient / ops.sqrt(total + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "initial_accumulator_value": self.initial_accumulator_value,
            "epsilon": self.epsilon,
        }


class Adadelta(Optimizer):
    """Gradient descent with steps as large as the recent ones, scaled by recent gradients.

    a = rho * a + (1 - rho) * g ** 2
    step = g * sqrt(b + epsilon) / sqrt(a + epsilon)
    b = rho * b + (1 - rho) * step ** 2
    w -= learning_rate * step

    Args:
        learning_rate: number >= 0, schedule, or function; 1.0 is the form of the source.
        rho: how long the averages remember, in [0, 1].
        epsilon: keeps the division finite.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as for
            `Optimizer`.

    Source: Zeiler. ADADELTA: an adaptive learning rate method. 2012.
    """

    _is_sweep = True

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
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
        self.rho = check("rho", rho, Real(0, 1))
        self.epsilon = check("epsilon", epsilon, Real(0))

    def _make_slots(self, variables: Sequence[Variable]) -> None:
        """Make the slots of the averages of squared gradients and steps."""
        self._accumulated_grads, self._accumulated_delta_vars = self.add_optimizer_variables(
            variables, ["accumulated_grad", "accumulated_delta_var"]
        )

    def update_step(self, grad: Any, variable: Variable, learning_rate: Any) -> None:
        """Update one weight or flat buffer."""
        rate = ops.cast(learning_rate, variable.dtype)
        grads, steps = self._slots_of(
            variable, self._accumulated_grads, self._accumulated_delta_vars
        )
        self.assign(grads, self.rho * grads + (1.0 - self.rho) * ops.square(grad))
        step = grad * ops.sqrt(steps + self.epsilon) / ops.sqrt(grads + self.epsilon)
        self.assign(steps, self.rho * steps + (1.0 - self.rho) * ops.square(step))
        self.assign_sub(variable, rate * step)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rho": self.rho,
            "epsilon": self.epsilon,
        }
