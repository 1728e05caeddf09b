"""Quantizers, quantized layers and low-rank adaptation: values, weights, files, training.

A Dense layer stands before the layer, so that its weights after training show the gradient with
respect to the layer's inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.golden.cases import Result, add, as_numpy, fill, flat, integers, normal

Make = Callable[[Any], Any]


# ---- Functions


def function(name: str, compute: Callable[[Any], Any]) -> None:
    """One case: what a function of keras.quantizers returns, with the dtypes."""

    def run(keras: Any) -> Result:
        found = compute(keras.quantizers)
        values = found if isinstance(found, tuple) else (found,)
        result: Result = {"dtypes": []}
        for index, value in enumerate(values):
            if hasattr(value, "dtype"):
                result["dtypes"].append(str(value.dtype).rpartition(".")[2])
                result[f"value_{index}"] = as_numpy(value).astype("float32")
            else:
                result[f"value_{index}"] = list(value) if isinstance(value, tuple) else value
        return result

    add("quantization", name, run, 1e-6, 1e-7)


MATRIX = np.concatenate([normal(7, 4), np.full((1, 4), 0.5, "float32")]).astype("float32")
SIGNED = integers(8, 5, 3, low=-8).astype("int8")
UNSIGNED = integers(16, 5, 3).astype("uint8")
FLOATS = np.concatenate([normal(40) * 100, normal(40) * 1e-2, normal(8) * 1e5]).astype("float32")

for axis in (0, -1, (0, 1), None):
    function(f"abs_max_{axis}", lambda q, axis=axis: q.abs_max_quantize(MATRIX, axis))
function("abs_max_range", lambda q: q.abs_max_quantize(MATRIX, 0, (-8, 7), "int32", 1e-2))
function("abs_max_quantizer", lambda q: q.AbsMaxQuantizer(axis=0)(MATRIX))
function("abs_max_quantizer_default", lambda q: q.AbsMaxQuantizer()(MATRIX))
function("abs_max_quantizer_call", lambda q: q.AbsMaxQuantizer(axis=0)(MATRIX, axis=(0, 1)))
for size in (1, 2, 3, 8, 20):
    function(
        f"grouped_{size}",
        lambda q, size=size: q.abs_max_quantize_grouped_with_zero_point(MATRIX, size),
    )
function("grouped_int8", lambda q: q.abs_max_quantize_grouped_with_zero_point(
    MATRIX, 3, value_range=(-128, 127)))  # fmt: skip
function("grouped_uint4", lambda q: q.abs_max_quantize_grouped_with_zero_point(
    MATRIX, 4, value_range=(0, 15), dtype="uint8"))  # fmt: skip
for axis in (0, 1, -1):
    function(f"pack_{axis}", lambda q, axis=axis: q.pack_int4(SIGNED, axis=axis))
    function(
        f"unpack_{axis}",
        lambda q, axis=axis: q.unpack_int4(
            q.pack_int4(SIGNED, axis=axis)[0], 5 - 2 * (axis != 0), axis=axis
        ),  # fmt: skip
    )
function("pack_uint8", lambda q: q.pack_int4(UNSIGNED, dtype="uint8"))
function("unpack_uint8", lambda q: q.unpack_int4(q.pack_int4(UNSIGNED, dtype="uint8")[0], 5,
                                                 dtype="uint8"))  # fmt: skip
for kind in ("float8_e4m3fn", "float8_e5m2"):
    function(
        kind,
        lambda q, kind=kind: q.quantize_and_dequantize(FLOATS, np.float32(0.3), kind, "float32"),
    )
for amax in (0.0, 3.0, np.inf):
    function(
        f"float8_scale_{amax}",
        lambda q, amax=amax: q.compute_float8_scale(amax, np.float32(1.5), 448.0, margin=1),
    )
function("float8_history", lambda q: q.compute_float8_amax_history(
    MATRIX, np.arange(5, dtype="float32")))  # fmt: skip
for bits, narrow in ((8, False), (4, True), (2, False)):
    function(
        f"fake_quant_{bits}_{narrow}",
        lambda q, bits=bits, narrow=narrow: q.fake_quant_with_min_max_vars(
            MATRIX, -0.7, 1.3, num_bits=bits, narrow_range=narrow
        ),
    )
function("fake_quant_channels", lambda q: q.fake_quant_with_min_max_vars(
    MATRIX, np.float32([-1, -0.5, 0, 0.1]), np.float32([1, 0.7, 2, 3]), axis=1))  # fmt: skip


# ---- Layers


def stored(layer: Any) -> dict[str, np.ndarray]:
    """What a file holds of the layer."""
    store: dict[str, Any] = {}
    layer.save_own_variables(store)
    return {key: _array(value) for key, value in store.items()}


def _array(value: Any) -> np.ndarray:
    is_plain = isinstance(value, np.ndarray) or hasattr(value, "detach")
    return as_numpy(value if is_plain or not hasattr(value, "numpy") else value.numpy())


def quantized(
    name: str, make: Make, quantize: Callable[[Any, Any], None], shape: tuple[int, ...] = (6,),
    *, is_trained: bool = True, data: np.ndarray | None = None, tolerance: float = 2e-5,
) -> None:  # fmt: skip
    """One case: a layer in a model is quantized, predicts, is described, is trained."""
    x = normal(4, *shape, seed=len(name)) if data is None else data

    def run(keras: Any) -> Result:
        inputs = keras.Input(shape, dtype=None if data is None else "int32")
        layer = make(keras)
        h = inputs if data is not None else keras.layers.Dense(shape[-1], name="before")(inputs)
        model = keras.Model(inputs, layer(h))
        fill(model)
        quantize(keras, layer)
        result: Result = {"paths": [w.path for w in model.weights]}
        result["shapes"] = [list(w.shape) for w in model.weights]
        result["dtypes"] = [str(w.dtype) for w in model.weights]
        result["trainable"] = [w.name for w in layer.trainable_weights]
        result["policy"] = layer.dtype_policy.name
        predicted = as_numpy(model.predict(x, verbose=0)).astype("float32")
        result["output"] = predicted
        config = layer.get_config()
        wanted = ("dtype", "quantization_config", "lora_rank", "lora_alpha")
        plain = keras.saving.serialize_keras_object({k: config.get(k) for k in wanted})
        result["config"] = {k: v for k, v in plain.items() if k != "dtype" or "int" in str(v)}
        for key, value in stored(layer).items():
            result[f"file_{key}"] = value.astype("float32")
        if is_trained:
            model.compile(keras.optimizers.SGD(0.05), "mse")
            target = normal(*predicted.shape, seed=5)
            for _ in range(2):
                model.train_on_batch(x, target)
            result["after"] = flat([np.asarray(w, "float32") for w in model.get_weights()])
        return result

    add("quantization", name, run, tolerance, tolerance / 5)


def in_mode(mode: str, **config: Any) -> Callable[[Any, Any], None]:
    """Quantize with the settings class of a mode; without arguments with its default."""
    names = {"int8": "Int8QuantizationConfig", "int4": "Int4QuantizationConfig"}

    def quantize(keras: Any, layer: Any) -> None:
        cls = getattr(keras.quantizers, names.get(mode, ""), None)
        layer.quantize(mode, config=cls(**config) if config and cls else None)

    return quantize


def adapted(then: Callable[[Any, Any], None] | None = None) -> Callable[[Any, Any], None]:
    """Adapt by matrices of rank 2, then quantize."""

    def quantize(keras: Any, layer: Any) -> None:
        layer.enable_lora(2, lora_alpha=3.0)
        for variable in layer.trainable_weights:
            if variable.name.startswith("lora"):
                variable.assign(0.3 * normal(*variable.shape))
        if then is not None:
            then(keras, layer)

    return quantize


MODES: dict[str, Callable[[Any, Any], None]] = {
    "int8": in_mode("int8"),
    "int8_weights": in_mode("int8", activation_quantizer=None),
    "int4": in_mode("int4"),
    "int4_blocks": in_mode("int4", block_size=2),
    "int4_columns": in_mode("int4", block_size=None),
    "lora": adapted(),
    "lora_int8": adapted(in_mode("int8")),
    "lora_int4": adapted(in_mode("int4", block_size=4)),
    "lora_int4_columns": adapted(in_mode("int4", block_size=-1)),
}


def einsum(equation: str, *shape: Any, bias: str | None = None, act: str | None = None) -> Make:
    return lambda keras: keras.layers.EinsumDense(equation, shape, bias_axes=bias, activation=act)


KERNELS: dict[str, tuple[Make, tuple[int, ...]]] = {
    "dense": (lambda keras: keras.layers.Dense(5, activation="tanh"), (6,)),
    "einsum_heads": (einsum("abc,cde->abde", None, 2, 3, bias="de"), (3, 4)),
    "einsum_middle": (einsum("btd,ndh->btnh", None, 2, 3, act="sigmoid"), (3, 4)),
    "einsum_output": (einsum("btnh,nhd->btd", None, 5, bias="d"), (2, 3, 4)),
}
for kind, (make, shape) in KERNELS.items():
    for mode, quantize in MODES.items():
        if (kind, mode) != ("einsum_middle", "int8_weights"):  # real Keras stops with an error
            quantized(f"{kind}_{mode}", make, quantize, shape)
    quantized(f"{kind}_float8", make, in_mode("float8"), shape, tolerance=1e-4)


def tables(keras: Any) -> Any:
    return keras.layers.Embedding(7, 5)


IDS = integers(7, 3, 4)
for mode, quantize in MODES.items():
    quantized(f"embedding_{mode}", tables, quantize, (4,), data=IDS,
              is_trained=mode.startswith("lora"))  # fmt: skip


def reversed_scores(
    name: str, tie: bool, mode: Callable[[Any, Any], None], **arguments: Any
) -> None:
    """One case: a reversible embedding, called both ways."""

    def run(keras: Any) -> Result:
        layer = keras.layers.ReversibleEmbedding(7, 5, tie_weights=tie, **arguments)
        layer.build(None)
        for index, variable in enumerate(layer.weights):
            variable.assign(normal(*variable.shape, seed=index + 3))
        mode(keras, layer)
        result: Result = {
            "rows": as_numpy(layer(IDS)).astype("float32"),
            "scores": as_numpy(layer(normal(2, 5), reverse=True)).astype("float32"),
            "weights": [[w.name, list(w.shape), str(w.dtype)] for w in layer.weights],
        }
        for key, value in stored(layer).items():
            result[f"file_{key}"] = value.astype("float32")
        return result

    add("quantization", name, run)


for mode, quantize in MODES.items():
    for tie in (True, False):
        if tie or not mode.startswith("lora"):
            reversed_scores(f"reversible_{mode}_{tie}", tie, quantize)
reversed_scores("reversible_cap", False, in_mode("int8"), logit_soft_cap=2.0)


# ---- Weights chosen by calibration, as files hold them


def calibrated(mode: str, bits: int, make: Callable[..., Any], shape: tuple[int, ...]) -> None:
    def run(keras: Any) -> Result:
        layer = make(keras, f"{mode}/{bits}/2_from_float32")
        layer.build((None, *shape))
        generator = np.random.RandomState(3)
        for variable in layer.weights:
            if variable.dtype == "uint8":
                high = 256 if variable.name == "kernel" else 2**bits
                variable.assign(generator.randint(0, high, variable.shape).astype("uint8"))
            elif variable.name == "g_idx":
                variable.assign((np.arange(variable.shape[0]) // 2).astype("float32"))
            else:
                variable.assign(generator.uniform(0.1, 1.0, variable.shape).astype("float32"))
        setattr(layer, f"is_{mode}_calibrated", True)
        return {
            "output": as_numpy(layer(normal(3, *shape))),
            "weights": [[w.name, list(w.shape), str(w.dtype)] for w in layer.weights],
        }

    add("quantization", f"{mode}_{bits}_{len(shape)}", run, 5e-5, 5e-5)


def _dense(keras: Any, policy: str) -> Any:
    return keras.layers.Dense(5, dtype=policy)


def _heads(keras: Any, policy: str) -> Any:
    return keras.layers.EinsumDense("btd,ndh->btnh", (None, 2, 3), bias_axes="h", dtype=policy)


for mode, bits in (("gptq", 4), ("gptq", 8), ("gptq", 2), ("awq", 4)):
    calibrated(mode, bits, _dense, (6,))
    calibrated(mode, bits, _heads, (3, 8))
