"""What attentions of several heads share: projections, masks, shares."""

from __future__ import annotations

from typing import Any

from lamina import constraints as weight_constraints
from lamina import initializers, names, ops, random, regularizers
from lamina.layers.base import Layer
from lamina.layers.einsum_dense import EinsumDense
from lamina.layers.head_axes import (
    HeadAxes,
    band_mask,
    both,
    causal_mask,
    over_keys,
    over_queries,
    product,
)
from lamina.validation import check_argument

# The score of a pair that must not count.
_LOWEST, _LOWEST_HALF = -1e9, -3e4


class HeadsAttention(Layer):
    """Attention of several heads between its projections. A subclass makes these in `build`."""

    dropout: float
    use_bias: bool
    seed_generator: Any
    _attention_axes: Any
    _sliding_window: int | None
    _flash_attention: bool | None
    _query_dense: EinsumDense
    _key_dense: EinsumDense
    _value_dense: EinsumDense
    _output_dense: EinsumDense

    @property
    def _scale(self) -> float:
        """What multiplies the products of queries and keys."""
        raise NotImplementedError

    # Arguments

    def _checked_size(self, argument: str, value: Any) -> Any:
        label = f"argument `{argument}`"
        return check_argument(type(self).__name__, label, value, self.constraints[argument])

    def _take_weight_settings(
        self,
        *,
        kernel_initializer: Any,
        bias_initializer: Any,
        kernel_regularizer: Any,
        bias_regularizer: Any,
        kernel_constraint: Any,
        bias_constraint: Any,
    ) -> None:
        self.kernel_initializer = self.resolved(initializers.get, kernel_initializer)
        self.bias_initializer = self.resolved(initializers.get, bias_initializer)
        self.kernel_regularizer = self.resolved(regularizers.get, kernel_regularizer)
        self.bias_regularizer = self.resolved(regularizers.get, bias_regularizer)
        self.kernel_constraint = self.resolved(weight_constraints.get, kernel_constraint)
        self.bias_constraint = self.resolved(weight_constraints.get, bias_constraint)

    def _weight_settings(self) -> dict[str, Any]:
        """Return the settings of the projections' weights for the config."""
        return {
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": weight_constraints.serialize(self.kernel_constraint),
            "bias_constraint": weight_constraints.serialize(self.bias_constraint),
        }

    def _take_flash_attention(self, flash_attention: Any) -> None:
        self._flash_attention = self.validated(flash_attention=flash_attention)
        if self._flash_attention and self.dropout > 0:
            raise ValueError(
                f"{type(self).__name__}: Dropout is not supported when flash attention is enabled."
                f" Got flash_attention=True and dropout={self.dropout}."
            )

    # Weights

    def _dense(
        self,
        name: str,
        equation: str,
        output_shape: Any,
        bias_axes: str,
        input_shape: Any,
        activation: str | None = None,
    ) -> EinsumDense:
        def fresh(initializer: Any) -> Any:
            """A copy, so that each projection draws values of its own."""
            if not hasattr(initializer, "get_config"):
                return initializer
            return type(initializer).from_config(initializer.get_config())

        dense = EinsumDense(
            equation,
            output_shape=output_shape,
            activation=activation,
            bias_axes=bias_axes if self.use_bias else None,
            kernel_initializer=fresh(self.kernel_initializer),
            bias_initializer=fresh(self.bias_initializer),
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            kernel_constraint=self.kernel_constraint,
            bias_constraint=self.bias_constraint,
            dtype=self.dtype_policy,
            name=name,
        )
        dense.supports_masking = True  # the masks of steps act on the scores
        dense.build(tuple(input_shape))
        return dense

    # Computing

    def _attended(
        self,
        query: Any,
        value: Any,
        projected: tuple[Any, Any, Any],
        masks: dict[str, Any],
        return_attention_scores: bool,
        training: bool | None,
        use_causal_mask: bool,
    ) -> tuple[Any, Any]:
        """Merge the masks and attend: `projected` are the heads' queries, keys and values."""
        # A causal mask alone is not made in memory, except for a subclass with its own attention.
        is_causal_only = (
            use_causal_mask
            and self._sliding_window is None
            and all(mask is None for mask in masks.values())
            and type(self)._compute_attention is HeadsAttention._compute_attention
        )
        settings: dict[str, Any] = {"attention_mask": masks["attention_mask"]}
        if return_attention_scores:  # a subclass need not take what is not asked of it
            settings["return_attention_scores"] = True
        if is_causal_only:
            settings["use_causal_mask"] = True
        else:
            settings["attention_mask"] = self._compute_attention_mask(
                query, value, use_causal_mask=use_causal_mask, **masks
            )
        return self._compute_attention(*projected, training=training, **settings)

    # For subclasses: the mask, and what happens between the projections.

    def _compute_attention_mask(
        self,
        query: Any,
        value: Any,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        use_causal_mask: bool = False,
    ) -> Any:
        """Return where queries may see keys, (batch, ..., T, S); None: everywhere."""
        count = len(self._attention_axes)
        allowed = None if attention_mask is None else ops.cast(attention_mask, "bool")
        if query_mask is not None:
            allowed = both(allowed, over_queries(query_mask, count))
        for mask in (value_mask, key_mask):
            if mask is not None:
                allowed = both(allowed, over_keys(mask, count))
        if use_causal_mask:
            allowed = both(allowed, self._compute_causal_mask(query, value))
        if self._sliding_window is not None:
            allowed = both(allowed, self._compute_sliding_window_mask(query, value))
        return allowed

    def _compute_causal_mask(self, query: Any, value: Any = None) -> Any:
        """Return the mask (1, T, S) under which a step sees those up to itself."""
        sizes = self._attended_sizes(query), self._attended_sizes(query if value is None else value)
        mask = causal_mask(product(sizes[0]), product(sizes[1]), query)
        return mask if len(sizes[0]) == 1 else ops.reshape(mask, (1, *sizes[0], *sizes[1]))

    def _compute_sliding_window_mask(self, query: Any, value: Any = None) -> Any:
        """Return the mask (1, T, S) under which a step sees those within the window."""
        sizes = self._attended_sizes(query), self._attended_sizes(query if value is None else value)
        width: Any = self._sliding_window
        mask = band_mask(product(sizes[0]), product(sizes[1]), query, width)
        return mask if len(sizes[0]) == 1 else ops.reshape(mask, (1, *sizes[0], *sizes[1]))

    def _attended_sizes(self, tensor: Any) -> tuple[Any, ...]:
        return tuple(tensor.shape[axis] for axis in self._attention_axes)

    def _compute_attention(
        self,
        query: Any,
        key: Any,
        value: Any,
        attention_mask: Any = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> tuple[Any, Any]:
        """Return the means of the values, and the shares where they are asked for.

        Args:
            query: projected, (batch, T, heads, key_dim); T may stand for several axes.
            key: projected, (batch, S, heads, key_dim).
            value: projected, (batch, S, heads, value_dim).
            attention_mask: where a query may see a key, broadcast to (batch, heads, T, S).
            training: whether shares are dropped.
            return_attention_scores: whether the shares (batch, heads, T, S) are needed.
            use_causal_mask: whether a step sees only those up to itself, beside the mask.
        """
        if self._flash_attention and return_attention_scores:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): Returning attention scores is not supported "
                "when flash attention is enabled. Please disable flash attention to access "
                "attention scores, with flash_attention=False or None."
            )
        query, key, value = (ops.convert_to_tensor(operand) for operand in (query, key, value))
        heads = HeadAxes(query.ndim - 1, self._attention_axes)
        if query.ndim == 4 and self.dropout == 0 and not return_attention_scores:
            if attention_mask is not None:
                attention_mask = heads.fit_mask(attention_mask, query, key)
            outputs = ops.dot_product_attention(
                query,
                key,
                value,
                mask=attention_mask,
                scale=self._scale,
                is_causal=use_causal_mask,
                flash_attention=self._flash_attention,
            )
            return outputs, None
        if use_causal_mask:
            attention_mask = both(attention_mask, self._compute_causal_mask(query, key))
        queries = heads.in_front(query * self._scale)
        keys, values = heads.in_front(key), heads.in_front(value)
        scores = ops.matmul(heads.merged(queries), ops.swapaxes(heads.merged(keys), -1, -2))
        if attention_mask is not None:
            attention_mask = heads.fit_mask(attention_mask, queries, keys)
        shares = dropped = self._masked_softmax(scores, attention_mask)
        if training and self.seed_generator is not None:
            dropped = random.dropout(shares, rate=self.dropout, seed=self.seed_generator)
        outputs = heads.back(ops.matmul(dropped, heads.merged(values)), queries)
        return outputs, heads.split(shares, queries, keys)

    @staticmethod
    def _count_inner_names() -> None:
        """Keras makes a Softmax and a Dropout inside: they count in the names of later layers."""
        for name in ("softmax", "dropout"):
            names.auto_name(name)

    def _masked_softmax(self, scores: Any, attention_mask: Any = None) -> Any:
        """Return the shares of the keys; a query that may see nothing has none."""
        if attention_mask is None:
            return ops.softmax(scores, axis=-1)
        lowest = _LOWEST_HALF if scores.dtype == "float16" else _LOWEST
        shares = ops.softmax(ops.where(attention_mask, scores, lowest), axis=-1)
        return ops.where(attention_mask, shares, 0.0)
