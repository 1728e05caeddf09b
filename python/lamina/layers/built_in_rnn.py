"""Recurrent layers that make their cell themselves."""

from __future__ import annotations

from typing import Any

from lamina import regularizers
from lamina.layers.base import Layer
from lamina.layers.recurrent_cell import RecurrentCell
from lamina.layers.rnn import RNN

_CELL_SETTINGS = (
    "units",
    "activation",
    "recurrent_activation",
    "use_bias",
    "unit_forget_bias",
    "dropout",
    "recurrent_dropout",
    "seed",
    "implementation",
    *(
        f"{role}_{kind}"
        for role in ("kernel", "recurrent", "bias")
        for kind in ("initializer", "regularizer", "constraint")
    ),
)


class BuiltInRNN(RNN):
    """A recurrent layer whose arguments are those of its cell: they are attributes of both."""

    cell: RecurrentCell
    _cell_settings: frozenset[str] = frozenset(_CELL_SETTINGS)

    def __getattr__(self, name: str) -> Any:
        """Find the cell's settings (units, dropout, kernel_initializer ...) on the layer too."""
        cell = self.__dict__.get("cell")
        if cell is None or name.startswith("_") or name not in self._cell_settings:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(cell, name)

    def get_config(self) -> dict[str, Any]:
        config = Layer.get_config(self)
        config.update(self._loop_config())
        config.update(self.cell.cell_config())
        config["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        return config

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Any:
        del custom_objects  # of a cell; this one comes with the layer
        return Layer.from_config.__func__(cls, config)  # type: ignore[attr-defined]


def cell_of_layer(layer_class: type, cell_class: type, *args: Any, **kwargs: Any) -> Any:
    """Make the cell of a layer; errors name the layer's class, which is what the user wrote."""
    try:
        return cell_class(*args, **kwargs)
    except ValueError as error:
        text = str(error).replace(f"{cell_class.__name__}:", f"{layer_class.__name__}:", 1)
        raise ValueError(text) from None
