"""Calls of every op of the engine with odd operands and attributes: python fuzz.py SEED CALLS.

Each call begins with one that works (TEMPLATES) and is changed a few times. The engine may refuse
it with an error that names the op, or do it, also in a program and with its gradients; it may not
fail in another way. Every call is printed before it is made, so that a crash shows what it was.
"""

from __future__ import annotations

import random
import resource
import sys
from typing import Any

import numpy as np

from lamina import _core

Operand = tuple[str, tuple[int, ...]]
Call = tuple[list[Operand], dict[str, Any]]

F, N, B, U = "float32", "int32", "bool", "uint8"
STATE = ("int64", (2,))
WINDOW = {"strides": [1, 2], "padding": "same"}
POOL = {"pool_size": [2, 3], "strides": [1, 2], "padding": "same"}
CONV_POOL = {f"pool_{name}": value for name, value in POOL.items()}
SIDE_BY_SIDE = {"strides": [2, 3], "activation": "tanh", "input_shape": [2, 6, 15, 7]}
SLICE = {"begin": [1, 0], "end": [5, 7], "strides": [2, 3]}
SEQUENCE = {"return_sequences": True, "has_mask": True}
ADAM = {"beta_1": 0.9, "beta_2": 0.99}
TABLES = {"sparse": [0, 5, 2]}
KERNEL = (3, 3, 16, 8)
# Their sizes depend on the processor.
DENSE_WEIGHTS = _core.eager("striped_weights", [_core.Tensor(np.zeros((7, 5), F))], {})[0].shape
LINE = (3, 16, 20)
LINE_WEIGHTS = _core.eager("winograd_weights", [_core.Tensor(np.zeros(LINE, F))], {})[0].shape
KERNEL_WEIGHTS = _core.eager("winograd_weights", [_core.Tensor(np.zeros(KERNEL, F))], {})[0].shape


def floats(*shapes: tuple[int, ...]) -> list[Operand]:
    return [(F, shape) for shape in shapes]


