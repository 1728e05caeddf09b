"""What all optimizers share: the learning rate, slots, clipping, decay, averages, the step."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from lamina import config, names, ops, serialization
from lamina.ops.core import to_dtype
from lamina.optimizers import schedules
from lamina.optimizers.state import OptimizerState
from lamina.stateless import call_with_values
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, mark_seam
from lamina.validation import (
    Boolean,
    Integer,
    Real,
    Text,
    check_argument,
    did_you_mean,
    short_repr,
)
from lamina.variable import Variable

# Written into configurations by other versions of Keras; they change nothing here.
_NEUTRAL_ARGUMENTS = ("jit_compile", "is_legacy_optimizer")


class Optimizer(OptimizerState):
    """Base of all optimizers.

    A subclass defines `update_step(gradient, variable, learning_rate)` with `lamina.ops` and
    `self.assign(...)`, and makes its slots in `build(variables)` after `super().build(...)`.

    Args:
        learning_rate: number, `LearningRateSchedule`, or function without arguments.
        weight_decay: every update begins with w -= w * weight_decay * learning rate; or None.
        clipnorm: greatest norm of the gradient of each weight; or None.
        clipvalue: greatest size of each element of a gradient; or None.
        global_clipnorm: greatest norm of all gradients together; or None.
        use_ema: whether to keep moving averages of the weights.
        ema_momentum: share of the old average that is kept, in [0, 1].
        ema_overwrite_frequency: after so many steps the weights become their averages; None:
            only at the end of training.
        loss_scale_factor: number that the loss was multiplied by; gradients are divided by it.
        gradient_accumulation_steps: the weights change every so many steps, by the mean gradient.
        name: by default from the class.
    """

    def __init__(
        self,
        learning_rate: Any,
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
        check = functools.partial(check_argument, type(self).__name__)
        positive = Real(0, closed="right", optional=True)
        self._refuse_unknown(kwargs)
        name = check("name", name, Text(optional=True))
        self.name = names.auto_name(type(self).__name__) if name is None else name
        self.weight_decay = check("weight_decay", weight_decay, Real(0, optional=True))
        self.clipnorm = check("clipnorm", clipnorm, positive)
        self.clipvalue = check("clipvalue", clipvalue, positive)
        self.global_clipnorm = check("global_clipnorm", global_clipnorm, positive)
        given = [c for c in (clipnorm, clipvalue, global_clipnorm) if c is not None]
        if len(given) > 1:
            raise ValueError(
                "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be given. "
                f"{type(self).__name__} got clipnorm={clipnorm!r}, clipvalue={clipvalue!r}, "
                f"global_clipnorm={global_clipnorm!r}."
            )
        self.use_ema = check("use_ema", use_ema, Boolean())
        self.ema_momentum = check("ema_momentum", ema_momentum, Real(0, 1))
        self.ema_overwrite_frequency = check(
            "ema_overwrite_frequency", ema_overwrite_frequency, Integer(1, optional=True)
        )
        self.loss_scale_factor = check("loss_scale_factor", loss_scale_factor, positive)
        self.gradient_accumulation_steps = check(
            "gradient_accumulation_steps", gradient_accumulation_steps, Integer(2, optional=True)
        )
        super().__init__()
        self._updates_now: Tensor | None = None  # while applying with accumulation
        self._learning_rate = self._checked_rate(learning_rate)
        if isinstance(self._learning_rate, float):
            self._learning_rate = self._own_rate(self._learning_rate)

    def _refuse_unknown(self, kwargs: dict[str, Any]) -> None:
        if "decay" in kwargs:
            warnings.warn(
                f"{type(self).__name__}: decay is an argument of old versions and does nothing; "
                "use a schedule.",
                stacklevel=4,
            )
        unknown = [key for key in kwargs if key not in (*_NEUTRAL_ARGUMENTS, "decay")]
        if unknown:
            known = ("learning_rate", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm")
            raise ValueError(
                f"{type(self).__name__}: unknown argument {unknown[0]!r}."
                f"{did_you_mean(unknown[0], known)}"
            )

    def _checked_rate(self, rate: Any) -> Any:
        if isinstance(rate, dict):
            rate = schedules.deserialize(rate)
        if isinstance(rate, schedules.LearningRateSchedule):
            return rate
        if callable(rate) and not isinstance(rate, (Variable, Tensor)):
            return rate
        return float(check_argument(type(self).__name__, "learning_rate", rate, Real(0)))

    # Learning rate

    def _own_rate(self, rate: float) -> Variable:
        return self._own_variable(rate, config.floatx(), "learning_rate")

    @property
    def learning_rate(self) -> Any:
        """The learning rate at the present step."""
        return self._get_current_learning_rate()

    @learning_rate.setter
    def learning_rate(self, rate: Any) -> None:
        if isinstance(self._learning_rate, schedules.LearningRateSchedule):
            if not isinstance(rate, schedules.LearningRateSchedule):
                raise TypeError(
                    "This optimizer was created with a `LearningRateSchedule`, so its learning "
                    f"rate cannot be set to {short_repr(rate)}. Give the optimizer a number, or "
                    "assign another schedule."
                )
            self._learning_rate = rate
            return
        rate = self._checked_rate(rate)
        if isinstance(rate, float):
            if isinstance(self._learning_rate, Variable):
                self._learning_rate.assign(rate)
            else:
                self._learning_rate = self._own_rate(rate)
            return
        if isinstance(self._learning_rate, Variable):
            self._variables = [v for v in self._variables if v is not self._learning_rate]
        self._learning_rate = rate

    lr = learning_rate

    def _get_current_learning_rate(self) -> Any:
        if isinstance(self._learning_rate, schedules.LearningRateSchedule):
            return self._learning_rate(self._iterations)
        return self._learning_rate if isinstance(self._learning_rate, Variable) else (
            self._learning_rate()
        )  # fmt: skip

    # Updating

    def _step_number(self, variable: Variable) -> Tensor:
        """Return the number of the present update, from 1, in the weight's type or float32.

        Powers of the betas, which are near 1, would be 1 in narrower types.
        """
        is_wide = variable.dtype in ("float32", "float64")
        return ops.cast(self.iterations + 1, variable.dtype if is_wide else "float32")

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Update one weight: subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} must define update_step().")

    def _begin_update(self) -> None:
        """Change what changes once for all weights, before the first `update_step`."""

    def assign(self, variable: Variable, value: Any) -> None:
        """Give a Variable its next value (only in updating steps while accumulating)."""
        if self._updates_now is not None:
            value = ops.where(self._updates_now, value, variable)
        variable.assign(value)

    def assign_add(self, variable: Variable, value: Any) -> None:
        """Add to a Variable."""
        self.assign(variable, variable + ops.cast(value, variable.dtype))

    def assign_sub(self, variable: Variable, value: Any) -> None:
        """Subtract from a Variable."""
        self.assign(variable, variable - ops.cast(value, variable.dtype))

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> Any:
        """Update weights from pairs (gradient, weight); return the number of updates done."""
        grads, variables = zip(*grads_and_vars, strict=True)
        self.apply(grads, variables)
        return self.iterations

    def apply(
        self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None
    ) -> None:
        """Update weights by their gradients.

        Args:
            grads: one tensor for each weight, or None for those that the loss does not touch.
            trainable_variables: the weights; None: those of `build`.

        Raises:
            ValueError: if numbers differ, a weight is unknown, or every gradient is None.
        """
        grads = list(grads)
        if not grads:
            return
        variables = self._variables_for(grads, trainable_variables)
        mark_seam()
        pairs = self._usable(self._overwrite(grads, variables))
        units = self._units(pairs)
        if units:
            self._update(units)
            self._show_updates([variable for _, variable in units])
        self._iterations.assign_add(1)

    def stateless_apply(
        self,
        optimizer_variables: Sequence[Any],
        grads: Sequence[Any],
        trainable_variables: Sequence[Any],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return what `apply` would make of values, and change nothing.

        Args:
            optimizer_variables: values of `variables`.
            grads: one gradient for each weight, or None.
            trainable_variables: values of the weights that the optimizer was built for.

        Returns:
            New values of the weights, and of `variables`.

        Raises:
            ValueError: before `build`, or if numbers differ.
        """
        if not self.built:
            raise ValueError(
                "stateless_apply: the optimizer must be built: call build(variables) first."
            )
        weights, own = self._trainable_variables, self.variables
        for what, known, given in (
            ("trainable_variables", weights, trainable_variables),
            ("optimizer_variables", own, optimizer_variables),
        ):
            if len(known) != len(given):
                raise ValueError(
                    f"stateless_apply: {what} must hold {len(known)} values. Got {len(given)}."
                )

        with self._weight_by_weight():
            _, values = call_with_values(
                lambda: self.apply(grads, weights),
                [*weights, *own],
                [*trainable_variables, *optimizer_variables],
            )
        return values[: len(weights)], values[len(weights) :]

    def _variables_for(
        self, grads: list[Any], trainable_variables: Sequence[Variable] | None
    ) -> list[Variable]:
        if trainable_variables is None:
            if not self.built:
                raise ValueError(
                    "apply(): without variables the optimizer must be built: call build(variables) "
                    "first or pass them."
                )
            variables = self._trainable_variables
        else:
            variables = list(trainable_variables)
            if not self.built:
                self.build(variables)
            for v in variables:
                if self._var_key(v) not in self._trainable_variables_indices:
                    raise ValueError(
                        f"apply(): unknown variable {v.path!r}: the optimizer was built for others."
                    )
        if len(grads) != len(variables):
            raise ValueError(
                f"apply: {len(grads)} gradients were given for {len(variables)} variables."
            )
        return variables

    def _overwrite(
        self, grads: list[Any], variables: Sequence[Variable]
    ) -> list[tuple[Any, Variable]]:
        """Give weights with `overwrite_with_gradient` their gradients; return the other pairs."""
        others = []
        for gradient, variable in zip(grads, variables, strict=True):
            if gradient is None or not variable.overwrite_with_gradient:
                others.append((gradient, variable))
                continue
            gradient = to_dtype(convert(gradient), variable.dtype)
            if self.gradient_accumulation_steps:
                # Such a "gradient" is a statistic: the largest one counts.
                accumulator = self._slot_of(self._accumulated_gradients, variable)
                gradient = ops.maximum(accumulator, gradient)
                is_last = self._ends_accumulation()
                accumulator.assign(ops.where(is_last, ops.zeros_like(gradient), gradient))
                gradient = ops.where(is_last, gradient, variable)
            variable.assign(gradient)
        return others

    def _usable(self, pairs: list[tuple[Any, Variable]]) -> list[tuple[Tensor, Variable]]:
        missing = [v.path for g, v in pairs if g is None]
        if missing and len(missing) == len(pairs):
            raise ValueError("No gradients provided for any variable.")
        if missing:
            warnings.warn(
                f"Gradients do not exist for variables {missing} when minimizing the loss.",
                stacklevel=4,
            )
        scale = self.loss_scale_factor
        return [
            (g if scale is None else g / scale, v)
            for g, v in ((to_dtype(convert(g), v.dtype), v) for g, v in pairs if g is not None)
        ]

    def _units(self, pairs: list[tuple[Tensor, Variable]]) -> list[tuple[Tensor, Variable]]:
        """Return what is updated at once: flat buffers where all their weights have gradients."""
        if self.clipnorm is not None and not self.gradient_accumulation_steps:
            pairs = [(self._clip_by_norm(g, self.clipnorm), v) for g, v in pairs]
        waiting = {self._get_variable_index(v): (g, v) for g, v in pairs}
        units = []
        for group in self._groups:
            if self.clipnorm is not None and self.gradient_accumulation_steps:
                break  # the mean of the gradients is what is clipped, weight by weight
            if all(i in waiting for i in group.members) and not self._was_assigned(group):
                parts = [waiting.pop(i)[0] for i in group.members]
                units.append((apply("pack", *parts), group.flat))
        return units + list(waiting.values())

    def _update(self, units: list[tuple[Tensor, Variable]]) -> None:
        if self.gradient_accumulation_steps:
            units = self._accumulate(units)
        variables = [v for _, v in units]
        grads = self._clip_units([g for g, _ in units])
        rate = self._get_current_learning_rate()
        self._begin_update()
        self._decays_in_update_step = self._sweeps() and self._has_fused_decay
        if not self._decays_in_update_step:
            self._apply_weight_decay(variables)
        for gradient, variable in zip(grads, variables, strict=True):
            self.update_step(gradient, variable, rate)
        self._updates_now, self._decays_in_update_step = None, False
        if self.use_ema:
            self._update_model_variables_moving_average(variables)
        for variable in variables:
            if variable.constraint is not None:
                variable.assign(variable.constraint(variable))

    def _ends_accumulation(self) -> Tensor:
        return ops.equal(ops.mod(self._iterations + 1, self.gradient_accumulation_steps), 0)

    def _accumulate(self, units: list[tuple[Tensor, Variable]]) -> list[tuple[Tensor, Variable]]:
        updates_now = self._ends_accumulation()
        means = []
        for gradient, variable in units:
            accumulator = self._slot_of(self._accumulated_gradients, variable)
            total = accumulator + gradient
            accumulator.assign(ops.where(updates_now, ops.zeros_like(total), total))
            means.append((total / float(self.gradient_accumulation_steps or 1), variable))
        self._updates_now = updates_now
        return means

    # Clipping

    @staticmethod
    def _clip_by_norm(gradient: Tensor, greatest: float) -> Tensor:
        norm = ops.sqrt(apply("sum_squares", gradient))
        return gradient * (greatest / ops.maximum(norm, greatest))

    def _clip_gradients(self, grads: Sequence[Any]) -> list[Any]:
        """Return the gradients as `clipnorm`, `global_clipnorm` or `clipvalue` bounds them."""
        known = [g if g is None else convert(g) for g in grads]
        if self.clipnorm is not None:
            bound = self.clipnorm
            return [g if g is None else self._clip_by_norm(g, bound) for g in known]
        if self.clipvalue is not None:
            low, high = -self.clipvalue, self.clipvalue
            return [g if g is None else ops.clip(g, low, high) for g in known]
        if self.global_clipnorm is not None:
            squares = [apply("sum_squares", g) for g in known if g is not None]
            norm = ops.sqrt(functools.reduce(ops.add, squares))
            factor = self.global_clipnorm / ops.maximum(norm, self.global_clipnorm)
            return [g if g is None else g * ops.cast(factor, g.dtype) for g in known]
        return known

    def _clip_units(self, grads: list[Tensor]) -> list[Tensor]:
        # By norm, gradients are clipped weight by weight, before they are packed (see `_units`).
        if self.clipnorm is not None and not self.gradient_accumulation_steps:
            return grads
        return self._clip_gradients(grads)

    # Weight decay

    def _apply_weight_decay(self, variables: Sequence[Variable]) -> None:
        """Take the decay off the weights, before their update."""
        rate = self._get_current_learning_rate()
        for variable in variables:
            decay = self._decay_of(variable)
            if decay:
                step = ops.cast(rate, variable.dtype) * decay
                self.assign(variable, variable - variable * step)

    # Moving averages of the weights

    def _update_model_variables_moving_average(self, variables: Sequence[Variable]) -> None:
        has_past = ops.cast(ops.not_equal(self.iterations, 0), config.floatx())
        for variable in variables:
            keep = ops.cast(has_past * self.ema_momentum, variable.dtype)
            average = self._slot_of(self._model_variables_moving_average, variable)
            average.assign(keep * average + (1.0 - keep) * variable)
            if self.ema_overwrite_frequency:
                done = ops.mod(self.iterations + 1, self.ema_overwrite_frequency)
                variable.assign(ops.where(ops.equal(done, 0), average, variable))

    def finalize_variable_values(self, var_list: Iterable[Variable]) -> None:
        """Give weights the values of their averages, as the end of training does."""
        if self.use_ema:
            for variable in var_list:
                average = self._slot_of(self._model_variables_moving_average, variable)
                if average is not None:  # overwritten with gradients: it has none
                    variable.assign(average)

    def scale_loss(self, loss: Any) -> Any:
        """Multiply the loss by `loss_scale_factor`."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    # Saving

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        rate: Any = self._learning_rate
        if isinstance(rate, Variable):
            rate = float(rate.numpy())
        else:
            rate = serialization.serialize_keras_object(rate)
        return {
            "name": self.name,
            "learning_rate": rate,
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm,
            "clipvalue": self.clipvalue,
            "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum,
            "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "loss_scale_factor": self.loss_scale_factor,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Optimizer:
        """Build an optimizer from what `get_config` returned."""
        config = dict(config)
        if isinstance(config.get("learning_rate"), dict):
            config["learning_rate"] = schedules.deserialize(config["learning_rate"], custom_objects)
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"
