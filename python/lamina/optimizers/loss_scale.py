"""LossScaleOptimizer: keeps small gradients from vanishing by scaling the loss."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lamina import ops, serialization
from lamina.optimizers.base import Optimizer
from lamina.tracing import convert, is_tracing
from lamina.validation import Integer, Real, check_argument, short_repr
from lamina.variable import Variable

_FACTOR = 2.0  # by which the scale grows and shrinks


class LossScaleOptimizer(Optimizer):
    """Another optimizer, whose gradients come from a loss times a scale that adapts.

    Gradients are divided by the scale before the update. A step with an infinite or NaN gradient
    changes no weight and halves the scale; after `dynamic_growth_steps` good steps it doubles.

    Args:
        inner_optimizer: the optimizer that updates the weights.
        initial_scale: first scale of the loss, > 0.
        dynamic_growth_steps: see above, > 0.
        name: by default from the class.
        dynamic: only True; a fixed scale is `loss_scale_factor` of an ordinary optimizer.
        kwargs: those of `Optimizer` belong to the inner optimizer: only their defaults are allowed.

    The inner optimizer's own `loss_scale_factor` becomes None.
    """

    def __init__(
        self,
        inner_optimizer: Optimizer,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        owner = type(self).__name__
        if not isinstance(inner_optimizer, Optimizer):
            raise TypeError(
                f"{owner}: inner_optimizer must be an Optimizer. Got {short_repr(inner_optimizer)}."
            )
        self._refuse_inner_arguments(kwargs)
        super().__init__(0.0, name=name)
        self._has_scale = False
        self.inner_optimizer = inner_optimizer
        inner_optimizer.loss_scale_factor = None
        self.initial_scale = check_argument(
            owner, "initial_scale", initial_scale, Real(0, closed="right")
        )
        self.dynamic_growth_steps = check_argument(
            owner, "dynamic_growth_steps", dynamic_growth_steps, Integer(1)
        )

    @staticmethod
    def _refuse_inner_arguments(kwargs: dict[str, Any]) -> None:
        if not kwargs.pop("dynamic", True):
            raise ValueError(
                "LossScaleOptimizer: dynamic must be True. For a scale that stays, set "
                "`loss_scale_factor` of an ordinary optimizer."
            )
        defaults = {
            key: parameter.default
            for key, parameter in inspect.signature(Optimizer.__init__).parameters.items()
            if parameter.default is not parameter.empty
        }
        unknown = [key for key in kwargs if key not in defaults]
        if unknown:
            raise ValueError(
                "LossScaleOptimizer: unknown arguments: "
                + ", ".join(f"`{key}`" for key in unknown)
                + "."
            )
        for key, value in kwargs.items():
            if value != defaults[key]:
                raise ValueError(
                    f"LossScaleOptimizer does not take {key}={value!r}: set it on the "
                    "`inner_optimizer`."
                )

    def build(self, var_list: Sequence[Variable]) -> None:
        """Make the scale and the counter, and build the inner optimizer."""
        if self.built:
            return
        super().build(var_list)
        self._make_scale()
        self.inner_optimizer.build(var_list)
        # A bad step is undone weight by weight.
        self.inner_optimizer.release()

    def _make_scale(self) -> None:
        if not self._has_scale:
            self.step_counter = self._own_variable(0, "int32", "step_counter")
            self.dynamic_scale = self._own_variable(self.initial_scale, "float32", "dynamic_scale")
            self._has_scale = True

    @property
    def variables(self) -> list[Variable]:
        """The counter and the scale, then the inner optimizer's variables."""
        return [*self._variables, *self.inner_optimizer.variables]

    @property
    def iterations(self) -> Any:
        """Number of updates done; bad steps do not count."""
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the inner optimizer."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, rate: Any) -> None:
        self.inner_optimizer.learning_rate = rate

    def apply(
        self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None
    ) -> None:
        """Update weights by gradients of the scaled loss (see `Optimizer.apply`)."""
        variables = self._variables_for(list(grads), trainable_variables)
        known = [None if g is None else convert(g) for g in grads]
        is_good = self.check_finite(known)
        scaled = [
            g if g is None or v.overwrite_with_gradient else self._unscaled(g)
            for g, v in zip(known, variables, strict=True)
        ]
        if is_tracing():
            kept = [*variables, *self.inner_optimizer.variables]
            before = [v.value for v in kept]
            self.inner_optimizer.apply(scaled, variables)
            for variable, old in zip(kept, before, strict=True):
                variable.assign(ops.where(is_good, variable, old))
        elif bool(is_good):
            self.inner_optimizer.apply(scaled, variables)
        self._adapt(is_good)

    def _unscaled(self, gradient: Any) -> Any:
        return gradient / ops.cast(self.dynamic_scale, gradient.dtype)

    def check_finite(self, grads: Sequence[Any]) -> Any:
        """Return whether no gradient has an infinite or NaN element, as a boolean tensor."""
        checks = [ops.all(ops.isfinite(g)) for g in grads if g is not None]
        return functools.reduce(ops.logical_and, checks, convert(True))

    @contextmanager
    def _weight_by_weight(self) -> Iterator[None]:
        with super()._weight_by_weight(), self.inner_optimizer._weight_by_weight():
            yield

    def _adapt(self, is_good: Any) -> None:
        count = self.step_counter + 1
        grows = ops.logical_and(is_good, count >= self.dynamic_growth_steps)
        restarts = ops.logical_or(grows, ops.logical_not(is_good))
        factor = ops.where(is_good, ops.where(grows, _FACTOR, 1.0), 1.0 / _FACTOR)
        self.step_counter.assign(ops.where(restarts, 0, count))
        self.dynamic_scale.assign(self.dynamic_scale * factor)

    def scale_loss(self, loss: Any) -> Any:
        """Multiply the loss by the scale."""
        if is_tracing():  # the first step is traced before `build`; later ones have other scales
            self._make_scale()
        scale = self.dynamic_scale if self._has_scale else self.initial_scale
        return loss * ops.cast(scale, convert(loss).dtype)

    def release(self) -> None:
        self.inner_optimizer.release()

    def finalize_variable_values(self, var_list: Iterable[Variable]) -> None:
        """Let the inner optimizer give weights the values of their averages."""
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "inner_optimizer": serialization.serialize_keras_object(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Optimizer:
        """Build an optimizer from what `get_config` returned."""
        from lamina import optimizers

        inner = optimizers.deserialize(config["inner_optimizer"], custom_objects)
        return cls(**{**config, "inner_optimizer": inner})
