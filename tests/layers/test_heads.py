"""dot_product_attention, the layers' override points, grouped queries, reversible embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import ops

layers = lamina.layers


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).normal(size=shape).astype("float32")


def composite(q: Any, k: Any, v: Any, allowed: Any = None, cap: float | None = None) -> Any:
    """The definition, with all scores in memory."""
    logits = ops.einsum("btnh,bsnh->bnts", q, k) * q.shape[-1] ** -0.5
    if cap is not None:
        logits = cap * ops.tanh(logits / cap)
    if allowed is not None:
        logits = ops.where(allowed, logits, -1e30)
    return ops.einsum("bnts,bsnh->btnh", ops.softmax(logits, axis=-1), v)


@pytest.mark.parametrize("steps", [(3, 5), (70, 40), (1, 300)])
@pytest.mark.parametrize("is_causal", [True, False])
def test_equals_the_definition(steps: tuple[int, int], is_causal: bool) -> None:
    q, k, v = (
        normal(2, steps[0], 3, 8),
        normal(2, steps[1], 3, 8, seed=1),
        normal(2, steps[1], 3, 5),
    )
    allowed = np.tril(np.ones(steps, dtype=bool)) if is_causal else None
    got = ops.dot_product_attention(q, k, v, is_causal=is_causal)
    np.testing.assert_allclose(np.asarray(got), np.asarray(composite(q, k, v, allowed)), atol=2e-6)
    capped = ops.dot_product_attention(q, k, v, is_causal=is_causal, attn_logits_soft_cap=0.5)
    wanted = composite(q, k, v, allowed, cap=0.5)
    np.testing.assert_allclose(np.asarray(capped), np.asarray(wanted), atol=2e-6)


def test_query_heads_share_key_heads_in_turn() -> None:
    q, k, v = normal(2, 4, 6, 8), normal(2, 5, 2, 8, seed=1), normal(2, 5, 2, 3)
    got = ops.dot_product_attention(q, k, v)
    wanted = composite(q, np.repeat(k, 3, axis=2), np.repeat(v, 3, axis=2))
    np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), atol=2e-6)


@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 1, 5), (3, 1, 1, 5), (3, 2, 4, 5)])
def test_masks_and_biases_are_broadcast(shape: tuple[int, ...]) -> None:
    q, k, v = normal(3, 4, 2, 8), normal(3, 5, 2, 8, seed=1), normal(3, 5, 2, 3)
    mask = normal(*shape) > -0.7
    mask[..., 0] = True
    got = ops.dot_product_attention(q, k, v, mask=mask)
    np.testing.assert_allclose(np.asarray(got), np.asarray(composite(q, k, v, mask)), atol=2e-6)
    by_bias = ops.dot_product_attention(q, k, v, bias=np.where(mask, 0.0, -1e9).astype("float32"))
    np.testing.assert_allclose(np.asarray(by_bias), np.asarray(got), atol=2e-6)


def test_a_query_that_sees_nothing_gets_the_mean() -> None:
    q, v = normal(2, 4, 2, 8), normal(2, 5, 2, 3)
    mask = np.ones((4, 5), dtype=bool)
    mask[2] = False
    got = np.asarray(ops.dot_product_attention(q, normal(2, 5, 2, 8), v, mask=mask))
    np.testing.assert_allclose(got[:, 2], v.mean(axis=1), atol=1e-6)


def test_shapes_in_a_functional_model() -> None:
    q, k, v = lamina.Input((None, 4, 8)), lamina.Input((None, 2, 8)), lamina.Input((None, 2, 3))
    outputs = ops.dot_product_attention(q, k, v, is_causal=True)
    assert outputs.shape == (None, None, 4, 3)
    model = lamina.Model([q, k, v], outputs)
    data = [normal(2, 4, 4, 8), normal(2, 5, 2, 8), normal(2, 5, 2, 3)]
    wanted = ops.dot_product_attention(*data, is_causal=True)
    np.testing.assert_array_equal(model.predict(data, verbose=0), np.asarray(wanted))


def test_half_precision_keeps_its_type() -> None:
    q = normal(1, 3, 2, 4)
    half = ops.dot_product_attention(*(ops.cast(q, "float16") for _ in range(3)))
    assert half.dtype == "float16"
    whole = np.asarray(ops.dot_product_attention(q, q, q))
    np.testing.assert_allclose(np.asarray(ops.cast(half, "float32")), whole, atol=5e-3)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (((2, 3, 4), (2, 3, 4), (2, 3, 4)), "query must have the axes"),
        (((2, 3, 3, 4), (2, 5, 2, 4), (2, 5, 2, 4)), "equally many heads"),
        (((2, 3, 2, 4), (2, 5, 2, 4), (2, 5, 1, 4)), "equally many heads"),
        (((2, 3, 2, 4), (2, 5, 2, 3), (2, 5, 2, 4)), "sizes of query and key"),
        (((2, 3, 2, 4), (2, 5, 2, 4), (2, 6, 2, 4)), "steps of key and value"),
    ],
)
def test_operands_that_do_not_fit(shapes: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ops.dot_product_attention(*(normal(*shape) for shape in shapes))


# ---- MultiHeadAttention, GroupQueryAttention
def trained(make: Any, fused: bool) -> list[np.ndarray]:
    """Weights after three steps; dropout=1e-9 is what makes a layer keep its scores."""
    inputs = lamina.Input((7, 6))
    layer = make(0.0 if fused else 1e-9)
    model = lamina.Model(inputs, layer(inputs, inputs, use_causal_mask=True))
    model.set_weights([0.4 * normal(*w.shape, seed=i) for i, w in enumerate(model.weights)])
    model.compile(lamina.optimizers.SGD(0.3), "mse")
    for step in range(3):
        model.train_on_batch(normal(5, 7, 6, seed=step), normal(5, 7, 6, seed=9))
    return model.get_weights()


@pytest.mark.parametrize(
    "make",
    [
        lambda rate: layers.MultiHeadAttention(2, 3, dropout=rate),
        lambda rate: layers.MultiHeadAttention(2, 3, value_dim=4, sliding_window=3, dropout=rate),
        lambda rate: layers.GroupQueryAttention(3, 4, 2, use_gate=True, dropout=rate),
    ],
)
def test_with_and_without_scores_in_memory_train_alike(make: Any) -> None:
    for a, b in zip(trained(make, True), trained(make, False), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6)


def test_a_subclass_may_attend_otherwise() -> None:
    seen: dict[str, Any] = {}

    class Mean(layers.MultiHeadAttention):
        def _compute_attention(
            self, query: Any, key: Any, value: Any, attention_mask: Any = None, training: Any = None
        ) -> Any:
            seen["mask"] = attention_mask
            means = ops.mean(value, axis=1, keepdims=True)
            return ops.broadcast_to(means, (*query.shape[:3], value.shape[-1])), None

    x = normal(2, 4, 6)
    layer = Mean(2, 3)
    y = np.asarray(layer(x, x, use_causal_mask=True))
    np.testing.assert_allclose(y[:, 0], y[:, 3], rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(seen["mask"])[0], np.tril(np.ones((4, 4), bool)))


def test_grouped_queries_equal_heads_that_are_repeated() -> None:
    grouped = layers.GroupQueryAttention(3, 4, 2)
    heads = layers.MultiHeadAttention(4, 3)
    x, value = normal(2, 5, 6), normal(2, 7, 4)
    grouped(x, value)
    heads(x, value)
    weights = grouped.get_weights()
    for i in (2, 4):  # kernels of keys and values, with their biases behind
        weights[i] = np.repeat(weights[i], 2, axis=1)
        weights[i + 1] = np.repeat(weights[i + 1], 2, axis=0)
    heads.set_weights(weights)
    for masks in ({}, {"use_causal_mask": True}, {"value_mask": normal(2, 7) > 0}):
        np.testing.assert_allclose(
            np.asarray(grouped(x, value, **masks)), np.asarray(heads(x, value, **masks)), atol=1e-5
        )


def test_grouped_queries_config_shapes_and_file(tmp_path: Path) -> None:
    layer = layers.GroupQueryAttention(
        3, 4, 2, sliding_window=3, use_gate=True, dropout=0.1, seed=1
    )
    inputs = lamina.Input((None, 6))
    outputs, shares = layer(inputs, inputs, return_attention_scores=True)
    assert (outputs.shape, shares.shape) == ((None, None, 6), (None, 4, None, None))
    assert layer.name.startswith("grouped_query_attention")
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
    model = lamina.Model(inputs, [outputs, shares])
    model.save(tmp_path / "m.keras")
    loaded = lamina.saving.load_model(tmp_path / "m.keras")
    x = normal(2, 5, 6)
    for a, b in zip(model.predict(x, verbose=0), loaded.predict(x, verbose=0), strict=True):
        np.testing.assert_array_equal(a, b)
    form = lamina.saving.serialize_keras_object(layer)
    assert (form["module"], form["class_name"]) == ("keras.layers", "GroupQueryAttention")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: layers.GroupQueryAttention(3, 4, 3), "multiple of num_key_value_heads"),
        (lambda: layers.GroupQueryAttention(3, 0, 1), "argument `num_query_heads`"),
        (lambda: layers.GroupQueryAttention(3, 4, 2, flash_attention=True, dropout=0.1), "Dropout"),
        (lambda: layers.GroupQueryAttention(3, 4, 2).compute_output_shape(
            (2, 3, 4), (2, 3, 5)), "must be equal"),
        (lambda: layers.MultiHeadAttention(2, 3, output_shape=8.0), "Invalid `output_shape`"),
        (lambda: layers.MultiHeadAttention(2, 3, flash_attention=True)(
            normal(2, 3, 4), normal(2, 3, 4), return_attention_scores=True), "not supported"),
    ],
)  # fmt: skip
def test_bad_arguments(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_attention_override_points() -> None:
    layer = layers.Attention()
    scores = normal(2, 3, 4)
    assert layer._calculate_score_mask(scores, None, False) is None
    both = np.asarray(
        layer._calculate_score_mask(scores, np.array([[True, False, True, True]]), True)
    )
    wanted = np.tril(np.ones((3, 4), bool)) & np.array([True, False, True, True])
    np.testing.assert_array_equal(both[0], wanted)


# ---- ReversibleEmbedding
@pytest.mark.parametrize("tie_weights", [True, False])
def test_reversible_embedding(tie_weights: bool) -> None:
    layer = layers.ReversibleEmbedding(9, 4, tie_weights=tie_weights, mask_zero=True)
    rows = layer(np.array([[1, 0, 3]]))
    assert rows.shape == (1, 3, 4) and rows.mask.shape == (1, 3)
    scores = layer(rows, reverse=True)
    table = layer.get_weights()[0].T if tie_weights else layer.get_weights()[1]
    np.testing.assert_allclose(np.asarray(scores), np.asarray(rows) @ table, rtol=1e-5, atol=1e-7)
    assert layer.compute_output_shape((None, 3)) == (None, 3, 4)
    assert layer.compute_output_shape((None, 3, 4), reverse=True) == (None, 3, 9)


def test_reversible_embedding_scores_in_another_type() -> None:
    layer = layers.ReversibleEmbedding(9, 4, reverse_dtype="float64", logit_soft_cap=0.5)
    scores = layer(100.0 * normal(2, 3, 4), reverse=True)
    assert scores.dtype == "float64"
    assert np.abs(np.asarray(scores)).max() <= 0.5
