"""ONNX forms of elementwise ops, reductions, and ops that move values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lamina.export.onnx_file import OnnxWriter, Translator
from lamina.export.record import RecordedNode

_END = np.iinfo(np.int64).max  # a slice to the end of an axis, whatever its size


def _plain(op: str, **attrs: Any) -> Translator:
    """The same op under ONNX's name."""
    return lambda w, n: w.add(op, [w.name(i) for i in n.inputs], **attrs)


def _built(build: Callable[[OnnxWriter, str, str, RecordedNode], str]) -> Translator:
    """An op of one operand from several nodes: `build(writer, x, dtype, node)`."""
    return lambda w, n: build(w, w.name(n.inputs[0]), w.spec(n.inputs[0]).dtype, n)


def _with_attr(op: str, attr: str, ours: str, default: float) -> Translator:
    def translate(w: OnnxWriter, n: RecordedNode) -> str:
        attrs: dict[str, Any] = {attr: float(n.attrs.get(ours, default))}
        result: str = w.add(op, [w.name(n.inputs[0])], **attrs)
        return result

    return translate


def _times_log(base: float) -> Translator:
    return _built(
        lambda w, x, dtype, n: w.add(
            "Mul", [w.add("Log", [x]), w.scalar(1 / math.log(base), dtype)]
        )
    )


def _gelu(w: OnnxWriter, x: str, dtype: str, n: RecordedNode) -> str:
    half, one = w.scalar(0.5, dtype), w.scalar(1.0, dtype)
    if n.attrs.get("approximate", True):
        cube = w.add("Mul", [x, w.add("Mul", [x, x])])
        inner = w.add("Add", [x, w.add("Mul", [cube, w.scalar(0.044715, dtype)])])
        inner = w.add("Mul", [inner, w.scalar(math.sqrt(2 / math.pi), dtype)])
        bent = w.add("Tanh", [inner])
    else:
        bent = w.add("Erf", [w.add("Mul", [x, w.scalar(math.sqrt(0.5), dtype)])])
    result: str = w.add("Mul", [w.add("Mul", [x, half]), w.add("Add", [bent, one])])
    return result


def _clip(w: OnnxWriter, x: str, dtype: str, n: RecordedNode) -> str:
    low, high = float(n.attrs["min"]), float(n.attrs["max"])
    result: str = w.add("Clip", [x, w.scalar(low, dtype), w.scalar(high, dtype)])
    return result


def _floor_divide(w: OnnxWriter, n: RecordedNode) -> str:
    a, b = (w.name(i) for i in n.inputs)
    dtype = w.spec(n.inputs[0]).dtype
    if not dtype.startswith("float"):  # through floating point, whose quotient can be floored
        a, b = (w.add("Cast", [v], to=w.element_type("float64")) for v in (a, b))
        whole = w.add("Floor", [w.add("Div", [a, b])])
        result: str = w.add("Cast", [whole], to=w.element_type(dtype))
        return result
    result = w.add("Floor", [w.add("Div", [a, b])])
    return result


def _mod(w: OnnxWriter, n: RecordedNode) -> str:
    a, b = (w.name(i) for i in n.inputs)
    if not w.spec(n.inputs[0]).dtype.startswith("float"):
        result: str = w.add("Mod", [a, b], fmod=0)
        return result
    whole = w.add("Mul", [w.add("Floor", [w.add("Div", [a, b])]), b])
    result = w.add("Sub", [a, whole])
    return result


def _cast(w: OnnxWriter, n: RecordedNode) -> str:
    result: str = w.add("Cast", [w.name(n.inputs[0])], to=w.element_type(n.attrs["dtype"]))
    return result


# Reductions


def _axes(w: OnnxWriter, n: RecordedNode) -> list[int]:
    rank = len(w.spec(n.inputs[0]).shape)
    axes = n.attrs.get("axes")
    return list(range(rank)) if axes is None else [int(axis) % rank for axis in axes]


def _reduced(w: OnnxWriter, op: str, x: str, axes: list[int], keepdims: bool) -> str:
    if not axes:
        return x
    result: str = w.add(op, [x, w.ints(*axes)], keepdims=int(keepdims))
    return result


def _reduction(op: str) -> Translator:
    return lambda w, n: _reduced(
        w, op, w.name(n.inputs[0]), _axes(w, n), bool(n.attrs.get("keepdims", False))
    )


def _sum_squares(w: OnnxWriter, n: RecordedNode) -> str:
    return _reduced(w, "ReduceSumSquare", w.name(n.inputs[0]), _axes(w, n), False)


