"""Attention of one score: scaled products, or sums through tanh."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import ops, random, structure
from lamina.layers.base import Layer
from lamina.validation import Boolean, Integer, OneOf, Real

_MASKED = 1e9  # taken from a score that must not count


class Attention(Layer):
    """Weighted means of values, by the products of queries and keys.

    outputs = softmax(scale * query @ transpose(key)) @ value

    Args:
        use_scale: whether the scale is a weight; 1 otherwise.
        score_mode: "dot" for products, "concat" for weight * sum(tanh(scale * (query + key))).
        dropout: probability of dropping a share.
        seed: integer for repeatable dropout.

    Call arguments: inputs [query (batch, Tq, dim), value (batch, Tv, dim), key like value; the
        values when left out], mask [of the query, of the value], training,
        return_attention_scores (the shares (batch, Tq, Tv) too), use_causal_mask (a step sees
        none after it).
    Output shape: `(batch, Tq, dim)`.
    """

    constraints = {
        "use_scale": Boolean(),
        "score_mode": OneOf("dot", "concat"),
        "dropout": Real(0, 1),
        "seed": Integer(optional=True),
    }

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.use_scale, self.score_mode, self.dropout, self.seed = self.validated(
            use_scale=use_scale, score_mode=score_mode, dropout=dropout, seed=seed
        )
        self.seed_generator = random.SeedGenerator(seed) if self.dropout > 0 else None
        self.supports_masking = True
        self.scale: Any = None
        self.concat_score_weight: Any = None

    def build(self, input_shape: Any) -> None:
        self._check(input_shape, None)
        if self.use_scale:
            self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight(
                name="concat_score_weight", shape=(), initializer="ones"
            )

    def _check(self, inputs: Any, mask: Any) -> None:
        who = f"{self.name} ({type(self).__name__})"
        if not isinstance(inputs, (list, tuple)) or structure.is_shape(inputs):
            raise ValueError(
                f"{who} must be called on a list: [query, value] or [query, value, key]. Got one "
                "tensor."
            )
        if len(inputs) not in (2, 3):
            raise ValueError(
                f"{who}: inputs must have length 2 or 3, [query, value] or [query, value, key]. "
                f"Got {len(inputs)}."
            )
        if mask is None:
            return
        if not isinstance(mask, (list, tuple)):
            raise ValueError(
                f"{who}: layer mask must be a list, [of the query, of the value]. Got {mask!r}."
            )
        if not 2 <= len(mask) <= len(inputs):
            raise ValueError(
                f"{who}: mask must have length 2 or 3, as the inputs have at most. Got {len(mask)}."
            )

    def _calculate_scores(self, query: Any, key: Any) -> Any:
        """Return how much each query step asks for each key step, (batch, Tq, Tv)."""
        if self.score_mode == "dot":
            scores = ops.matmul(query, ops.swapaxes(key, -1, -2))
            return scores if self.scale is None else scores * self.scale.value
        pairs = ops.expand_dims(query, -2) + ops.expand_dims(key, -3)
        if self.scale is not None:
            pairs = pairs * self.scale.value
        return self.concat_score_weight.value * ops.sum(ops.tanh(pairs), axis=-1)

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        self._check(inputs, mask)
        query, value = self._as_float(inputs[0]), self._as_float(inputs[1])
        key = self._as_float(inputs[2]) if len(inputs) > 2 else value
        query_mask, value_mask = mask[:2] if mask is not None else (None, None)
        scores = self._calculate_scores(query, key)
        allowed = None
        if value_mask is not None:
            allowed = ops.expand_dims(ops.cast(value_mask, "bool"), -2)
        if use_causal_mask:
            allowed = both(allowed, causal_mask(scores))
        if allowed is not None:
            scores = scores - _MASKED * (1.0 - ops.cast(allowed, scores.dtype))
        shares = ops.softmax(scores, axis=-1)
        if training and self.seed_generator is not None:
            shares = random.dropout(shares, rate=self.dropout, seed=self.seed_generator)
        outputs = ops.matmul(shares, value)
        if query_mask is not None:
            outputs = outputs * ops.expand_dims(ops.cast(query_mask, outputs.dtype), -1)
        return (outputs, shares) if return_attention_scores else outputs

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        self._check(inputs, mask)
        return None if mask is None or mask[0] is None else ops.convert_to_tensor(mask[0])

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (*tuple(input_shape[0])[:-1], input_shape[1][-1])

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        return self._infer(args, kwargs)  # one output or two, as the arguments say

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "use_scale": self.use_scale,
            "score_mode": self.score_mode,
            "dropout": self.dropout,
            "seed": self.seed,
        }


def both(first: Any, second: Any) -> Any:
    """Return where two masks are True; None counts as True everywhere."""
    if first is None or second is None:
        return second if first is None else first
    return ops.logical_and(first, second)


def causal_mask(scores: Any) -> Any:
    """Return the mask (Tq, Tv) under which a query step sees the keys up to itself."""
    return _distance(scores) >= 0


def band_mask(scores: Any, width: int) -> Any:
    """Return the mask (Tq, Tv) under which a query step sees keys less than `width` away."""
    return ops.abs(_distance(scores)) < width


def _distance(scores: Any) -> Any:
    """Return the query step minus the key step, for the last two axes of the scores."""
    queries, keys = scores.shape[-2:]
    if queries is None or keys is None:  # shapes only
        return ops.cast(ops.zeros_like(scores[(0,) * (scores.ndim - 2)]), "int32")
    steps = np.arange(queries, dtype="int32")[:, None] - np.arange(keys, dtype="int32")
    return ops.convert_to_tensor(steps)


class AdditiveAttention(Attention):
    """Weighted means of values, by sums of queries and keys through tanh.

    outputs = softmax(sum(scale * tanh(query + key))) @ value

    Args:
        use_scale: whether the scale (dim,) is a weight; 1 otherwise.
        dropout: probability of dropping a share.

    Call arguments and output shape: those of `Attention`.
    Source: Bahdanau, Cho, Bengio. Neural machine translation by jointly learning to align and
    translate. 2014.
    """

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(use_scale=use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape: Any) -> None:
        self._check(input_shape, None)
        if self.use_scale:
            self.scale = self.add_weight(
                name="scale", shape=(input_shape[0][-1],), initializer="glorot_uniform"
            )

    def _calculate_scores(self, query: Any, key: Any) -> Any:
        pairs = ops.tanh(ops.expand_dims(query, -2) + ops.expand_dims(key, -3))
        if self.scale is not None:
            pairs = pairs * self.scale.value
        return ops.sum(pairs, axis=-1)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["score_mode"]
        return config
