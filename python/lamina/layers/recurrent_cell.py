"""What the cells of the built-in recurrent layers share."""

from __future__ import annotations

from typing import Any

from lamina import activations, initializers, ops, random, regularizers
from lamina import constraints as weight_constraints
from lamina.layers.base import Layer
from lamina.layers.dropout_rnn_cell import DropoutRNNCell
from lamina.validation import Boolean, Integer, Real
from lamina.variable import Variable

CELL_CONSTRAINTS = {
    "units": Integer(min=1),
    "use_bias": Boolean(),
    "dropout": Real(0, 1),
    "recurrent_dropout": Real(0, 1),
    "seed": Integer(optional=True),
}

ROLES = ("kernel", "recurrent", "bias")
FAMILIES: dict[str, Any] = {
    "initializer": initializers,
    "regularizer": regularizers,
    "constraint": weight_constraints,
}


class RecurrentCell(Layer, DropoutRNNCell):
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
        self.implementation = kwargs.pop("implementation", 2)
        super().__init__(**kwargs)
        self.units, self.use_bias, self.dropout, self.recurrent_dropout, self.seed = self.validated(
            units=units,
            use_bias=use_bias,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
        )
        self.activation = self.resolved(activations.get, activation)
        for role in ROLES:
            for kind, family in FAMILIES.items():
                key = f"{role}_{kind}"
                setattr(self, key, self.resolved(family.get, weight_settings[key], key))
        self.seed_generator = random.SeedGenerator(seed)
        # Of a gated cell, every gate has masks of its own once the state is dropped.
        if self.gates > 1 and (self.recurrent_dropout > 0 or self.implementation == 1):
            self.dropout_mask_count = self.gates
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

    def bias_with_open_forget_gate(self, shape: Any, dtype: Any = None, **_: Any) -> Any:
        """Return the chosen first values, but ones for the second gate: it forgets little."""
        del shape
        first = self.bias_initializer((self.units,), dtype=dtype)
        rest = self.bias_initializer((2 * self.units,), dtype=dtype)
        return ops.concatenate([first, ops.ones((self.units,), dtype=dtype), rest], axis=0)

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

    def dropped_inputs(self, inputs: Any, training: bool) -> Any:
        """Return a step's inputs after dropout: a list with one for each gate, or one for all."""
        if not training or not 0 < self.dropout < 1:
            return inputs
        masks = self.get_dropout_mask(inputs)
        return [inputs * mask for mask in masks] if isinstance(masks, list) else inputs * masks

    def recurrent_masks(self, state: Any, training: bool) -> Any:
        """Return the dropout mask of the state, or a list of one for each gate, or None."""
        if not training or not 0 < self.recurrent_dropout < 1:
            return None
        return self.get_recurrent_dropout_mask(state)

    def input_products(self, inputs: Any, training: bool) -> Any:
        """Return inputs @ kernel, each gate with what dropout leaves of the inputs for it."""
        dropped = self.dropped_inputs(inputs, training)
        if not isinstance(dropped, list):
            return ops.matmul(dropped, self.kernel.value)
        kernels = ops.split(self.kernel.value, self.gates, axis=-1)
        products = [ops.matmul(x, kernel) for x, kernel in zip(dropped, kernels, strict=True)]
        return ops.concatenate(products, axis=-1)

    def state_products(self, state: Any, training: bool) -> Any:
        """Return state @ recurrent_kernel, each gate with what dropout leaves of the state."""
        masks = self.recurrent_masks(state, training)
        if masks is None:
            return ops.matmul(state, self.recurrent_kernel.value)
        if not isinstance(masks, list):
            return ops.matmul(state * masks, self.recurrent_kernel.value)
        kernels = ops.split(self.recurrent_kernel.value, self.gates, axis=-1)
        products = [ops.matmul(state * m, kernel) for m, kernel in zip(masks, kernels, strict=True)]
        return ops.concatenate(products, axis=-1)

    def cell_config(self) -> dict[str, Any]:
        """Return the settings that the layer around the cell repeats in its own config."""
        config: dict[str, Any] = {
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
        }
        for kind, family in FAMILIES.items():
            for role in ROLES:
                key = f"{role}_{kind}"
                config[key] = family.serialize(getattr(self, key))
        config["dropout"] = self.dropout
        config["recurrent_dropout"] = self.recurrent_dropout
        config["seed"] = self.seed
        return config

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.cell_config()}
