"""Stored types: promotion, NumPy, ops, gradients, weights and files; dtype policies; scopes."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import config, dtype_policies, dtypes, layers, ops, tracing
from lamina.dtype_policies import (
    AWQDTypePolicy,
    DTypePolicy,
    DTypePolicyMap,
    GPTQDTypePolicy,
    Int4DTypePolicy,
    QuantizedDTypePolicy,
    QuantizedFloat8DTypePolicy,
)
from tests.golden import promotion

NARROW = ("float16", "bfloat16", "int8", "int16", "uint16", "uint32")
TABLE = json.loads(promotion.FILE.read_text("utf-8"))


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    yield
    config.forget_dtype_policy()
    config.set_max_epochs(None)
    config.set_max_steps_per_epoch(None)


# ---- promotion


@pytest.mark.parametrize("pair", sorted(TABLE))
def test_result_type_like_keras(pair: str) -> None:
    a, b = (promotion.PYTHON_TYPES.get(name, name) for name in pair.split(","))
    assert dtypes.result_type(a, b) == TABLE[pair]


def test_result_type_of_nothing_of_one_and_of_wrong_ones() -> None:
    assert dtypes.result_type() == "float32"
    assert dtypes.result_type(int) == "int32"
    for wrong in ("float8_e5m2", "string", "floaty"):
        with pytest.raises(ValueError, match=wrong):
            dtypes.result_type(wrong, "float32")


@pytest.mark.parametrize(
    ("a", "b", "wanted"),
    [
        ("float16", "bfloat16", "float32"),
        ("int8", "uint8", "int16"),
        ("int8", 1, "int8"),
        ("int8", 1.0, "float32"),
        ("float16", 2.5, "float16"),
        ("bfloat16", 3, "bfloat16"),
        ("uint32", "int8", "int64"),
        ("int32", "float16", "float16"),
    ],
)
def test_ops_promote(a: str, b: Any, wanted: str) -> None:
    x = ops.ones((2,), dtype=a)
    y = ops.ones((2,), dtype=b) if isinstance(b, str) else b
    assert (x + y).dtype == wanted
    assert (y * x).dtype == wanted


# ---- numbers


@pytest.mark.parametrize("dtype", NARROW)
def test_to_numpy_and_back(dtype: str) -> None:
    x = ops.cast(np.array([[0.0, 1.5], [3.0, 100.0]]), dtype)
    array = x.numpy()
    assert array.dtype == dtypes.numpy_dtype(dtype)
    again = ops.convert_to_tensor(array, dtype=dtype)
    assert again.dtype == dtype
    np.testing.assert_array_equal(ops.cast(again, "float32"), ops.cast(x, "float32"))
    assert pickle.loads(pickle.dumps(x)).dtype == dtype


def test_float16_arrays_keep_their_type_and_memory() -> None:
    array = np.arange(6, dtype=np.float16)
    x = ops.convert_to_tensor(array)
    assert x.dtype == "float16"
    array[0] = 7
    assert x.numpy()[0] == 7


def test_ops_round_what_they_computed_in_float32() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(5, 5)).astype(np.float16) for _ in range(2))
    got = ops.tanh(ops.matmul(a, b))
    product = (a.astype(np.float32) @ b.astype(np.float32)).astype(np.float16)
    np.testing.assert_allclose(got, np.tanh(product.astype(np.float32)), rtol=2e-3, atol=1e-3)
    assert got.dtype == "float16"
    assert ops.argmax(a).dtype in ("int32", "int64")
    assert ops.top_k(ops.cast([3, 1, 2], "int8"), 2)[0].dtype == "int8"


def test_eager_traced_and_recorded_agree() -> None:
    x = np.linspace(-2, 2, 12).astype(np.float16).reshape(3, 4)

    def fn(t: Any) -> Any:
        return ops.sum(ops.exp(t) * 0.5, axis=1) + ops.max(t)

    eager = fn(ops.convert_to_tensor(x)).numpy()
    with tracing.Tracer() as tracer:
        tracer.output(fn(tracer.input(x.shape, "float16")))
    np.testing.assert_array_equal(tracer.program()([x])[0], eager)
    with tracing.Recorder():
        v = lamina.Variable(x)
        loss = ops.sum(fn(v))
        (gradient,) = tracing.gradients(loss, [v])
    assert loss.dtype == "float16"
    assert gradient is not None and gradient.dtype == "float16"
    assert np.abs(gradient.numpy()).max() > 0


def test_uniform_stays_below_its_bound() -> None:
    for dtype in ("float16", "bfloat16"):
        drawn = lamina.random.uniform((20000,), 0.0, 3.0, dtype=dtype, seed=1)
        assert float(ops.max(drawn)) < 3.0
        assert drawn.dtype == dtype


# ---- weights and files


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8"])
def test_variables(dtype: str) -> None:
    v = lamina.Variable("ones", shape=(2, 3), dtype=dtype)
    v.assign_add(ops.ones((2, 3), dtype))
    assert v.dtype == v.value.dtype == dtype
    np.testing.assert_array_equal(np.asarray(v.numpy(), "float32"), np.full((2, 3), 2.0))
    copy = pickle.loads(pickle.dumps(v))
    assert copy.dtype == dtype


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "mixed_bfloat16"])
def test_weights_files(policy: str, tmp_path: Path) -> None:
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2, dtype=policy)])
    path = tmp_path / "m.keras"
    model.save(path)
    again = lamina.saving.load_model(path)
    assert again.layers[0].dtype_policy == DTypePolicy(policy)
    for a, b in zip(model.weights, again.weights, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a.numpy(), b.numpy())


# ---- policies


@pytest.mark.parametrize(
    ("name", "compute", "variable", "mode", "cls"),
    [
        ("float32", "float32", "float32", None, DTypePolicy),
        ("mixed_float16", "float16", "float32", None, DTypePolicy),
        ("mixed_bfloat16", "bfloat16", "float32", None, DTypePolicy),
        ("bfloat16", "bfloat16", "bfloat16", None, DTypePolicy),
        ("uint8", "uint8", "uint8", None, DTypePolicy),
        ("int8_from_float32", "float32", "float32", "int8", QuantizedDTypePolicy),
        ("int8_from_mixed_bfloat16", "bfloat16", "float32", "int8", QuantizedDTypePolicy),
        ("int4_from_float32", "float32", "float32", "int4", QuantizedDTypePolicy),
        ("int4/128_from_float32", "float32", "float32", "int4", Int4DTypePolicy),
        ("float8_from_float32", "float32", "float32", "float8", QuantizedFloat8DTypePolicy),
        ("gptq/4/128_from_float32", "float32", "float32", "gptq", GPTQDTypePolicy),
        ("awq/4/-1_from_float32", "float32", "float32", "awq", AWQDTypePolicy),
    ],
)
def test_policies(name: str, compute: str, variable: str, mode: str | None, cls: type) -> None:
    policy = dtype_policies.get(name)
    assert type(policy) is cls
    found = (policy.name, policy.compute_dtype, policy.variable_dtype, policy.quantization_mode)
    assert found == (name, compute, variable, mode)
    form = dtype_policies.serialize(policy)
    assert form["module"] == ("keras" if cls is DTypePolicy else "keras.dtype_policies")
    assert dtype_policies.deserialize(json.loads(json.dumps(form))) == policy
    assert dtype_policies.get(form) == policy
    assert repr(policy) == f'<{cls.__name__} "{name}">'


@pytest.mark.parametrize(
    "name",
    [
        "mixed_float32", "bogus", "int8", "int8_from_bogus", "int8_from_float16",
        "gptq_from_float32", "gptq/5/1_from_float32", "gptq/4/0_from_float32",
        "awq/8/1_from_float32", "int4/0_from_float32", "int4/x_from_float32",
    ],
)  # fmt: skip
def test_wrong_policies(name: str) -> None:
    with pytest.raises(ValueError, match="."):
        dtype_policies.get(name)


def test_policy_arguments() -> None:
    with pytest.raises(TypeError, match="string"):
        DTypePolicy(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mode"):
        QuantizedDTypePolicy("int7")
    with pytest.raises(TypeError, match="amax_history_length"):
        QuantizedFloat8DTypePolicy("float8", amax_history_length="a")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="set_dtype_policy"):
        config.set_dtype_policy(5)
    for wrong in ({"name": "float16"}, 5, DTypePolicy):
        with pytest.raises(ValueError, match="dtype"):
            dtype_policies.get(wrong)


def test_policy_map() -> None:
    policies = DTypePolicyMap()
    policies["model/dense"] = "mixed_bfloat16"
    policies["block.*"] = "float64"
    assert policies["model/dense"].name == "mixed_bfloat16"
    assert policies["block/dense_3"].name == "float64"
    assert policies["elsewhere"].name == "float32"
    assert policies.name == "map_float32"
    assert (len(policies), list(policies)) == (2, ["model/dense", "block.*"])
    with pytest.raises(ValueError, match="already"):
        policies["block.*"] = "float32"
    policies["bl.*"] = "float16"
    with pytest.raises(ValueError, match="several"):
        policies["block/x"]
    del policies["bl.*"]
    # Without a default of its own, the map takes the names from where it is loaded.
    form = dtype_policies.serialize(policies)
    assert form["config"]["policy_map"]["model/dense"]["config"] == {"name": None}
    own = DTypePolicyMap("float64", {"a": "float16"})
    assert dtype_policies.deserialize(dtype_policies.serialize(own)) == own
    with pytest.raises(TypeError, match="dict"):
        DTypePolicyMap(policy_map=["a"])  # type: ignore[arg-type]


def test_a_layer_finds_its_policy_in_a_map() -> None:
    policies = DTypePolicyMap(policy_map={"late": "float64"})
    layer = layers.Dense(2, dtype=policies, name="late")
    layer.build((None, 3))
    assert (layer.compute_dtype, layer.kernel.dtype) == ("float64", "float64")
    layer.dtype_policy = "mixed_bfloat16"
    assert policies["late"].name == "mixed_bfloat16"


def test_a_narrow_policy_explains_itself_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtype_policies, "_explained_narrow", False)
    with pytest.warns(UserWarning, match="computes in float32"):
        DTypePolicy("mixed_float16")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DTypePolicy("float16")


def test_autocast() -> None:
    seen: dict[str, str] = {}

    class Inner(layers.Layer):
        def __init__(self) -> None:
            super().__init__(dtype="float32")
            self.w = self.add_weight(shape=(), initializer="ones")

        def call(self, x: Any) -> Any:
            seen["inner"] = self.w.dtype
            return x + self.w

    class Outer(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.w = self.add_weight(shape=(), initializer="ones")
            self.kept = self.add_weight(shape=(), initializer="ones", autocast=False)
            self.count = self.add_weight(shape=(), dtype="int32", trainable=False)
            self.inner = Inner()

        def call(self, x: Any) -> Any:
            seen.update(x=x.dtype, w=self.w.dtype, kept=self.kept.dtype, count=self.count.dtype)
            seen["value"] = (self.w * 1).dtype
            return self.inner(x * self.w)

    config.set_dtype_policy("mixed_float16")
    layer = Outer()
    assert layer(np.ones((2,), "float32")).dtype == "float32"
    assert seen == {
        "x": "float16", "w": "float16", "kept": "float32", "count": "int32", "value": "float16",
        "inner": "float32",
    }  # fmt: skip
    assert layer.w.dtype == "float32"
    assert lamina.Input((2,)).dtype == "float16"


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_training_under_a_policy(policy: str) -> None:
    config.set_dtype_policy(policy)
    lamina.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(128, 4)).astype("float32")
    y = (x.sum(axis=1, keepdims=True) > 0).astype("float32")
    model = lamina.Sequential(
        [
            lamina.Input((4,)),
            layers.Dense(8, activation="relu"),
            layers.BatchNormalization(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(lamina.optimizers.Adam(0.02), "binary_crossentropy")
    scaled = isinstance(model.optimizer, lamina.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    history = model.fit(x, y, epochs=8, batch_size=16, verbose=0).history["loss"]
    assert history[-1] < 0.7 * history[0]
    expected = "float32" if policy != "float16" else "float16"
    assert all(v.dtype == expected for v in model.trainable_variables)
    if policy == "mixed_float16":
        assert model.predict(x[:2], verbose=0).dtype == np.float16
        model.compile("adam", "mse", auto_scale_loss=False)
        assert not isinstance(model.optimizer, lamina.optimizers.LossScaleOptimizer)


# ---- config and scopes


def test_limits_of_fit() -> None:
    model = lamina.Sequential([lamina.Input((2,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = np.ones((12, 2), "float32"), np.ones((12, 1), "float32")
    config.set_max_epochs(2)
    config.set_max_steps_per_epoch(1)
    history = model.fit(x, y, epochs=5, batch_size=4, verbose=0)
    assert len(history.epoch) == 2
    assert int(model.optimizer.iterations.numpy()) == 2
    with pytest.raises(ValueError, match="max_epochs"):
        config.set_max_epochs(-1)


def test_clear_session_forgets_the_policy() -> None:
    config.set_dtype_policy("mixed_bfloat16")
    assert layers.Dense(1).dtype_policy.name == "mixed_bfloat16"
    lamina.utils.clear_session()
    assert config.dtype_policy().name == "float32"


def test_switches() -> None:
    assert config.is_flash_attention_enabled() is None
    config.enable_flash_attention()
    assert config.is_flash_attention_enabled() is True
    config.disable_flash_attention()
    assert config.is_flash_attention_enabled() is False
    config.disable_traceback_filtering()
    assert not config.is_traceback_filtering_enabled()
    config.enable_traceback_filtering()
    assert config.is_traceback_filtering_enabled()
    assert not config.is_nnx_enabled()
    config.set_backend("lamina")
    with pytest.raises(ValueError, match="jax"):
        config.set_backend("jax")


def test_stateless_scope() -> None:
    v = lamina.Variable(np.ones(2, "float32"), name="v")
    with lamina.StatelessScope([(v, np.zeros(2))]) as scope:
        assert v.numpy().tolist() == [0, 0]
        v.assign_add([3.0, 4.0])
        assert (v + 1).numpy().tolist() == [4, 5]
        assert scope.get_current_value(v).numpy().tolist() == [3, 4]  # type: ignore[union-attr]
    assert v.numpy().tolist() == [1, 1]
    with pytest.raises(ValueError, match="Variables"):
        lamina.StatelessScope([(1, 2)])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="shape"):
        lamina.StatelessScope([(v, np.zeros(3))])


def test_name_scope_and_device() -> None:
    with lamina.name_scope("a"), lamina.device("cpu:0"):
        assert lamina.Variable(1.0, name="w").path == "a/w"
    with pytest.raises(ValueError, match="name"):
        lamina.name_scope("a/b")
    with pytest.raises(ValueError, match="gpu"), lamina.device("gpu:0"):
        pass


def test_operation_and_function() -> None:
    class Twice(lamina.Operation):
        def call(self, x: Any) -> Any:
            return x * 2

    place = lamina.Input((3,))
    doubled = Twice(name="twice")(place)
    assert doubled.shape == (None, 3)
    model = lamina.Model(place, layers.Dense(1, kernel_initializer="ones")(doubled))
    assert model(np.ones((1, 3), "float32")).numpy().tolist() == [[6.0]]
    assert isinstance(model, lamina.Operation)
    function = lamina.Function(place, doubled)
    assert function(np.ones((1, 3), "float32")).numpy().tolist() == [[2.0, 2.0, 2.0]]
    assert function.compute_output_shape((5, 3)) == (5, 3)
    assert lamina.utils.get_source_inputs(doubled) == [place]


def test_stateless_call() -> None:
    layer = layers.BatchNormalization()
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    layer.build((None, 3))
    before = [v.numpy() for v in layer.variables]
    outputs, state = layer.stateless_call(
        layer.trainable_variables, layer.non_trainable_variables, x, training=True
    )
    assert all((a == v.numpy()).all() for a, v in zip(before, layer.variables, strict=True))
    np.testing.assert_allclose(layer(x, training=True), outputs, rtol=1e-6)
    for now, then in zip(layer.non_trainable_variables, state, strict=True):
        np.testing.assert_allclose(now.numpy(), then)


def test_pack_and_unpack() -> None:
    pack, unpack = (
        lamina.utils.pack_x_y_sample_weight,
        lamina.utils.unpack_x_y_sample_weight,
    )
    assert pack(1) == 1
    assert pack([1]) == ([1],)
    assert pack(1, 2, 3) == (1, 2, 3)
    assert unpack((1, 2)) == (1, 2, None)
    with pytest.raises(ValueError, match="tuple of 4"):
        unpack((1, 2, 3, 4))
