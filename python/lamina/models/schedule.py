"""Running a functional graph: every operation once, with its operands found beforehand."""

from __future__ import annotations

from typing import Any

from lamina import structure
from lamina.layers.node import Node
from lamina.tensor import KerasTensor, Tensor


class _Place:
    """Where the value of a symbolic tensor lies during a run."""

    __slots__ = ("position",)

    def __init__(self, position: int) -> None:
        self.position = position


class Schedule:
    """What has to be called, in order, to get a functional model's outputs from its inputs.

    The values of a run lie in one list. A step is (operation, source, arguments, targets): the
    operation is called on the value at `source`, or, where it takes more than one tensor, on
    `arguments` with each `_Place` replaced by its value; the results go to `targets`.

    Args:
        nodes: uses of operations in the order of computation.
        inputs: the model's symbolic inputs.
        output: nested structure of the symbolic outputs.
    """

    def __init__(self, nodes: list[Node], inputs: list[KerasTensor], output: Any) -> None:
        self.inputs = inputs
        positions = {id(tensor): position for position, tensor in enumerate(inputs)}

        def position_of(tensor: KerasTensor) -> int:
            return positions.setdefault(id(tensor), len(positions))

        def place_of(leaf: Any) -> Any:
            return _Place(position_of(leaf)) if isinstance(leaf, KerasTensor) else leaf

        self._steps: list[tuple[Any, int, Any, list[int]]] = []
        for node in nodes:
            if node.is_input:
                continue
            kwargs = _without_inference(node.kwargs)
            is_chain = len(node.args) == 1 and isinstance(node.args[0], KerasTensor) and not kwargs
            source = position_of(node.args[0]) if is_chain else -1
            arguments = structure.map_structure(place_of, (node.args, kwargs))
            targets = [position_of(tensor) for tensor in node.output_tensors]
            self._steps.append((node.operation, source, arguments, targets))
        self._output = structure.map_structure(position_of, output)
        self._unset = [None] * (len(positions) - len(inputs))

    def run(self, tensors: list[Any]) -> Any:
        """Return the outputs for one tensor per input."""
        values = tensors + self._unset

        def filled(leaf: Any) -> Any:
            return values[leaf.position] if isinstance(leaf, _Place) else leaf

        for operation, source, arguments, targets in self._steps:
            if source >= 0:
                result = operation(values[source])
            else:
                args, kwargs = structure.map_structure(filled, arguments)
                result = operation(*args, **kwargs)
            if isinstance(result, Tensor) and len(targets) == 1:
                values[targets[0]] = result
                continue
            for target, value in zip(targets, structure.flatten(result), strict=True):
                values[target] = value
        if isinstance(self._output, int):
            return values[self._output]
        return structure.map_structure(values.__getitem__, self._output)


def _without_inference(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Leave out `training=False`: as in Keras, how the model is called decides.

    Keras writes it into the file for each layer that takes the argument.
    """
    if kwargs.get("training", True) is not False:
        return kwargs
    return {key: value for key, value in kwargs.items() if key != "training"}
