"""What all optimizers share: the learning rate, slots, clipping, decay, averages, the step."""

from __future__ import annotations

import functools
import re
import warnings
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina import config, initializers, names, ops, serialization
from lamina.ops.core import to_dtype
from lamina.optimizers import schedules
from lamina.tensor import Tensor
from lamina.tracing import apply, convert
from lamina.validation import Boolean, Integer, Real, check_argument, did_you_mean, short_repr
from lamina.variable import Variable, pack_variables

# Written into configurations by other versions of Keras; they change nothing here.
_NEUTRAL_ARGUMENTS = ("jit_compile", "is_legacy_optimizer")


# Which optimizer packed a weight, by the weight's id. Packed weights stay where they are as long as
# that optimizer lives: steps traced with it update its buffers.
_packers: weakref.WeakValueDictionary[int, Optimizer] = weakref.WeakValueDictionary()


@dataclass
class _Group:
    """Weights that lie in one flat buffer and are updated in one sweep."""

    flat: Variable
    members: list[int]  # positions among the optimizer's variables
    decays: bool


def _packing_after(build: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(build)
    def build_and_pack(self: Optimizer, variables: Sequence[Variable]) -> None:
        self._build_depth += 1
        try:
            build(self, variables)
        finally:
            self._build_depth -= 1
        if self._build_depth == 0:
            self._pack()

    return build_and_pack


class Optimizer:
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

    # `update_step` treats every element alone, so it may get one flat buffer for many weights;
    # it applies the weight decay itself. A subclass with another `update_step` gets each weight.
    _is_sweep = False

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
        self.name = names.auto_name(type(self).__name__) if name is None else name
        self.weight_decay = check("weight_decay", weight_decay, Real(0, optional=True))
        self.clipnorm = check("clipnorm", clipnorm, positive)
        self.clipvalue = check("clipvalue", clipvalue, positive)
        self.global_clipnorm = check("global_clipnorm", global_clipnorm, positive)
        given = [c for c in (clipnorm, clipvalue, global_clipnorm) if c is not None]
        if len(given) > 1:
            raise ValueError(
                f"{type(self).__name__}: only one of clipnorm, clipvalue and global_clipnorm can "
                f"be set. Got clipnorm={clipnorm!r}, clipvalue={clipvalue!r}, "
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
        self.built = False
        self._build_depth = 0
        self._variables: list[Variable] = []
        self._trainable_variables: list[Variable] = []
        self._positions: dict[int, int] = {}
        self._slot_lists: list[list[Variable]] = []
        self._groups: list[_Group] = []
        self._undecayed_ids: set[int] = set()
        self._undecayed_names: list[str] = []
        self._averages: list[Variable] = []
        self._accumulators: list[Variable] = []
        self._updates_now: Tensor | None = None  # while applying with accumulation
        self._iterations = self._own_variable(np.zeros((), np.int32), "iteration")
        self._learning_rate = self._checked_rate(learning_rate)
        if isinstance(self._learning_rate, float):
            rate = np.asarray(self._learning_rate, config.floatx())
            self._learning_rate = self._own_variable(rate, "learning_rate")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "build" in cls.__dict__:
            cls.build = _packing_after(cls.build)  # type: ignore[method-assign]

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

    # Variables

    def _own_variable(self, value: np.ndarray, name: str) -> Variable:
        with names.name_scope(self.name):
            variable = Variable(value, trainable=False, name=name)
        self._variables.append(variable)
        return variable

    @property
    def variables(self) -> list[Variable]:
        """The iteration, the learning rate, and the slots."""
        return self._variables[:]

    @property
    def iterations(self) -> Any:
        """Number of updates done."""
        if self.gradient_accumulation_steps:
            return ops.floor_divide(self._iterations, self.gradient_accumulation_steps)
        return self._iterations

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str = "none",
        layout: Any = None,
        name: str | None = None,
    ) -> Variable:
        """Make a Variable that belongs to the optimizer and is saved with it."""
        del layout  # of Keras's distributed tensors
        with names.name_scope(self.name):
            variable = Variable(
                initializers.get(initializer),
                shape=tuple(shape),
                dtype=dtype or config.floatx(),
                trainable=False,
                aggregation=aggregation,
                name=name,
            )
        self._variables.append(variable)
        return variable

    def add_variable_from_reference(
        self, reference_variable: Variable, name: str | None = None, initializer: Any = "zeros"
    ) -> Variable:
        """Make a slot: a Variable with the shape and type of a weight."""
        prefix = reference_variable.path.replace("/", "_")
        return self.add_variable(
            reference_variable.shape,
            initializer,
            reference_variable.dtype,
            name=f"{prefix}_{name or 'slot'}",
        )

    def add_optimizer_variables(
        self, trainable_variables: Iterable[Variable], name: Any, initializer: Any = "zeros"
    ) -> Any:
        """Make one slot for every weight, or several.

        Args:
            trainable_variables: the weights.
            name: of the slots; a list makes one list of slots for each name.
            initializer: of the slots; a list goes with a list of names.

        Returns:
            A list with one Variable for each weight, or a tuple of such lists.
        """
        slot_names = [name] if isinstance(name, str) else list(name)
        is_list = isinstance(initializer, (list, tuple))
        starts = list(initializer) if is_list else [initializer] * len(slot_names)
        lists: list[list[Variable]] = [[] for _ in slot_names]
        for variable in trainable_variables:
            for slots, slot_name, start in zip(lists, slot_names, starts, strict=True):
                slots.append(self.add_variable_from_reference(variable, slot_name, start))
        self._slot_lists += lists
        return lists[0] if isinstance(name, str) else tuple(lists)

    def build(self, variables: Sequence[Variable]) -> None:
        """Get ready to update `variables`; called at the first step if not before."""
        if self.built:
            return
        self._trainable_variables = list(variables)
        self._positions = {id(v): i for i, v in enumerate(self._trainable_variables)}
        if self.use_ema:
            self._averages = self.add_optimizer_variables(variables, "average")
        if self.gradient_accumulation_steps:
            self._accumulators = self.add_optimizer_variables(variables, "gradient_accumulator")
        self.built = True

    def _get_variable_index(self, variable: Variable) -> int:
        """Return the position of a weight (or flat buffer) in the lists of slots."""
        return self._positions[id(variable)]

    # Packing

    def _sweeps(self) -> bool:
        owner = next(cls for cls in type(self).__mro__ if "update_step" in cls.__dict__)
        return bool(owner.__dict__.get("_is_sweep", False))

    def _pack(self) -> None:
        """Move weights and slots into flat buffers, one for each type and kind of decay.

        Each list of slots gets the flat buffers' slots at its end. Weights with a constraint
        are updated one by one, and so are those that another optimizer has packed.
        """
        if not self._sweeps() or self._groups:
            return
        kinds: dict[tuple[str, bool], list[int]] = {}
        for i, variable in enumerate(self._trainable_variables):
            is_free = _packers.get(id(variable), self) is self
            if is_free and variable.constraint is None and not variable.overwrite_with_gradient:
                kinds.setdefault((variable.dtype, self._decays(variable)), []).append(i)
        for (_, decays), members in kinds.items():
            flat = self._packed(self._trainable_variables, members, "weights")
            self._positions[id(flat)] = len(self._trainable_variables) + len(self._groups)
            self._groups.append(_Group(flat, members, decays))
            _packers.update({id(self._trainable_variables[i]): self for i in members})
            for slots in self._slot_lists:
                slots.append(self._packed(slots, members, "slots"))

    def _packed(self, variables: Sequence[Variable], members: list[int], name: str) -> Variable:
        with names.name_scope(self.name):
            return pack_variables([variables[i] for i in members], name)

    def release(self) -> None:
        """Let other optimizers pack the weights; this one updates them one by one from now on.

        For the optimizer that a new `compile` replaces: steps traced with it must be dropped.
        """
        for group in self._groups:
            for i in group.members:
                _packers.pop(id(self._trainable_variables[i]), None)
        self._groups = []

    # Learning rate

    @property
    def learning_rate(self) -> Any:
        """The learning rate at the present step."""
        return self._get_current_learning_rate()

    @learning_rate.setter
    def learning_rate(self, rate: Any) -> None:
        if isinstance(self._learning_rate, schedules.LearningRateSchedule):
            if not isinstance(rate, schedules.LearningRateSchedule):
                raise TypeError(
                    "This optimizer was created with a LearningRateSchedule, so its learning "
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
                value = np.asarray(rate, config.floatx())
                self._learning_rate = self._own_variable(value, "learning_rate")
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

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Update one weight: subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} must define update_step().")

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
        grads, variables = list(grads), self._variables_for(list(grads), trainable_variables)
        pairs = self._usable(grads, variables)
        units = self._units(pairs)
        if units:
            self._update(units)
        self._iterations.assign_add(1)

    def _variables_for(
        self, grads: list[Any], trainable_variables: Sequence[Variable] | None
    ) -> list[Variable]:
        if trainable_variables is None:
            if not self.built:
                raise ValueError(
                    "When passing `grads` without `variables`, the optimizer must already be "
                    "built on a list of variables."
                )
            variables = self._trainable_variables
        else:
            variables = list(trainable_variables)
            if not self.built:
                self.build(variables)
            for v in variables:
                if id(v) not in self._positions:
                    raise ValueError(
                        f"Unknown variable: {v.path}. This optimizer can only be called for the "
                        "variables it was originally built with."
                    )
        if len(grads) != len(variables):
            raise ValueError(
                f"apply: {len(grads)} gradients were given for {len(variables)} variables."
            )
        return variables

    def _usable(
        self, grads: list[Any], variables: Sequence[Variable]
    ) -> list[tuple[Tensor, Variable]]:
        missing = [v.path for g, v in zip(grads, variables, strict=True) if g is None]
        if missing and len(missing) == len(variables):
            raise ValueError("No gradients provided for any variable.")
        if missing:
            warnings.warn(
                f"Gradients do not exist for variables {missing} when minimizing the loss.",
                stacklevel=4,
            )
        scale = self.loss_scale_factor
        pairs = []
        for gradient, variable in zip(grads, variables, strict=True):
            if gradient is None:
                continue
            gradient = to_dtype(convert(gradient), variable.dtype)
            if variable.overwrite_with_gradient:
                variable.assign(gradient)
            else:
                pairs.append((gradient if scale is None else gradient / scale, variable))
        return pairs

    def _units(self, pairs: list[tuple[Tensor, Variable]]) -> list[tuple[Tensor, Variable]]:
        """Return what is updated at once: flat buffers where all their weights have gradients."""
        if self.clipnorm is not None and not self.gradient_accumulation_steps:
            pairs = [(self._clip_by_norm(g, self.clipnorm), v) for g, v in pairs]
        waiting = {self._positions[id(v)]: (g, v) for g, v in pairs}
        units = []
        for group in self._groups:
            if self.clipnorm is not None and self.gradient_accumulation_steps:
                break  # the mean of the gradients is what is clipped, weight by weight
            if all(i in waiting for i in group.members):
                parts = [waiting.pop(i)[0] for i in group.members]
                units.append((apply("pack", *parts), group.flat))
        return units + list(waiting.values())

    def _update(self, units: list[tuple[Tensor, Variable]]) -> None:
        if self.gradient_accumulation_steps:
            units = self._accumulate(units)
        variables = [v for _, v in units]
        grads = self._clip([g for g, _ in units])
        rate = self._get_current_learning_rate()
        if not self._sweeps():
            self._apply_weight_decay(variables, rate)
        for gradient, variable in zip(grads, variables, strict=True):
            self.update_step(gradient, variable, rate)
        if self.use_ema:
            self._update_averages(variables)
        for variable in variables:
            if variable.constraint is not None:
                self.assign(variable, variable.constraint(variable))
        self._updates_now = None

    def _accumulate(self, units: list[tuple[Tensor, Variable]]) -> list[tuple[Tensor, Variable]]:
        steps = self.gradient_accumulation_steps
        updates_now = ops.equal(ops.mod(self._iterations + 1, steps), 0)
        means = []
        for gradient, variable in units:
            accumulator = self._accumulators[self._get_variable_index(variable)]
            total = accumulator + gradient
            accumulator.assign(ops.where(updates_now, ops.zeros_like(total), total))
            means.append((total / float(steps), variable))
        self._updates_now = updates_now
        return means

    @staticmethod
    def _clip_by_norm(gradient: Tensor, greatest: float) -> Tensor:
        norm = ops.sqrt(apply("sum_squares", gradient))
        return gradient * (greatest / ops.maximum(norm, greatest))

    def _clip(self, grads: list[Tensor]) -> list[Tensor]:
        if self.clipnorm is not None and self.gradient_accumulation_steps:
            return [self._clip_by_norm(g, self.clipnorm) for g in grads]
        if self.clipvalue is not None:
            return [ops.clip(g, -self.clipvalue, self.clipvalue) for g in grads]
        if self.global_clipnorm is not None:
            squares = [apply("sum_squares", g) for g in grads]
            norm = ops.sqrt(functools.reduce(ops.add, squares))
            factor = self.global_clipnorm / ops.maximum(norm, self.global_clipnorm)
            return [g * ops.cast(factor, g.dtype) for g in grads]
        return grads

    # Weight decay

    def exclude_from_weight_decay(
        self, var_list: Iterable[Variable] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Leave weights out of the decay; call it before the first step.

        Args:
            var_list: the weights.
            var_names: regular expressions; a weight whose name one of them finds is left out.
        """
        if self.built:
            raise ValueError(
                "`exclude_from_weight_decay()` can only be configured before the optimizer is "
                "built."
            )
        self._undecayed_ids |= {id(v) for v in var_list or ()}
        self._undecayed_names += list(var_names or ())

    def _decays(self, variable: Variable) -> bool:
        if self.weight_decay is None or id(variable) in self._undecayed_ids:
            return False
        return not any(re.search(name, variable.name) for name in self._undecayed_names)

    def _decay_of(self, variable: Variable) -> float:
        """Return the decay of a weight or flat buffer, 0 where there is none."""
        for group in self._groups:
            if group.flat is variable:
                return float(self.weight_decay) if group.decays else 0.0
        return float(self.weight_decay) if self._decays(variable) else 0.0

    def _apply_weight_decay(self, variables: Sequence[Variable], rate: Any) -> None:
        for variable in variables:
            decay = self._decay_of(variable)
            if decay:
                step = ops.cast(rate, variable.dtype) * decay
                self.assign(variable, variable - variable * step)

    # Moving averages of the weights

    def _update_averages(self, variables: Sequence[Variable]) -> None:
        has_past = ops.cast(ops.not_equal(self._iterations, 0), config.floatx())
        for variable in variables:
            keep = ops.cast(has_past * self.ema_momentum, variable.dtype)
            average = self._averages[self._get_variable_index(variable)]
            average.assign(keep * average + (1.0 - keep) * variable)
            if self.ema_overwrite_frequency:
                done = ops.mod(self._iterations + 1, self.ema_overwrite_frequency)
                variable.assign(ops.where(ops.equal(done, 0), average, variable))

    def finalize_variable_values(self, var_list: Iterable[Variable]) -> None:
        """Give weights the values of their averages, as the end of training does."""
        if self.use_ema:
            for variable in var_list:
                variable.assign(self._averages[self._get_variable_index(variable)])

    def scale_loss(self, loss: Any) -> Any:
        """Multiply the loss by `loss_scale_factor`."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    # Saving

    def save_own_variables(self, store: Any) -> None:
        """Write the variables into a mapping, by position."""
        for i, variable in enumerate(self._variables):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Take the variables from a mapping that `save_own_variables` filled."""
        if len(store.keys()) != len(self._variables):
            warnings.warn(
                f"Skipping variable loading for optimizer '{self.name}', because it has "
                f"{len(self._variables)} variables whereas the saved optimizer has "
                f"{len(store.keys())} variables.",
                stacklevel=2,
            )
            return
        for i, variable in enumerate(self._variables):
            variable.assign(np.asarray(store[str(i)]))

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Give the variables values, in the order of `variables`."""
        for variable, value in zip(self._variables, weights, strict=True):
            variable.assign(value)

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


Optimizer.build = _packing_after(Optimizer.build)  # type: ignore[method-assign]
