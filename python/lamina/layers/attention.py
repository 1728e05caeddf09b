"""Attention of one score: scaled products, or sums through tanh."""

from __future__ import annotations

from typing import Any

from lamina import ops, random, structure
from lamina.layers.base import Layer
from lamina.layers.head_axes import both, causal_mask
from lamina.validation import Boolean, Integer, Real

# What is taken from a score that must not count.
_MASKED, _MASKED_HALF = 1e9, 65504.0


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
        if score_mode not in ("dot", "concat"):
            raise ValueError(
                f"{type(self).__name__}: Invalid value for argument score_mode. "
                f"Expected one of {{'dot', 'concat'}}, got {score_mode!r}."
            )
        self.score_mode = score_mode
        self.use_scale, self.dropout, self.seed = self.validated(
            use_scale=use_scale, dropout=dropout, seed=seed
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

    def _calculate_score_mask(self, scores: Any, v_mask: Any, use_causal_mask: bool) -> Any:
        """Return where a query may see a value, broadcast to the scores; None: everywhere."""
        allowed = None
        if v_mask is not None:
            allowed = ops.expand_dims(ops.cast(v_mask, "bool"), -2)
        if use_causal_mask:
            scores = ops.convert_to_tensor(scores)
            allowed = both(allowed, causal_mask(scores.shape[-2], scores.shape[-1], scores))
        return allowed

    def _apply_scores(
        self, scores: Any, value: Any, scores_mask: Any = None, training: bool = False
    ) -> tuple[Any, Any]:
        """Return the means of the values and the shares they come from."""
        if scores_mask is not None:
            away = _MASKED_HALF if scores.dtype == "float16" else _MASKED
            scores = scores - away * (1.0 - ops.cast(scores_mask, scores.dtype))
        shares = ops.softmax(scores, axis=-1)
        if training and self.seed_generator is not None:
            shares = random.dropout(shares, rate=self.dropout, seed=self.seed_generator)
        return ops.matmul(shares, value), shares

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
        scores_mask = self._calculate_score_mask(scores, value_mask, use_causal_mask)
        outputs, shares = self._apply_scores(scores, value, scores_mask, training)
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
