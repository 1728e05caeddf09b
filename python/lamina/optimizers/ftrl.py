"""FTRL: follow the regularized leader, for sparse linear models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamina import initializers, ops
from lamina.optimizers.base import Optimizer
from lamina.validation import Real, check_argument
from lamina.variable import Variable


def _with_sign(argument: str, value: Any, sign: str) -> float:
    """Return a number that is 0 or has that sign ("positive" or "negative"), or raise."""
    number = check_argument("Ftrl", argument, value, Real())
    if (number < 0) if sign == "positive" else (number > 0):
        raise ValueError(f"`{argument}` needs to be {sign} or zero. Received: {argument}={value}.")
    return float(number)


class Ftrl(Optimizer):
    """The weights that would have been best so far, with penalties that make many of them 0.

    n = a + g ** 2
    z += g + 2 * l2_shrinkage * w - (n ** -power - a ** -power) / learning_rate * w;  a = n
    q = n ** -power / learning_rate + 2 * (l2 + beta / (2 * learning_rate))
    w = (clip(z, -l1, l1) - z) / q

    Args:
        learning_rate: number > 0, schedule, or function.
        learning_rate_power: how fast the steps shrink, <= 0; 0 keeps their size.
        initial_accumulator_value: first value of a, >= 0.
        l1_regularization_strength, l2_regularization_strength: weights of the penalties, >= 0.
        l2_shrinkage_regularization_strength: weight of a penalty on size only, >= 0.
        beta: adds to the penalty l2, >= 0.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as for
            `Optimizer`.

    Source: McMahan and others. Ad click prediction: a view from the trenches. 2013.
    """

    initial_accumulator_value: float
    learning_rate_power: float
    l1_regularization_strength: float
    l2_regularization_strength: float
    l2_shrinkage_regularization_strength: float

    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
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
        for argument, value, sign in (
            ("initial_accumulator_value", initial_accumulator_value, "positive"),
            ("learning_rate_power", learning_rate_power, "negative"),
            ("l1_regularization_strength", l1_regularization_strength, "positive"),
            ("l2_regularization_strength", l2_regularization_strength, "positive"),
            (
                "l2_shrinkage_regularization_strength",
                l2_shrinkage_regularization_strength,
                "positive",
            ),
        ):
            setattr(self, argument, _with_sign(argument, value, sign))
        self.beta = check_argument(type(self).__name__, "beta", beta, Real(0))

    def _make_slots(self, variables: Sequence[Variable]) -> None:
        """Make the slots of the squared gradients and of the linear terms."""
        starts = [initializers.Constant(self.initial_accumulator_value), "zeros"]
        self._accumulators, self._linears = self.add_optimizer_variables(
            variables, ["accumulator", "linear"], starts
        )

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Update one weight."""
        rate = ops.cast(learning_rate, variable.dtype)
        squares, linear = self._slots_of(variable, self._accumulators, self._linears)
        power = -self.learning_rate_power
        shrinkage = 2.0 * self.l2_shrinkage_regularization_strength
        before, total = ops.power(squares, power), squares + ops.square(gradient)
        after = ops.power(total, power)
        slope = gradient + shrinkage * variable
        self.assign(linear, linear + slope - (after - before) / rate * variable)
        self.assign(squares, total)
        curvature = after / rate + 2.0 * (
            self.l2_regularization_strength + self.beta / (2.0 * rate)
        )
        strength = self.l1_regularization_strength
        self.assign(variable, (ops.clip(linear, -strength, strength) - linear) / curvature)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "learning_rate_power": self.learning_rate_power,
            "initial_accumulator_value": self.initial_accumulator_value,
            "l1_regularization_strength": self.l1_regularization_strength,
            "l2_regularization_strength": self.l2_regularization_strength,
            "l2_shrinkage_regularization_strength": self.l2_shrinkage_regularization_strength,
            "beta": self.beta,
        }
