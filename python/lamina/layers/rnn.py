"""Recurrent layers: what they share, and the general loop over any cell."""

from __future__ import annotations

from typing import Any

from lamina import activations, initializers, ops, random, regularizers, serialization
from lamina import constraints as weight_constraints
from lamina.layers.base import Layer
from lamina.layers.signature import call_signature
from lamina.layers.spec import InputSpec
from lamina.validation import Boolean, Integer, Real
from lamina.variable import Variable

# Activations the engine's recurrent ops know; any other runs through the loop over the cell.
ENGINE_ACTIVATIONS = frozenset(
    ("tanh", "sigmoid", "relu", "linear", "hard_sigmoid", "softsign", "softplus", "elu")
)

CELL_CONSTRAINTS = {
    "units": Integer(min=1),
    "use_bias": Boolean(),
    "dropout": Real(0, 1),
    "recurrent_dropout": Real(0, 1),
    "seed": Integer(optional=True),
}

_ROLES = ("kernel", "recurrent", "bias")


class RecurrentCell(Layer):
    """What the built-in cells share: two kernels, a bias, dropout of inputs and of states.

    `gates` says how many blocks of `units` columns the kernels have.
    """

    constraints = CELL_CONSTRAINTS
    gates = 1
    state_count = 1
    bias_initializer: Any  # like the others of its kind, set by role

    def __init__(
        self,
        units: int,
        activation: Any,
        use_bias: bool,
        dropout: float,
        recurrent_dropout: float,
        seed: int | None,
        weight_settings: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units, self.use_bias, self.dropout, self.recurrent_dropout, self.seed = self.validated(
            units=units,
            use_bias=use_bias,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
        )
        self.activation = self.resolved(activations.get, activation)
        for role in _ROLES:
            for kind, family in _FAMILIES.items():
                key = f"{role}_{kind}"
                setattr(self, key, self.resolved(family.get, weight_settings[key]))
        self.seed_generator = random.SeedGenerator(seed)
        self.state_size: Any = [units] * self.state_count if self.state_count > 1 else units
        self.output_size = units
        self.kernel: Any = None
        self.recurrent_kernel: Any = None
        self.bias: Any = None

    def build(self, input_shape: Any) -> None:
        columns = self.gates * self.units
        self.kernel = self._add_cell_weight("kernel", "kernel", (input_shape[-1], columns))
        self.recurrent_kernel = self._add_cell_weight(
            "recurrent_kernel", "recurrent", (self.units, columns)
        )
        if self.use_bias:
            self.bias = self._add_cell_weight("bias", "bias", (columns,))

    def _add_cell_weight(self, name: str, role: str, shape: tuple[int, ...]) -> Variable:
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=self._initializer(role),
            regularizer=getattr(self, f"{role}_regularizer"),
            constraint=getattr(self, f"{role}_constraint"),
        )

    def _initializer(self, role: str) -> Any:
        return getattr(self, f"{role}_initializer")

    @property
    def bias_value(self) -> Any:
        """The bias, or zeros for a cell without one."""
        if self.bias is not None:
            return self.bias.value
        return ops.zeros((self.gates * self.units,), dtype=self.compute_dtype)

    def get_initial_state(self, batch_size: int | None = None) -> list[Any]:
        """Return zeros for every state."""
        shape: Any = (batch_size, self.units)  # `zeros` refuses a batch size of None
        return [ops.zeros(shape, dtype=self.compute_dtype) for _ in range(self.state_count)]

    def reset_dropout_masks(self) -> None:
        """Forget the masks, so that the next sequence draws new ones."""
        self.__dict__["_masks"] = {}

    def input_mask(self, step: Any, training: bool) -> Any:
        """Return the dropout mask (batch, features) of the inputs, or None."""
        return self._mask("input", step, self.dropout, training)

    def recurrent_mask(self, state: Any, training: bool) -> Any:
        """Return the dropout mask (batch, units) of the state, or None."""
        return self._mask("recurrent", state, self.recurrent_dropout, training)

    def _mask(self, kind: str, like: Any, rate: float, training: bool) -> Any:
        if not training or rate == 0:
            return None
        masks = self.__dict__.setdefault("_masks", {})
        if kind not in masks:  # one mask for all steps of a sequence
            ones = ops.ones_like(like)
            masks[kind] = random.dropout(ones, rate=rate, seed=self.seed_generator)
        return masks[kind]

    def gate_inputs(self, inputs: Any, state: Any, training: bool) -> tuple[Any, Any]:
        """Return the inputs' and the state's contributions to the gates, after dropout."""
        mask = self.input_mask(inputs, training)
        if mask is not None:
            inputs = inputs * mask
        mask = self.recurrent_mask(state, training)
        if mask is not None:
            state = state * mask
        from_inputs = ops.matmul(inputs, self.kernel.value)
        if self.bias is not None:
            from_inputs = from_inputs + self.bias.value
        return from_inputs, ops.matmul(state, self.recurrent_kernel.value)

    def cell_config(self) -> dict[str, Any]:
        """Return the settings that the layer around the cell repeats in its own config."""
        config: dict[str, Any] = {
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
        }
        for kind, family in _FAMILIES.items():
            for role in _ROLES:
                key = f"{role}_{kind}"
                config[key] = family.serialize(getattr(self, key))
        config["dropout"] = self.dropout
        config["recurrent_dropout"] = self.recurrent_dropout
        config["seed"] = self.seed
        return config

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.cell_config()}


