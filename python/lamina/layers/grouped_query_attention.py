"""Attention whose query heads share the heads of keys and values."""

from __future__ import annotations

from typing import Any

from lamina import ops, random
from lamina.layers.einsum_dense import EinsumDense
from lamina.layers.heads_attention import HeadsAttention
from lamina.tensor import KerasTensor
from lamina.validation import Boolean, Integer, Real


class GroupedQueryAttention(HeadsAttention):
    """Attention of several heads in which groups of query heads share one head of keys and values.

    With as many heads of keys as of queries this is multi-head attention; with one it is
    multi-query attention.

    Args:
        head_dim: length of a head's queries, keys and values.
        num_query_heads: number of query heads.
        num_key_value_heads: number of heads of keys and values, a divisor of `num_query_heads`.
        dropout: probability of dropping a share.
        use_bias: whether the projections have biases.
        sliding_window: a step sees only those less than this far away; all when None.
        flash_attention: True forbids dropout and scores, as in Keras; the result is the same.
        kernel_initializer, bias_initializer: first values.
        kernel_regularizer, bias_regularizer: penalties added to the loss.
        activity_regularizer: penalty of the output.
        kernel_constraint, bias_constraint: applied after each update.
        use_gate: whether each head's result is multiplied by sigmoid of a projection of the query.
        seed: integer for repeatable dropout.

    Call arguments: query (batch, T, dim), value (batch, S, dim), key like value (the values when
        None), query_mask, value_mask, key_mask (batch, S), attention_mask (batch, T, S),
        return_attention_scores (the shares (batch, query heads, T, S) too), training,
        use_causal_mask.
    Output shape: `(batch, T, dim)`.
    Source: Ainslie et al. GQA: training generalized multi-query transformer models. 2023.
    """

    _public_name = "GroupQueryAttention"  # in `lamina.layers` and in files
    constraints = {
        "head_dim": Integer(min=1),
        "num_query_heads": Integer(min=1),
        "num_key_value_heads": Integer(min=1),
        "dropout": Real(0, 1),
        "use_bias": Boolean(),
        "sliding_window": Integer(min=1, optional=True),
        "flash_attention": Boolean(optional=True),
        "use_gate": Boolean(),
        "seed": Integer(optional=True),
    }

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.head_dim = self._checked_size("head_dim", head_dim)
        self.num_query_heads = self._checked_size("num_query_heads", num_query_heads)
        self.num_key_value_heads = self._checked_size("num_key_value_heads", num_key_value_heads)
        if self.num_query_heads % self.num_key_value_heads:
            raise ValueError(
                f"{type(self).__name__}: num_query_heads must be a multiple of "
                f"num_key_value_heads. Got {num_query_heads} and {num_key_value_heads}."
            )
        self.num_repeats = self.num_query_heads // self.num_key_value_heads
        self.dropout, self.use_bias, self.sliding_window, self.use_gate, self.seed = self.validated(
            dropout=dropout,
            use_bias=use_bias,
            sliding_window=sliding_window,
            use_gate=use_gate,
            seed=seed,
        )
        self._sliding_window = self.sliding_window
        self._attention_axes = (1,)
        self._take_flash_attention(flash_attention)
        self._take_weight_settings(
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )
        self.seed_generator = random.SeedGenerator(seed) if self.dropout > 0 else None
        self.supports_masking = True

    @property
    def _scale(self) -> float:
        return self.head_dim**-0.5

    def build(  # type: ignore[override]
        self, query_shape: Any, value_shape: Any, key_shape: Any = None
    ) -> None:
        key_shape = value_shape if key_shape is None else key_shape
        heads, shared = self.num_query_heads, self.num_key_value_heads
        self._query_dense = self._projection("query", query_shape, heads)
        self._key_dense = self._projection("key", key_shape, shared)
        if self.use_gate:
            self._gate_dense = self._projection("gate", query_shape, heads, activation="sigmoid")
        self._value_dense = self._projection("value", value_shape, shared)
        self._output_dense = self._dense(
            "attention_output",
            "bquh,uhm->bqm",
            (None, query_shape[-1]),
            "m",
            (None, None, heads, self.head_dim),
        )
        self._count_inner_names()

    def _projection(
        self, name: str, shape: Any, heads: int, activation: str | None = None
    ) -> EinsumDense:
        sizes = (None, heads, self.head_dim)
        return self._dense(name, "bqm,muh->bquh", sizes, "uh", shape, activation)

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        key = value if key is None else key
        keys = ops.repeat(self._key_dense(key), self.num_repeats, axis=2)
        values = ops.repeat(self._value_dense(value), self.num_repeats, axis=2)
        outputs, shares = self._attended(
            query,
            value,
            (self._query_dense(query), keys, values),
            {
                "query_mask": query_mask,
                "value_mask": value_mask,
                "key_mask": key_mask,
                "attention_mask": attention_mask,
            },
            return_attention_scores,
            training,
            use_causal_mask,
        )
        if self.use_gate:
            outputs = outputs * self._gate_dense(query)
        outputs = self._output_dense(outputs)
        return (outputs, shares) if return_attention_scores else outputs

    def compute_output_shape(
        self, query_shape: Any, value_shape: Any, key_shape: Any = None
    ) -> tuple[int | None, ...]:
        key_shape = value_shape if key_shape is None else key_shape
        if query_shape[-1] != value_shape[-1]:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): the last sizes of query and value must be "
                f"equal. Got shapes {tuple(query_shape)} and {tuple(value_shape)}."
            )
        if tuple(value_shape[1:-1]) != tuple(key_shape[1:-1]):
            raise ValueError(
                f"{self.name} ({type(self).__name__}): the steps of value and key must be equal. "
                f"Got shapes {tuple(value_shape)} and {tuple(key_shape)}."
            )
        return tuple(query_shape)

    def compute_output_spec(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        del query_mask, value_mask, key_mask, attention_mask, training, use_causal_mask
        key_shape = None if key is None else key.shape
        shape = self.compute_output_shape(query.shape, value.shape, key_shape)
        outputs = KerasTensor(shape, dtype=self.compute_dtype)
        self._pass_symbolic_mask(query, outputs)
        if not return_attention_scores:
            return outputs
        shares = (query.shape[0], self.num_query_heads, query.shape[1], value.shape[1])
        return outputs, KerasTensor(shares, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "head_dim": self.head_dim,
            "num_query_heads": self.num_query_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "use_bias": self.use_bias,
            "use_gate": self.use_gate,
            "sliding_window": self.sliding_window,
            "dropout": self.dropout,
            **self._weight_settings(),
            "seed": self.seed,
        }
