"""Embedding tables of eight and of four bits, and their low-rank adaptation."""

from __future__ import annotations

from typing import Any

from lamina import ops, serialization, tracing
from lamina.layers.lora import LowRankAdaptation
from lamina.layers.quantization.arithmetic import (
    block_count,
    dequantized_blocks,
    group_indices,
    unpacked,
)
from lamina.quantizers.configuration import QuantizationConfig
from lamina.quantizers.integer import (
    abs_max_quantize_grouped_with_zero_point,
    pack_int4,
    unpack_int4,
)
from lamina.quantizers.quantizer import AbsMaxQuantizer
from lamina.tensor import Tensor
from lamina.variable import Variable

INT4_RANGE, INT8_RANGE = (-8, 7), (-127, 127)
TABLE_MODES = ("int8", "int4")


def int8_values(values: Any, name: str, axis: int, quantizer: Any) -> dict[str, Any]:
    """Return a table in eight bits and its scales, by the names of the weights."""
    quantizer = quantizer or AbsMaxQuantizer(axis=axis)
    whole, scale = quantizer(values)
    return {name: whole, f"{name}_scale": ops.reshape(scale, (-1,))}


class QuantizedTable(LowRankAdaptation):
    """A layer with a table of vectors that can be quantized and adapted.

    int8: embeddings (rows, columns) in int8 and embeddings_scale (rows,); value = embeddings /
    embeddings_scale. int4: two columns to a byte, with embeddings_scale (rows,), or with blocks
    of columns embeddings_scale and embeddings_zero (rows, blocks) and g_idx, the block of each
    column; value = (embeddings - embeddings_zero) * embeddings_scale. Low-rank adaptation adds
    (lora_alpha / lora_rank) * lora_embeddings_a @ lora_embeddings_b.
    """

    _adapted_name = "embeddings"
    _embeddings: Any
    input_dim: int
    output_dim: int
    quantization_config: QuantizationConfig | None
    _is_quantized = False
    _int4_block_size: int | None = None

    def _init_quantization(
        self, lora_rank: int | None, lora_alpha: float | None, quantization_config: Any
    ) -> None:
        self._init_lora(lora_rank, lora_alpha)
        if isinstance(quantization_config, dict):
            quantization_config = serialization.deserialize_keras_object(quantization_config)
        self.quantization_config = quantization_config

    @property
    def embeddings(self) -> Any:
        """The table (input_dim, output_dim), with what adaptation adds; None before `build`.

        Quantized to four bits, its whole numbers.
        """
        if self._embeddings is None:
            return None
        table = self._embeddings
        if self.quantization_mode == "int4":
            table = unpack_int4(table, self.output_dim, axis=-1)
        if not self.lora_enabled:
            return table
        added = self._lora_product()
        return ops.cast(table, added.dtype) + added

    # Low-rank adaptation

    def _add_matrices(self, rank: int, a_initializer: Any, b_initializer: Any) -> None:
        self.lora_embeddings_a = self._matrix("a", (self.input_dim, rank), a_initializer)
        self.lora_embeddings_b = self._matrix("b", (rank, self.output_dim), b_initializer)

    def _lora_product(self) -> Tensor:
        product = ops.matmul(self.lora_embeddings_a, self.lora_embeddings_b)
        return product * (self.lora_alpha / self.lora_rank)

    def _adapted_rows(self, rows: Tensor, ids: Tensor) -> Tensor:
        """Add to the rows that were looked up what adaptation adds to them."""
        if not self.lora_enabled:
            return rows
        low = tracing.apply("embedding", self.lora_embeddings_a.value, ids)
        added = ops.matmul(low, self.lora_embeddings_b) * (self.lora_alpha / self.lora_rank)
        return ops.cast(rows, added.dtype) + added

    # Quantizing

    def quantize(
        self, mode: str | None = None, type_check: bool = True, config: Any = None
    ) -> None:
        """Replace the table by one of few bits; see `Layer.quantize`.

        Raises:
            NotImplementedError: for a mode other than "int8" and "int4".
        """
        config = self._checked_own_request(mode, type_check, config)
        if config.mode not in TABLE_MODES:
            raise self._invalid_mode(config.mode, TABLE_MODES)
        values = self._quantized_values(config)
        self._drop_tables()
        self.quantization_config = config
        self.quantized_build((self.input_dim, self.output_dim), config.mode, config)
        for name, value in values.items():
            getattr(self, name).assign(value)
        self._take_policy(config)

    def _quantized_values(self, config: QuantizationConfig) -> dict[str, Any]:
        return self._table_values(self._embeddings.value, config.mode, config)

    def _drop_tables(self) -> None:
        del self._embeddings

    def quantized_build(self, embeddings_shape: Any, mode: str, config: Any = None) -> None:
        """Make the weights of a table in `mode`, with first values.

        Raises:
            NotImplementedError: for an unknown mode.
        """
        del embeddings_shape
        if mode not in TABLE_MODES:
            raise self._invalid_mode(mode, TABLE_MODES)
        with self._open_for_weights():
            if mode == "int4":
                self._int4_block_size = self._block_size_for(config)
                self._orig_output_dim = self.output_dim
            self._build_tables(mode, config)
        self._is_quantized = True

    def _build_tables(self, mode: str, config: QuantizationConfig | None) -> None:
        del config
        rows, columns = self.input_dim, self.output_dim
        if mode == "int8":
            self._embeddings = self._bits("embeddings", (rows, columns))
            self.embeddings_scale = self._scale("embeddings_scale", (rows,))
            return
        self._embeddings = self._bits("embeddings", (rows, (columns + 1) // 2))
        if not self._has_blocks:
            self.embeddings_scale = self._scale("embeddings_scale", (rows,))
            return
        blocks = block_count(columns, self._int4_block_size)
        self.embeddings_scale = self._scale("embeddings_scale", (rows, blocks))
        self.embeddings_zero = self._bits("embeddings_zero", (rows, blocks))
        self.g_idx = self.add_weight(
            name="g_idx", shape=(columns,), initializer="zeros", dtype="float32", trainable=False
        )
        self.g_idx.assign(group_indices(columns, self._int4_block_size))

    def _bits(self, name: str, shape: tuple[int, ...]) -> Variable:
        return self.add_weight(
            name=name, shape=shape, initializer="zeros", dtype="int8", trainable=False
        )

    def _scale(self, name: str, shape: tuple[int, ...]) -> Variable:
        # Not cast: rows are cast once they are numbers again.
        return self.add_weight(
            name=name, shape=shape, initializer="ones", trainable=False, autocast=False
        )

    @property
    def _has_blocks(self) -> bool:
        return self._int4_block_size not in (None, -1)

    def _block_size_for(self, config: QuantizationConfig | None) -> int | None:
        if config is not None:
            return getattr(config, "block_size", None)
        size = getattr(self._policy, "block_size", None)
        return None if size == -1 else size

    def _table_values(
        self, table: Any, mode: str, config: QuantizationConfig | None
    ) -> dict[str, Any]:
        """Return the values of the weights that `_build_tables` makes of a table."""
        quantizer = QuantizationConfig.weight_quantizer_or_default(config, None)
        if mode == "int8":
            values = int8_values(table, "embeddings", -1, quantizer)
        elif self._block_size_for(config) in (None, -1):
            quantizer = quantizer or AbsMaxQuantizer(axis=-1, value_range=INT4_RANGE)
            values = int8_values(table, "embeddings", -1, quantizer)
            values["embeddings"] = pack_int4(values["embeddings"], axis=-1)[0]
        else:
            size = self._block_size_for(config)
            whole, scale, zero = abs_max_quantize_grouped_with_zero_point(
                ops.transpose(table), int(size or 1), value_range=INT4_RANGE
            )
            values = {
                "embeddings": pack_int4(ops.transpose(whole), axis=-1)[0],
                "embeddings_scale": ops.transpose(scale),
                "embeddings_zero": ops.transpose(zero),
            }
        values["_embeddings"] = values.pop("embeddings")
        return values

    # Calling

    def _ids(self, inputs: Any) -> Any:
        return inputs if inputs.dtype in ("int32", "int64") else ops.cast(inputs, "int32")

    def _looked_up_scale(self, ids: Any) -> Tensor:
        """Return the scales of the rows, (..., blocks) or (..., 1)."""
        table = ops.reshape(self.embeddings_scale.value, (self.input_dim, -1))
        return tracing.apply("embedding", table, ids)

    def _int8_call(self, inputs: Any, training: bool | None = None) -> Any:
        del training
        ids = self._ids(inputs)
        scale = self._looked_up_scale(ids)
        whole = tracing.apply("embedding", self._embeddings.value, ids)
        rows = ops.cast(whole, scale.dtype) / scale
        return ops.cast(self._adapted_rows(rows, ids), self.compute_dtype)

    def _int4_call(self, inputs: Any, training: bool | None = None) -> Any:
        del training
        ids = self._ids(inputs)
        packed = tracing.apply("embedding", self._embeddings.value, ids)
        scale = self._looked_up_scale(ids)
        whole = unpacked(packed, self.output_dim, -1, scale.dtype)
        if not self._has_blocks:
            rows = whole / scale
        else:
            zero = tracing.apply("embedding", self.embeddings_zero.value, ids)
            rows = dequantized_blocks(whole, scale, zero, self.g_idx, axis=-1)
        return ops.cast(self._adapted_rows(rows, ids), self.compute_dtype)

    def _plain_table(self) -> Tensor:
        """Return the table that the bits stand for."""
        scale = self.embeddings_scale.value
        if self.quantization_mode == "int8":
            return ops.cast(self._embeddings, scale.dtype) / ops.expand_dims(scale, -1)
        whole = unpacked(self._embeddings.value, self.output_dim, -1, scale.dtype)
        if not self._has_blocks:
            return whole / ops.expand_dims(scale, -1)
        return dequantized_blocks(whole, scale, self.embeddings_zero.value, self.g_idx, axis=-1)

    # Files

    @property
    def variable_serialization_spec(self) -> dict[str | None, list[str]]:
        """Names of the weights in a file, by quantization mode; None is the plain layer."""
        return {
            None: ["embeddings"],
            "int8": ["embeddings", "embeddings_scale"],
            "int4": ["embeddings", "embeddings_scale", "embeddings_zero", "g_idx"],
        }

    def _attribute_of(self, name: str) -> str:
        return "_embeddings" if name == "embeddings" else name

    def _merged_values(self) -> dict[int, Any]:
        """The table with what adaptation adds, quantized again where it was."""
        if not self.lora_enabled:
            return {}
        mode, added = self.quantization_mode, self._lora_product()
        if mode is None:
            return {id(self._embeddings): self._embeddings.value + added}
        values = self._table_values(self._plain_table() + added, mode, self.quantization_config)
        return {id(getattr(self, name)): value for name, value in values.items()}

    def _loaded(self) -> None:
        """Adaptation begins from zero matrices."""
        if self.lora_enabled:
            for matrix in (self.lora_embeddings_a, self.lora_embeddings_b):
                matrix.assign(ops.zeros(matrix.shape, matrix.dtype))

    def _quantization_config(self) -> dict[str, Any]:
        """The entries of `get_config` that tell of adaptation and quantization."""
        config = {
            "quantization_config": serialization.serialize_keras_object(self.quantization_config)
        }
        if self.lora_rank:
            config |= {"lora_rank": self.lora_rank, "lora_alpha": self.lora_alpha}
        return config