_FAMILIES: dict[str, Any] = {
    "initializer": initializers,
    "regularizer": regularizers,
    "constraint": weight_constraints,
}


class RNN(Layer):
    """Run a cell over a sequence.

    Args:
        cell: layer with `call(inputs_of_one_step, states) -> (output, new_states)` and an
            attribute `state_size` (an integer, or a list of them).
        return_sequences: whether the outputs of all steps are returned, not only the last.
        return_state: whether the last states are returned too: `[output, *states]`.
        go_backwards: whether the sequence is read from its end; outputs come in that order.
        stateful: whether the last states are the first states of the next batch.
        unroll: accepted for compatibility; every sequence is compiled for its length.
        zero_output_for_mask: whether masked steps give zeros; they repeat the previous output
            otherwise.

    Call arguments: sequences, initial_state (list of tensors), mask (batch, time), training.
    Input shape: `(batch, time, features)`.
    Output shape: `(batch, units)`, or `(batch, time, units)` with `return_sequences`.
    """

    constraints = {
        "return_sequences": Boolean(),
        "return_state": Boolean(),
        "go_backwards": Boolean(),
        "stateful": Boolean(),
        "unroll": Boolean(),
        "zero_output_for_mask": Boolean(),
    }

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **kwargs: Any,
    ) -> None:
        for attribute in ("call", "state_size"):
            if not hasattr(cell, attribute):
                raise ValueError(
                    f"{type(self).__name__}: cell must have `{attribute}`. Got {cell!r}."
                )
        super().__init__(**kwargs)
        (
            self.return_sequences,
            self.return_state,
            self.go_backwards,
            self.stateful,
            self.unroll,
            self.zero_output_for_mask,
        ) = RNN.validated(
            self,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            zero_output_for_mask=zero_output_for_mask,
        )
        self.cell = cell
        self.input_spec = [InputSpec(ndim=3)]
        self.supports_masking = True
        self._set_states(None)

    # States

    @property
    def state_sizes(self) -> list[int]:
        """The length of each state."""
        size = self.cell.state_size
        return [size] if isinstance(size, int) else list(size)

    def _set_states(self, states: list[Variable] | None) -> None:
        self.__dict__["states"] = states  # not a weight: past the attribute tracking

    def _first_states(self, sequences: Any, initial_state: Any) -> list[Any]:
        if initial_state is not None:
            given = initial_state if isinstance(initial_state, (list, tuple)) else [initial_state]
            if len(given) != len(self.state_sizes):
                raise ValueError(
                    f"{self.name} ({type(self).__name__}): expected {len(self.state_sizes)} "
                    f"initial states, got {len(given)}."
                )
            return [self._as_float(state) for state in given]
        if self.stateful:
            return [state.value for state in self.__dict__["states"]]
        return self.get_initial_state(sequences)

    def get_initial_state(self, sequences: Any) -> list[Any]:
        """Return zeros for every state, for these sequences or this batch size."""
        batch = sequences if isinstance(sequences, int) else sequences.shape[0]
        if batch is None:  # shapes only: zeros of an unknown number of rows
            one = sequences[:, 0, :1] * 0.0
            return [ops.repeat(one, size, axis=-1) for size in self.state_sizes]
        if hasattr(self.cell, "get_initial_state"):
            states = self.cell.get_initial_state(batch_size=batch)
            return list(states) if isinstance(states, (list, tuple)) else [states]
        return [ops.zeros((batch, size), dtype=self.compute_dtype) for size in self.state_sizes]

    def reset_state(self) -> None:
        """Set the kept states of a stateful layer to zero."""
        for state in self.__dict__["states"] or ():
            state.assign(ops.zeros(state.shape, dtype=state.dtype))

    reset_states = reset_state

    # Building and calling

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        del initial_state_shape
        batch, _, features = sequences_shape
        if isinstance(self.cell, Layer) and not self.cell.built:
            self.cell.build((batch, features))
        if self.stateful:
            if batch is None:
                raise ValueError(
                    f"{self.name} ({type(self).__name__}): a stateful layer needs a known batch "
                    "size: use Input(batch_shape=(rows, steps, features))."
                )
            self._set_states(
                [
                    Variable(
                        ops.zeros((batch, size), dtype=self.variable_dtype),
                        trainable=False,
                        name="rnn_state",
                    )
                    for size in self.state_sizes
                ]
            )

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
    ) -> Any:
        sequences = self._as_float(sequences)
        if isinstance(mask, (list, tuple)):
            mask = mask[0]
        states = self._first_states(sequences, initial_state)
        reset_masks = getattr(self.cell, "reset_dropout_masks", lambda: None)
        reset_masks()
        output, states = self._run_steps(sequences, states, mask, training)
        reset_masks()
        if self.stateful:
            for kept, state in zip(self.__dict__["states"], states, strict=True):
                kept.assign(state)
        return [output, *states] if self.return_state else output

    def _run_steps(
        self, sequences: Any, states: list[Any], mask: Any, training: bool
    ) -> tuple[Any, list[Any]]:
        """Call the cell once per step."""
        steps = sequences.shape[1]
        if steps is None:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): this cell is run step by step, so the "
                "number of steps must be known."
            )
        outputs: list[Any] = []
        last = None
        for step in reversed(range(steps)) if self.go_backwards else range(steps):
            output, new_states = self._call_cell(sequences[:, step], states, training)
            if mask is not None:
                valid = ops.expand_dims(ops.cast(mask[:, step], "bool"), axis=-1)
                output, new_states, last = self._masked(valid, output, new_states, states, last)
            else:
                last = output
            states = new_states
            outputs.append(output)
        return (ops.stack(outputs, axis=1) if self.return_sequences else outputs[-1]), states

    def _call_cell(self, inputs: Any, states: list[Any], training: bool) -> tuple[Any, list[Any]]:
        wants_training = call_signature(type(self.cell).call).has_training
        kwargs = {"training": training} if wants_training else {}
        output, new_states = self.cell(inputs, states, **kwargs)
        if not isinstance(new_states, (list, tuple)):
            new_states = [new_states]
        return output, list(new_states)

    def _masked(
        self, valid: Any, output: Any, new_states: list[Any], states: list[Any], last: Any
    ) -> tuple[Any, list[Any], Any]:
        """Keep states where a step is masked; its output is the previous one, or zero."""
        kept = [ops.where(valid, new, old) for new, old in zip(new_states, states, strict=True)]
        previous = ops.zeros_like(output) if last is None or self.zero_output_for_mask else last
        output = ops.where(valid, output, previous)
        return output, kept, output

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        mask = previous_mask[0] if isinstance(previous_mask, (list, tuple)) else previous_mask
        output_mask = mask if self.return_sequences else None
        return (
            [output_mask, *(None for _ in self.state_sizes)] if self.return_state else output_mask
        )

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        del initial_state_shape
        batch, steps = sequences_shape[0], sequences_shape[1]
        units = getattr(self.cell, "output_size", None) or self.state_sizes[0]
        output = (batch, steps, units) if self.return_sequences else (batch, units)
        if not self.return_state:
            return output
        return [output, *((batch, size) for size in self.state_sizes)]

    def _loop_config(self) -> dict[str, Any]:
        return {
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            "stateful": self.stateful,
            "unroll": self.unroll,
            "zero_output_for_mask": self.zero_output_for_mask,
        }

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **self._loop_config(),
            "cell": serialization.serialize_keras_object(self.cell),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        config = dict(config)
        if isinstance(config.get("cell"), dict):
            config["cell"] = serialization.deserialize_keras_object(config["cell"])
        return super().from_config(config)


