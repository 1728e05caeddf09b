"""ONNX forms of dense, convolution, pooling and attention ops; ONNX puts channels first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lamina.export.onnx_file import OnnxWriter, Translator
from lamina.export.record import RecordedNode

_ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}


def _channels_first(rank: int) -> list[int]:
    return [0, rank - 1, *range(1, rank - 1)]


def _channels_last(rank: int) -> list[int]:
    return [0, *range(2, rank), 1]


def _activated(w: OnnxWriter, y: str, n: RecordedNode) -> str:
    kind = n.attrs.get("activation", "linear")
    if kind == "linear":
        return y
    result: str = w.add(_ACTIVATIONS[kind], [y])
    return result


def _dense(w: OnnxWriter, n: RecordedNode) -> str:
    y = w.add("MatMul", [w.name(n.inputs[0]), w.name(n.inputs[1])])
    if len(n.inputs) > 2:
        y = w.add("Add", [y, w.name(n.inputs[2])])
    return _activated(w, y, n)


def _pads(
    n: RecordedNode,
    sizes: Sequence[int | None],
    window: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    crops: bool = False,
) -> list[int]:
    """Cells before all axes, then after all axes, as ONNX wants them.

    Negative cells (inputs left out) count as none with `crops`, and are refused without.
    """
    count = len(window)
    if "pads" in n.attrs:
        pads = [max(int(cells), 0) if crops else int(cells) for cells in n.attrs["pads"]]
        if min(pads) < 0:
            raise NotImplementedError(f"export(): {n.op} of {n.origin!r} leaves input cells out.")
        return pads[0::2] + pads[1::2]
    padding = n.attrs.get("padding", "valid")
    low, high = [0] * count, [0] * count
    for axis in range(count):
        extent = (window[axis] - 1) * dilations[axis] + 1
        if padding == "causal":
            low[axis] = extent - 1
        elif padding == "same":
            size = sizes[axis]
            if size is None and strides[axis] != 1:
                raise NotImplementedError(
                    f"export(): {n.op} of {n.origin!r} with padding 'same' and strides needs an "
                    "input of known size."
                )
            steps = -(-(size or 0) // strides[axis])
            total = extent - 1 if size is None else (steps - 1) * strides[axis] + extent - size
            low[axis] = max(total, 0) // 2
            high[axis] = max(total, 0) - low[axis]
    return low + high


def _per_axis(value: object, count: int, default: Sequence[int]) -> list[int]:
    if value is None:
        return list(default)
    values = [int(one) for one in value]  # type: ignore[attr-defined]
    return values * count if len(values) == 1 else values


def _conv_weight(w: OnnxWriter, id: int) -> str:
    """[window..., in, out] as [out, in, window...]."""
    rank = len(w.spec(id).shape)
    perm = [rank - 1, rank - 2, *range(rank - 2)]
    changed = w.weight(id, lambda kernel: kernel.transpose(perm))
    return w.transpose(w.name(id), perm) if changed is None else changed


def _conv(w: OnnxWriter, n: RecordedNode) -> str:
    shape, kernel = w.spec(n.inputs[0]).shape, w.spec(n.inputs[1]).shape
    rank, window = len(shape), [int(size or 0) for size in kernel[:-2]]
    ones = [1] * len(window)
    strides = _per_axis(n.attrs.get("strides"), len(window), ones)
    dilations = _per_axis(n.attrs.get("dilations"), len(window), ones)
    x = w.transpose(w.name(n.inputs[0]), _channels_first(rank))
    inputs = [x, _conv_weight(w, n.inputs[1]), *[w.name(id) for id in n.inputs[2:]]]
    y = w.add(
        "Conv", inputs, kernel_shape=window, strides=strides, dilations=dilations,
        group=int(n.attrs.get("groups", 1)), pads=_pads(n, shape[1:-1], window, strides, dilations),
    )  # fmt: skip
    return w.transpose(_activated(w, y, n), _channels_last(rank))


def _conv_transpose(w: OnnxWriter, n: RecordedNode) -> str:
    """conv_input_grad: what a transposed convolution computes."""
    shape, kernel = w.spec(n.inputs[0]).shape, w.spec(n.inputs[1]).shape
    rank, window = len(shape), [int(size or 0) for size in kernel[:-2]]
    ones, count = [1] * len(window), len(window)
    strides = _per_axis(n.attrs.get("strides"), count, ones)
    dilations = _per_axis(n.attrs.get("dilations"), count, ones)
    wanted = [int(size) for size in n.attrs["input_shape"]][1:-1]
    sizes = shape[1:-1]
    if None in sizes or min(wanted) < 0:
        raise NotImplementedError(
            f"export(): the transposed convolution of {n.origin!r} needs an input of known size."
        )
    pads = _pads(n, wanted, window, strides, dilations, crops=True)
    extra = []
    for axis, size in enumerate(sizes):
        extent = (window[axis] - 1) * dilations[axis] + 1
        full = ((size or 0) - 1) * strides[axis] + extent - pads[axis] - pads[count + axis]
        extra.append(wanted[axis] - full)
    if min(extra) < 0:
        pads = [
            p - min(extra[i % count], 0) * (i >= count) for i, p in enumerate(pads)
        ]  # cells that are cut off at the end
        extra = [max(cells, 0) for cells in extra]
    x = w.transpose(w.name(n.inputs[0]), _channels_first(rank))
    y = w.add(
        "ConvTranspose", [x, _conv_weight(w, n.inputs[1])], kernel_shape=window, strides=strides,
        dilations=dilations, group=int(n.attrs.get("groups", 1)), pads=pads, output_padding=extra,
    )  # fmt: skip
    return w.transpose(y, _channels_last(rank))


def _pool(op: str) -> Translator:
    def translate(w: OnnxWriter, n: RecordedNode) -> str:
        shape = w.spec(n.inputs[0]).shape
        rank = len(shape)
        window = _per_axis(n.attrs["pool_size"], rank - 2, [])
        strides = _per_axis(n.attrs.get("strides"), rank - 2, window)
        dilations = _per_axis(n.attrs.get("dilations"), rank - 2, [1] * (rank - 2))
        pads = _pads(n, shape[1:-1], window, strides, dilations)
        x = w.transpose(w.name(n.inputs[0]), _channels_first(rank))
        y = w.add(op, [x], kernel_shape=window, strides=strides, pads=pads)
        return w.transpose(y, _channels_last(rank))

    return translate


def _heads_first(w: OnnxWriter, id: int, heads: int, perm: list[int]) -> str:
    """[batch, steps, heads, size] with the axes in another order, heads repeated up to `heads`."""
    shape = w.spec(id).shape
    own = int(shape[2] or 0)
    x = w.transpose(w.name(id), perm)
    if own == heads:
        return x
    inner = [0 if shape[axis] is None else int(shape[axis] or 0) for axis in perm[2:]]
    x = w.add("Unsqueeze", [x, w.ints(2)])
    x = w.add("Expand", [x, w.ints(1, 1, heads // own, 1, 1)])
    if 0 in inner:
        raise NotImplementedError(
            "export(): attention with shared heads needs sequences of known length."
        )
    result: str = w.add("Reshape", [x, w.ints(0, heads, *inner)])
    return result


def _attention(w: OnnxWriter, n: RecordedNode) -> str:
    query, key = w.spec(n.inputs[0]), w.spec(n.inputs[1])
    heads, dtype = int(query.shape[2] or 0), query.dtype
    q = w.transpose(w.name(n.inputs[0]), [0, 2, 1, 3])
    k = _heads_first(w, n.inputs[1], heads, [0, 2, 3, 1])
    v = _heads_first(w, n.inputs[2], heads, [0, 2, 1, 3])
    scores = w.add("MatMul", [q, k])
    scores = w.add("Mul", [scores, w.scalar(float(n.attrs.get("scale", 1)), dtype)])
    cap = float(n.attrs.get("soft_cap", 0))
    if cap:
        bent = w.add("Tanh", [w.add("Div", [scores, w.scalar(cap, dtype)])])
        scores = w.add("Mul", [bent, w.scalar(cap, dtype)])
    others = [w.name(id) for id in n.inputs[3:]]
    mask = others.pop(0) if n.attrs.get("has_mask", False) else None
    if n.attrs.get("has_bias", False):
        scores = w.add("Add", [scores, others.pop(0)])
    lowest = w.scalar(-1e9, dtype)
    if mask is not None:
        scores = w.add("Where", [mask, scores, lowest])
    if n.attrs.get("is_causal", False):
        rows, columns = query.shape[1], key.shape[1]
        if rows is None or columns is None:
            raise NotImplementedError(
                f"export(): causal attention of {n.origin!r} needs sequences of known length."
            )
        allowed = w.constant(np.tri(rows, columns, dtype=bool))
        scores = w.add("Where", [allowed, scores, lowest])
    mixed = w.add("MatMul", [w.add("Softmax", [scores], axis=-1), v])
    return w.transpose(mixed, [0, 2, 1, 3])


OPS: dict[str, Translator] = {
    "dense": _dense,
    "conv": _conv,
    "conv_input_grad": _conv_transpose,
    "max_pool": _pool("MaxPool"),
    "avg_pool": _pool("AveragePool"),
    "attention": _attention,
}
