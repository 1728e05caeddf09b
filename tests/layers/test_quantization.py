"""Quantized layers and low-rank adaptation: like Keras, and what a user may get wrong."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import layers, quantizers
from tests.conftest import check_golden, golden_names
from tests.golden.cases import integers, normal

Config = quantizers.Int4QuantizationConfig


@pytest.mark.parametrize("name", golden_names("quantization"))
def test_like_keras(name: str) -> None:
    check_golden("quantization", name)


def dense(features: int = 6, units: int = 4, **arguments: Any) -> Any:
    layer = layers.Dense(units, **arguments)
    layer.build((None, features))
    return layer


# ---- Requests that make no sense


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        (lambda: layers.Dense(2).quantize("int8"), "isn't yet built"),
        (lambda: dense().quantize("int9"), "'int8', 'float8', 'int4'"),
        (lambda: dense().quantize(), "either mode or config"),
        (lambda: dense().quantize("gptq"), "GPTQConfig"),
        (lambda: dense().quantize("int8", config=Config()), "Contradictory"),
        (lambda: dense().quantize("int8", config="fast"), "'fast'"),
        (lambda: dense().quantize(config=Config(quantizers.AbsMaxQuantizer())), "block_size=128"),
        (lambda: dense(kernel_constraint="max_norm").enable_lora(2), "kernel_constraint"),
        (lambda: dense(lora_rank=2).enable_lora(2), "already enabled"),
        (lambda: dense().enable_lora(0), "rank"),
        (lambda: layers.Embedding(3, 2).enable_lora(2), "isn't yet built"),
        (lambda: Config(block_size=0), "block_size"),
        (lambda: quantizers.AWQConfig(None, None, weight_bits=8), "weight_bits"),
        (lambda: quantizers.GPTQConfig(None, None, group_size=0), "group_size"),
        (lambda: quantizers.get("absmaxquantiser"), "absmaxquantiser"),
        (lambda: quantizers.abs_max_quantize_grouped_with_zero_point(normal(3), 2), "matrix"),
        (lambda: quantizers.unpack_int4(np.zeros(2, "int8"), 3, dtype="int4"), "'int4'"),
    ],
)
def test_refuses(request_: Callable[[], Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        request_()


def test_a_second_quantization_is_refused_and_changes_nothing() -> None:
    layer = dense()
    layer.quantize("int8")
    before = [w.numpy() for w in layer.weights]
    with pytest.raises(ValueError, match="int8_from_float32"):
        layer.quantize("int4")
    for a, b in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(a.numpy(), b)


def test_layers_without_quantized_form_say_so() -> None:
    layer = layers.BatchNormalization()
    layer.build((None, 3))
    with pytest.raises(NotImplementedError, match="`quantize`"):
        layer.quantize("int8")
    table = layers.Embedding(3, 2)
    table.build()
    with pytest.raises(NotImplementedError, match="float8"):
        table.quantize("float8")


def test_a_users_subclass_is_quantized_on_request_only() -> None:
    class Own(layers.Dense):
        pass

    layer = Own(3)
    layer.build((None, 2))
    with pytest.raises(NotImplementedError, match="Own"):
        layer.quantize("int8")
    layer.quantize("int8", type_check=False)
    assert layer.kernel.dtype == "int8"


# ---- Sums


@pytest.mark.parametrize("features", [1000, 5000])
def test_products_of_bytes_are_exact(features: int) -> None:
    layer = dense(features, 3, use_bias=False)
    layer.quantize("int8")
    layer._kernel.assign(integers(128, features, 3, low=100).astype("int8"))
    layer.kernel_scale.assign(np.ones(3))
    x = integers(128, 4, features, low=90).astype("float32")
    x[:, 0] = 127
    whole = x.astype(np.int64) @ layer.kernel.numpy().astype(np.int64)
    np.testing.assert_allclose(layer(x).numpy(), whole.astype("float32"), rtol=3e-7)


# ---- Training and files


def model_of(layer: Any, shape: tuple[int, ...]) -> Any:
    return lamina.Sequential([lamina.Input(shape), layer])


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
@pytest.mark.parametrize("eagerly", [False, True])
def test_fit_changes_what_is_trainable_and_nothing_else(mode: str, eagerly: bool) -> None:
    layer = dense()
    if mode != "float8":
        layer.enable_lora(2)
    layer.quantize(mode)
    model = model_of(layer, (6,))
    before = {id(w): w.numpy() for w in layer.weights}
    model.compile(lamina.optimizers.Adam(0.05), "mse", run_eagerly=eagerly)
    history = model.fit(normal(32, 6), normal(32, 4), epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0]
    for weight in layer.weights:
        changed = not np.array_equal(weight.numpy(), before[id(weight)])
        assert changed == weight.trainable, weight.path
    assert len(model.optimizer.variables) == 2 + 2 * sum(
        not w.overwrite_with_gradient for w in layer.trainable_weights
    )


def test_traced_training_equals_eager_training_in_float8() -> None:
    weights = []
    for eagerly in (False, True):
        lamina.utils.set_random_seed(1)
        layer = layers.EinsumDense("abc,cd->abd", (3, 4), bias_axes="d", activation="gelu")
        model = model_of(layer, (3, 6))
        layer.quantize("float8")
        model.compile("adam", "mse", run_eagerly=eagerly)
        model.fit(normal(16, 3, 6), normal(16, 3, 4), epochs=2, batch_size=8, verbose=0)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_policy_of_a_new_layer_builds_what_quantize_leaves(mode: str, policy: str) -> None:
    layer = layers.Dense(4, dtype=f"{mode}_from_{policy}")
    outputs = layer(normal(3, 6))
    assert outputs.dtype == ("bfloat16" if "16" in policy else "float32")
    assert layer.quantization_mode == mode
    again = layers.Dense.from_config(layer.get_config())
    again.build((None, 6))
    assert [w.shape for w in again.weights] == [w.shape for w in layer.weights]


def test_adapted_weights_fit_a_plain_layer_and_start_anew_in_an_adapted_one(tmp_path: Path) -> None:
    layer = dense()
    layer.enable_lora(2, lora_alpha=4.0)
    layer.lora_kernel_b.assign(normal(2, 4))
    model, x = model_of(layer, (6,)), normal(3, 6)
    path = tmp_path / "a.weights.h5"
    model.save_weights(path)
    plain = model_of(layers.Dense(4), (6,))
    plain.load_weights(path)
    np.testing.assert_allclose(plain.predict(x), model.predict(x), rtol=1e-5, atol=1e-6)
    model.load_weights(path)
    assert not layer.lora_kernel_b.numpy().any()
    np.testing.assert_allclose(plain.predict(x), model.predict(x), rtol=1e-5, atol=1e-6)


def test_weights_of_another_block_size_are_refused_whole(tmp_path: Path) -> None:
    def model(size: int | None) -> Any:
        made = model_of(layers.Dense(4), (6,))
        made.layers[0].quantize(config=Config(block_size=size))
        return made

    path = tmp_path / "a.weights.h5"
    model(2).save_weights(path)
    other = model(3)
    before = other.get_weights()
    with pytest.raises(ValueError, match="shape"):
        other.load_weights(path)
    for a, b in zip(other.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_quantized_models_are_pickled_and_copied(mode: str) -> None:
    model, x = model_of(layers.Dense(4), (6,)), normal(3, 6)
    model.layers[0].quantize(mode)
    expected = model.predict(x, verbose=0)
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(again.predict(x, verbose=0), expected)
        kept = [w.overwrite_with_gradient for w in again.weights]
        assert kept == [w.overwrite_with_gradient for w in model.weights]


# ---- Models


def test_filters_choose_layers_by_name_or_function() -> None:
    def modes(filters: Any) -> list[str | None]:
        names = ("first", "second", "last")
        model = lamina.Sequential(
            [lamina.Input((3,)), *(layers.Dense(3, name=name) for name in names)]
        )
        with pytest.warns() if filters is None else _quiet():
            model.quantize("int8", filters=filters)
        return [layer.quantization_mode for layer in model.layers]

    assert modes("s") == ["int8", "int8", "int8"]
    assert modes(["^f", "cond"]) == ["int8", "int8", None]
    assert modes(lambda layer: layer.name == "last") == [None, None, "int8"]
    with pytest.raises(ValueError, match="filters"):
        modes(3)


class _quiet:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: Any) -> None: ...


def test_predictions_after_quantization_are_those_of_the_quantized_layers() -> None:
    model, x = model_of(layers.Dense(4), (6,)), normal(5, 6)
    plain = model.predict(x, verbose=0)
    model.quantize("int4", filters="dense")
    quantized = model.predict(x, verbose=0)
    assert 1e-4 < np.abs(quantized - plain).max() < 0.5
    np.testing.assert_allclose(quantized, model(x).numpy(), rtol=1e-5, atol=1e-6)


# ---- Calibration


class Block(layers.Layer):
    """Vectors through a wider layer and back, beside themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.up = layers.Dense(16, activation="relu")
        self.heads = layers.EinsumDense("abc,cde->abde", (None, 4, 4), bias_axes="de")
        self.down = layers.EinsumDense("abde,dec->abc", (None, 8))

    def build(self, shape: Any) -> None:
        self.up.build(shape)
        self.heads.build((None, None, 16))
        self.down.build((None, None, 4, 4))

    def call(self, x: Any) -> Any:
        return x + self.down(self.heads(self.up(x)))


