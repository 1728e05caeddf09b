"""Attention of several heads."""

from __future__ import annotations

import math
import string
from typing import Any

from lamina import constraints as weight_constraints
from lamina import initializers, ops, random, regularizers
from lamina.layers.attention import band_mask, both, causal_mask
from lamina.layers.base import Layer
from lamina.layers.einsum_dense import EinsumDense
from lamina.tensor import KerasTensor
from lamina.validation import Boolean, Either, Integer, Real, Sizes

_MASKED = -1e9  # the score of a pair that must not count


class MultiHeadAttention(Layer):
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
        self.num_heads, self.key_dim, value_dim, self.dropout, self.use_bias = self.validated(
            num_heads=num_heads,
            key_dim=key_dim,
            value_dim=value_dim,
            dropout=dropout,
            use_bias=use_bias,
        )
        output_shape, self._sliding_window, self.use_gate, self.seed = self.validated(
            output_shape=output_shape,
            sliding_window=sliding_window,
            use_gate=use_gate,
            seed=seed,
        )
        self._flash_attention = self.validated(flash_attention=flash_attention)
        if self._flash_attention and self.dropout > 0:
            raise ValueError(
                f"{type(self).__name__}: flash_attention=True needs dropout=0. "
                f"Got dropout={self.dropout}."
            )
        self.value_dim = value_dim or key_dim
        self._output_shape = (output_shape,) if isinstance(output_shape, int) else output_shape
        self._attention_axes = self._checked_axes(attention_axes)
        self.kernel_initializer = self.resolved(initializers.get, kernel_initializer)
        self.bias_initializer = self.resolved(initializers.get, bias_initializer)
        self.kernel_regularizer = self.resolved(regularizers.get, kernel_regularizer)
        self.bias_regularizer = self.resolved(regularizers.get, bias_regularizer)
        self.kernel_constraint = self.resolved(weight_constraints.get, kernel_constraint)
        self.bias_constraint = self.resolved(weight_constraints.get, bias_constraint)
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
            self._gate_dense = self._projection("gate", query_shape, self.value_dim)
        self._value_dense = self._projection("value", value_shape, self.value_dim)
        self._output_dense = self._output_projection(query_shape)

    def _check_shapes(self, value_shape: tuple[Any, ...], key_shape: tuple[Any, ...]) -> None:
        if value_shape[:-1] != key_shape[:-1]:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): sizes of value and key must be equal on all "
                f"axes but the last. Got shapes {value_shape} and {key_shape}."
            )

    def _projection(self, name: str, shape: Any, size: int) -> EinsumDense:
        """Project the features to all heads: (..., dim) to (..., heads, size)."""
        free = string.ascii_lowercase[: len(shape) - 1]
        dim, head, feature = list(string.ascii_lowercase[len(shape) - 1 : len(shape) + 2])
        return self._dense(
            name,
            f"{free}{dim},{dim}{head}{feature}->{free}{head}{feature}",
            (*(None for _ in free[1:]), self.num_heads, size),
            head + feature,
            shape,
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

    def _dense(
        self, name: str, equation: str, output_shape: Any, bias_axes: str, input_shape: Any
    ) -> EinsumDense:
        def fresh(initializer: Any) -> Any:
            """A copy, so that each projection draws values of its own."""
            if not hasattr(initializer, "get_config"):
                return initializer
            return type(initializer).from_config(initializer.get_config())

        dense = EinsumDense(
            equation,
            output_shape=output_shape,
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

    # Calling

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
        del query_mask  # travels on with the output
        if self._flash_attention and return_attention_scores:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): attention scores need flash_attention=False."
            )
        key = value if key is None else key
        self._check_shapes(tuple(value.shape), tuple(key.shape))
        heads = _Axes(len(query.shape), self._attention_axes)
        queries = heads.in_front(self._query_dense(query) * self.key_dim**-0.5)
        keys = heads.in_front(self._key_dense(key))
        values = heads.in_front(self._value_dense(value))
        scores = ops.matmul(heads.merged(queries), ops.swapaxes(heads.merged(keys), -1, -2))
        allowed = self._allowed(scores, value_mask, key_mask, use_causal_mask)
        if attention_mask is not None:
            allowed = both(allowed, heads.fit_mask(attention_mask, scores))
        shares = self._shares(scores, allowed)
        dropped = shares
        if training and self.seed_generator is not None:
            dropped = random.dropout(shares, rate=self.dropout, seed=self.seed_generator)
        outputs = ops.matmul(dropped, heads.merged(values))
        outputs = heads.back(outputs, queries)
        if self.use_gate:
            outputs = outputs * ops.sigmoid(self._gate_dense(query))
        outputs = self._output_dense(outputs)
        if not return_attention_scores:
            return outputs
        return outputs, heads.split(shares, queries, keys)

    def _allowed(self, scores: Any, value_mask: Any, key_mask: Any, use_causal_mask: bool) -> Any:
        """Return where a query may see a key, broadcast to the scores; None: everywhere."""
        allowed = None
        for mask in (value_mask, key_mask):
            if mask is not None:
                steps = ops.cast(mask, "bool")
                while steps.ndim < scores.ndim:
                    steps = ops.expand_dims(steps, 1)
                allowed = both(allowed, steps)
        if use_causal_mask:
            allowed = both(allowed, causal_mask(scores))
        if self._sliding_window is not None:
            allowed = both(allowed, band_mask(scores, self._sliding_window))
        return allowed

    @staticmethod
    def _shares(scores: Any, allowed: Any) -> Any:
        if allowed is None:
            return ops.softmax(scores, axis=-1)
        shares = ops.softmax(ops.where(allowed, scores, _MASKED), axis=-1)
        return ops.where(allowed, shares, 0.0)

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
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": weight_constraints.serialize(self.kernel_constraint),
            "bias_constraint": weight_constraints.serialize(self.bias_constraint),
            "seed": self.seed,
        }


