"""What an optimizer keeps: its variables, the slots of the weights, and how they are packed."""

from __future__ import annotations

import functools
import re
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
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


class _Group:
    """Weights that lie in one flat buffer and are updated in one sweep.

    Args:
        members: positions among the optimizer's variables.
        slots: the flat buffer of each list of slots, by the list's id.
    """

    def __init__(
        self, flat: Variable, members: list[int], decays: bool, slots: dict[int, Variable]
    ) -> None:
        self.flat, self.members, self.decays, self.slots = flat, members, decays, slots


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

    # `update_step` treats every element alone, so it may get one flat buffer for many weights.
    # A subclass with another `update_step` gets each weight.
    _is_sweep = False
    # `update_step` does the weight decay too, as part of one fused op (see `_decay_in_sweep`).
    _has_fused_decay = False

    name: str
    weight_decay: float | None
    use_ema: bool
    gradient_accumulation_steps: int | None
    _model_variables_moving_average: list[Variable]  # with use_ema, once built
    _accumulated_gradients: list[Variable]  # with gradient_accumulation_steps, once built

    def __init__(self) -> None:
        self.built = False
        self._build_depth = 0
        self._variables: list[Variable] = []
        self._trainable_variables: list[Variable] = []
        self._trainable_variables_indices: dict[int, int] = {}
        self._slot_lists: list[list[Variable]] = []
        self._groups: list[_Group] = []
        self._undecayed_ids: set[int] = set()
        self._undecayed_names: list[str] = []
        self._decays_in_update_step = False  # while `apply` leaves the decay to it
        self._iterations = self._own_variable(0, "int32", "iteration")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "build" in cls.__dict__:
            cls.build = _packing_after(cls.build)  # type: ignore[method-assign]

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and deepcopy: what is found by identity is given by position."""
        packed = bool(self._groups)
        state = {**self.__dict__, "_groups": packed, "_trainable_variables_indices": {}}
        positions = {id(v): i for i, v in enumerate(self._trainable_variables)}
        state["_undecayed_ids"] = {positions[i] for i in self._undecayed_ids if i in positions}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _groups=[])
        weights = self._trainable_variables
        self._trainable_variables_indices = {self._var_key(v): i for i, v in enumerate(weights)}
        self._undecayed_ids = {id(weights[i]) for i in state["_undecayed_ids"]}
        if state["_groups"]:
            self._pack()

    def _own_variable(self, value: float, dtype: str, name: str) -> Variable:
        with names.name_scope(self.name):
            variable = Variable(value, dtype=dtype, trainable=False, name=name)
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
            A list with one Variable for each weight, or a tuple of such lists. There is None for
            a weight that is overwritten with its gradient, which needs no slot.
        """
        slot_names = [name] if isinstance(name, str) else list(name)
        is_list = isinstance(initializer, (list, tuple))
        starts = list(initializer) if is_list else [initializer] * len(slot_names)
        lists: list[list[Any]] = [[] for _ in slot_names]
        for variable in trainable_variables:
            for slots, slot_name, start in zip(lists, slot_names, starts, strict=True):
                needs_none = variable.overwrite_with_gradient
                slots.append(
                    None
                    if needs_none
                    else self.add_variable_from_reference(variable, slot_name, start)
                )
        self._slot_lists += lists
        return lists[0] if isinstance(name, str) else tuple(lists)

    def build(self, variables: Sequence[Variable]) -> None:
        """Get ready to update `variables`; called at the first step if not before."""
        if self.built:
            return
        self._trainable_variables = list(variables)
        self._trainable_variables_indices = {
            self._var_key(v): i for i, v in enumerate(self._trainable_variables)
        }
        if self.use_ema:
            self._model_variables_moving_average = self.add_optimizer_variables(
                variables, "average"
            )
        if self.gradient_accumulation_steps:
            self._accumulated_gradients = [
                self.add_variable_from_reference(v, "gradient_accumulator") for v in variables
            ]
            self._slot_lists.append(self._accumulated_gradients)
        self.built = True
        self._make_slots(variables)

    def _make_slots(self, variables: Sequence[Variable]) -> None:
        """Make what the rule keeps for each weight. Base: nothing."""

    @staticmethod
    def _var_key(variable: Variable) -> int:
        return id(variable)

    def _get_variable_index(self, variable: Variable) -> int:
        """Return the position of a weight in the lists of slots."""
        return self._trainable_variables_indices[self._var_key(variable)]

    def _group_of(self, variable: Variable) -> _Group | None:
        """Return the group whose flat buffer `variable` is; None for a weight."""
        return next((group for group in self._groups if group.flat is variable), None)

    def _slot_of(self, slots: list[Variable], variable: Variable) -> Variable:
        """Return the slot of a weight or flat buffer in one list of slots."""
        group = self._group_of(variable)
        return slots[self._get_variable_index(variable)] if group is None else (
            group.slots[id(slots)]
        )  # fmt: skip

    def _slots_of(self, variable: Variable, *lists: list[Variable]) -> list[Variable]:
        """Return the slots of a weight or flat buffer, one of each list."""
        return [self._slot_of(slots, variable) for slots in lists]

    # Packing

    def _sweeps(self) -> bool:
        for cls in type(self).__mro__:
            if "update_step" in cls.__dict__:
                return bool(cls.__dict__.get("_is_sweep", False))
            if "_apply_weight_decay" in cls.__dict__:
                return False  # a user's own decay expects the weights
        return False

    @contextmanager
    def _weight_by_weight(self) -> Iterator[None]:
        """Inside, weights are updated one by one, though they are packed."""
        groups, self._groups = self._groups, []
        try:
            yield
        finally:
            self._groups = groups

    def _pack(self) -> None:
        """Move weights and slots into flat buffers, one for each type and kind of decay.

        Weights with a constraint are updated one by one, and so are those that another optimizer
        has packed.
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
            slots = {id(s): self._packed(s, members, "slots") for s in self._slot_lists}
            self._groups.append(_Group(flat, members, decays, slots))
            _packers.update({id(self._trainable_variables[i]): self for i in members})

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
            # The engine's own array, whose elements have the size that is packed.
            start, step = 0, _ALIGNMENT // group.flat.handle.value.to_numpy().itemsize
            for i in group.members:
                weight = self._trainable_variables[i]
                tracer.supersede(weight, functools.partial(_part, group.flat, start, weight))
                start += -(-weight.size // step) * step

    def _was_assigned(self, group: _Group) -> bool:
        """Whether the present trace gave a weight of the group a value before the update.

        The flat buffer does not hold that value yet: such weights are updated one by one.
        """
        tracer = current_tracer()
        if tracer is None:
            return False
        assigned = {id(variable) for variable in tracer.assigned}
        return any(id(self._trainable_variables[i]) in assigned for i in group.members)

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
        """Leave weights out of the decay; steps traced before do not notice it.

        Args:
            var_list: the weights.
            var_names: regular expressions; a weight whose name one of them finds is left out.
        """
        self.release()  # flat buffers hold weights of one kind of decay
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
        group = self._group_of(variable)
        decays = self._decays(variable) if group is None else group.decays
        return float(self.weight_decay) if decays else 0.0

    def _decay_in_sweep(self, variable: Variable) -> float:
        """Return the decay that `update_step` has to do along with the update.

        That is 0 outside of `apply`: `update_step` alone does not decay.
        """
        return self._decay_of(variable) if self._decays_in_update_step else 0.0

    # Saving

    def save_own_variables(self, store: Any) -> None:
        """Write the variables into a mapping, by position."""
        for i, variable in enumerate(self.variables):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Take the variables from a mapping that `save_own_variables` filled."""
        if len(store.keys()) != len(self.variables):
            warnings.warn(
                f"{self.name}: the file holds {len(store.keys())} variables of an optimizer, this "
                f"one has {len(self.variables)}: it keeps its own values.",
                stacklevel=2,
            )
            return
        for i, variable in enumerate(self.variables):
            variable.assign(np.asarray(store[str(i)]))

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Give the variables values, in the order of `variables`.

        Raises:
            ValueError: before the optimizer is built, or for values of another number or shape.
        """
        if not self.built:
            raise ValueError(
                "You are calling set_weights() before the optimizer has slots: call "
                "build(trainable_variables) first."
            )
        variables = self.variables
        if len(weights) != len(variables):
            raise ValueError(
                f"set_weights: {len(weights)} values were given for {len(variables)} variables."
            )
        for variable, value in zip(variables, weights, strict=True):
            variable.assign(value)


OptimizerState.build = _packing_after(OptimizerState.build)  # type: ignore[method-assign]