def _of_bools(op: str) -> Translator:
    def translate(w: OnnxWriter, n: RecordedNode) -> str:
        x = w.add("Cast", [w.name(n.inputs[0])], to=w.element_type("int32"))
        y = _reduced(w, op, x, _axes(w, n), bool(n.attrs.get("keepdims", False)))
        result: str = w.add("Cast", [y], to=w.element_type("bool"))
        return result

    return translate


def _variance(w: OnnxWriter, n: RecordedNode) -> str:
    x, axes = w.name(n.inputs[0]), _axes(w, n)
    away = w.add("Sub", [x, _reduced(w, "ReduceMean", x, axes, True)])
    square = w.add("Mul", [away, away])
    return _reduced(w, "ReduceMean", square, axes, bool(n.attrs.get("keepdims", False)))


def _moments(w: OnnxWriter, n: RecordedNode) -> list[str]:
    x, axes = w.name(n.inputs[0]), list(range(len(w.spec(n.inputs[0]).shape) - 1))
    away = w.add("Sub", [x, _reduced(w, "ReduceMean", x, axes, True)])
    square = w.add("Mul", [away, away])
    return [_reduced(w, "ReduceMean", part, axes, False) for part in (x, square)]


def _layer_norm(w: OnnxWriter, x: str, dtype: str, n: RecordedNode) -> str:
    away = w.add("Sub", [x, _reduced(w, "ReduceMean", x, [-1], True)])
    variance = _reduced(w, "ReduceMean", w.add("Mul", [away, away]), [-1], True)
    epsilon = w.scalar(float(n.attrs.get("epsilon", 0.0)), dtype)
    y: str = w.add("Div", [away, w.add("Sqrt", [w.add("Add", [variance, epsilon])])])
    if len(n.inputs) == 3:
        gamma, beta = map(w.name, n.inputs[1:])
        y = w.add("Add", [w.add("Mul", [y, gamma]), beta])
    return y


def _batch_norm(w: OnnxWriter, n: RecordedNode) -> list[str]:
    x, gamma, beta = map(w.name, n.inputs)
    spec, (mean, variance) = w.spec(n.inputs[0]), _moments(w, n)
    epsilon = w.scalar(float(n.attrs.get("epsilon", 0.0)), spec.dtype)
    deviation = w.add("Sqrt", [w.add("Add", [variance, epsilon])])
    normalized = w.add("Div", [w.add("Sub", [x, mean]), deviation])
    return [w.add("Add", [w.add("Mul", [normalized, gamma]), beta]), mean, variance]


def _arg(op: str) -> Translator:
    def translate(w: OnnxWriter, n: RecordedNode) -> str:
        x, axis = w.name(n.inputs[0]), n.attrs.get("axis")
        if axis is None:
            x, axis = w.add("Reshape", [x, w.ints(-1)]), 0
        keepdims = int(n.attrs.get("keepdims", False))
        result: str = w.add(op, [x], axis=int(axis), keepdims=keepdims)
        return result

    return translate


def _cumsum(w: OnnxWriter, n: RecordedNode) -> str:
    axis = w.constant(np.array(n.attrs["axis"], np.int64))
    result: str = w.add("CumSum", [w.name(n.inputs[0]), axis])
    return result


# Moving values


def _reshape(w: OnnxWriter, n: RecordedNode) -> str:
    shape = [int(size) for size in n.attrs["shape"]]
    inputs = [w.name(n.inputs[0]), w.ints(*shape)]
    result: str = w.add("Reshape", inputs, allowzero=1 if 0 in shape else None)
    return result


def _transpose(w: OnnxWriter, n: RecordedNode) -> str:
    return w.transpose(w.name(n.inputs[0]), n.attrs["perm"])


def _broadcast(w: OnnxWriter, n: RecordedNode) -> str:
    # A size of 1 in Expand keeps what the operand has: right for the open batch size.
    shape = [1 if int(size) < 0 else int(size) for size in n.attrs["shape"]]
    result: str = w.add("Expand", [w.name(n.inputs[0]), w.ints(*shape)])
    return result


def _concat(w: OnnxWriter, n: RecordedNode) -> str:
    result: str = w.add("Concat", [w.name(i) for i in n.inputs], axis=int(n.attrs["axis"]))
    return result


def _split(w: OnnxWriter, n: RecordedNode) -> list[str]:
    sizes = w.ints(*n.attrs["sizes"])
    results = w.add(
        "Split", [w.name(n.inputs[0]), sizes], outputs=len(n.outputs), axis=int(n.attrs["axis"])
    )
    return [results] if isinstance(results, str) else list(results)


def _slice(w: OnnxWriter, n: RecordedNode) -> str:
    shape = w.spec(n.inputs[0]).shape
    begin, end, strides = (list(map(int, n.attrs[key])) for key in ("begin", "end", "strides"))
    for axis, size in enumerate(shape):
        if size is None and end[axis] < 0 < strides[axis]:
            end[axis] = _END
        elif strides[axis] < 0 and end[axis] < 0:
            end[axis] = -_END
    axes = range(len(shape))
    inputs = [w.name(n.inputs[0]), w.ints(*begin), w.ints(*end), w.ints(*axes), w.ints(*strides)]
    result: str = w.add("Slice", inputs)
    return result


