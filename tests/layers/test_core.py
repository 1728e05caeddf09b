"""Dense, Activation, Embedding, Dropout, shapes, Lambda, Rescaling."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import layers, ops
from lamina.testing import check_layer
from tests.conftest import check_golden, golden_names
from tests.layers import test_conv, test_merging, test_pooling, test_recurrent

PREFIXES = (
    "dense_", "activation_", "embedding", "dropout", "lambda", "rescaling", "flatten", "reshape",
)  # fmt: skip


@pytest.mark.parametrize("name", [n for n in golden_names("layers") if n.startswith(PREFIXES)])
def test_like_keras(name: str) -> None:
    check_golden("layers", name)


def test_every_layer_case_is_run_by_a_file_of_this_folder() -> None:
    known = PREFIXES + tuple(
        prefix
        for module in (test_conv, test_merging, test_pooling, test_recurrent)
        for prefix in module.PREFIXES
    )
    assert [n for n in golden_names("layers") if not n.startswith(known)] == []


def rows(*shape: int) -> np.ndarray:
    return np.random.RandomState(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_rate_and_scale(rate: float) -> None:
    x = np.ones((200, 100), "float32")
    layer = lamina.layers.Dropout(rate, seed=4)
    y = np.asarray(layer(x, training=True))
    np.testing.assert_allclose(y[y != 0], 1 / (1 - rate), rtol=1e-6)
    # 20,000 trials: five standard deviations
    assert abs((y == 0).mean() - rate) < 5 * (rate * (1 - rate) / 20_000) ** 0.5
    np.testing.assert_array_equal(np.asarray(layer(x)), x)
    assert (np.asarray(layer(x, training=True)) != y).any()


def test_dropout_noise_shape_is_shared_along_an_axis() -> None:
    layer = lamina.layers.Dropout(0.5, noise_shape=(None, 1, 8), seed=1)
    y = np.asarray(layer(np.ones((4, 5, 8), "float32"), training=True))
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1], y.shape))
    assert set(np.unique(y)) == {0.0, 2.0}


def test_dropout_rate_one_drops_everything_and_zero_nothing() -> None:
    x = rows(3, 4)
    np.testing.assert_array_equal(np.asarray(lamina.layers.Dropout(0)(x, training=True)), x)
    assert not np.asarray(lamina.layers.Dropout(1.0)(x, training=True)).any()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda k: k.Dense(0), ["units", "0"]),
        (lambda k: k.Dense(-3), ["units", "-3"]),
        (lambda k: k.Dense(3, activation="rleu"), ["rleu", "relu"]),
        (lambda k: k.Dense(3, kernel_initializer="gloret_uniform"), ["gloret_uniform",
                                                                     "glorot_uniform"]),
        (lambda k: k.Dense(3, kernel_regularizer="l3"), ["l3"]),
        (lambda k: k.Dense(3, unit=4), ["unit"]),
        (lambda k: k.Dense(3, activaton="relu"), ["activaton", "activation"]),
        (lambda k: k.Dropout(1.5), ["rate", "1.5"]),
        (lambda k: k.Dropout(-0.1), ["rate", "-0.1"]),
        (lambda k: k.Activation("sigmod"), ["sigmod", "sigmoid"]),
        (lambda k: k.Embedding(0, 3), ["input_dim"]),
        (lambda k: k.Embedding(5, 0), ["output_dim"]),
        (lambda k: k.Flatten(data_format="middle"), ["data_format", "middle"]),
    ],
)  # fmt: skip
def test_bad_arguments(make: Callable[[Any], Any], words: list[str]) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        make(lamina.layers)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("units", ["3", 2.5, None])
def test_units_of_another_type(units: object) -> None:
    with pytest.raises((ValueError, TypeError), match="units"):
        lamina.layers.Dense(units)


def test_features_other_than_built_for_names_layer_and_both() -> None:
    layer = lamina.layers.Dense(3, name="head")
    layer(rows(2, 784))
    with pytest.raises(ValueError) as caught:
        layer(rows(2, 783))
    for word in ("head", "784", "783"):
        assert word in str(caught.value)


def test_reshape_to_another_size() -> None:
    with pytest.raises(ValueError) as caught:
        lamina.layers.Reshape((3, 5))(rows(2, 16))
    assert "16" in str(caught.value) and "5" in str(caught.value)


def test_shapes_with_unknown_sizes() -> None:
    k = lamina.layers
    assert k.Flatten().compute_output_shape((None, 3, 4)) == (None, 12)
    assert k.Flatten().compute_output_shape((None, None, 4)) == (None, None)
    assert k.Reshape((-1, 3)).compute_output_shape((None, 6, 2)) == (None, 4, 3)
    assert k.Embedding(5, 2).compute_output_shape((None, 7)) == (None, 7, 2)
    assert k.Dense(4).compute_output_shape((None, 7, 2)) == (None, 7, 4)


def test_embedding_mask() -> None:
    layer = lamina.layers.Embedding(5, 2, mask_zero=True)
    mask = np.asarray(layer.compute_mask(np.array([[1, 0, 3]])))
    np.testing.assert_array_equal(mask, [[True, False, True]])
    assert lamina.layers.Embedding(5, 2).compute_mask(np.array([[1, 0]])) is None


def test_embedding_ids_out_of_range_are_refused() -> None:
    layer = lamina.layers.Embedding(5, 2, name="words")
    for bad in (5, -1):
        with pytest.raises(ValueError) as caught:
            np.asarray(layer(np.array([[1, bad]])))
        assert str(bad) in str(caught.value)


def test_embedding_initial_values() -> None:
    layer = lamina.layers.Embedding(300, 40)
    layer.build((None, None))
    (table,) = layer.get_weights()
    assert np.abs(table).max() <= 0.05 and np.abs(table).max() > 0.049


def test_lambda_output_shape_and_config() -> None:
    layer = lamina.layers.Lambda(lambda x: x[:, :2])
    inputs = lamina.Input((5,))
    assert layer(inputs).shape == (None, 2)
    np.testing.assert_array_equal(np.asarray(layer(rows(3, 5))), rows(3, 5)[:, :2])


def test_lists_and_scalars_become_tensors() -> None:
    y = lamina.layers.Rescaling(2.0)([[1, 2], [3, 4]])
    np.testing.assert_array_equal(np.asarray(y), [[2.0, 4.0], [6.0, 8.0]])


@pytest.mark.parametrize(
    ("name", "kwargs", "shape"),
    [
        ("Dense", dict(units=3, activation="tanh"), (2, 5)),
        ("Dense", dict(units=3, use_bias=False), (2, 4, 5)),
        ("Activation", dict(activation="relu"), (2, 5)),
        ("Flatten", {}, (2, 3, 4)),
        ("Reshape", dict(target_shape=(4, 3)), (2, 12)),
        ("Dropout", dict(rate=0.4), (2, 5)),
        ("Rescaling", dict(scale=0.5, offset=1.0), (2, 5)),
        ("Conv2D", dict(filters=3, kernel_size=3, padding="same"), (2, 6, 6, 2)),
        ("MaxPooling2D", dict(pool_size=2), (2, 6, 6, 2)),
        ("AveragePooling2D", dict(pool_size=2), (2, 6, 6, 2)),
        ("GlobalAveragePooling2D", {}, (2, 4, 4, 3)),
        ("GlobalMaxPooling2D", dict(keepdims=True), (2, 4, 4, 3)),
        ("LSTM", dict(units=3, return_sequences=True), (2, 5, 4)),
        ("SimpleRNN", dict(units=3), (2, 5, 4)),
    ],
)
def test_contract(name: str, kwargs: dict[str, Any], shape: tuple[int, ...]) -> None:
    check_layer(getattr(lamina.layers, name), kwargs, input_shape=shape)


def test_contract_of_embedding() -> None:
    ids = np.array([[1, 2, 0], [4, 4, 3]], "int32")
    check_layer(lamina.layers.Embedding, dict(input_dim=5, output_dim=3), input_data=ids)


@pytest.mark.parametrize("name", ["Add", "Concatenate"])
def test_contract_of_merging(name: str) -> None:
    check_layer(getattr(lamina.layers, name), {}, input_data=[rows(2, 3), rows(2, 3)])


def test_a_lambda_of_two_inputs_with_a_given_shape() -> None:
    a, b = lamina.Input((3,)), lamina.Input((3,))
    distance = layers.Lambda(
        lambda pair: ops.sum(ops.square(pair[0] - pair[1]), axis=1, keepdims=True),
        output_shape=(1,),
    )([a, b])
    assert distance.shape == (None, 1)
    model = lamina.Model([a, b], distance)
    rows = np.ones((2, 3), "float32")
    np.testing.assert_allclose(model.predict([rows, 3 * rows], verbose=0), [[12.0], [12.0]])


def test_autocasting_makes_no_node() -> None:
    inputs = lamina.Input((3,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs = layers.Dense(2, dtype="mixed_float16")(layers.Dense(3)(inputs))
    model = lamina.Model(inputs, outputs)
    assert [type(layer).__name__ for layer in model.layers] == ["InputLayer", "Dense", "Dense"]
    assert model(np.ones((1, 3), "float32")).dtype == "float16"


def test_mask_is_read_as_in_keras_guides() -> None:
    embedding = layers.Embedding(4, 2, mask_zero=True)
    np.testing.assert_array_equal(embedding(np.array([[1, 0]]))._keras_mask, [[True, False]])
    assert embedding(lamina.Input((2,)))._keras_mask.shape == (None, 2)
    assert ops.ones((2,))._keras_mask is None
