"""Quantized tables that also score rows: the reverse direction of `ReversibleEmbedding`."""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.layers.quantization.arithmetic import (
    block_count,
    dequantized_blocks,
    exact_product,
    quantized_inputs,
    unpacked,
)
from lamina.layers.quantization.table import INT4_RANGE, INT8_RANGE, QuantizedTable
from lamina.quantizers.configuration import QuantizationConfig
from lamina.quantizers.integer import abs_max_quantize_grouped_with_zero_point, pack_int4
from lamina.quantizers.quantizer import AbsMaxQuantizer
from lamina.tensor import Tensor


class ReversibleTable(QuantizedTable):
    """A table and, when the weights are not tied, a matrix (columns, rows) for the reverse.

    The matrix is quantized like the table, with scales for each row of the table:
    reverse_embeddings, reverse_embeddings_scale, and reverse_embeddings_zero with blocks.
    """

    tie_weights: bool
    reverse_embeddings: Any
    reverse_dtype: str | None
    logit_soft_cap: float | None
    inputs_quantizer: Any = None

    def _scores(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Multiply by the reverse matrix, and bound the scores."""
        dtype = self.reverse_dtype or self.compute_dtype
        return self._capped(ops.matmul(ops.cast(inputs, dtype), ops.cast(kernel, dtype)))

    def _capped(self, scores: Tensor) -> Tensor:
        if self.logit_soft_cap is None:
            return scores
        capped: Tensor = ops.tanh(scores / self.logit_soft_cap) * self.logit_soft_cap
        return capped

    # Quantizing

    def _quantized_values(self, config: QuantizationConfig) -> dict[str, Any]:
        values = super()._quantized_values(config)
        if not self.tie_weights:
            values |= self._reverse_values(self.reverse_embeddings.value, config)
        return values

    def _drop_tables(self) -> None:
        super()._drop_tables()
        if not self.tie_weights:
            del self.reverse_embeddings

    def _reverse_values(self, matrix: Tensor, config: QuantizationConfig) -> dict[str, Any]:
        size = self._block_size_for(config)
        if config.mode == "int4" and size not in (None, -1):
            whole, scale, zero = abs_max_quantize_grouped_with_zero_point(
                matrix, int(size or 1), value_range=INT4_RANGE
            )
            return {
                "reverse_embeddings": pack_int4(whole, axis=0)[0],
                "reverse_embeddings_scale": scale,
                "reverse_embeddings_zero": zero,
            }
        limits = INT8_RANGE if config.mode == "int8" else INT4_RANGE
        quantizer = QuantizationConfig.weight_quantizer_or_default(
            config, AbsMaxQuantizer(axis=0, value_range=limits)
        )
        whole, scale = quantizer(matrix, axis=0)
        if config.mode == "int4":
            whole = pack_int4(whole, axis=0)[0]
        scale = ops.reshape(scale, (-1,))
        return {"reverse_embeddings": whole, "reverse_embeddings_scale": scale}

    def _build_tables(self, mode: str, config: QuantizationConfig | None) -> None:
        super()._build_tables(mode, config)
        default = AbsMaxQuantizer(axis=-1) if mode == "int8" else None
        self.inputs_quantizer = QuantizationConfig.activation_quantizer_or_default(config, default)
        if self.tie_weights:
            return
        rows, columns = self.input_dim, self.output_dim
        stored = columns if mode == "int8" else (columns + 1) // 2
        self.reverse_embeddings = self._bits("reverse_embeddings", (stored, rows))
        if mode == "int8" or not self._has_blocks:
            self.reverse_embeddings_scale = self._scale("reverse_embeddings_scale", (rows,))
            return
        blocks = (block_count(columns, self._int4_block_size), rows)
        self.reverse_embeddings_scale = self._scale("reverse_embeddings_scale", blocks)
        self.reverse_embeddings_zero = self.add_weight(
            name="reverse_embeddings_zero", shape=blocks, initializer="zeros", trainable=False
        )

    # Calling

    def _int8_call(self, inputs: Any, reverse: bool = False) -> Any:  # type: ignore[override]
        if not reverse:
            return self._with_mask(super()._int8_call(inputs), inputs)
        if self.tie_weights:
            whole, scale = ops.transpose(self._embeddings), self.embeddings_scale.value
        else:
            whole, scale = self.reverse_embeddings.value, self.reverse_embeddings_scale.value
        return self._reversed(inputs, whole, scale)

    def _int4_call(self, inputs: Any, reverse: bool = False) -> Any:  # type: ignore[override]
        if not reverse:
            return self._with_mask(super()._int4_call(inputs), inputs)
        if self._has_blocks or self.inputs_quantizer is None:
            return self._scores(inputs, self._reverse_kernel())
        whole = self._reverse_whole("float32")
        scale = self.embeddings_scale if self.tie_weights else self.reverse_embeddings_scale
        return self._reversed(inputs, whole, scale.value)

    def _reversed(self, inputs: Any, whole: Tensor, scale: Tensor) -> Tensor:
        """Return the scores from a matrix of whole numbers and its scales."""
        dtype = self.reverse_dtype or self.compute_dtype
        x, scale = ops.cast(inputs, dtype), ops.cast(scale, dtype)
        if self.inputs_quantizer is None:
            return self._capped(ops.matmul(x, ops.cast(whole, dtype)) / scale)
        quantized, inputs_scale = quantized_inputs(self.inputs_quantizer, x, -1)
        axes = (len(x.shape) - 1,)
        scores = exact_product(ops.matmul, quantized, whole, axes, (0,))
        return self._capped(ops.cast(scores, dtype) / (inputs_scale * scale))

    def _reverse_whole(self, dtype: str) -> Tensor:
        """Return the four-bit numbers as a matrix (columns, rows)."""
        if self.tie_weights:
            whole = unpacked(self._embeddings.value, self.output_dim, -1, dtype)
            return ops.transpose(whole)
        return unpacked(self.reverse_embeddings.value, self.output_dim, 0, dtype)

    def _reverse_kernel(self) -> Tensor:
        """Return the matrix (columns, rows) that the four bits stand for."""
        if self.tie_weights:
            return ops.transpose(self._plain_table())
        scale = self.reverse_embeddings_scale.value
        whole = self._reverse_whole(scale.dtype)
        if not self._has_blocks:
            return whole / scale
        zero = self.reverse_embeddings_zero.value
        return dequantized_blocks(whole, scale, zero, self.g_idx, axis=0)

    def _with_mask(self, rows: Any, inputs: Any) -> Any:
        """Let the rows that were looked up carry their mask."""
        raise NotImplementedError

    # Files

    @property
    def variable_serialization_spec(self) -> dict[str | None, list[str]]:
        """Names of the weights in a file, by quantization mode; None is the plain layer."""
        names = super().variable_serialization_spec
        names[None] += ["reverse_embeddings"]
        names["int8"] += ["reverse_embeddings", "reverse_embeddings_scale"]
        names["int4"] += [
            "reverse_embeddings",
            "reverse_embeddings_scale",
            "reverse_embeddings_zero",
        ]
        return names
