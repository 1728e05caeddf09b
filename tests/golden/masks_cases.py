"""What each layer makes of the masks of its inputs: the contract's layers behind `Masking`."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.contract.layer_table import LAYERS, Entry, arguments, arrays
from tests.golden.cases import Result, add, as_numpy


def hidden(entry: Entry) -> list[np.ndarray]:
    """The contract's inputs with a few places that `Masking`, or `Embedding`, hides."""
    inputs = arrays(entry)
    for i, array in enumerate(inputs):
        array[0, -1 - i] = 0
    return inputs


def mask_after(keras: Any, name: str, entry: Entry, model: bool) -> list[Any]:
    """The masks a layer after this one is given, as nested lists; None for no mask."""

    class Probe(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.supports_masking = True

        def call(self, inputs: Any, mask: Any = None) -> Any:
            return keras.ops.full((1,), -1.0) if mask is None else keras.ops.cast(mask, "float32")

    given = hidden(entry)
    layer = getattr(keras.layers, name)(**arguments(keras.layers, entry))

    def run(inputs: list[Any]) -> list[Any]:
        masked = inputs if entry.ids else [keras.layers.Masking()(x) for x in inputs]
        outputs = layer(*masked) if entry.separate or len(masked) == 1 else layer(masked)
        return [Probe()(output) for output in keras.tree.flatten(outputs)]

    if model:
        dtype = "int32" if entry.ids else "float32"
        places = [keras.Input(batch_shape=x.shape, dtype=dtype) for x in given]
        found = keras.tree.flatten(keras.Model(places, run(places))(given))
    else:
        found = run([keras.ops.convert_to_tensor(x) for x in given])
    masks = [as_numpy(value) for value in found]
    return [None if mask.shape == (1,) else mask.astype(int).tolist() for mask in masks]


def mask_case(name: str, position: int, entry: Entry) -> None:
    def run(keras: Any) -> Result:
        return {
            "eager": mask_after(keras, name, entry, model=False),
            "model": mask_after(keras, name, entry, model=True),
        }

    add("masks", f"{name}-{position}", run)


# Layers whose mask has another shape than `Masking` gives for these inputs: Keras refuses it.
OTHER_SHAPE = {"Softmax-0", "GlobalAveragePooling1D-1", "ConvLSTM1D-0", "ConvLSTM2D-0"}

for _name, _entries in LAYERS.items():
    for _position, _entry in enumerate(_entries):
        if f"{_name}-{_position}" not in OTHER_SHAPE:
            mask_case(_name, _position, _entry)