def _flip(w: OnnxWriter, n: RecordedNode) -> str:
    axes = [int(axis) for axis in n.attrs["axes"]]
    count = len(axes)
    inputs = [w.ints(*[-1] * count), w.ints(*[-_END] * count), w.ints(*axes), w.ints(*[-1] * count)]
    result: str = w.add("Slice", [w.name(n.inputs[0]), *inputs])
    return result


def _pad(w: OnnxWriter, n: RecordedNode) -> str:
    mode = n.attrs.get("mode", "constant")
    if mode not in ("constant", "reflect"):
        raise NotImplementedError(f"export(): padding mode {mode!r} has no form in ONNX.")
    inputs = [w.name(n.inputs[0]), w.ints(*n.attrs["low"], *n.attrs["high"])]
    if mode == "constant":
        dtype = w.spec(n.inputs[0]).dtype
        inputs.append(w.scalar(n.attrs.get("value", 0.0), dtype))
    result: str = w.add("Pad", inputs, mode=mode)
    return result


def _repeat(w: OnnxWriter, n: RecordedNode) -> str:
    axis, times = int(n.attrs["axis"]), int(n.attrs["repeats"])
    x = w.add("Unsqueeze", [w.name(n.inputs[0]), w.ints(axis + 1)])
    shape = w.spec(n.inputs[0]).shape
    sizes = [1] * (len(shape) + 1)
    sizes[axis + 1] = times
    x = w.add("Expand", [x, w.ints(*sizes)])
    joined = [0 if size is None else size for size in shape]  # 0 keeps the operand's size
    joined[axis] = -1
    result: str = w.add("Reshape", [x, w.ints(*joined[: axis + 1], *shape_tail(shape, axis))])
    return result


def shape_tail(shape: tuple[int | None, ...], axis: int) -> list[int]:
    """The sizes after an axis.

    Raises:
        NotImplementedError: when one is not known.
    """
    tail = shape[axis + 1 :]
    if None in tail:
        raise NotImplementedError(f"export(): the sizes {shape} must be known after axis {axis}.")
    return [size for size in tail if size is not None]


def _triangle(upper: int) -> Translator:
    def translate(w: OnnxWriter, n: RecordedNode) -> str:
        k = w.constant(np.array(n.attrs.get("k", 0), np.int64))
        result: str = w.add("Trilu", [w.name(n.inputs[0]), k], upper=upper)
        return result

    return translate


def _gather(w: OnnxWriter, n: RecordedNode) -> str:
    axis = int(n.attrs.get("axis", 0))
    result: str = w.add("Gather", [w.name(i) for i in n.inputs], axis=axis)
    return result


def _take_along(w: OnnxWriter, n: RecordedNode) -> str:
    axis = int(n.attrs.get("axis", -1))
    result: str = w.add("GatherElements", [w.name(i) for i in n.inputs], axis=axis)
    return result


def _one_hot(w: OnnxWriter, n: RecordedNode) -> str:
    values = w.constant(np.array([0, 1], n.attrs.get("dtype", "float32")))
    depth = w.constant(np.array(n.attrs["classes"], np.int64))
    axis = int(n.attrs.get("axis", -1))
    result: str = w.add("OneHot", [w.name(n.inputs[0]), depth, values], axis=axis)
    return result


def _top_k(w: OnnxWriter, n: RecordedNode) -> list[str]:
    values, ids = w.add("TopK", [w.name(n.inputs[0]), w.ints(n.attrs["k"])], outputs=2, axis=-1)
    return [values, w.add("Cast", [ids], to=w.element_type("int32"))]


def _matmul(w: OnnxWriter, n: RecordedNode) -> str:
    operands = []
    for id, attr in zip(n.inputs, ("transpose_a", "transpose_b"), strict=True):
        name, rank = w.name(id), len(w.spec(id).shape)
        if n.attrs.get(attr, False):
            name = w.transpose(name, [*range(rank - 2), rank - 1, rank - 2])
        operands.append(name)
    result: str = w.add("MatMul", operands)
    return result


def _axis_of(op: str) -> Translator:
    return lambda w, n: w.add(op, [w.name(n.inputs[0])], axis=int(n.attrs.get("axis", -1)))


def _negated(op: str) -> Translator:
    return lambda w, n: w.add("Not", [w.add(op, [w.name(i) for i in n.inputs])])


