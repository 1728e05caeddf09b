"""EinsumDense and attention against real Keras, and their own rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamina
from tests.conftest import check_golden, golden_names

PREFIXES = ("einsum_dense_", "mha_", "attention_")
FAMILY = "recurrent_attention"
layers = lamina.layers


@pytest.mark.parametrize("name", [n for n in golden_names(FAMILY) if n.startswith(PREFIXES)])
def test_like_keras(name: str) -> None:
    check_golden(FAMILY, name)


def sequences(*shape: int) -> np.ndarray:
    return np.random.RandomState(0).normal(size=shape).astype("float32")


def test_einsum_dense_shapes_and_config() -> None:
    layer = layers.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d", name="e")
    assert layer.compute_output_shape((None, None, 3)) == (None, None, 5)
    y = layer(sequences(2, 4, 3))
    assert y.shape == (2, 4, 5)
    assert [(w.path, w.shape) for w in layer.weights] == [("e/kernel", (3, 5)), ("e/bias", (5,))]
    copy = layers.EinsumDense.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("ab,bc", 3), "equation"),
        (("...ab,bc->ac...", 3), "same side"),
        (("ab,bc->adc", 3), "output_shape"),
        (("ab,bc->ad", 3), "'d'"),
        (("ab,bz->ab", 5), "'b' has size 3"),
        (("ab,bz->a", ()), "'z'"),
        (("ab,bc->ac", 3, None, "z"), "bias_axes"),
    ],
)
def test_einsum_dense_bad_arguments(arguments: tuple[Any, ...], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        layers.EinsumDense(*arguments)(sequences(2, 3))


def test_heads_shapes_known_and_unknown() -> None:
    layer = layers.MultiHeadAttention(2, 3, value_dim=4, output_shape=(5, 2), name="heads")
    query, value = lamina.Input((None, 6)), lamina.Input((7, 3))
    outputs, shares = layer(query, value, return_attention_scores=True)
    assert (outputs.shape, shares.shape) == ((None, None, 5, 2), (None, 2, None, 7))
    model = lamina.Model([query, value], [outputs, shares])
    predicted = model.predict([sequences(2, 4, 6), sequences(2, 7, 3)], verbose=0)
    assert [p.shape for p in predicted] == [(2, 4, 5, 2), (2, 2, 4, 7)]
    np.testing.assert_allclose(predicted[1].sum(axis=-1), 1, rtol=1e-5)
    copy = layers.MultiHeadAttention.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()


def test_heads_on_inner_axes() -> None:
    x = sequences(2, 3, 4, 5)
    layer = layers.MultiHeadAttention(2, 3, attention_axes=(1, 2))
    y, shares = layer(x, x[:, :, :2], return_attention_scores=True)
    assert (y.shape, shares.shape) == ((2, 3, 4, 5), (2, 2, 3, 4, 3, 2))
    flat = layers.MultiHeadAttention(2, 3)
    flat(x.reshape(2, 12, 5), x[:, :, :2].reshape(2, 6, 5))
    flat.set_weights(layer.get_weights())
    expected = flat(x.reshape(2, 12, 5), x[:, :, :2].reshape(2, 6, 5))
    np.testing.assert_allclose(np.asarray(y).reshape(2, 12, 5), expected, rtol=1e-5, atol=1e-6)


def test_heads_masks() -> None:
    x = sequences(2, 4, 6)
    layer = layers.MultiHeadAttention(2, 3)
    valid = np.array([[True, False, True, False]] * 2)
    for mask in ({"value_mask": valid}, {"key_mask": valid}):
        _, shares = layer(x, x, return_attention_scores=True, **mask)
        assert (np.asarray(shares)[..., [1, 3]] == 0).all()
        np.testing.assert_allclose(np.asarray(shares).sum(axis=-1), 1, rtol=1e-5)
    nothing = np.ones((2, 4, 4), bool)
    nothing[:, 1] = False
    _, shares = layer(x, x, return_attention_scores=True, attention_mask=nothing)
    assert (np.asarray(shares)[:, :, 1] == 0).all()


def test_heads_dropout_only_while_training() -> None:
    x = sequences(2, 4, 6)
    layer = layers.MultiHeadAttention(2, 3, dropout=0.5, seed=1)
    still = np.asarray(layer(x, x))
    np.testing.assert_array_equal(np.asarray(layer(x, x)), still)
    assert np.abs(np.asarray(layer(x, x, training=True)) - still).max() > 1e-4


@pytest.mark.parametrize(
    ("kwargs", "word"),
    [
        (dict(num_heads=0, key_dim=2), "num_heads"),
        (dict(num_heads=2, key_dim=0), "key_dim"),
        (dict(num_heads=2, key_dim=2, dropout=2.0), "dropout"),
        (dict(num_heads=2, key_dim=2, output_shape="a"), "output_shape"),
        (dict(num_heads=2, key_dim=2, attention_axes="a"), "attention_axes"),
        (dict(num_heads=2, key_dim=2, sliding_window=0), "sliding_window"),
        (dict(num_heads=2, key_dims=2), "key_dim"),
        (dict(num_heads=2, key_dim=2, dropout=0.1, flash_attention=True), "flash_attention"),
    ],
)
def test_heads_bad_arguments(kwargs: dict[str, Any], word: str) -> None:
    with pytest.raises((ValueError, TypeError), match=word):
        layers.MultiHeadAttention(**kwargs)


def test_heads_want_fitting_values() -> None:
    layer = layers.MultiHeadAttention(2, 3, name="heads")
    with pytest.raises(ValueError, match="heads.*value and key must be equal"):
        layer(sequences(2, 4, 6), sequences(2, 5, 3), sequences(2, 6, 3))
    with pytest.raises(TypeError, match="query and a value"):
        layers.MultiHeadAttention(2, 3)(sequences(2, 4, 6))


@pytest.mark.parametrize("kind", ["Attention", "AdditiveAttention"])
def test_attention_masks_and_shapes(kind: str) -> None:
    layer = getattr(layers, kind)()
    query, value = sequences(2, 4, 3), sequences(2, 5, 3)
    masks = [np.array([[1, 1, 0, 1]] * 2, bool), np.array([[1, 0, 1, 1, 0]] * 2, bool)]
    y, shares = layer([query, value], mask=masks, return_attention_scores=True)
    assert (y.shape, shares.shape) == ((2, 4, 3), (2, 4, 5))
    assert (np.asarray(shares)[..., [1, 4]] == 0).all()
    assert (np.asarray(y)[:, 2] == 0).all()
    symbolic = layer([lamina.Input((None, 3)), lamina.Input((5, 3))])
    assert symbolic.shape == (None, None, 3)
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: layers.Attention(score_mode="z"), "score_mode"),
        (lambda: layers.Attention(dropout=2), "dropout"),
        (lambda: layers.Attention()(sequences(2, 4, 3)), "list"),
        (lambda: layers.Attention()([sequences(2, 4, 3)]), "Got 1"),
        (lambda: layers.Attention()([sequences(2, 4, 3)] * 2, mask=[None]), "mask"),
    ],
)
def test_attention_bad_arguments(make: Any, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        make()
