"""RMSprop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamina import ops
from lamina.optimizers.base import Optimizer
from lamina.tracing import apply
from lamina.validation import Boolean, Real, check_argument
from lamina.variable import Variable


class RMSprop(Optimizer):
    """Gradient descent with steps divided by the running root mean square of the gradient.

    v = rho * v + (1 - rho) * g ** 2
    d = v + epsilon                      or v - a ** 2 + epsilon if centered (a: running mean of g)
    step = learning_rate * g / sqrt(d)
    m = momentum * m + step;  w -= m     with momentum;  w -= step without

    Args:
        learning_rate: number >= 0, schedule, or function.
        rho: how long v remembers, in [0, 1].
        momentum: in [0, 1].
        epsilon: keeps the division finite.
        centered: whether the variance of the gradient takes the place of its mean square.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as for
            `Optimizer`.

    Source: Hinton. Neural networks for machine learning, lecture 6e. 2012.
    """

    _is_sweep = True
    _has_fused_decay = True

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
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
        owner = type(self).__name__
        self.rho = check_argument(owner, "rho", rho, Real(0, 1))
        self.momentum = check_argument(owner, "momentum", momentum, Real(0, 1))
        self.epsilon = check_argument(owner, "epsilon", epsilon, Real(0))
        self.centered = check_argument(owner, "centered", centered, Boolean())
        self._velocities: list[Variable] = []
        self._momentums: list[Variable] = []
        self._average_gradients: list[Variable] = []

    def _make_slots(self, variables: Sequence[Variable]) -> None:
        """Make the slots of the mean square, and those of the momentum and mean if wanted."""
        self._velocities = self.add_optimizer_variables(variables, "velocity")
        if self.momentum > 0:
            self._momentums = self.add_optimizer_variables(variables, "momentum")
        if self.centered:
            self._average_gradients = self.add_optimizer_variables(variables, "average_gradient")

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Update one weight or flat buffer."""
        lists = (self._velocities, self._average_gradients, self._momentums)
        states = [variable, *(self._slot_of(slots, variable) for slots in lists if slots)]
        after = apply(
            "rmsprop_update",
            *(state.value for state in states),
            gradient,
            ops.cast(learning_rate, variable.dtype),
            rho=float(self.rho),
            momentum=float(self.momentum),
            epsilon=float(self.epsilon),
            centered=self.centered,
            weight_decay=self._decay_in_sweep(variable),
        )
        for state, value in zip(states, after, strict=True):
            self.assign(state, value)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "centered": self.centered,
        }