_SAME_NAME = {
    "abs": "Abs", "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div",
    "maximum": "Max", "minimum": "Min", "power": "Pow", "negative": "Neg", "exp": "Exp",
    "log": "Log", "sqrt": "Sqrt", "sin": "Sin", "cos": "Cos", "tan": "Tan", "arcsin": "Asin",
    "arccos": "Acos", "arctan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "tanh": "Tanh",
    "arcsinh": "Asinh", "arccosh": "Acosh", "arctanh": "Atanh", "floor": "Floor", "ceil": "Ceil",
    "round": "Round", "sign": "Sign", "reciprocal": "Reciprocal", "erf": "Erf", "relu": "Relu",
    "sigmoid": "Sigmoid", "softplus": "Softplus", "softsign": "Softsign", "selu": "Selu",
    "isnan": "IsNaN", "isinf": "IsInf", "logical_not": "Not", "logical_and": "And",
    "logical_or": "Or", "logical_xor": "Xor", "equal": "Equal", "less": "Less",
    "less_equal": "LessOrEqual", "greater": "Greater", "greater_equal": "GreaterOrEqual",
    "select": "Where", "identity": "Identity", "stop_gradient": "Identity",
    "hard_silu": "HardSwish",
}  # fmt: skip

OPS: dict[str, Translator] = {
    **{ours: _plain(theirs) for ours, theirs in _SAME_NAME.items()},
    "not_equal": _negated("Equal"),
    "isfinite": _built(
        lambda w, x, dtype, n: w.add(
            "Not", [w.add("Or", [w.add("IsNaN", [x]), w.add("IsInf", [x])])]
        )
    ),
    "square": _built(lambda w, x, dtype, n: w.add("Mul", [x, x])),
    "rsqrt": _built(lambda w, x, dtype, n: w.add("Reciprocal", [w.add("Sqrt", [x])])),
    "expm1": _built(lambda w, x, dtype, n: w.add("Sub", [w.add("Exp", [x]), w.scalar(1, dtype)])),
    "log1p": _built(lambda w, x, dtype, n: w.add("Log", [w.add("Add", [x, w.scalar(1, dtype)])])),
    "log2": _times_log(2.0),
    "log10": _times_log(10.0),
    "trunc": _built(
        lambda w, x, dtype, n: w.add(
            "Mul", [w.add("Sign", [x]), w.add("Floor", [w.add("Abs", [x])])]
        )
    ),
    "relu6": _built(
        lambda w, x, dtype, n: w.add("Clip", [x, w.scalar(0, dtype), w.scalar(6, dtype)])
    ),
    "elu": _with_attr("Elu", "alpha", "alpha", 1.0),
    "celu": _with_attr("Celu", "alpha", "alpha", 1.0),
    "leaky_relu": _with_attr("LeakyRelu", "alpha", "negative_slope", 0.2),
    "hard_sigmoid": _plain("HardSigmoid", alpha=1 / 6, beta=0.5),
    "gelu": _built(_gelu),
    "silu": _built(lambda w, x, dtype, n: w.add("Mul", [x, w.add("Sigmoid", [x])])),
    "mish": _built(
        lambda w, x, dtype, n: w.add("Mul", [x, w.add("Tanh", [w.add("Softplus", [x])])])
    ),
    "log_sigmoid": _built(
        lambda w, x, dtype, n: w.add("Neg", [w.add("Softplus", [w.add("Neg", [x])])])
    ),
    "clip": _built(_clip),
    "floor_divide": _floor_divide,
    "mod": _mod,
    "cast": _cast,
    "sum": _reduction("ReduceSum"),
    "layer_norm": _built(_layer_norm),
    "mean": _reduction("ReduceMean"),
    "moments": _moments,
    "batch_norm": _batch_norm,
    "max": _reduction("ReduceMax"),
    "min": _reduction("ReduceMin"),
    "prod": _reduction("ReduceProd"),
    "logsumexp": _reduction("ReduceLogSumExp"),
    "sum_squares": _sum_squares,
    "var": _variance,
    "any": _of_bools("ReduceMax"),
    "all": _of_bools("ReduceMin"),
    "argmax": _arg("ArgMax"),
    "argmin": _arg("ArgMin"),
    "cumsum": _cumsum,
    "reshape": _reshape,
    "transpose": _transpose,
    "broadcast_to": _broadcast,
    "concat": _concat,
    "split": _split,
    "slice": _slice,
    "flip": _flip,
    "pad": _pad,
    "repeat": _repeat,
    "tril": _triangle(0),
    "triu": _triangle(1),
    "gather": _gather,
    "embedding": _gather,
    "take_along_axis": _take_along,
    "one_hot": _one_hot,
    "top_k": _top_k,
    "matmul": _matmul,
    "softmax": _axis_of("Softmax"),
    "log_softmax": _axis_of("LogSoftmax"),
}
