"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamina import ops
from lamina.optimizers.base import Optimizer
from lamina.tracing import apply
from lamina.validation import Boolean, Real, check_argument
from lamina.variable import Variable


class SGD(Optimizer):
    """Gradient descent, with optional momentum.

    w -= learning_rate * g                                without momentum
    v = momentum * v - learning_rate * g;  w += v         with momentum
    w += momentum * v - learning_rate * g                 with nesterov, in the place of w += v

    Args:
        learning_rate: number >= 0, schedule, or function.
        momentum: in [0, 1].
        nesterov: whether to look ahead along the momentum.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as for
            `Optimizer`.
    """

    _is_sweep = True
    _has_fused_decay = True

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
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
        self.momentum = check_argument(
            "SGD", "momentum", momentum, Real(0, 1), "`momentum` must be a float between [0, 1]."
        )
        self.nesterov = check_argument("SGD", "nesterov", nesterov, Boolean())
        self.momentums: list[Variable] = []

    def _make_slots(self, variables: Sequence[Variable]) -> None:
        """Make the momentum slots."""
        if self.momentum != 0:
            self.momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Update one weight or flat buffer."""
        rate = ops.cast(learning_rate, variable.dtype)
        decay = self._decay_in_sweep(variable)
        if self.momentum == 0:
            after = apply("sgd_update", variable.value, gradient, rate, weight_decay=decay)
            self.assign(variable, after)
            return
        momentum = self._slot_of(self.momentums, variable)
        after = apply(
            "sgd_momentum_update",
            variable.value,
            momentum.value,
            gradient,
            rate,
            momentum=float(self.momentum),
            nesterov=self.nesterov,
            weight_decay=decay,
        )
        for state, value in zip((variable, momentum), after, strict=True):
            self.assign(state, value)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}