# Sizes that belong together are equal, others differ: a change of one size changes all its equals.
TEMPLATES: dict[str, list[Call]] = {
    "adam_update": [
        (floats((7,), (7,), (7,), (7,), ()) + [("int64", ())], ADAM),
        (floats((12,), (12,), (12,), (12,), ()) + [("int64", ()), (N, (3,)), (F, (3, 2))], TABLES),
    ],
    "adam_amsgrad_update": [(floats(*[(7,)] * 5, ()) + [("int64", ())], ADAM)],
    "all": [([(B, (3, 4))], {"axes": [1]})],
    "any": [([(B, (3, 4))], {"axes": [0], "keepdims": True})],
    "argmax": [(floats((3, 4, 5)), {"axis": 1})],
    "argmin": [(floats((3, 4)), {})],
    "argsort": [(floats((3, 4, 5)), {"axis": 1, "descending": True})],
    "attention": [
        (floats((2, 5, 4, 3), (2, 6, 2, 3), (2, 6, 2, 7)), {"is_causal": True, "scale": 0.5}),
        (
            floats((2, 5, 2, 3), (2, 6, 2, 3), (2, 6, 2, 7)) + [(B, (2, 1, 5, 6))],
            {"has_mask": True, "soft_cap": 2.0},
        ),
    ],
    "attention_grad": [
        (
            floats((2, 5, 4, 3), (2, 6, 2, 3), (2, 6, 2, 7), (2, 5, 4, 7), (2, 5, 4, 7)),
            {"scale": 0.5},
        ),
    ],
    "avg_pool": [
        (floats((2, 5, 7, 3)), POOL),
        (floats((2, 4, 5, 7, 3)), {"pool_size": [2, 1, 3], "padding": "same"}),
        (floats((2, 7, 3)), {"output_size": [3]}),
    ],
    "avg_pool_grad": [(floats((2, 5, 4, 3)), {**POOL, "input_shape": [2, 5, 7, 3]})],
    "bernoulli": [([STATE], {"shape": [3, 70], "p": 0.3, "dtype": "float32"})],
    "broadcast_to": [(floats((3, 1)), {"shape": [2, 3, 4]})],
    "cast": [([(d, (3, 4))], {"dtype": to}) for d, to in ((F, "int32"), (N, "bool"), (U, F))],
    "bitcast": [(floats((3, 4)), {"dtype": "int32"}), (floats((3, 4)), {"dtype": "uint8"})],
    "cholesky": [(floats((0, 3, 3)), {})],
    "ctc_beam_search": [
        (floats((2, 5, 4)) + [(N, (2,))], {"beam_width": 3, "top_paths": 2, "blank": 0}),
    ],
    "det": [(floats((2, 3, 3)), {})],
    "eig": [(floats((0, 3, 3)), {})],  # empty: numbers() has NaN, which these refuse
    "eigh": [(floats((0, 3, 3)), {})],
    "fft": [(floats((2, 12), (2, 12)), {"inverse": True}), (floats((37,), (37,)), {})],
    "inv": [(floats((2, 3, 3)), {})],
    "lu_factor": [(floats((2, 4, 3)), {})],
    "random_binomial": [([STATE, (F, (5,)), (F, (5,))], {})],
    "random_gamma": [([STATE, (F, (5,))], {})],
    "scatter_rows": [
        (floats((5, 2)) + [(N, (3,)), (F, (3, 2))], {"reduction": how, "drop": True})
        for how in ("set", "add", "max", "min", "mul")
    ],
    "slogdet": [(floats((2, 3, 3)), {})],
    "solve": [(floats((2, 3, 3), (2, 3, 4)), {"transpose": True})],
    "solve_triangular": [(floats((2, 3, 3), (2, 3, 4)), {"lower": True})],
    "straight_through": [(floats((3, 4), (3, 4)), {})],
    "svd": [(floats((0, 4, 3)), {"full_matrices": False}), (floats((0, 3, 4)), {})],
    "unpack_nibbles": [([(U, (3, 4))], {"axis": 0, "length": 5, "dtype": "float32"})],
    "clip": [([(d, (3, 4))], {"min": -1, "max": 1.5}) for d in (F, N, U)],
    "clip_grad": [(floats((3, 4), (3, 4)), {"min": -1.0, "max": 1.0})],
    "concat": [(floats((3, 4), (3, 5), (3, 6)), {"axis": 1})],
    "concat_conv": [
        (
            floats((2, 8, 8, 16), (2, 8, 8, 32), (3, 3, 48, 16), (16,)),
            {"parts": 2, "padding": "same"},
        )
    ],
    "concat_conv_weight_grad": [
        (floats((2, 8, 8, 16), (2, 8, 8, 32), (2, 6, 6, 16)), {"kernel_shape": [3, 3, 48, 16]})
    ],
    "conv": [
        (floats((2, 6, 7, 3), (2, 3, 3, 4), (4,)), {**WINDOW, "activation": "relu"}),
        (floats((2, 6, 7, 4), (2, 3, 1, 8)), {"groups": 4, "dilations": [2, 1]}),
        (floats((2, 6, 7, 4), (1, 1, 4, 5)), {}),
    ],
    "winograd_weights": [(floats(KERNEL), {})],
    "winograd_conv": [
        (floats((1, 12, 12, 16), KERNEL_WEIGHTS, (8,)), {"kernel_shape": [*KERNEL]}),
        (floats((2, 9, 9, 16), KERNEL_WEIGHTS), {"kernel_shape": [*KERNEL], "padding": "same"}),
    ],
    "winograd_conv_max": [
        (floats((2, 14, 16), LINE_WEIGHTS, (20,)), {"kernel_shape": [*LINE], "activation": "relu"}),
        (
            [*floats((9, 16), LINE_WEIGHTS), (N, (2, 15))],
            {"kernel_shape": [*LINE], "padding": "same", "has_words": True},
        ),
    ],
    "turned_weights": [(floats((2, 3, 4, 5)), {})],
    "disjoint_input_grad": [
        (
            floats((2, 3, 4, 6), (2 * 2 * 5 * 6,), (5,)),
            {"kernel_shape": [2, 2, 5, 6], "input_shape": [2, 6, 8, 5], "strides": [2, 2]},
        ),
    ],
    "striped_weights": [(floats((7, 5)), {})],
    "striped_dense": [(floats((2, 7), DENSE_WEIGHTS, (5,)), {"columns": 5, "activation": "relu"})],
    "conv_extreme_input_grad": [
        (
            floats((2, 38, 4), (3, 16, 4), (2, 4), (2, 4)),
            {"input_shape": [2, 40, 16]},
        )
    ],
    "conv_extreme_weight_grad": [
        (
            floats((2, 40, 16), (2, 38, 4), (2, 4), (2, 4)),
            {"kernel_shape": [3, 16, 4]},
        )
    ],
    "conv_input_grad": [
        (floats((2, 6, 4, 4), (2, 3, 3, 4)), {**WINDOW, "input_shape": [2, 6, 7, 3]}),
        (floats((2, 5, 5, 8), (2, 3, 1, 8)), {"groups": 8, "input_shape": [2, 6, 7, 8]}),
        (floats((2, 3, 5, 4), (2, 3, 7, 4), (7,)), SIDE_BY_SIDE),
    ],
    "conv_input_grad_split": [
        (
            floats((2, 6, 6, 16), (3, 3, 48, 16)),
            {"input_shape": [2, 8, 8, 48], "sizes": [16, 32]},
        )
    ],
    "conv_max_pool": [
        (floats((2, 6, 7, 3), (3, 3, 3, 4), (4,)), {"activation": "relu", **CONV_POOL}),
        (floats((2, 9, 3), (3, 3, 5)), {"pool_pool_size": [2]}),
    ],
    "conv_max_pool_grad": [
        (
            floats((2, 6, 7, 3), (2, 6, 4, 4)) + [(U, (2, 6, 4, 4))],
            {"padding": "same", **CONV_POOL, "kernel_shape": [3, 3, 3, 4]},
        )
    ],
    "conv_weight_grad": [
        (floats((2, 6, 7, 3), (2, 6, 4, 4)), {**WINDOW, "kernel_shape": [2, 3, 3, 4]}),
        (floats((2, 6, 7, 8), (2, 5, 5, 8)), {"groups": 8, "kernel_shape": [2, 3, 1, 8]}),
    ],
    "cumprod": [(floats((3, 4, 5)), {"axis": 1})],
    "cumsum": [([(d, (3, 4, 5))], {"axis": 1, "reverse": True}) for d in (F, N, U)],
    "dense": [
        (floats((2, 3, 4), (4, 5), (5,)), {"activation": "tanh"}),
        (floats((3, 70), (70, 5)), {"slices": 2}),
    ],
    "diag": [(floats((4,)), {"k": 1}), (floats((3, 4)), {"k": -1})],
    "diag_scatter": [(floats((3,)), {"shape": [3, 4], "k": 1})],
    "dropout": [(floats((3, 70)) + [STATE], {"rate": 0.5, "noise_shape": [3, 1]})],
    "embedding": [(floats((5, 3)) + [(N, (2, 4))], {})],
    "embedding_grad": [([(N, (2, 4)), (F, (2, 4, 3))], {"rows": 5})],
    "extreme_grad": [(floats((3, 4, 5), (3, 5), (3, 5)), {"axes": [1]})],
    "flip": [(floats((3, 4, 5)), {"axes": [0, 2]})],
    "float8_gradient": [(floats((3, 4), (), (5,)), {"format": "float8_e5m2"})],
    "float8_operand": [(floats((3, 4), (3, 4), (), (5,)), {})],
    "gather": [(floats((3, 4, 5)) + [(N, (2,))], {"axis": 1})],
    "gather_grad": [([(N, (2,)), (F, (3, 2, 5))], {"rows": 4, "axis": 1})],
    "gather_nd": [(floats((3, 4, 5)) + [(N, (7, 2))], {})],
    "logical_and": [([(B, (3, 4)), (B, (4,))], {})],
    "logical_or": [([(B, (3, 4)), (B, (3, 1))], {})],
    "logical_xor": [([(B, (3, 4)), (B, ())], {})],
    "logical_not": [([(B, (3, 4))], {})],
    "log_softmax": [(floats((3, 4, 5)), {"axis": 1})],
    "logsumexp": [(floats((3, 4, 5)), {"axes": [0, 2]})],
    "gru": [
        (floats((3, 6, 5), (5, 21), (7, 21), (2, 21), (3, 7)) + [(B, (3, 6))], SEQUENCE),
        (floats((3, 6, 5), (5, 21), (7, 21), (21,), (3, 7)), {"reset_after": False}),
    ],
    "gru_grad": [
        (
            floats((3, 6, 4, 7), (7, 21), (3, 6, 5), (5, 21), (3, 6, 7), (3, 7)),
            {"has_dh": True},
        ),
        (
            floats((3, 6, 4, 7), (7, 21), (9, 5), (5, 21), (3, 6, 7), (3, 7)) + [(N, (3, 6))],
            {"has_dh": True, "has_words": True},
        ),
    ],
    "lstm": [
        (floats((3, 4, 5), (5, 8), (2, 8), (8,), (3, 2), (3, 2)) + [(B, (3, 4))], SEQUENCE),
        (
            floats((3, 4, 5), (5, 8), (2, 8), (8,), (3, 2), (3, 2), (4, 3, 2)),
            {"has_recurrent_mask": True, "go_backwards": True},
        ),
    ],
    "lstm_grad": [
        (
            floats((3, 6, 4, 2), (2, 8), (3, 6, 5), (5, 8), *[(3, 6, 2)] * 2, (3, 2), (3, 6, 2)),
            {"has_dy": True, "return_sequences": True},
        ),
    ],
    "matmul": [
        (floats((3, 4), (4, 5)), {}),
        (floats((2, 1, 3, 4), (7, 5, 4)), {"transpose_b": True}),
        (floats((2, 4, 3), (4, 5)), {"transpose_a": True}),
    ],
    "matmul_relu_grad": [
        (floats((3, 4), (5, 4), (3, 5, 1)), {"transpose_b": True, "scale": 1.25}),
    ],
    "max_pool": [
        (floats((2, 5, 7, 3)), POOL),
        (floats((2, 4, 5, 7, 3)), {"output_size": [3, 2, 9]}),
    ],
    "max_pool_grad": [
        ([(F, (2, 5, 4, 3)), (N, (2, 5, 4, 3))], {**POOL, "input_shape": [2, 5, 7, 3]})
    ],
    "one_hot": [([(N, (3, 4))], {"classes": 5, "axis": 1})],
    "pack": [(floats((3, 4), (5,), ()), {})],
    "pad": [
        (floats((3, 4)), {"low": [1, 0], "high": [2, 2], "mode": mode})
        for mode in ("constant", "reflect", "symmetric")
    ],
    "pad_grad": [
        (floats((6, 6)), {"low": [1, 0], "high": [2, 2], "mode": "symmetric", "shape": [3, 4]})
    ],
    "prod_grad": [(floats((3, 4), (3,)), {})],
    "qr": [(floats((4, 3)), {"mode": "reduced"}), (floats((2, 3, 3)), {})],
    "random_int": [([STATE], {"shape": [3, 70], "min": -3, "max": 5, "dtype": "int32"})],
    "random_normal": [([STATE], {"shape": [3, 70], "mean": 1.0, "stddev": 2.0})],
    "random_uniform": [([STATE], {"shape": [3, 70], "min": -1.0, "max": 2.0})],
    "repeat": [(floats((3, 4, 5)), {"repeats": 2, "axis": 1})],
    "resample": [(floats((2, 5, 3), (7, 2)) + [(N, (7,))], {"axis": 1})],
    "resample_grad": [(floats((2, 7, 3), (7, 2)) + [(N, (7,))], {"axis": 1, "size": 5})],
    "reshape": [(floats((3, 4)), {"shape": [2, -1]})],
    "rmsprop_update": [(floats(*[(7,)] * 5, ()), {"centered": True, "momentum": 0.9})],
    "scatter_add": [([(N, (7, 2)), (F, (7, 5))], {"shape": [3, 4, 5]})],
    "select": [([(B, (3, 1)), (F, (4,)), (F, ())], {})],
    "sgd_momentum_update": [(floats((7,), (7,), (7,), ()), {"momentum": 0.9})],
    "sgd_update": [
        (floats((7,), (7,), ()), {}),
        (floats((13,), (13,), ()) + [(N, (3,)), (F, (3, 2))], {"sparse": [1, 5, 2]}),
        (floats((13,), (13,), (), (5, 4), (5, 2)), {"products": [3, 1, 0]}),
    ],
    "simple_rnn": [
        (floats((3, 4, 5), (5, 2), (2, 2), (2,), (3, 2)) + [(B, (3, 4))], SEQUENCE),
        (floats((7, 5), (5, 2), (2, 2), (2,), (3, 2)) + [(N, (3, 4))], {"has_words": True}),
    ],
    "simple_rnn_grad": [
        (
            floats((3, 6, 1, 2), (2, 2), (3, 6, 5), (5, 2), (3, 6, 2), (3, 2)),
            {"has_dh": True},
        ),
    ],
    "slice": [(floats((6, 8)), SLICE)],
    "slice_scatter": [(floats((2, 3)), {**SLICE, "shape": [6, 8]})],
    "softmax": [(floats((3, 4, 5)), {"axis": 1}), (floats((3, 20)), {})],
    "softmax_grad": [(floats((3, 4, 5), (3, 4, 5)), {"axis": 1})],
    "log_softmax_grad": [(floats((3, 4, 5), (3, 4, 5)), {"axis": -1})],
    "layer_norm": [(floats((3, 4, 5), (5,), (5,)), {"epsilon": 0.1}), (floats((4, 9)), {})],
    "layer_norm_grad": [
        (floats((3, 4, 5), (3, 4, 5), (5,)), {"epsilon": 0.1}),
        (floats((4, 9), (4, 9)), {}),
    ],
    "batch_norm": [(floats((4, 3, 5), (5,), (5,)), {"epsilon": 0.1})],
    "batch_norm_grad": [
        (floats((4, 3, 5), (4, 3, 5), (5,), (5,), (5,), (5,)), {"epsilon": 0.1}),
    ],
    "moments": [(floats((3, 4, 5)), {}), (floats((300, 40)), {})],
    "softmax_cross_entropy": [(floats((3, 4, 5), (3, 4, 5)), {})],
    "softmax_cross_entropy_grad": [(floats((3, 4, 5), (3, 4, 5), (3, 4)), {})],
    "sparse_softmax_cross_entropy": [(floats((3, 4, 5)) + [(N, (3, 4))], {})],
    "sparse_softmax_cross_entropy_grad": [([(F, (3, 5)), (N, (3,)), (F, (3,))], {})],
    "split": [(floats((3, 6)), {"axis": 1, "sizes": [1, 2, 3]})],
    "sum": [([(d, (3, 4, 5))], {"axes": [0, 2]}) for d in (F, N, U)],
    "mean": [(floats((3, 4, 5)), {"axes": [0, 2]}), (floats((300, 4, 70)), {"axes": [1]})],
    "max": [(floats((3, 4, 5)), {"axes": [1]})],
    "prod": [(floats((3, 4, 5)), {"axes": [1], "keepdims": True})],
    "take_along_axis": [(floats((3, 4, 5)) + [(N, (3, 2, 5))], {"axis": 1})],
    "take_along_axis_grad": [([(N, (3, 2, 5)), (F, (3, 2, 5))], {"axis": 1, "size": 4})],
    "top_k": [(floats((3, 5)), {"k": 2})],
    "transpose": [(floats((3, 4, 5)), {"perm": [2, 0, 1]})],
    "tril": [(floats((2, 3, 4)), {"k": 1})],
    "triu": [(floats((3, 4)), {"k": -1})],
    "truncated_normal": [([STATE], {"shape": [3, 70]})],
    "unfilled": [([], {"shape": [3, 4]})],
    "var": [(floats((3, 4, 5)), {"axes": [0, 2]})],
}
SIZES = [0, 0, 1, 1, 2, 3, 5, 17, 33]
NUMBERS = [0, 0, -1, -1, 1, 2, -2, 3, 5, 20, 2**31, 2**62, 2**63 - 1, -(2**63)]
REALS = [0.0, -1.0, 1.0, 2.5, float("nan"), float("inf"), -float("inf"), 1e300]
DTYPES = ["float32", "float64", "int32", "int64", "uint8", "bool"]
MEMORY = 2**33  # bytes of address space: a size that passes every check is still refused


