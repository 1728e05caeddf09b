"""An embedding whose table also turns vectors back into scores of the rows."""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.layers.embedding import Embedding
from lamina.layers.quantization.reversible_table import ReversibleTable
from lamina.tensor import KerasTensor
from lamina.validation import Boolean, Real, Text


class ReversibleEmbedding(ReversibleTable, Embedding):
    """Look up rows of a table, or with `reverse=True` score every row for a vector.

    outputs = embeddings[inputs], or reversed inputs @ transpose(embeddings)

    Args:
        input_dim: number of rows; inputs must lie in [0, input_dim).
        output_dim: length of a row.
        tie_weights: whether both directions share the table; the reverse has a weight
            reverse_embeddings (output_dim, input_dim) of its own otherwise.
        embeddings_initializer, embeddings_regularizer, embeddings_constraint, mask_zero: as in
            `Embedding`.
        reverse_dtype: dtype that the scores are computed in; that of the layer when None.
        logit_soft_cap: c in c * tanh(scores / c), which bounds the scores; None for no bound.

    Call arguments: inputs, reverse.
    Input shape: `(batch, ...)` of integers; reversed `(batch, ..., output_dim)`.
    Output shape: `(batch, ..., output_dim)`; reversed `(batch, ..., input_dim)`.
    """

    constraints = {
        **Embedding.constraints,
        "tie_weights": Boolean(),
        "reverse_dtype": Text(optional=True),
        "logit_soft_cap": Real(optional=True),
    }

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        tie_weights: bool = True,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        reverse_dtype: str | None = None,
        logit_soft_cap: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer=embeddings_initializer,
            embeddings_regularizer=embeddings_regularizer,
            embeddings_constraint=embeddings_constraint,
            mask_zero=mask_zero,
            **kwargs,
        )
        self.tie_weights, self.reverse_dtype, self.logit_soft_cap = self.validated(
            tie_weights=tie_weights, reverse_dtype=reverse_dtype, logit_soft_cap=logit_soft_cap
        )
        self.reverse_embeddings: Any = None

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        if self.quantization_mode is not None:
            return  # made with the table
        if not self.tie_weights and self.reverse_embeddings is None:
            self.reverse_embeddings = self.add_weight(
                name="reverse_embeddings",
                shape=(self.output_dim, self.input_dim),
                initializer=self.embeddings_initializer,
            )

    def call(self, inputs: Any, reverse: bool = False) -> Any:
        if not reverse:
            return self._with_mask(super().call(inputs), inputs)
        kernel = ops.transpose(self.embeddings) if self.tie_weights else self.reverse_embeddings
        return self._scores(inputs, kernel)

    def _with_mask(self, rows: Any, inputs: Any) -> Any:
        rows.mask = Embedding.compute_mask(self, inputs)
        return rows

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """Return None: only rows that were looked up have a mask, which `call` sets."""
        del inputs, previous_mask

    def compute_output_shape(self, input_shape: Any, reverse: bool = False) -> Any:
        if reverse:
            return (*tuple(input_shape)[:-1], self.input_dim)
        return (*tuple(input_shape), self.output_dim)

    def compute_output_spec(self, inputs: Any, reverse: bool = False) -> Any:
        outputs = KerasTensor(
            self.compute_output_shape(inputs.shape, reverse),
            dtype=(reverse and self.reverse_dtype) or self.compute_dtype,
        )
        if self.mask_zero and not reverse:
            outputs.mask = KerasTensor(inputs.shape, dtype="bool")
        return outputs

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "tie_weights": self.tie_weights,
            "reverse_dtype": self.reverse_dtype,
            "logit_soft_cap": self.logit_soft_cap,
        }