class _Axes:
    """How the axes of projections (batch, ..., heads, size) become those of a matrix product.

    The axes that attention runs over come last before the size, in the order given; with several
    of them, one axis stands for all inside the product.
    """

    def __init__(self, rank: int, attention_axes: Any) -> None:
        self.attention = tuple(attention_axes)
        others = [axis for axis in range(rank - 1) if axis not in self.attention]
        heads, size = rank - 1, rank
        self.order = (*others, heads, *self.attention, size)
        self.leading = len(others) + 1

    def in_front(self, projected: Any) -> Any:
        """Move the heads before the axes that attention runs over."""
        return ops.transpose(projected, self.order)

    def _sizes(self, tensor: Any) -> tuple[int | None, ...]:
        return tuple(tensor.shape[self.leading : self.leading + len(self.attention)])

    def merged(self, tensor: Any) -> Any:
        """Make one axis of those that attention runs over."""
        if len(self.attention) == 1:
            return tensor
        return _reshaped(tensor, (*tensor.shape[: self.leading], -1, tensor.shape[-1]))

    def back(self, outputs: Any, queries: Any) -> Any:
        """Undo `merged` and `in_front` for the means of the values."""
        if len(self.attention) > 1:
            leading = outputs.shape[: self.leading]
            outputs = _reshaped(outputs, (*leading, *self._sizes(queries), outputs.shape[-1]))
        places = [self.order.index(axis) for axis in range(len(self.order))]
        return ops.transpose(outputs, places)

    def split(self, shares: Any, queries: Any, keys: Any) -> Any:
        """Undo `merged` for the shares."""
        if len(self.attention) == 1:
            return shares
        leading = shares.shape[: self.leading]
        return _reshaped(shares, (*leading, *self._sizes(queries), *self._sizes(keys)))

    def fit_mask(self, mask: Any, scores: Any) -> Any:
        """Give a mask (batch, ..., T..., S...) the axes of the scores."""
        mask = ops.cast(mask, "bool")
        count = len(self.attention)
        if count > 1:
            leading, sizes = mask.shape[: -2 * count], mask.shape[-2 * count :]
            queries, keys = _product(sizes[:count]), _product(sizes[count:])
            mask = _reshaped(mask, (*leading, queries, keys))
        while mask.ndim < scores.ndim:
            mask = ops.expand_dims(mask, -3)
        return mask


def _product(sizes: tuple[int | None, ...]) -> int | None:
    return None if None in sizes else math.prod(size for size in sizes if size is not None)


def _reshaped(tensor: Any, shape: tuple[int | None, ...]) -> Any:
    """Reshape to sizes of which one may be unknown."""
    return ops.reshape(tensor, tuple(-1 if size is None else size for size in shape))