def templates(op: str) -> list[Call]:
    """The op's own, or operands as elementwise ops take them."""
    return TEMPLATES.get(op) or [
        ([(dtype, shape) for shape in ((3, 4), (4,), (3, 1))[:count]], {})
        for count in (1, 2, 3)
        for dtype in (F, "float64", N, U)
    ]


def resize(call: Call, r: random.Random) -> Call:
    """One size becomes another everywhere."""
    operands, attrs = call
    sizes = [n for _, shape in operands for n in shape]
    if not sizes:
        return call
    old, new = r.choice(sizes), r.choice(SIZES)

    def swap(n: int) -> int:
        return new if n == old else n

    return (
        [(dtype, tuple(map(swap, shape))) for dtype, shape in operands],
        {
            k: list(map(swap, v)) if isinstance(v, list) and "shape" in k else v
            for k, v in attrs.items()
        },
    )


def change_operand(call: Call, r: random.Random) -> Call:
    operands, attrs = list(call[0]), call[1]
    if not operands:
        return [(F, (3,))], attrs
    i = r.randrange(len(operands))
    dtype, shape = operands[i]
    kind = r.randrange(6)
    if kind == 0:
        operands[i] = (r.choice(DTYPES), shape)
    elif kind == 1:
        del operands[i]
    elif kind == 2:
        operands.insert(i, r.choice(operands))
    elif kind == 3:
        operands[i] = (dtype, shape[1:])
    elif kind == 4:
        operands[i] = (dtype, (r.choice(SIZES), *shape))
    elif shape:
        at = r.randrange(len(shape))
        operands[i] = (dtype, (*shape[:at], r.choice(SIZES), *shape[at + 1 :]))
    return operands, attrs