def reader() -> tuple[Any, dict[str, Any]]:
    table, blocks = layers.Embedding(20, 8), [Block(), Block()]
    inputs = lamina.Input((6,), dtype="int32")
    h = table(inputs)
    for block in blocks:
        h = block(h)
    model = lamina.Model(inputs, h)
    for index, weight in enumerate(model.weights):
        weight.assign(0.4 * normal(*weight.shape, seed=index))
    return model, {"pre_block_layers": [table], "sequential_blocks": blocks}


TOKENS = [integers(20, 9, seed=seed) for seed in range(20)]


def error_of(cls: Any, **arguments: Any) -> float:
    """How far outputs move, against their size, when a model is quantized."""
    model, structure = reader()
    ids = integers(20, 16, 6)
    plain = model.predict(ids, verbose=0)
    model.quantize(config=cls(
        TOKENS, lambda ids: ids, num_samples=20, sequence_length=6,
        quantization_layer_structure=structure, **{"group_size": 4, **arguments},
    ))  # fmt: skip
    assert structure["sequential_blocks"][1].down.quantization_mode == cls(None, None).mode
    moved = model.predict(ids, verbose=0) - plain
    return float(np.linalg.norm(moved) / np.linalg.norm(plain))


def test_gptq_errs_less_than_rounding_and_less_with_more_bits() -> None:
    model, structure = reader()
    ids = integers(20, 16, 6)
    plain = model.predict(ids, verbose=0)
    for block in structure["sequential_blocks"]:
        for layer in (block.up, block.heads, block.down):
            layer.quantize(config=Config(block_size=4))
    rounding = np.linalg.norm(model.predict(ids, verbose=0) - plain) / np.linalg.norm(plain)
    errors = [error_of(quantizers.GPTQConfig, weight_bits=bits) for bits in (2, 4, 8)]
    assert errors[2] < 0.02 < errors[1] < min(rounding, errors[0])
    assert error_of(quantizers.GPTQConfig, activation_order=True) < rounding
    assert error_of(quantizers.GPTQConfig, group_size=-1, symmetric=True) < 0.5


