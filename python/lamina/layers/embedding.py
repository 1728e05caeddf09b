"""Rows of a table, looked up by integers."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from lamina import constraints as weight_constraints
from lamina import initializers, ops, regularizers, tracing
from lamina.layers.building import stack_level_of_user
from lamina.layers.quantization.table import QuantizedTable
from lamina.validation import Boolean


class Embedding(QuantizedTable):
    """Look up one row of a table for each integer.

    Args:
        input_dim: number of rows; inputs must lie in [0, input_dim).
        output_dim: length of a row.
        embeddings_initializer: first values.
        embeddings_regularizer: penalty added to the loss.
        embeddings_constraint: applied after each update.
        mask_zero: whether 0 means "no value here"; the output then carries a mask.
        weights: table to start from, an array or a list that holds one.
        lora_rank, lora_alpha: as for `enable_lora`, which `build` then calls; None for none.
        quantization_config: settings of the quantization that the dtype policy asks for; the
            mode's own when None.

    Input shape: `(batch, ...)` of integers. Output shape: `(batch, ..., output_dim)`.
    Weights: embeddings (input_dim, output_dim), uniform in [-0.05, 0.05].
    Raises: ValueError, naming the id, when an id is out of range.
    """

    constraints = {
        "mask_zero": Boolean(),
    }

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.pop("input_length", None) is not None:
            warnings.warn(
                "Embedding: the argument `input_length` is deprecated and has no effect. "
                "Remove it.",
                stacklevel=stack_level_of_user(),
            )
        super().__init__(**kwargs)
        self._init_quantization(lora_rank, lora_alpha, quantization_config)
        self.input_dim = self._checked_size("input_dim", input_dim)
        self.output_dim = self._checked_size("output_dim", output_dim)
        self.mask_zero = self.validated(mask_zero=mask_zero)
        self.embeddings_initializer = self.resolved(initializers.get, embeddings_initializer)
        self.embeddings_regularizer = self.resolved(regularizers.get, embeddings_regularizer)
        self.embeddings_constraint = self.resolved(weight_constraints.get, embeddings_constraint)
        self.supports_masking = self.mask_zero
        self.autocast = False
        self._embeddings: Any = None
        if weights is not None:
            self.build(None)
            self.set_weights(weights if isinstance(weights, (list, tuple)) else [weights])

    def _checked_size(self, argument: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(
                f"{type(self).__name__}: `{argument}` must be a positive integer. Got {value!r}."
            )
        return int(value)

    @property
    def input_dtype(self) -> str:
        """Dtype of the ids."""
        return "int32"

    def build(self, input_shape: Any = None) -> None:
        del input_shape
        if self._embeddings is not None:
            return
        shape, mode = (self.input_dim, self.output_dim), self.quantization_mode
        if mode is not None:
            self.quantized_build(shape, mode, self.quantization_config)
        else:
            self._embeddings = self.add_weight(
                name="embeddings",
                shape=shape,
                initializer=self.embeddings_initializer,
                regularizer=self.embeddings_regularizer,
                constraint=self.embeddings_constraint,
                autocast=False,  # the rows that are looked up are cast, not the table
            )
        if self.lora_rank:
            self.enable_lora(self.lora_rank, self.lora_alpha)

    def get_build_config(self) -> dict[str, Any] | None:
        """Return what files hold of `build`: it needs no shape, but was called."""
        return super().get_build_config() or ({"input_shape": None} if self.built else None)

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build as `get_build_config()` tells."""
        if not self.built:
            self.build(config.get("input_shape"))

    def call(self, inputs: Any) -> Any:
        ids = self._ids(inputs)
        rows = tracing.apply("embedding", self._embeddings.value, ids)
        rows = self._adapted_rows(rows, ids)
        return rows if rows.dtype == self.compute_dtype else ops.cast(rows, self.compute_dtype)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        del mask
        return ops.not_equal(inputs, 0) if self.mask_zero else None

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (*tuple(input_shape), self.output_dim)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
            "embeddings_regularizer": regularizers.serialize(self.embeddings_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "embeddings_constraint": weight_constraints.serialize(self.embeddings_constraint),
            "mask_zero": self.mask_zero,
            **self._quantization_config(),
        }