def change_attr(call: Call, r: random.Random) -> Call:
    operands, attrs = call[0], dict(call[1])
    if not attrs:
        return operands, {r.choice(["axis", "axes", "shape", "k"]): r.choice(NUMBERS)}
    name = r.choice(sorted(attrs))
    value = attrs[name]
    if r.random() < 0.1:
        del attrs[name]
    elif r.random() < 0.1:
        attrs[name] = r.choice([True, 0, -1, 1.5, "relu", [], [1, 2]])
    elif isinstance(value, bool):
        attrs[name] = not value
    elif isinstance(value, int):
        attrs[name] = r.choice(NUMBERS)
    elif isinstance(value, float):
        attrs[name] = r.choice(REALS)
    elif isinstance(value, str):
        attrs[name] = r.choice(["valid", "same", "linear", "reflect", "constant", "float64", "x"])
    elif value and r.random() < 0.8:
        at = r.randrange(len(value))
        attrs[name] = [*value[:at], r.choice(NUMBERS), *value[at + 1 :]]
    else:
        attrs[name] = r.choice([value[1:], [*value, r.choice(NUMBERS)]])
    return operands, attrs


def numbers(operand: Operand, g: np.random.Generator, tame: bool) -> np.ndarray:
    dtype, shape = operand
    if dtype.startswith("float"):
        values = g.normal(size=shape) * 3
        return np.where(g.random(shape) < 0.02, np.nan, values).astype(dtype)
    if dtype == "bool":
        return np.asarray(g.random(shape) < 0.5)
    values = [0, 1] if tame or g.random() < 0.7 else [-1, 0, 3, 2**31 - 1, -(2**31)]
    return np.asarray(g.choice(values, size=shape)).astype(dtype)


