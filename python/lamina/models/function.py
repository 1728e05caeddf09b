"""Function: a graph of operations as one operation."""

from __future__ import annotations

from typing import Any

from lamina import structure
from lamina.layers.node import Operation
from lamina.models.functional import Functional
from lamina.tensor import KerasTensor


class Function(Operation):
    """What lies between symbolic inputs and outputs, to be called on other values.

    Args:
        inputs, outputs: symbolic tensors, or nested structures of them.
        name: unique name.

    Raises:
        ValueError: when the outputs depend on an input that is not listed.

    Source: https://keras.io/api/ `keras.Function`.
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None) -> None:
        super().__init__(name=name)
        self._graph = Functional(inputs, outputs, name=self.name)

    @property
    def operations(self) -> list[Any]:
        """Layers and op calls of the graph."""
        return list(self._graph.operations)

    @property
    def inputs(self) -> list[KerasTensor]:
        """The symbolic inputs in flattened order."""
        return list(self._graph.inputs)

    @property
    def outputs(self) -> list[KerasTensor]:
        """The symbolic outputs in flattened order."""
        return list(self._graph.outputs)

    def call(self, inputs: Any) -> Any:
        """Compute the outputs for these inputs."""
        return self._graph(inputs)

    def compute_output_spec(self, inputs: Any) -> Any:
        """Return symbolic tensors like the outputs for these inputs."""
        return self._graph.compute_output_spec(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shapes of the outputs for inputs of these shapes."""
        spec = self.compute_output_spec(structure.map_shapes(KerasTensor, input_shape))
        return structure.map_structure(lambda leaf: tuple(leaf.shape), spec)
