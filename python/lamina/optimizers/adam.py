"""Adam, and AdamW, which decays weights by default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamina import ops
from lamina.optimizers.base import Optimizer
from lamina.tracing import apply
from lamina.validation import Boolean, Real, check_argument
from lamina.variable import Variable


class Adam(Optimizer):
    """Gradient descent with steps scaled by running moments of the gradient.

    m += (1 - beta_1) * (g - m)
    v += (1 - beta_2) * (g ** 2 - v)
    w -= learning_rate * sqrt(1 - beta_2 ** t) / (1 - beta_1 ** t) * m / (sqrt(v) + epsilon)

    Args:
        learning_rate: number >= 0, schedule, or function.
        beta_1, beta_2: how long the moments remember, in [0, 1).
        epsilon: keeps the division finite.
        amsgrad: whether v is replaced by its largest value so far.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as for
            `Optimizer`.

    Source: Kingma, Ba. Adam: a method for stochastic optimization. 2014.
    """

    _is_sweep = True
    _has_fused_decay = True

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
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
        self.beta_1 = check_argument(owner, "beta_1", beta_1, Real(0, 1, closed="left"))
        self.beta_2 = check_argument(owner, "beta_2", beta_2, Real(0, 1, closed="left"))
        self.epsilon = check_argument(owner, "epsilon", epsilon, Real(0))
        self.amsgrad = check_argument(owner, "amsgrad", amsgrad, Boolean())

    def _make_slots(self, variables: Sequence[Variable]) -> None:
        """Make the slots of the two moments, and with amsgrad of the largest second one."""
        self._momentums, self._velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )
        if self.amsgrad:
            self._velocity_hats = self.add_optimizer_variables(variables, "velocity_hat")

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Update one weight or flat buffer."""
        lists = [self._momentums, self._velocities]
        if self.amsgrad:
            lists.append(self._velocity_hats)
        states = [variable, *self._slots_of(variable, *lists)]
        after = apply(
            "adam_amsgrad_update" if self.amsgrad else "adam_update",
            *(state.value for state in states),
            gradient,
            ops.cast(learning_rate, variable.dtype),
            ops.cast(self.iterations, "int64"),
            beta_1=float(self.beta_1),
            beta_2=float(self.beta_2),
            epsilon=float(self.epsilon),
            weight_decay=self._decay_in_sweep(variable),
        )
        for state, value in zip(states, after, strict=True):
            self.assign(state, value)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }


class AdamW(Adam):
    """Adam with weight decay, 0.004 by default.

    Args:
        weight_decay: share of a weight, times the learning rate, taken off before each update.
        learning_rate and the others: as for `Adam`.

    Source: Loshchilov, Hutter. Decoupled weight decay regularization. 2017.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
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
        if weight_decay is None:
            raise ValueError(
                "AdamW: Argument `weight_decay` must be a float. Received: weight_decay=None. "
                "Without decay, use Adam."
            )
        super().__init__(
            learning_rate,
            beta_1,
            beta_2,
            epsilon,
            amsgrad,
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
