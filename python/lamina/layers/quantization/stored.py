"""The weights of a layer in files, which depend on how it is quantized."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.layers.base import Layer
from lamina.variable import Variable


class StoredByMode(Layer):
    """A layer whose files hold the weights that `variable_serialization_spec` lists by mode."""

    @property
    def variable_serialization_spec(self) -> dict[str | None, list[str]]:
        """Names of the weights in a file, by quantization mode; None is the plain layer."""
        raise NotImplementedError

    def _attribute_of(self, name: str) -> str:
        """The attribute that holds the weight `name` of the specification."""
        return name

    def _stored_variables(self) -> list[Variable]:
        """The weights in the order of a file; those that the layer does not have are left out.

        A layer that is neither quantized nor adapted stores all it has, as any other: a subclass
        may have added weights.
        """
        spec, mode = self.variable_serialization_spec, self.quantization_mode
        if mode is None and not getattr(self, "lora_enabled", False):
            return [*self._trainable_variables, *self._non_trainable_variables]
        found = (getattr(self, self._attribute_of(name), None) for name in spec.get(mode, []))
        return [variable for variable in found if isinstance(variable, Variable)]

    def _merged_values(self) -> dict[int, Any]:
        """What is written in place of a weight, by its id; empty when all are as they are."""
        return {}

    def _loaded(self) -> None:
        """Called after weights were read."""

    def save_own_variables(self, store: Any) -> None:
        """Put the layer's own weights into `store` under "0", "1", and so on."""
        merged = self._merged_values()
        for index, variable in enumerate(self._stored_variables()):
            value = merged.get(id(variable), variable)
            store[str(index)] = np.asarray(value.numpy())

    def load_own_variables(self, store: Any) -> None:
        """Set the layer's own weights from `store`.

        Raises:
            ValueError: if the number of weights or a shape differs.
        """
        variables = self._stored_variables()
        who = f"{self.name} ({type(self).__name__})"
        if len(store.keys()) != len(variables):
            hint = "" if self.built else " The layer is not built: call the model on data first."
            raise ValueError(
                f"{who}: expected {len(variables)} variables, but received {len(store.keys())} "
                f"variables. Expected: {[v.name for v in variables]}.{hint}"
            )
        values = [np.asarray(store[str(index)]) for index in range(len(variables))]
        for variable, value in zip(variables, values, strict=True):
            if value.shape != tuple(variable.shape):
                raise ValueError(
                    f"{who}: shapes must match: weight {variable.path!r} has shape "
                    f"{tuple(variable.shape)}, the file has {value.shape}."
                )
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        self._loaded()
