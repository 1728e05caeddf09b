"""Finding and ordering the operations between a model's inputs and outputs."""

from __future__ import annotations

from typing import Any, NamedTuple

from lamina.layers.node import Node, source_node
from lamina.tensor import KerasTensor


class ModelGraph(NamedTuple):
    """The operations of a functional model.

    Attributes:
        nodes: uses of operations, in the order in which they can be computed.
        nodes_by_depth: the same nodes by their distance from the outputs, farthest first.
        operations: layers and recorded functions, each once, in the same order.
    """

    nodes: list[Node]
    nodes_by_depth: dict[int, list[Node]]
    operations: list[Any]


def map_graph(
    inputs: list[KerasTensor], outputs: list[KerasTensor], paths: list[str]
) -> ModelGraph:
    """Return the graph between `inputs` and `outputs`.

    Args:
        inputs, outputs: symbolic tensors in flattened order.
        paths: where each output stands in the structure of the outputs, for messages.

    Raises:
        ValueError: when an output depends on an input that is not listed, or two operations have
            the same name.
    """
    finished, first_seen = _walk(outputs)
    depths, operation_depths = _measure(finished)
    for tensor in inputs:  # an input may be unused: losses and metrics may still need it
        node = source_node(tensor)
        if id(node) not in depths:
            finished.append(node)
            depths[id(node)] = 0
            operation_depths.setdefault(id(node.operation), 0)
            first_seen.setdefault(id(node.operation), -1)
    nodes_by_depth: dict[int, list[Node]] = {}
    for node in finished:
        nodes_by_depth.setdefault(depths[id(node)], []).append(node)
    nodes_by_depth = dict(sorted(nodes_by_depth.items(), reverse=True))
    unique = {id(node.operation): node.operation for node in finished}
    operations = sorted(
        unique.values(), key=lambda op: (-operation_depths[id(op)], first_seen[id(op)])
    )
    nodes = [node for group in nodes_by_depth.values() for node in group]
    _check_connected(inputs, outputs, paths)
    _check_names(operations)
    return ModelGraph(nodes, nodes_by_depth, operations)


def _walk(outputs: list[KerasTensor]) -> tuple[list[Node], dict[int, int]]:
    """Visit everything the outputs depend on, parents finished before children.

    Also returns at which point each operation was first seen; it orders operations of one depth.
    """
    finished: dict[int, Node] = {}
    first_seen: dict[int, int] = {}
    for tensor in outputs:
        stack = [(source_node(tensor), False)]
        while stack:
            node, parents_done = stack.pop()
            if parents_done:
                finished[id(node)] = node
                continue
            if id(node) in finished:
                continue
            first_seen.setdefault(id(node.operation), len(first_seen))
            stack.append((node, True))
            stack.extend((parent, False) for parent in reversed(node.parent_nodes))
    return list(finished.values()), first_seen


def _measure(finished: list[Node]) -> tuple[dict[int, int], dict[int, int]]:
    """Return the depth of each node and operation: the longest way to an output."""
    depths: dict[int, int] = {}
    operation_depths: dict[int, int] = {}
    for node in reversed(finished):
        depth = max(depths.get(id(node), 0), operation_depths.get(id(node.operation), 0))
        depths[id(node)] = depth
        operation_depths[id(node.operation)] = depth
        for parent in node.parent_nodes:
            depths[id(parent)] = max(depths.get(id(parent), 0), depth + 1)
    return depths, operation_depths


def _check_connected(
    inputs: list[KerasTensor], outputs: list[KerasTensor], paths: list[str]
) -> None:
    known = {id(tensor) for tensor in inputs}
    seen: set[int] = set()
    for output, path in zip(outputs, paths, strict=True):
        for node in _walk([output])[0]:
            if id(node) in seen or not node.is_input:
                continue
            seen.add(id(node))
            if any(id(tensor) not in known for tensor in node.output_tensors):
                raise ValueError(
                    f"Graph disconnected. Output with path `{path}` is not connected to the "
                    f"inputs: it needs input {node.operation.name!r}, which the model must have "
                    "among its own."
                )


def _check_names(operations: list[Any]) -> None:
    seen: set[str] = set()
    for operation in operations:
        if operation.name in seen:
            raise ValueError(
                f"The name {operation.name!r} stands for two parts of the model. Give each "
                "layer a name of its own (unique names)."
            )
        seen.add(operation.name)
