"""Functional models: topologies against real Keras, shapes, names, reuse, errors."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from tests.conftest import check_golden, golden_names

NAMES = [n for n in golden_names("models") if not n.startswith(("sequential_", "subclass"))]


@pytest.mark.parametrize("name", NAMES)
def test_like_keras(name: str) -> None:
    check_golden("models", name)


def rows(*shape: int) -> np.ndarray:
    return np.random.RandomState(0).normal(size=shape).astype("float32")


def test_inputs_outputs_and_shapes() -> None:
    a, b = lamina.Input((3,), name="a"), lamina.Input((None, 2), name="b")
    h = lamina.layers.LSTM(4)(b)
    model = lamina.Model([a, b], [lamina.layers.Concatenate()([a, h]), h], name="m")
    assert model.input_shape == [(None, 3), (None, None, 2)]
    assert model.output_shape == [(None, 7), (None, 4)]
    assert [t.name for t in model.inputs] == ["a", "b"]
    assert model.name == "m"
    assert a.shape == (None, 3) and a.dtype == "float32"


def test_call_on_arrays_tensors_and_symbols() -> None:
    inputs = lamina.Input((3,))
    model = lamina.Model(inputs, lamina.layers.Dense(2)(inputs))
    x = rows(4, 3)
    expected = model.predict(x, verbose=0)
    np.testing.assert_array_equal(np.asarray(model(x)), expected)
    np.testing.assert_array_equal(np.asarray(model(lamina.ops.convert_to_tensor(x))), expected)
    again = lamina.Input((3,))
    reused = lamina.Model(again, model(again) * 2.0)
    np.testing.assert_array_equal(reused.predict(x, verbose=0), expected * 2)


def test_named_inputs_may_come_as_a_dict_or_a_list() -> None:
    a, b = lamina.Input((2,), name="a"), lamina.Input((2,), name="b")
    model = lamina.Model([a, b], lamina.layers.Concatenate()([a, b]))
    xa, xb = rows(3, 2), rows(3, 2) + 1
    by_list = model.predict([xa, xb], verbose=0)
    np.testing.assert_array_equal(model.predict({"b": xb, "a": xa}, verbose=0), by_list)


def test_operators_and_ops_record_layers() -> None:
    inputs = lamina.Input((4,))
    outputs = lamina.ops.relu(inputs * 2.0 - 1.0)[:, :2] / (1.0 + lamina.ops.abs(inputs[:, 2:]))
    model = lamina.Model(inputs, outputs)
    x = rows(3, 4)
    expected = np.maximum(x * 2 - 1, 0)[:, :2] / (1 + np.abs(x[:, 2:]))
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-6)


def test_config_round_trip_keeps_sharing_and_names() -> None:
    inputs = lamina.Input((4,), name="x")
    shared = lamina.layers.Dense(4, "relu", name="shared")
    block = lamina.Sequential([lamina.Input((4,)), lamina.layers.Dense(4)], name="block")
    model = lamina.Model(inputs, lamina.layers.Add()([shared(inputs), block(shared(inputs))]))
    again = lamina.Model.from_config(model.get_config())
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert again.count_params() == model.count_params()
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(
        again.predict(rows(3, 4), verbose=0), model.predict(rows(3, 4), verbose=0)
    )


def test_clone_model_has_new_weights() -> None:
    inputs = lamina.Input((4,))
    model = lamina.Model(inputs, lamina.layers.Dense(3)(inputs))
    copy = lamina.models.clone_model(model)
    assert copy.layers[-1] is not model.layers[-1]
    assert (copy.get_weights()[0] != model.get_weights()[0]).any()


def test_training_flag_reaches_nested_layers() -> None:
    inner = lamina.Sequential([lamina.Input((50,)), lamina.layers.Dropout(0.5)])
    inputs = lamina.Input((50,))
    model = lamina.Model(inputs, inner(inputs))
    x = np.ones((2, 50), "float32")
    np.testing.assert_array_equal(np.asarray(model(x)), x)
    assert (np.asarray(model(x, training=True)) == 0).any()
    np.testing.assert_array_equal(model.predict(x, verbose=0), x)


def test_outputs_that_do_not_come_from_the_inputs() -> None:
    a, b = lamina.Input((2,), name="first"), lamina.Input((2,), name="second")
    with pytest.raises(ValueError, match="second|disconnected|not connected|reach"):
        lamina.Model(a, lamina.layers.Add()([a, b]))


def test_two_layers_of_one_name_are_refused() -> None:
    inputs = lamina.Input((2,))
    h = lamina.layers.Dense(2, name="same")(inputs)
    with pytest.raises(ValueError, match="same"):
        lamina.Model(inputs, lamina.layers.Dense(2, name="same")(h))


def test_get_layer_suggests() -> None:
    inputs = lamina.Input((2,))
    model = lamina.Model(inputs, lamina.layers.Dense(2, name="output")(inputs))
    with pytest.raises(ValueError, match="output"):
        model.get_layer("outptu")
    with pytest.raises(ValueError, match="9"):
        model.get_layer(index=9)
    with pytest.raises(ValueError):
        model.get_layer()


@pytest.mark.parametrize("kwargs", [dict(shape=(3.5,)), dict(shape=(-2,)), dict(shape=("a",))])
def test_bad_input_shapes(kwargs: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError), match="shape"):
        lamina.Input(**kwargs)


def test_values_of_a_symbol_are_refused() -> None:
    inputs = lamina.Input((2,))
    for use in (np.asarray, float, bool, list):
        with pytest.raises((TypeError, ValueError, NotImplementedError)):
            use(inputs)


def test_set_weights_checks_count_and_shapes_and_changes_nothing() -> None:
    inputs = lamina.Input((2,))
    model = lamina.Model(inputs, lamina.layers.Dense(3, name="d")(inputs))
    before = model.get_weights()
    with pytest.raises(ValueError, match="2"):
        model.set_weights([before[0]])
    with pytest.raises(ValueError) as caught:
        model.set_weights([np.ones((2, 3)), np.zeros(4)])
    assert "4" in str(caught.value) and "3" in str(caught.value)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_shapes_of_named_inputs_and_outputs_are_listed() -> None:
    a, b = lamina.Input((3,), name="a"), lamina.Input((2,), name="b")
    model = lamina.Model({"a": a, "b": b}, {"sum": lamina.layers.Concatenate()([a, b])})
    assert model.input_shape == [(None, 3), (None, 2)]
    assert model.output_shape == (None, 5)


def test_build_configs_of_models() -> None:
    inner = lamina.Sequential([lamina.Input((3,)), lamina.layers.Dense(2)])
    inputs = lamina.Input((3,))
    model = lamina.Model(inputs, inner(inputs))
    assert model.get_build_config() == {"input_shape": None}
    assert inner.get_build_config() == {"input_shape": (None, 3)}
    assert lamina.Sequential([lamina.layers.Dense(2)]).get_build_config() is None


def test_layers_after_attention_are_named_as_in_keras() -> None:
    lamina.utils.clear_session()
    x = lamina.Input((3, 4))
    lamina.layers.MultiHeadAttention(2, 2)(x, x)
    lamina.layers.GroupQueryAttention(2, 2, 1)(x, x)
    assert lamina.layers.Dropout(0.1).name == "dropout_2"
    assert lamina.layers.Softmax().name == "softmax_2"