def test_awq_finds_scales_that_err_least_for_uneven_inputs() -> None:
    from lamina.quantizers import calibration

    rng = np.random.RandomState(0)
    size = np.exp(rng.normal(0, 2, 32))
    x, weights = rng.normal(size=(500, 32)) * size, rng.normal(size=(16, 32))
    gram, magnitude = x.T @ x / 500, np.abs(x).mean(0)

    def error(points: int) -> float:
        config = quantizers.AWQConfig(None, None, group_size=8, num_grid_points=points)
        found = calibration.awq(weights, gram, magnitude, config)
        return float(np.linalg.norm(x @ (found.values() - weights).T))

    assert error(20) < 0.7 * error(1)  # one point: as plain rounding
    assert error_of(quantizers.AWQConfig) < 0.3


def test_calibrated_models_travel_in_files(tmp_path: Path) -> None:
    for cls in (quantizers.GPTQConfig, quantizers.AWQConfig):
        layer = layers.Dense(5, name="wide")
        model = lamina.Sequential([lamina.Input((4,), dtype="int32"),
                                   layers.Embedding(20, 8, name="table"), layer])  # fmt: skip
        model.quantize(config=cls(
            TOKENS, lambda ids: ids, num_samples=4, sequence_length=4, group_size=3,
            quantization_layer_structure={
                "pre_block_layers": [model.layers[0]], "sequential_blocks": [layer],
            },
        ))  # fmt: skip
        model.save(tmp_path / "m.keras")
        again = lamina.saving.load_model(tmp_path / "m.keras")
        ids = integers(20, 3, 4)
        np.testing.assert_array_equal(again.predict(ids), model.predict(ids))


def test_calibration_needs_blocks_and_data() -> None:
    model, structure = reader()
    with pytest.raises(ValueError, match="blocks"):
        model.quantize(config=quantizers.GPTQConfig(TOKENS, list))
    with pytest.raises(ValueError, match="dataset and a tokenizer"):
        model.quantize(
            config=quantizers.AWQConfig(None, None, quantization_layer_structure=structure)
        )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_calibration_refuses_what_has_no_best_rounding(bad: float) -> None:
    from lamina.quantizers.calibrated import AWQConfig, GPTQConfig
    from lamina.quantizers.calibration import awq, gptq

    weights, gram = np.ones((2, 4)), np.eye(4)
    gram[1, 2] = bad
    with pytest.raises(ValueError, match="GPTQ: the inputs"):
        gptq(weights, gram, GPTQConfig(dataset=None, tokenizer=None))
    weights[0, 0] = bad
    with pytest.raises(ValueError, match="AWQ: the weights"):
        awq(weights, np.eye(4), np.ones(4), AWQConfig(dataset=None, tokenizer=None))
