"""Adafactor: second moments of matrices kept as one row and one column."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from lamina import ops
from lamina.optimizers.base import Optimizer
from lamina.validation import Boolean, Real, check_argument
from lamina.variable import Variable


def _rms(x: Any) -> Any:
    return ops.sqrt(ops.mean(ops.square(x)))


class Adafactor(Optimizer):
    """Adam without momentum, with little memory and steps relative to the size of the weights.

    rate = max(epsilon_2, rms(w)) * min(learning_rate, 1 / sqrt(t))
    b = 1 - t ** beta_2_decay
    r = b * r + (1 - b) * mean of (g ** 2 + epsilon_1) over the last axis
    c = b * c + (1 - b) * mean of (g ** 2 + epsilon_1) over the last axis but one
    v = r / mean(r) * c               of vectors: v = b * v + (1 - b) * (g ** 2 + epsilon_1)
    u = g / sqrt(v)
    w -= rate * u / max(1, rms(u) / clip_threshold)

    Args:
        learning_rate: number >= 0, schedule, or function.
        beta_2_decay: how the memory grows, < 0.
        epsilon_1: added to squared gradients.
        epsilon_2: least size of weights that steps are relative to.
        clip_threshold: greatest root mean square of u.
        relative_step: kept in the configuration; as in Keras 3, 1 / sqrt(t) bounds every rate.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as for
            `Optimizer`.

    Source: Shazeer, Stern. Adafactor: adaptive learning rates with sublinear memory cost. 2018.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
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
        self.beta_2_decay = check("beta_2_decay", beta_2_decay, Real())
        self.epsilon_1 = check("epsilon_1", epsilon_1, Real(0))
        self.epsilon_2 = check("epsilon_2", epsilon_2, Real(0))
        self.clip_threshold = check("clip_threshold", clip_threshold, Real(0, closed="right"))
        self.relative_step = check("relative_step", relative_step, Boolean())
        self._r: list[Variable] = []
        self._c: list[Variable] = []
        self._v: list[Variable] = []

    def _make_slots(self, variables: Sequence[Variable]) -> None:
        """Make the rows and columns of matrices, and a second moment for every weight.

        Weights of fewer axes get scalars in their places, and every weight a moment in full, so
        that the variables are those of Keras.
        """
        for variable in variables:
            shape, name = variable.shape, variable.name
            if len(shape) < 2:
                row, column = (self._own_variable(0, "int32", name) for _ in range(2))
            else:
                row = self.add_variable(shape[:-1], dtype=variable.dtype, name=name)
                column = self.add_variable(
                    (*shape[:-2], shape[-1]), dtype=variable.dtype, name=name
                )
            self._r.append(row)
            self._c.append(column)
            self._v.append(self.add_variable_from_reference(variable, "velocity"))

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Update one weight."""
        position, dtype = self._get_variable_index(variable), variable.dtype
        step = self._step_number(variable)
        rate = ops.cast(learning_rate, dtype)
        rate = ops.minimum(rate, 1.0 / ops.sqrt(step))
        rate = ops.maximum(self.epsilon_2, _rms(variable)) * rate
        memory = 1.0 - ops.power(step, self.beta_2_decay)
        square = ops.square(gradient) + self.epsilon_1
        moment = self._v[position]
        if len(variable.shape) < 2:
            self.assign(moment, memory * moment + (1.0 - memory) * square)
        else:
            row, column = self._r[position], self._c[position]
            self.assign(row, memory * row + (1.0 - memory) * ops.mean(square, axis=-1))
            self.assign(column, memory * column + (1.0 - memory) * ops.mean(square, axis=-2))
            share = row / ops.mean(row, axis=-1, keepdims=True)
            self.assign(moment, ops.expand_dims(share, -1) * ops.expand_dims(column, -2))
        scaled = gradient / ops.sqrt(moment)
        self.assign_sub(
            variable, rate * scaled / ops.maximum(1.0, _rms(scaled) / self.clip_threshold)
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_2_decay": self.beta_2_decay,
            "epsilon_1": self.epsilon_1,
            "epsilon_2": self.epsilon_2,
            "clip_threshold": self.clip_threshold,
            "relative_step": self.relative_step,
        }
