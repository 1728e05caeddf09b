"""Schedule-free AdamW: weights that are averages, in the place of a falling rate."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from lamina import ops
from lamina.optimizers.base import Optimizer
from lamina.validation import Integer, Real, check_argument
from lamina.variable import Variable


def _value_of(variable: Variable, shape: Sequence[int], dtype: Any = None) -> Any:
    del shape, dtype  # the signature of an initializer
    return variable.numpy()


class ScheduleFreeAdamW(Optimizer):
    """RMSprop on a second set of weights, whose running mean the weights are.

    v += (1 - beta_2) * (g ** 2 - v)
    z -= learning_rate * min(1, t / warmup_steps) * g / (sqrt(v / (1 - beta_2 ** t)) + epsilon)
    w += (z - w) / t

    Args:
        learning_rate: number >= 0, schedule, or function.
        beta_1: kept in the configuration; as in Keras 3 it changes nothing.
        beta_2: how long v remembers, in [0, 1).
        epsilon: keeps the division finite.
        warmup_steps: steps over which the rate grows to `learning_rate`.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as for
            `Optimizer`.

    Source: Defazio and others. The road less scheduled. 2024.
    """

    _is_sweep = True

    def __init__(
        self,
        learning_rate: Any = 0.0025,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warmup_steps: int = 0,
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
        self.warmup_steps = check("warmup_steps", warmup_steps, Integer(0))

    def _make_slots(self, variables: Sequence[Variable]) -> None:
        """Make the second set of weights, equal to the first, and the slots of v."""
        self._momentums: list[Variable] = []
        self._velocities: list[Variable] = []
        slot_lists = [self._momentums, self._velocities]
        for variable in variables:
            names_and_starts = (
                ("momentum", functools.partial(_value_of, variable)),
                ("velocity", "zeros"),
            )
            for slots, (name, start) in zip(slot_lists, names_and_starts, strict=True):
                slots.append(self.add_variable_from_reference(variable, name, start))
        self._slot_lists += slot_lists

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Update one weight or flat buffer."""
        rate = ops.cast(learning_rate, variable.dtype)
        second, velocity = self._slots_of(variable, self._momentums, self._velocities)
        step = self._step_number(variable)
        if self.warmup_steps:
            rate = rate * ops.minimum(step / float(self.warmup_steps), 1.0)
        self.assign(velocity, velocity + (ops.square(gradient) - velocity) * (1.0 - self.beta_2))
        spread = ops.sqrt(velocity / (1.0 - ops.power(self.beta_2, step)))
        self.assign_sub(second, rate * gradient / (spread + self.epsilon))
        self.assign_add(variable, (second - variable) / step)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "warmup_steps": self.warmup_steps,
        }
