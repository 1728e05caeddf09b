"""Kernels of eight and of four bits."""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.layers.quantization.arithmetic import (
    block_count,
    dequantized_blocks,
    exact_product,
    group_indices,
    quantized_inputs,
    unpacked,
)
from lamina.layers.quantization.kernel_layout import KernelLayout
from lamina.quantizers.configuration import QuantizationConfig
from lamina.quantizers.integer import (
    abs_max_quantize_grouped_with_zero_point,
    pack_int4,
    unpack_int4,
)
from lamina.quantizers.quantizer import AbsMaxQuantizer
from lamina.tensor import Tensor

_INT4_RANGE = (-8, 7)


class IntegerKernel(KernelLayout):
    """The modes "int8" and "int4" of a layer with a kernel.

    int8: weights kernel (as it was, int8) and kernel_scale (for each output); value = kernel /
    kernel_scale. int4: the kernel as a matrix (inputs, outputs), two outputs to a byte, with
    kernel_scale (outputs,), or with blocks of inputs kernel_scale and kernel_zero (blocks,
    outputs) and g_idx, the block of each input; value = (kernel - kernel_zero) * kernel_scale.
    """

    inputs_quantizer: Any = None
    _int4_block_size: int | None = None

    # int8

    def _int8_build(self, kernel_shape: Any, config: QuantizationConfig | None) -> None:
        self.inputs_quantizer = QuantizationConfig.activation_quantizer_or_default(
            config, AbsMaxQuantizer(axis=-1)
        )
        self._kernel = self._kernel_of_bits("kernel", kernel_shape, "int8")
        self.kernel_scale = self.add_weight(
            name="kernel_scale",
            shape=self._scale_shape(kernel_shape),
            initializer="ones",
            trainable=False,
        )

    def _int8_values(self, kernel: Any, config: QuantizationConfig | None) -> dict[str, Any]:
        """Return the values of the weights that `_int8_build` makes."""
        axes = self._kernel_reduced_axes
        quantizer = QuantizationConfig.weight_quantizer_or_default(
            config, AbsMaxQuantizer(axis=axes)
        )
        whole, scale = quantizer(kernel)
        shape = self._scale_shape(kernel.shape)
        return {"_kernel": whole, "kernel_scale": ops.reshape(self._scale_in_outputs(scale), shape)}

    def _int8_call(self, inputs: Any, training: bool | None = None) -> Any:
        del training
        x = self._as_float(inputs)
        kernel, scale = self._kernel.value, self.kernel_scale.value
        if self.inputs_quantizer is None:
            outputs = self._product(x, ops.cast(kernel, x.dtype)) / scale
        else:
            outputs = self._exact_product(x, kernel, scale)
        return self._activated(outputs + self._adaptation(x))

    def _exact_product(self, x: Tensor, kernel: Tensor, scale: Tensor) -> Tensor:
        """Multiply quantized inputs by whole numbers, exactly; divide by both scales."""
        axes = self._input_reduced_axes(len(x.shape))
        whole, inputs_scale = quantized_inputs(self.inputs_quantizer, x, axes)
        product = exact_product(self._product, whole, kernel, axes, self._kernel_reduced_axes)
        divisor = self._inputs_scale_in_outputs(inputs_scale) * scale
        outputs: Tensor = ops.cast(product, x.dtype) / divisor
        return outputs

    # int4

    def _int4_build(self, kernel_shape: Any, config: QuantizationConfig | None) -> None:
        rows, columns = self._matrix_shape(kernel_shape)
        self.original_kernel_shape = tuple(kernel_shape)
        self._orig_output_dim = columns
        self._int4_block_size = self._block_size_for(config)
        self.inputs_quantizer = QuantizationConfig.activation_quantizer_or_default(config, None)
        self._kernel = self._kernel_of_bits("kernel", (rows, (columns + 1) // 2), "int8")
        if self._int4_block_size in (None, -1):
            self.kernel_scale = self._constant_weight("kernel_scale", (columns,), "ones")
            return
        blocks = (block_count(rows, self._int4_block_size), columns)
        self.kernel_scale = self._constant_weight("kernel_scale", blocks, "ones")
        self.kernel_zero = self._constant_weight("kernel_zero", blocks, "zeros", "int8")
        self.g_idx = self._constant_weight("g_idx", (rows,), "zeros", "float32")
        self.g_idx.assign(group_indices(rows, self._int4_block_size))

    def _block_size_for(self, config: QuantizationConfig | None) -> int | None:
        if config is not None:
            return getattr(config, "block_size", None)
        size = getattr(self._policy, "block_size", None)
        return None if size == -1 else size

    def _int4_values(self, kernel: Any, config: QuantizationConfig | None) -> dict[str, Any]:
        """Return the values of the weights that `_int4_build` makes."""
        matrix = ops.reshape(kernel, self._matrix_shape(kernel.shape))
        size = self._block_size_for(config)
        if size not in (None, -1):
            self._refuse_quantizers(config, size)
            whole, scale, zero = abs_max_quantize_grouped_with_zero_point(
                matrix, size, value_range=_INT4_RANGE
            )
            packed = pack_int4(whole, axis=-1)[0]
            return {"_kernel": packed, "kernel_scale": scale, "kernel_zero": zero}
        quantizer = QuantizationConfig.weight_quantizer_or_default(
            config, AbsMaxQuantizer(axis=0, value_range=_INT4_RANGE)
        )
        whole, scale = quantizer(matrix, axis=0)
        packed = pack_int4(whole, axis=-1)[0]
        return {"_kernel": packed, "kernel_scale": ops.reshape(scale, (-1,))}

    def _refuse_quantizers(self, config: Any, size: Any) -> None:
        quantizers = (config.weight_quantizer, config.activation_quantizer) if config else ()
        if any(quantizer is not None for quantizer in quantizers):
            raise ValueError(
                f"{self.name} ({type(self).__name__}): int4 in blocks does not take quantizers. "
                f"Leave them out, or set block_size to None. Got block_size={size!r}."
            )

    def _int4_whole(self) -> Tensor:
        """Return the numbers of four bits in the shape of the kernel, as int8."""
        matrix = unpack_int4(self._kernel, self._orig_output_dim, axis=-1)
        return ops.reshape(matrix, self.original_kernel_shape)

    def _int4_kernel(self, dtype: str) -> Tensor:
        """Return the kernel that the four bits stand for."""
        whole = unpacked(self._kernel.value, self._orig_output_dim, -1, dtype)
        scale = self.kernel_scale.value
        if self._int4_block_size in (None, -1):
            matrix = whole / scale
        else:
            matrix = dequantized_blocks(whole, scale, self.kernel_zero.value, self.g_idx, axis=0)
        return ops.cast(ops.reshape(matrix, self.original_kernel_shape), dtype)

    def _int4_call(self, inputs: Any, training: bool | None = None) -> Any:
        del training
        x = self._as_float(inputs)
        kernel = self._int4_kernel(x.dtype)
        if self.inputs_quantizer is None:
            outputs = self._product(x, kernel)
        else:
            whole, scale = quantized_inputs(
                self.inputs_quantizer, x, self._input_reduced_axes(len(x.shape))
            )
            outputs = self._product(whole, kernel) / self._inputs_scale_in_outputs(scale)
        return self._activated(outputs + self._adaptation(x))