def in_a_program(op: str, arrays: list[np.ndarray], attrs: dict[str, Any]) -> None:
    graph = _core.Graph()
    inputs = [graph.input(str(a.dtype), a.shape) for a in arrays]
    results = graph.emit(op, inputs, attrs, "fuzz")
    for value in results:
        graph.output(value)
    dtype, shape = graph.spec(results[0])
    wrt = [i for i, a in zip(inputs, arrays, strict=True) if a.dtype.kind == "f"]
    if wrt and dtype.startswith("float"):
        for value in graph.gradients(results[0], wrt):
            if value is not None:
                graph.output(value)
    _core.Program(graph)(arrays)


def attempt(op: str, call: Call, g: np.random.Generator, tame: bool = False) -> bool:
    """Was the call accepted? Tame integers are valid indices."""
    arrays = [numbers(operand, g, tame) for operand in call[0]]
    try:
        for result in _core.eager(op, [_core.Tensor(a) for a in arrays], call[1]):
            result.to_numpy().copy()
        in_a_program(op, arrays, call[1])
    except (ValueError, TypeError) as e:
        named = op in str(e) or str(e).endswith("is out of range") or str(e).startswith("matrix ")
        assert named and "internal" not in str(e), f"not a helpful error: {e}"
        return False
    except MemoryError:
        return False
    return True


def main(seed: int, calls: int) -> None:
    if "--sanitizer" in sys.argv:  # needs the address space, and ends where memory does
        NUMBERS.remove(2**31)
    else:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    r, g = random.Random(seed), np.random.default_rng(seed)
    with_functions = ("py_call", "cond", "while", "scan", "custom_gradient")
    ops = [op for op in _core.op_names() if op not in with_functions]
    for op in ops:
        accepted = [attempt(op, call, g, tame=True) for call in templates(op)]
        assert all(accepted) if op in TEMPLATES else any(accepted), f"{op}: a template is refused"
    for i in range(calls):
        op = ops[i % len(ops)]
        call = r.choice(templates(op))
        for _ in range(r.choice([1, 1, 2, 3])):
            call = r.choice([resize, resize, change_operand, change_attr, change_attr])(call, r)
        print(op, *call, file=sys.stderr, flush=True)
        attempt(op, call, g)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