class EngineRNN(RNN):
    """An RNN whose cell has an op of its own that runs the whole sequence."""

    cell: RecurrentCell

    def _engine_activations(self) -> dict[str, Any]:
        """Return the op's activation attributes by name."""
        return {"activation": activations.serialize(self.cell.activation)}

    def _engine_op(self, operands: list[Any], attrs: dict[str, Any]) -> tuple[Any, list[Any]]:
        """Run the op; return the outputs and the last states."""
        raise NotImplementedError

    def _run_steps(
        self, sequences: Any, states: list[Any], mask: Any, training: bool
    ) -> tuple[Any, list[Any]]:
        chosen = self._engine_activations()
        if not all(isinstance(n, str) and n in ENGINE_ACTIVATIONS for n in chosen.values()):
            return super()._run_steps(sequences, states, mask, training)
        cell = self.cell
        input_mask = cell.input_mask(sequences[:, 0], training)
        if input_mask is not None:
            sequences = sequences * ops.expand_dims(input_mask, axis=1)
        recurrent_mask = cell.recurrent_mask(states[0], training)
        operands = [
            sequences,
            cell.kernel.value,
            cell.recurrent_kernel.value,
            cell.bias_value,
            *states,
        ]
        if mask is not None:
            operands.append(ops.cast(mask, "bool"))
        if recurrent_mask is not None:
            operands.append(recurrent_mask)
        return self._engine_op(
            operands,
            {
                **chosen,
                "has_mask": mask is not None,
                "has_recurrent_mask": recurrent_mask is not None,
                "return_sequences": self.return_sequences,
                "go_backwards": self.go_backwards,
                "zero_output_for_mask": self.zero_output_for_mask,
            },
        )

    def __getattr__(self, name: str) -> Any:
        """Find the cell's settings (units, dropout, kernel_initializer ...) on the layer too."""
        cell = self.__dict__.get("cell")
        if cell is None or name.startswith("_") or name not in _CELL_SETTINGS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(cell, name)

    def get_config(self) -> dict[str, Any]:
        config = Layer.get_config(self)
        config.update(self._loop_config())
        config.update(self.cell.cell_config())
        config["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return Layer.from_config.__func__(cls, config)  # type: ignore[attr-defined]


_CELL_SETTINGS = frozenset(
    (
        "units",
        "activation",
        "recurrent_activation",
        "use_bias",
        "unit_forget_bias",
        "dropout",
        "recurrent_dropout",
        "seed",
        "implementation",
        *(f"{role}_{kind}" for role in _ROLES for kind in _FAMILIES),
    )
)


def cell_of_layer(layer_class: type, cell_class: type, *args: Any, **kwargs: Any) -> Any:
    """Make the cell of a layer; errors name the layer's class, which is what the user wrote."""
    try:
        return cell_class(*args, **kwargs)
    except ValueError as error:
        text = str(error).replace(f"{cell_class.__name__}:", f"{layer_class.__name__}:", 1)
        raise ValueError(text) from None
