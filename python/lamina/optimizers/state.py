"""What an optimizer keeps: its variables, the slots of the weights, and how they are packed."""

from __future__ import annotations

import functools
import re
import warnings
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina import config, initializers, names, ops
from lamina.tensor import Tensor
from lamina.tracing import apply, current_tracer
from lamina.variable import Variable, pack_variables

_ALIGNMENT = 64  # bytes: the parts of a packed buffer begin at multiples

# Which optimizer packed a weight, by the weight's id. Packed weights stay where they are as long as
# that optimizer lives: steps traced with it update its buffers.
_packers: weakref.WeakValueDictionary[int, OptimizerState] = weakref.WeakValueDictionary()


@dataclass
class _Group:
    """Weights that lie in one flat buffer and are updated in one sweep."""

    flat: Variable
    members: list[int]  # positions among the optimizer's variables
    decays: bool


def _part(flat: Variable, start: int, weight: Variable) -> Tensor:
    part = apply("slice", flat.value, begin=[start], end=[start + weight.size], strides=[1])
    return apply("reshape", part, shape=list(weight.shape))


def _packing_after(build: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(build)
    def build_and_pack(self: OptimizerState, variables: Sequence[Variable]) -> None:
        self._build_depth += 1
        try:
            build(self, variables)
        finally:
            self._build_depth -= 1
        if self._build_depth == 0:
            self._pack()

    return build_and_pack


class OptimizerState:
    """The variables of an optimizer, one by one and in flat buffers."""

    # `update_step` treats every element alone, so it may get one flat buffer for many weights;
    # it applies the weight decay itself. A subclass with another `update_step` gets each weight.
    _is_sweep = False

    name: str
    weight_decay: float | None
    use_ema: bool
    gradient_accumulation_steps: int | None
    _slots: list[list[Variable]]  # of the subclass's own kinds

    def __init__(self) -> None:
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
        self._iterations = self._own_variable(np.zeros((), np.int32), "iteration")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "build" in cls.__dict__:
            cls.build = _packing_after(cls.build)  # type: ignore[method-assign]

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

    def _slots_of(self, variable: Variable) -> list[Variable]:
        """Return the slots of a weight or flat buffer, one of each list in `self._slots`."""
        position = self._get_variable_index(variable)
        return [slots[position] for slots in self._slots]

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

    def _show_updates(self, updated: Sequence[Variable]) -> None:
        """Let later reads in the present trace see the weights that flat buffers changed."""
        tracer = current_tracer()
        if tracer is None:
            return
        for group in self._groups:
            if not any(group.flat is variable for variable in updated):
                continue
            start, step = 0, _ALIGNMENT // np.dtype(group.flat.dtype).itemsize
            for i in group.members:
                weight = self._trainable_variables[i]
                tracer.supersede(weight, functools.partial(_part, group.flat, start, weight))
                start += -(-weight.size // step) * step

    def release(self) -> None:
        """Let other optimizers pack the weights; this one updates them one by one from now on.

        For the optimizer that a new `compile` replaces: steps traced with it must be dropped.
        """
        for group in self._groups:
            for i in group.members:
                _packers.pop(id(self._trainable_variables[i]), None)
        self._groups = []

    # Which weights decay

    def exclude_from_weight_decay(
        self, var_list: Iterable[Variable] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Leave weights out of the decay; call it before the first step.

        Args:
            var_list: the weights.
            var_names: regular expressions; a weight whose name one of them finds is left out.
        """
        if self.built:
            raise ValueError("exclude_from_weight_decay() must come before the optimizer is built.")
        self._undecayed_ids |= {id(v) for v in var_list or ()}
        self._undecayed_names += list(var_names or ())

    def _decays(self, variable: Variable) -> bool:
        if self.weight_decay is None or id(variable) in self._undecayed_ids:
            return False
        return not any(re.search(name, variable.name) for name in self._undecayed_names)

    def _decay_of(self, variable: Variable) -> float:
        """Return the decay of a weight or flat buffer, 0 where there is none."""
        if self.weight_decay is None:
            return 0.0
        decay = float(self.weight_decay)
        for group in self._groups:
            if group.flat is variable:
                return decay if group.decays else 0.0
        return decay if self._decays(variable) else 0.0

    # Saving

    def save_own_variables(self, store: Any) -> None:
        """Write the variables into a mapping, by position."""
        for i, variable in enumerate(self.variables):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Take the variables from a mapping that `save_own_variables` filled."""
        if len(store.keys()) != len(self.variables):
            warnings.warn(
                f"Skipping variable loading for optimizer '{self.name}', because it has "
                f"{len(self.variables)} variables whereas the saved optimizer has "
                f"{len(store.keys())} variables.",
                stacklevel=2,
            )
            return
        for i, variable in enumerate(self.variables):
            variable.assign(np.asarray(store[str(i)]))

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Give the variables values, in the order of `variables`."""
        for variable, value in zip(self.variables, weights, strict=True):
            variable.assign(value)


OptimizerState.build = _packing_after(OptimizerState.build)  # type: ignore[method-assign]
