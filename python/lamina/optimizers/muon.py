"""Muon: momentum made orthogonal, for matrices; AdamW for everything else."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from typing import Any

from lamina import ops
from lamina.optimizers.base import Optimizer
from lamina.validation import Boolean, Integer, Real, check_argument, short_repr
from lamina.variable import Variable


class Muon(Optimizer):
    """Gradient descent along the orthogonal matrix nearest to the momentum.

    m = momentum * m + g;  with nesterov the matrix is g + momentum * m, else m
    w -= learning_rate * rms_rate * sqrt(greater size) * orthogonal(matrix)

    The orthogonal matrix is approached by `ns_steps` steps of x = a x + (b y + c y y) x with
    y = x x^T, from the matrix divided by its norm. Weights without two axes, embeddings, and
    those that `exclude_layers` finds are updated as by AdamW.

    Args:
        learning_rate: number >= 0, schedule, or function.
        adam_beta_1, adam_beta_2, epsilon: of the Adam steps.
        adam_weight_decay: share of a weight, times the learning rate, that Adam steps take off.
        exclude_layers: regular expressions for paths of weights that get Adam steps.
        exclude_embeddings: whether weights with "embedding" in their path do.
        muon_a, muon_b, muon_c: a, b and c.
        adam_lr_ratio: the learning rate of Adam steps, relative to the main one.
        momentum: in [0, 1].
        ns_steps: see above.
        nesterov: see above.
        rms_rate: see above; None: steps are learning_rate * orthogonal(matrix).
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as for
            `Optimizer`.

    Source: Jordan and others. Muon: an optimizer for hidden layers in neural networks. 2024.
    Liu and others. Muon is scalable for LLM training. 2025.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        exclude_layers: Sequence[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.775,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
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
        unit = Real(0, 1, closed="left")
        self.adam_beta_1 = check("adam_beta_1", adam_beta_1, unit)
        self.adam_beta_2 = check("adam_beta_2", adam_beta_2, unit)
        self.adam_weight_decay = check(
            "adam_weight_decay", adam_weight_decay, Real(0, optional=True)
        )
        self.epsilon = check("epsilon", epsilon, Real(0))
        if isinstance(exclude_layers, str) or not isinstance(exclude_layers or [], Iterable):
            raise ValueError(
                f"{type(self).__name__}: exclude_layers must be a list of regular expressions. "
                f"Got {short_repr(exclude_layers)}."
            )
        self.exclude_layers = list(exclude_layers or [])
        self.exclude_embeddings = check("exclude_embeddings", exclude_embeddings, Boolean())
        self.muon_a = check("muon_a", muon_a, Real())
        self.muon_b = check("muon_b", muon_b, Real())
        self.muon_c = check("muon_c", muon_c, Real())
        self.adam_lr_ratio = check("adam_lr_ratio", adam_lr_ratio, Real(0))
        self.momentum = check("momentum", momentum, Real(0, 1))
        self.ns_steps = check("ns_steps", ns_steps, Integer(0))
        self.nesterov = check("nesterov", nesterov, Boolean())
        self.rms_rate = check("rms_rate", rms_rate, Real(0, optional=True))
        self.momentums: list[Variable] = []
        self.adam_velocities: list[Variable | None] = []

    def _should_use_adamw(self, variable: Variable) -> bool:
        """Whether a weight gets Adam steps."""
        path = variable.path
        if len(variable.shape) != 2 or (self.exclude_embeddings and "embedding" in path.lower()):
            return True
        return any(re.search(pattern, path) for pattern in self.exclude_layers)

    def _make_slots(self, variables: Sequence[Variable]) -> None:
        """Make the momentum of every weight, and the velocity of those with Adam steps."""
        for variable in variables:
            adam = self._should_use_adamw(variable)
            self.momentums.append(self.add_variable_from_reference(variable, "momentum"))
            self.adam_velocities.append(
                self.add_variable_from_reference(variable, "velocity") if adam else None
            )

    def _decay_of(self, variable: Variable) -> float:
        decay = super()._decay_of(variable)
        if decay and self._should_use_adamw(variable):
            return float(self.adam_weight_decay or 0.0)
        return decay

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Update one weight."""
        rate = ops.cast(learning_rate, variable.dtype)
        position = self._get_variable_index(variable)
        momentum, velocity = self.momentums[position], self.adam_velocities[position]
        if velocity is not None:
            rate = rate * self.adam_lr_ratio
            self._adam_step(gradient, variable, momentum, velocity, rate)
            return
        self.assign(momentum, self.momentum * momentum + gradient)
        matrix = gradient + self.momentum * momentum if self.nesterov else momentum
        step = self.lr_adjust(self.zeropower_via_newtonschulz5(matrix, self.ns_steps))
        self.assign_sub(variable, rate * step)

    def lr_adjust(self, x: Any) -> Any:
        """Return `x` times rms_rate * sqrt(greater of its first two sizes); unchanged for None."""
        if self.rms_rate is None:
            return x
        return x * (max(x.shape[0], x.shape[1]) ** 0.5 * self.rms_rate)

    def transpose_last_axis(self, X: Any) -> Any:
        """Return `X` with its last two axes exchanged."""
        return ops.swapaxes(ops.convert_to_tensor(X), -1, -2)

    def zeropower_via_newtonschulz5(self, x: Any, steps: int) -> Any:
        """Return nearly the orthogonal matrix nearest to each matrix (..., rows, columns).

        Args:
            x: at least two axes.
            steps: number of iterations.

        Raises:
            ValueError: for a vector or scalar.
        """
        x = ops.convert_to_tensor(x)
        if x.ndim < 2:
            raise ValueError(
                f"{type(self).__name__}: only matrices become orthogonal. Got shape {x.shape}."
            )
        is_tall = x.shape[-2] > x.shape[-1]
        if is_tall:
            x = self.transpose_last_axis(x)
        x = x / (ops.norm(x, axis=(-2, -1), keepdims=True) + 1e-7)
        for _ in range(steps):
            y = ops.matmul(x, self.transpose_last_axis(x))
            x = self.muon_a * x + ops.matmul(self.muon_b * y + self.muon_c * ops.matmul(y, y), x)
        return self.transpose_last_axis(x) if is_tall else x

    def _adam_step(
        self, gradient: Any, variable: Variable, momentum: Variable, velocity: Variable, rate: Any
    ) -> None:
        step = self._step_number(variable)
        self.assign(momentum, momentum + (gradient - momentum) * (1.0 - self.adam_beta_1))
        self.assign(
            velocity, velocity + (ops.square(gradient) - velocity) * (1.0 - self.adam_beta_2)
        )
        rate = rate * ops.sqrt(1.0 - ops.power(self.adam_beta_2, step))
        rate = rate / (1.0 - ops.power(self.adam_beta_1, step))
        self.assign_sub(variable, rate * momentum / (ops.sqrt(velocity) + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "adam_beta_1": self.adam_beta_1,
            "adam_beta_2": self.adam_beta_2,
            "epsilon": self.epsilon,
            "exclude_layers": self.exclude_layers,
            "muon_a": self.muon_a,
            "muon_b": self.muon_b,
            "muon_c": self.muon_c,
            "adam_lr_ratio": self.adam_lr_ratio,
            "momentum": self.momentum,
            "ns_steps": self.ns_steps,
            "nesterov": self.nesterov,
            "exclude_embeddings": self.exclude_embeddings,
            "adam_weight_decay": self.adam_weight_decay,
            "rms_rate": self.rms_rate,
        }
