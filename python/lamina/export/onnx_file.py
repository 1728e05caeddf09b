"""Writing a record as an ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lamina.export.record import Record, RecordedNode, Value
from lamina.saving.atomic import replaced

_DEFAULT_OPSET = 18
# The newest file version that runtimes of the opset's time read.
_IR_VERSION = 8


def import_onnx() -> Any:
    """Return the package `onnx`.

    Raises:
        ImportError: telling how to install it.
    """
    try:
        import onnx
    except ImportError:
        raise ImportError("export(format='onnx') needs onnx: pip install onnx") from None
    return onnx


class OnnxWriter:
    """Collects ONNX nodes; every method that adds one returns the names of its results."""

    def __init__(self, record: Record, opset: int) -> None:
        self.onnx = import_onnx()
        self.record = record
        self.opset = opset
        self.nodes: list[Any] = []
        self._initializers: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        self._count = 0

    # Values

    def spec(self, id: int) -> Value:
        """Shape, dtype and constant of a value."""
        return self.record.values[id]

    def name(self, id: int) -> str:
        """The name of a value; constants are written when they are first asked for."""
        known = self._names.get(id)
        if known is not None:
            return known
        value = self.record.values[id]
        if value.constant is None:
            raise KeyError(f"value {id} is used before it is made")
        named = self.constant(value.constant, value.name)
        self._names[id] = named
        return named

    def bind(self, id: int, name: str) -> None:
        """Say what a value is called in the file."""
        self._names[id] = name

    def constant(self, array: Any, name: str | None = None) -> str:
        """A constant tensor of the file."""
        array = np.asarray(array)
        label = name if name is not None and name not in self._initializers else self.fresh("const")
        self._initializers[label] = self.onnx.numpy_helper.from_array(array, label)
        return label

    def ints(self, *values: int) -> str:
        """A constant vector of int64, as ONNX takes shapes and axes."""
        return self.constant(np.array(values, np.int64))

    def scalar(self, value: float, dtype: str) -> str:
        """A constant number."""
        return self.constant(np.array(value, dtype))

    def fresh(self, stem: str) -> str:
        """A new name."""
        self._count += 1
        return f"{stem}_{self._count}"

    # Nodes

    def add(self, op: str, inputs: Sequence[str], outputs: int = 1, **attrs: Any) -> Any:
        """Add a node; returns the name of its result, or a list of them."""
        names = [self.fresh(op) for _ in range(outputs)]
        kept = {key: value for key, value in attrs.items() if value is not None}
        self.nodes.append(self.onnx.helper.make_node(op, list(inputs), names, **kept))
        return names[0] if outputs == 1 else names

    def transpose(self, name: str, perm: Sequence[int]) -> str:
        """Add a Transpose, unless it changes nothing."""
        if list(perm) == list(range(len(perm))):
            return name
        result: str = self.add("Transpose", [name], perm=list(perm))
        return result

    def weight(self, id: int, change: Callable[[np.ndarray], np.ndarray]) -> str | None:
        """A changed constant, or None when the value is not constant."""
        constant = self.record.values[id].constant
        return None if constant is None else self.constant(np.ascontiguousarray(change(constant)))

    def element_type(self, dtype: str) -> int:
        """ONNX's number of a dtype."""
        kind: int = getattr(self.onnx.TensorProto, _ELEMENT_TYPES[dtype])
        return kind

    # The file

    def model(self, output_names: Sequence[str], name: str) -> Any:
        helper = self.onnx.helper
        outputs = []
        for id, label in zip(self.record.outputs, output_names, strict=True):
            self.nodes.append(helper.make_node("Identity", [self.name(id)], [label]))
            outputs.append(self._info(id, label))
        inputs = [self._info(id, self.name(id)) for id in self.record.inputs]
        used = _read_names(self.nodes)
        weights = [tensor for label, tensor in self._initializers.items() if label in used]
        graph = helper.make_graph(self.nodes, name, inputs, outputs, weights)
        opset = helper.make_opsetid("", self.opset)
        return helper.make_model(
            graph, opset_imports=[opset], producer_name="lamina", ir_version=_IR_VERSION
        )

    def _info(self, id: int, name: str) -> Any:
        value = self.record.values[id]
        sizes = [
            size if size is not None else ("batch" if axis == 0 else f"{name}_size_{axis}")
            for axis, size in enumerate(value.shape)
        ]
        kind = self.element_type(value.dtype)
        return self.onnx.helper.make_tensor_value_info(name, kind, sizes)


def _read_names(nodes: Sequence[Any]) -> set[str]:
    """The names that nodes read, also those of graphs inside nodes."""
    names: set[str] = set()
    for node in nodes:
        names.update(node.input)
        for attribute in node.attribute:
            names |= _read_names(attribute.g.node)
    return names


_ELEMENT_TYPES = {
    "float32": "FLOAT", "float64": "DOUBLE", "float16": "FLOAT16", "bfloat16": "BFLOAT16",
    "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64", "uint8": "UINT8",
    "uint16": "UINT16", "uint32": "UINT32", "bool": "BOOL",
}  # fmt: skip

Translator = Callable[[OnnxWriter, RecordedNode], Any]


def translators() -> dict[str, Translator]:
    """How each op is written."""
    from lamina.export import onnx_layers, onnx_ops, onnx_recurrent

    return {**onnx_ops.OPS, **onnx_layers.OPS, **onnx_recurrent.OPS}


def write_onnx(
    record: Record, output_names: Sequence[str], path: str, name: str, opset: int | None
) -> None:
    """Write a record to a file.

    Raises:
        NotImplementedError: for an op that has no translation; names the layer.
        ImportError: when onnx is not installed.
    """
    if opset is not None and opset < _DEFAULT_OPSET:
        raise ValueError(
            f"export(): opset_version must be {_DEFAULT_OPSET} or more. Got {opset!r}."
        )
    writer = OnnxWriter(record, opset or _DEFAULT_OPSET)
    table = translators()
    for id in record.inputs:
        writer.bind(id, record.values[id].name or f"input_{id}")
    for node in record.nodes:
        translate = table.get(node.op)
        where = f" of layer {node.origin!r}" if node.origin else ""
        if translate is None:
            raise NotImplementedError(f"export(): the op {node.op!r}{where} has no form in ONNX.")
        results = translate(writer, node)
        for id, result in zip(
            node.outputs, [results] if isinstance(results, str) else results, strict=False
        ):
            if result is not None:
                writer.bind(id, result)
    model = writer.model(output_names, name)
    writer.onnx.checker.check_model(model, full_check=True)

    with replaced(path) as temporary, open(temporary, "wb") as file:
        file.write(model.SerializeToString())
