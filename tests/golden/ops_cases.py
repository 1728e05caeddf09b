"""`ops` against keras.ops: one row a call, eager, with the dtype it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.golden.cases import Result, add, as_numpy, integers, normal, uniform

A = normal(3, 4, seed=1)
B = normal(3, 4, seed=2)
ROW = normal(4, seed=3)
COLUMN = normal(3, 1, seed=4)
POSITIVE = uniform(3, 4, seed=5, low=0.1, high=3.0)
UNIT = uniform(3, 4, seed=6, low=-0.95, high=0.95)
CUBE = normal(2, 3, 4, seed=7)
INTS = integers(20, 3, 4, seed=8, low=-20)
DIVISORS = np.where(integers(7, 3, 4, seed=9, low=-6) == 0, 3, integers(7, 3, 4, seed=9, low=-6))
DIVISORS = DIVISORS.astype("int32")
BOOLS = integers(2, 3, 4, seed=10).astype(bool)
OTHER = integers(2, 3, 4, seed=11).astype(bool)
IDS = integers(4, 2, 3, seed=12)
TIES = np.array([[1.0, 3.0, 3.0, 2.0], [5.0, 5.0, 5.0, 5.0]], "float32")
HALVES = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 1.2, -1.7], "float32")
SPECIAL = np.array([1.0, np.inf, -np.inf, np.nan, 0.0], "float32")
IMAGE = normal(2, 6, 7, 4, seed=13)
KERNEL = normal(3, 2, 4, 6, seed=14)

Call = Callable[..., Any]
CALLS: dict[str, tuple[Call, tuple[Any, ...]]] = {}  # for the tests that call them symbolically


def op(name: str, call: Call, *arrays: Any, **tolerance: float) -> None:
    def run(keras: Any) -> Result:
        ops = keras.ops
        made = call(ops, *[ops.convert_to_tensor(a) for a in arrays])
        many = made if isinstance(made, (list, tuple)) else [made]
        values = [as_numpy(v) if not isinstance(v, (int, float, bool)) else np.asarray(v)
                  for v in many]  # fmt: skip
        result: Result = {f"y{i}": v for i, v in enumerate(values)}
        result["dtypes"] = [str(v.dtype) for v in values]
        return result

    CALLS[name] = call, arrays
    add("ops", name, run, **tolerance)


# ---- Elementwise
for each in ("exp", "expm1", "sin", "cos", "tan", "sinh", "cosh", "tanh", "arctan", "arcsinh",
             "abs", "absolute", "negative", "sign", "square", "floor", "ceil", "sigmoid", "relu",
             "relu6", "softplus", "softsign", "silu", "elu", "selu", "gelu", "leaky_relu",
             "hard_sigmoid", "hard_silu", "log_sigmoid", "celu", "erf",
             "reciprocal", "isnan", "isinf", "isfinite"):  # fmt: skip
    op(each, lambda o, x, n=each: getattr(o, n)(x), A)
for each in ("log", "log1p", "log2", "log10", "sqrt", "rsqrt"):
    op(each, lambda o, x, n=each: getattr(o, n)(x), POSITIVE)
for each in ("arcsin", "arccos", "arctanh", "erfinv"):
    op(each, lambda o, x, n=each: getattr(o, n)(x), UNIT)
op("arccosh", lambda o, x: o.arccosh(x), POSITIVE + 1)
for each in ("isnan", "isinf", "isfinite", "nan_to_num"):
    op(f"{each}_special", lambda o, x, n=each: getattr(o, n)(x), SPECIAL)
for each in ("round", "trunc"):
    op(each, lambda o, x, n=each: getattr(o, n)(x), HALVES)
op("abs_int", lambda o, x: o.abs(x), INTS)
op("square_int", lambda o, x: o.square(x), INTS)
op("clip", lambda o, x: o.clip(x, -0.5, 0.7), A)
op("cast_int", lambda o, x: o.cast(x, "int32"), A * 5)
op("cast_bool", lambda o, x: o.cast(x, "bool"), INTS)
op("cast_float", lambda o, x: o.cast(x, "float32"), BOOLS)

BINARY = ("add", "subtract", "multiply", "divide", "true_divide", "maximum", "minimum",
          "floor_divide", "mod", "arctan2", "equal", "not_equal", "less", "less_equal", "greater",
          "greater_equal")  # fmt: skip
for each in BINARY:
    op(each, lambda o, x, y, n=each: getattr(o, n)(x, y), A, B)
    op(f"{each}_row", lambda o, x, y, n=each: getattr(o, n)(x, y), A, ROW)
    op(f"{each}_outer", lambda o, x, y, n=each: getattr(o, n)(x, y), COLUMN, ROW)
    op(f"{each}_scalar", lambda o, x, n=each: getattr(o, n)(x, 2.0), A)
for each in BINARY:
    if each != "arctan2":
        op(f"{each}_int", lambda o, x, y, n=each: getattr(o, n)(x, y), INTS, DIVISORS)
op("power", lambda o, x, y: o.power(x, y), POSITIVE, B)
op("power_int", lambda o, x: o.power(x, 3), INTS)
op("power_scalar", lambda o, x: o.power(x, 2.0), A)
for each in ("logical_and", "logical_or", "logical_xor"):
    op(each, lambda o, x, y, n=each: getattr(o, n)(x, y), BOOLS, OTHER)
op("logical_not", lambda o, x: o.logical_not(x), BOOLS)
op("where", lambda o, c, x, y: o.where(c, x, y), BOOLS, A, B)
op("where_broadcast", lambda o, c, x: o.where(c, x, 0.0), BOOLS, A)
op("operators", lambda o, x, y: (x + 2 * y - 1) / 3**0.5 - (-x) * (x > y) + abs(y), A, B)
op("operators_reflected", lambda o, x: 1 - 2 / x, POSITIVE)
op("int_plus_float", lambda o, x, y: x + y, INTS, A)
op("int_plus_python_float", lambda o, x: x + 1.5, INTS)
op("int_divided", lambda o, x, y: x / y, INTS, DIVISORS)
op("matmul_operator", lambda o, x, y: x @ o.transpose(y), A, B)

# ---- Reductions
for each in ("sum", "mean", "max", "min", "prod", "var", "std", "logsumexp", "amax", "amin"):
    for label, kwargs in (
        ("all", {}),
        ("0", dict(axis=0)),
        ("last", dict(axis=-1)),
        ("pair", dict(axis=(0, 2))),
        ("keep", dict(axis=1, keepdims=True)),
    ):
        op(f"{each}_{label}", lambda o, x, n=each, k=kwargs: getattr(o, n)(x, **k), CUBE)
for each in ("sum", "mean", "max", "min", "prod"):
    op(f"{each}_int", lambda o, x, n=each: getattr(o, n)(x, axis=1), INTS // 5)
op("mean_bool", lambda o, x: o.mean(x), BOOLS)
op("sum_bool", lambda o, x: o.sum(x, axis=0), BOOLS)
for each in ("any", "all"):
    op(each, lambda o, x, n=each: getattr(o, n)(x, axis=1), BOOLS)
    op(f"{each}_keep", lambda o, x, n=each: getattr(o, n)(x, keepdims=True), BOOLS)
for each in ("argmax", "argmin"):
    op(each, lambda o, x, n=each: getattr(o, n)(x, axis=1), A)
    op(f"{each}_flat", lambda o, x, n=each: getattr(o, n)(x), A)
    op(f"{each}_ties", lambda o, x, n=each: getattr(o, n)(x, axis=-1), TIES)
op("cumsum", lambda o, x: o.cumsum(x, axis=1), A)
op("cumprod", lambda o, x: o.cumprod(x, axis=0), A)
op("count_nonzero", lambda o, x: o.count_nonzero(x, axis=1), INTS // 8)

# ---- Shape and indexing
op("reshape", lambda o, x: o.reshape(x, (4, -1)), CUBE)
op("transpose", lambda o, x: o.transpose(x), CUBE)
op("transpose_axes", lambda o, x: o.transpose(x, (1, 2, 0)), CUBE)
op("moveaxis", lambda o, x: o.moveaxis(x, 0, -1), CUBE)
op("swapaxes", lambda o, x: o.swapaxes(x, 0, 2), CUBE)
op("expand_dims", lambda o, x: o.expand_dims(x, 1), A)
op("squeeze", lambda o, x: o.squeeze(x, -1), COLUMN)
op("ravel", lambda o, x: o.ravel(x), CUBE)
op("broadcast_to", lambda o, x: o.broadcast_to(x, (2, 3, 4)), ROW)
op("concatenate", lambda o, x, y: o.concatenate([x, y], axis=1), A, B)
op("stack", lambda o, x, y: o.stack([x, y], axis=1), A, B)
op("split", lambda o, x: o.split(x, 2, axis=1), A)
op("split_at", lambda o, x: o.split(x, [1, 3], axis=-1), A)
op("unstack", lambda o, x: o.unstack(x, axis=1), A)
op("pad", lambda o, x: o.pad(x, ((1, 0), (2, 1))), A)
op("pad_value", lambda o, x: o.pad(x, ((1, 0), (2, 1)), constant_values=3.0), A)
op("pad_reflect", lambda o, x: o.pad(x, ((1, 1), (2, 1)), mode="reflect"), A)
op("flip", lambda o, x: o.flip(x, axis=1), A)
op("roll", lambda o, x: o.roll(x, 1, axis=1), A)
op("repeat", lambda o, x: o.repeat(x, 2, axis=1), A)
op("tile", lambda o, x: o.tile(x, (2, 1, 2)), A)
op("take", lambda o, x, i: o.take(x, i, axis=1), A, IDS)
op("take_rows", lambda o, x, i: o.take(x, i % 3, axis=0), A, IDS)
op("take_along_axis", lambda o, x, i: o.take_along_axis(x, i, axis=1), A[:2], IDS)
op("one_hot", lambda o, i: o.one_hot(i, 4), IDS)
op("slice", lambda o, x: o.slice(x, (1, 0), (2, 3)), A)
op("getitem", lambda o, x: [x[0], x[:, 1:3], x[..., -1], x[1, ::2, None]], CUBE)
op("arange", lambda o: o.arange(2, 11, 3))
op("arange_float", lambda o: o.arange(0.0, 1.0, 0.25))
op("linspace", lambda o: o.linspace(-1.0, 2.0, 7))
op("zeros_ones_full", lambda o: [o.zeros((2, 3)), o.ones((2,)), o.full((2, 2), 7.5)])
op("like", lambda o, x: [o.zeros_like(x), o.ones_like(x), o.full_like(x, 2)], INTS)
op("eye", lambda o: [o.eye(3), o.eye(2, 4, 1), o.identity(2)])
op("tril", lambda o, x: [o.tril(x), o.triu(x, 1), o.tril(x, -1)], A)
op("diag", lambda o, x: o.diag(x), ROW)
op("sort", lambda o, x: [o.sort(x, axis=1), o.argsort(x, axis=1)], A)
op("top_k", lambda o, x: [v if i == 0 else o.cast(v, "int32") for i, v in
                             enumerate(o.top_k(x, 2))], A)  # fmt: skip
op("in_top_k", lambda o, t, p: o.in_top_k(t, p, 2), np.array([1, 0, 3], "int32"), A)
op("shape", lambda o, x: list(o.shape(x)), CUBE)
op("size", lambda o, x: o.size(x), CUBE)
op("meshgrid", lambda o, x, y: list(o.meshgrid(x, y)), ROW, A[0, :2])
op("scatter", lambda o, i, v: o.scatter(i, v, (6,)), np.array([[1], [4], [1]], "int32"),
   normal(3, seed=3))  # fmt: skip

# ---- Linear algebra
op("matmul", lambda o, x, y: o.matmul(x, o.transpose(y)), A, B)
op("matmul_batch", lambda o, x, y: o.matmul(x, y), CUBE, normal(2, 4, 5, seed=15))
op("matmul_broadcast", lambda o, x, y: o.matmul(x, y), CUBE, normal(4, 5, seed=15))
op("matmul_vector", lambda o, x, y: [o.matmul(x, y), o.matmul(y, o.transpose(x))], A, ROW)
op("dot", lambda o, x, y: [o.dot(x, y), o.dot(y, y)], A, ROW)
op("tensordot", lambda o, x, y: o.tensordot(x, y, axes=1), CUBE, normal(4, 5, seed=15))
op("outer", lambda o, x, y: o.outer(x, y), ROW, A[0])
op("norm", lambda o, x: [o.norm(x), o.norm(x, axis=1)], A)
op("einsum", lambda o, x, y: o.einsum("bij,jk->bik", x, y), CUBE, normal(4, 5, seed=15))

# ---- Neural networks
for each in ("softmax", "log_softmax"):
    op(each, lambda o, x, n=each: getattr(o, n)(x), A * 5)
    op(f"{each}_axis1", lambda o, x, n=each: getattr(o, n)(x, axis=1), CUBE * 5)
op("conv", lambda o, x, w: o.conv(x, w, strides=1, padding="valid"), IMAGE, KERNEL, rtol=1e-4,
   atol=1e-5)  # fmt: skip
op("conv_same", lambda o, x, w: o.conv(x, w, strides=2, padding="same"), IMAGE, KERNEL, rtol=1e-4,
   atol=1e-5)  # fmt: skip
op("conv_groups", lambda o, x, w: o.conv(x, w, padding="same", dilation_rate=2), IMAGE,
   KERNEL[:, :, :2], rtol=1e-4, atol=1e-5)  # fmt: skip
op("max_pool", lambda o, x: o.max_pool(x, (2, 3), strides=2), IMAGE)
op("max_pool_same", lambda o, x: o.max_pool(x, 3, strides=2, padding="same"), IMAGE)
op("average_pool", lambda o, x: o.average_pool(x, (2, 3), strides=2), IMAGE)
op("max_pool_1d", lambda o, x: o.max_pool(x, 2), CUBE)
op("average_pool_1d", lambda o, x: o.average_pool(x, 2), CUBE)
op("binary_crossentropy", lambda o, t, p: o.binary_crossentropy(t, o.sigmoid(p)),
   BOOLS.astype("float32"), A)  # fmt: skip
op("binary_crossentropy_logits", lambda o, t, p: o.binary_crossentropy(t, p, from_logits=True),
   BOOLS.astype("float32"), A * 30)  # fmt: skip
op("categorical_crossentropy", lambda o, t, p: o.categorical_crossentropy(
    o.one_hot(t, 4), p, from_logits=True), np.array([1, 3, 0], "int32"), A)  # fmt: skip
op("sparse_categorical_crossentropy", lambda o, t, p: o.sparse_categorical_crossentropy(
    t, o.softmax(p)), np.array([1, 3, 0], "int32"), A)  # fmt: skip
op("moments", lambda o, x: list(o.moments(x, axes=[0, 1])), CUBE)
op("normalize", lambda o, x: o.normalize(x, axis=-1), A)
op("stop_gradient", lambda o, x: o.stop_gradient(x), A)
