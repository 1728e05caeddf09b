"""ONNX forms of the recurrent ops: a Scan over the steps, whose body is the cell.

ONNX's own LSTM and GRU know neither masks of any form nor Keras's order of the gates; Scan does
with masks, open lengths and every activation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lamina.export.onnx_file import OnnxWriter, Translator
from lamina.export.record import RecordedNode

_ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "tanh": ("Tanh", {}),
    "sigmoid": ("Sigmoid", {}),
    "relu": ("Relu", {}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "softsign": ("Softsign", {}),
    "softplus": ("Softplus", {}),
    "elu": ("Elu", {"alpha": 1.0}),
}


class _Body:
    """The graph of one step."""

    def __init__(self, writer: OnnxWriter) -> None:
        self._writer = writer
        self.nodes: list[Any] = []

    def add(self, op: str, inputs: Sequence[str], outputs: int = 1, **attrs: Any) -> Any:
        names = [self._writer.fresh(f"step_{op}") for _ in range(outputs)]
        self.nodes.append(self._writer.onnx.helper.make_node(op, list(inputs), names, **attrs))
        return names[0] if outputs == 1 else names

    def activate(self, kind: str, x: str) -> str:
        if kind == "linear":
            return x
        op, attrs = _ACTIVATIONS[kind]
        result: str = self.add(op, [x], **attrs)
        return result

    def parts(self, x: str, count: int) -> list[str]:
        """The gates, which lie side by side."""
        return list(self.add("Split", [x], outputs=count, axis=-1, num_outputs=count))


# A cell: (body, node, projected input, states) -> new states, the first of which is the output.
Cell = Callable[[_Body, RecordedNode, str, list[str], dict[str, str]], list[str]]


def _lstm_cell(
    body: _Body, n: RecordedNode, x: str, states: list[str], weights: dict[str, str]
) -> list[str]:
    h, c = states
    gate, act = n.attrs["recurrent_activation"], n.attrs["activation"]
    total = body.add("Add", [x, body.add("MatMul", [h, weights["u"]])])
    i, f, g, o = body.parts(total, 4)
    kept = body.add("Mul", [body.activate(gate, f), c])
    taken = body.add("Mul", [body.activate(gate, i), body.activate(act, g)])
    new_c = body.add("Add", [kept, taken])
    new_h = body.add("Mul", [body.activate(gate, o), body.activate(act, new_c)])
    return [new_h, new_c]


def _gru_cell(
    body: _Body, n: RecordedNode, x: str, states: list[str], weights: dict[str, str]
) -> list[str]:
    (h,) = states
    gate, act = n.attrs["recurrent_activation"], n.attrs["activation"]
    xz, xr, xh = body.parts(x, 3)
    if n.attrs.get("reset_after", True):
        recurrent = body.add("MatMul", [h, weights["u"]])
        rz, rr, rh = body.parts(body.add("Add", [recurrent, weights["recurrent_bias"]]), 3)
        z = body.activate(gate, body.add("Add", [xz, rz]))
        r = body.activate(gate, body.add("Add", [xr, rr]))
        rh = body.add("Mul", [r, rh])
    else:
        z = body.activate(gate, body.add("Add", [xz, body.add("MatMul", [h, weights["u_z"]])]))
        r = body.activate(gate, body.add("Add", [xr, body.add("MatMul", [h, weights["u_r"]])]))
        rh = body.add("MatMul", [body.add("Mul", [r, h]), weights["u_h"]])
    candidate = body.activate(act, body.add("Add", [xh, rh]))
    # z h + (1 - z) candidate
    step = body.add("Mul", [z, body.add("Sub", [h, candidate])])
    return [body.add("Add", [candidate, step])]


def _simple_cell(
    body: _Body, n: RecordedNode, x: str, states: list[str], weights: dict[str, str]
) -> list[str]:
    total = body.add("Add", [x, body.add("MatMul", [states[0], weights["u"]])])
    return [body.activate(n.attrs["activation"], total)]


def _gru_weights(w: OnnxWriter, n: RecordedNode) -> tuple[dict[str, str], str]:
    """The recurrent weights, and the bias of the projected input."""
    bias, kernel = (w.spec(n.inputs[i]).constant for i in (3, 2))
    if bias is None or kernel is None:
        raise NotImplementedError(f"export(): the weights of {n.origin!r} must be constant.")
    if n.attrs.get("reset_after", True):
        both = bias.reshape(2, -1)
        weights = {"u": w.name(n.inputs[2]), "recurrent_bias": w.constant(both[1])}
        return weights, w.constant(both[0])
    parts = np.split(kernel, 3, axis=1)
    weights = {
        name: w.constant(np.ascontiguousarray(part))
        for name, part in zip(("u_z", "u_r", "u_h"), parts, strict=True)
    }
    return weights, w.name(n.inputs[3])


def _recurrent(cell: Cell, state_count: int) -> Translator:
    def translate(w: OnnxWriter, n: RecordedNode) -> list[str | None]:
        if n.attrs.get("has_recurrent_mask", False):
            raise NotImplementedError(f"export(): {n.origin!r} drops out at inference.")
        weights, bias = (
            _gru_weights(w, n)
            if cell is _gru_cell
            else ({"u": w.name(n.inputs[2])}, w.name(n.inputs[3]))
        )
        projected = w.add("MatMul", [w.name(n.inputs[0]), w.name(n.inputs[1])])
        projected = w.add("Add", [projected, bias])
        states = [w.name(id) for id in n.inputs[4 : 4 + state_count]]
        mask = w.name(n.inputs[4 + state_count]) if n.attrs.get("has_mask", False) else None
        return _scan(w, n, cell, projected, states, mask, weights)

    return translate


def _scan(
    w: OnnxWriter, n: RecordedNode, cell: Cell, projected: str, states: list[str],
    mask: str | None, weights: dict[str, str],
) -> list[str | None]:  # fmt: skip
    """Run the cell over the steps; returns the outputs of the op, None for those kept inside."""
    body = _Body(w)
    dtype = w.spec(n.inputs[0]).dtype
    old = [w.fresh("state") for _ in states]
    x, masked = w.fresh("step_x"), w.fresh("step_mask")
    new = cell(body, n, x, old, weights)
    carried, first, ins = list(states), list(new), list(old)
    output = new[0]
    if mask is not None:
        column = w.fresh("step_column")
        helper = w.onnx.helper
        body.nodes.insert(0, helper.make_node("Unsqueeze", [masked, w.ints(-1)], [column]))
        first = [
            body.add("Where", [column, made, before]) for made, before in zip(new, old, strict=True)
        ]
        nothing = w.add("Mul", [states[0], w.scalar(0, dtype)])
        previous = w.fresh("previous")
        ins.append(previous)
        carried.append(nothing)
        repeated = n.attrs.get("zero_output_for_mask", False) and n.attrs["return_sequences"]
        fill = body.add("Mul", [previous, w.scalar(0, dtype)]) if repeated else previous
        output = body.add("Where", [column, new[0], fill])
        first.append(body.add("Identity", [output]))
    shown = body.add("Identity", [output])
    graph = _body_graph(w, body, ins, x, masked if mask is not None else None, first, shown, dtype)
    direction = 1 if n.attrs.get("go_backwards", False) else 0
    sequences = [projected] if mask is None else [projected, mask]
    results = w.add(
        "Scan", [*carried, *sequences], outputs=len(carried) + 1, body=graph,
        num_scan_inputs=len(sequences), scan_input_axes=[1] * len(sequences),
        scan_input_directions=[direction] * len(sequences), scan_output_axes=[1],
    )  # fmt: skip
    final = list(results[: len(states)])
    last = results[len(states)] if mask is not None else final[0]
    return [results[-1] if n.attrs["return_sequences"] else last, *final]


def _body_graph(
    w: OnnxWriter, body: _Body, states: list[str], x: str, mask: str | None, new: list[str],
    output: str, dtype: str,
) -> Any:  # fmt: skip
    info = w.onnx.helper.make_tensor_value_info
    kind = w.element_type(dtype)
    inputs = [info(name, kind, None) for name in [*states, x]]
    if mask is not None:
        inputs.append(info(mask, w.element_type("bool"), None))
    outputs = [info(name, kind, None) for name in [*new, output]]
    return w.onnx.helper.make_graph(body.nodes, w.fresh("step"), inputs, outputs)


OPS: dict[str, Translator] = {
    "lstm": _recurrent(_lstm_cell, 2),
    "gru": _recurrent(_gru_cell, 1),
    "simple_rnn": _recurrent(_simple_cell, 1),
}
