"""Attention of several heads."""

from __future__ import annotations

import string
from typing import Any

from lamina import random
from lamina.layers.einsum_dense import EinsumDense
from lamina.layers.heads_attention import HeadsAttention
from lamina.tensor import KerasTensor
from lamina.validation import Boolean, Either, Integer, Real, Sizes, check_argument


class MultiHeadAttention(HeadsAttention):
    """Several attentions side by side, each on its own projections.

    share = softmax(query_h @ transpose(key_h) / sqrt(key_dim)) for each head h
    outputs = sum over h of (share @ value_h) @ kernel_h + bias

    Args:
        num_heads: number of heads.
        key_dim: length of a head's queries and keys.
        value_dim: length of a head's values; `key_dim` when None.
        dropout: probability of dropping a share.
        use_bias: whether the projections have biases.
        output_shape: size or sizes of the outputs' features; the query's when None.
        attention_axes: axis or axes that attention runs over; all between the batch and the
            features when None.
        sliding_window: a step sees only those less than this far away; all when None.
        flash_attention: True forbids dropout and scores, as in Keras; the result is the same.
            Without them no scores of the whole batch are kept in any case.
        kernel_initializer, bias_initializer: first values.
        kernel_regularizer, bias_regularizer: penalties added to the loss.
        activity_regularizer: penalty of the output.
        kernel_constraint, bias_constraint: applied after each update.
        use_gate: whether each head's result is multiplied by sigmoid of a projection of the query.
        seed: integer for repeatable dropout.

    Call arguments: query (batch, T, dim), value (batch, S, dim), key like value (the values when
        None), query_mask, value_mask, key_mask (batch, S), attention_mask (batch, T, S),
        return_attention_scores (the shares (batch, heads, T, S) too), training, use_causal_mask.
    Output shape: `(batch, T, *output_shape)`. A step that may see nothing gets the bias alone.
    Source: Vaswani et al. Attention is all you need. 2017.
    """

    constraints = {
        "num_heads": Integer(min=1),
        "key_dim": Integer(min=1),
        "value_dim": Integer(min=1, optional=True),
        "dropout": Real(0, 1),
        "use_bias": Boolean(),
        "output_shape": Either(Integer(min=1), Sizes(), optional=True),
        "sliding_window": Integer(min=1, optional=True),
        "flash_attention": Boolean(optional=True),
        "use_gate": Boolean(),
        "seed": Integer(optional=True),
    }

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Any = None,
        attention_axes: Any = None,
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
        self.num_heads = self._checked_size("num_heads", num_heads)
        self.key_dim = self._checked_size("key_dim", key_dim)
        self.value_dim = self._checked_size("value_dim", value_dim) or self.key_dim
        self.dropout, self.use_bias, self._sliding_window, self.use_gate, self.seed = (
            self.validated(
                dropout=dropout,
                use_bias=use_bias,
                sliding_window=sliding_window,
                use_gate=use_gate,
                seed=seed,
            )
        )
        if isinstance(output_shape, float):
            raise ValueError(
                f"{type(self).__name__}: Invalid `output_shape`: sizes are integers. "
                f"Got {output_shape!r}."
            )
        output_shape = check_argument(
            f"{type(self).__name__}: Invalid `output_shape`",
            "output_shape",
            output_shape,
            self.constraints["output_shape"],
        )
        self._take_flash_attention(flash_attention)
        self._output_shape = (output_shape,) if isinstance(output_shape, int) else output_shape
        self._attention_axes = self._checked_axes(attention_axes)
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

    def _checked_axes(self, axes: Any) -> Any:
        if isinstance(axes, int) and not isinstance(axes, bool):
            return (axes,)
        if axes is None or (
            isinstance(axes, (list, tuple)) and all(isinstance(axis, int) for axis in axes)
        ):
            return axes
        raise ValueError(
            f"{type(self).__name__}: attention_axes must be an integer, a list of integers or "
            f"None. Got {axes!r}."
        )

    @property
    def attention_axes(self) -> Any:
        """Axes that attention runs over; None until the inputs say how many there are."""
        return self._attention_axes

    @property
    def _scale(self) -> float:
        return self.key_dim**-0.5

    # Weights

    def build(  # type: ignore[override]
        self, query_shape: Any, value_shape: Any, key_shape: Any = None
    ) -> None:
        if query_shape is None or value_shape is None:
            raise TypeError(
                f"{self.name} ({type(self).__name__}): pass a query and a value: layer(x, x)."
            )
        key_shape = value_shape if key_shape is None else key_shape
        self._check_shapes(tuple(value_shape), tuple(key_shape))
        rank = len(query_shape)
        if self._attention_axes is None:
            self._attention_axes = tuple(range(1, rank - 1))
        else:
            self._attention_axes = tuple(axis % rank for axis in self._attention_axes)
        self._query_dense = self._projection("query", query_shape, self.key_dim)
        self._key_dense = self._projection("key", key_shape, self.key_dim)
        if self.use_gate:
            self._gate_dense = self._projection(
                "gate", query_shape, self.value_dim, activation="sigmoid"
            )
        self._value_dense = self._projection("value", value_shape, self.value_dim)
        self._output_dense = self._output_projection(query_shape)
        self._count_inner_names()

    def _check_shapes(self, value_shape: tuple[Any, ...], key_shape: tuple[Any, ...]) -> None:
        if value_shape[:-1] != key_shape[:-1]:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): sizes of value and key must be equal on all "
                f"axes but the last. Got shapes {value_shape} and {key_shape}."
            )

    def _projection(
        self, name: str, shape: Any, size: int, activation: str | None = None
    ) -> EinsumDense:
        """Project the features to all heads: (..., dim) to (..., heads, size)."""
        free = string.ascii_lowercase[: len(shape) - 1]
        dim, head, feature = list(string.ascii_lowercase[len(shape) - 1 : len(shape) + 2])
        return self._dense(
            name,
            f"{free}{dim},{dim}{head}{feature}->{free}{head}{feature}",
            (*(None for _ in free[1:]), self.num_heads, size),
            head + feature,
            shape,
            activation,
        )

    def _output_projection(self, query_shape: Any) -> EinsumDense:
        """Project all heads to the outputs: (..., heads, value_dim) to (..., *output_shape)."""
        sizes = self._output_shape or (query_shape[-1],)
        rank = len(query_shape)
        free = string.ascii_lowercase[: rank - 1]
        head, feature = list(string.ascii_lowercase[rank - 1 : rank + 1])
        outputs = string.ascii_lowercase[rank + 1 : rank + 1 + len(sizes)]
        return self._dense(
            "attention_output",
            f"{free}{head}{feature},{head}{feature}{outputs}->{free}{outputs}",
            (*(None for _ in free[1:]), *sizes),
            outputs,
            (*tuple(query_shape)[:-1], self.num_heads, self.value_dim),
        )

    # The names under which files hold the projections.

    @property
    def query_dense(self) -> EinsumDense:
        """Projection of the queries."""
        return self._query_dense

    @property
    def key_dense(self) -> EinsumDense:
        """Projection of the keys."""
        return self._key_dense

    @property
    def value_dense(self) -> EinsumDense:
        """Projection of the values."""
        return self._value_dense

    @property
    def output_dense(self) -> EinsumDense:
        """Projection of the outputs."""
        return self._output_dense

    # Calling

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
        self._check_shapes(tuple(value.shape), tuple(key.shape))
        outputs, shares = self._attended(
            query,
            value,
            (self._query_dense(query), self._key_dense(key), self._value_dense(value)),
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
        others = [a for a in range(len(query.shape) - 1) if a not in self._attention_axes]
        shares_shape = (
            *(query.shape[axis] for axis in others),
            self.num_heads,
            *(query.shape[axis] for axis in self._attention_axes),
            *(value.shape[axis] for axis in self._attention_axes),
        )
        return outputs, KerasTensor(shares_shape, dtype=self.compute_dtype)

    def compute_output_shape(
        self, query_shape: Any, value_shape: Any, key_shape: Any = None
    ) -> tuple[int | None, ...]:
        self._check_shapes(tuple(value_shape), tuple(key_shape or value_shape))
        return (*tuple(query_shape)[:-1], *(self._output_shape or (query_shape[-1],)))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "use_gate": self.use_gate,
            "output_shape": self._output_shape,
            "attention_axes": self._attention_axes,
            "sliding_window": self._sliding_window,
            **self._weight_settings(),
            "seed": self.seed,
        }
