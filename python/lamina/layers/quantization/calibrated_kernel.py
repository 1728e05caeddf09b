"""Kernels whose few bits were chosen by looking at data: GPTQ and AWQ."""

from __future__ import annotations

import math
from typing import Any

from lamina import ops
from lamina.layers.quantization.arithmetic import block_count, dequantized_blocks, unpacked
from lamina.layers.quantization.kernel_layout import KernelLayout
from lamina.quantizers.calibration import Calibrated
from lamina.quantizers.configuration import QuantizationConfig
from lamina.quantizers.integer import pack_int4, unpack_int4
from lamina.tensor import Tensor
from lamina.variable import Variable


class CalibratedKernel(KernelLayout):
    """The modes "gptq" and "awq": the kernel is replaced once data were seen.

    Weights: quantized_kernel, the kernel as a matrix (outputs, inputs) of unsigned numbers, with
    two outputs to a byte when they have four bits; kernel_scale and kernel_zero (outputs,
    groups), g_idx, the group of each input; for AWQ also awq_scales, by which the inputs' weights
    are divided. Until `is_gptq_calibrated` or `is_awq_calibrated`, the layer computes with the
    kernel it had.
    """

    _zero_point_name = "kernel_zero"
    quantized_kernel: Variable

    def _calibrated_sides(self, kernel_shape: Any) -> tuple[int, int]:
        """Return the numbers of inputs and of outputs of the kernel as a matrix.

        Of three axes the longest one is taken for the model's width: at the front it is the
        input, elsewhere the last axis is the output.
        """
        shape = tuple(kernel_shape)
        if len(shape) == 2:
            return shape[0], shape[1]
        if len(shape) != 3:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): gptq and awq take kernels of two or three "
                f"axes. Got kernel shape {shape}."
            )
        if shape.index(max(shape)) == 0:
            return shape[0], shape[1] * shape[2]
        return shape[0] * shape[1], shape[2]

    def _calibrated_setting(self, config: Any, name: str) -> int:
        return int(getattr(self._policy if config is None else config, name))

    def _calibrated_build(
        self, kernel_shape: Any, mode: str, config: QuantizationConfig | None
    ) -> None:
        rows, columns = self._calibrated_sides(kernel_shape)
        self._weight_bits = self._calibrated_setting(config, "weight_bits")
        self.original_kernel_shape = tuple(kernel_shape)
        self._quantized_columns = columns
        stored = math.ceil(columns / 2) if self._weight_bits == 4 else columns
        groups = block_count(rows, self._calibrated_setting(config, "group_size"))
        weight = self._constant_weight
        self.quantized_kernel = weight("kernel", (stored, rows), "zeros", "uint8")
        self.kernel_scale = weight("kernel_scale", (columns, groups), "ones")
        self.kernel_zero = weight(self._zero_point_name, (columns, groups), "zeros", "uint8")
        if mode == "awq":
            self.awq_scales = weight("awq_scales", (rows,), "ones")
        self.g_idx = weight("g_idx", (rows,), "zeros", "float32")
        setattr(self, f"is_{mode}_calibrated", False)

    # Calibration

    @property
    def _has_rows(self) -> bool:
        """Whether the kernel is a matrix (inputs, outputs) in the sense of `_calibrated_sides`."""
        shape, axes = self._kernel.shape, self._kernel_reduced_axes
        if len(shape) not in (2, 3) or axes != tuple(range(len(axes))):
            return False
        return bool(self._calibrated_sides(shape)[0] == math.prod(shape[: len(axes)]))

    def _kernel_rows(self) -> Any:
        """Return the kernel as a matrix (inputs, outputs)."""
        return self._kernel.numpy().reshape(self._calibrated_sides(self._kernel.shape))

    def _input_rows(self, inputs: Tensor) -> Tensor:
        """Return inputs as a matrix with one row for each product with the kernel."""
        axes = self._summed_input_axes(len(inputs.shape))
        others = [axis for axis in range(len(inputs.shape)) if axis not in axes]
        turned = ops.transpose(inputs, (*others, *axes))
        size = math.prod(inputs.shape[axis] for axis in axes)
        return ops.reshape(turned, (-1, size))

    def _take_calibrated(self, found: Calibrated) -> None:
        """Replace the kernel by the numbers that calibration found."""
        whole = ops.cast(found.whole, "uint8")
        if self._weight_bits == 4:
            whole = pack_int4(whole, axis=0, dtype="uint8")[0]
        self.quantized_kernel.assign(whole)
        self.kernel_scale.assign(found.scale)
        self.kernel_zero.assign(found.zero)
        self.g_idx.assign(found.group_of)
        if self.quantization_mode == "awq":
            self.awq_scales.assign(found.input_scales)
        setattr(self, f"is_{self.quantization_mode}_calibrated", True)
        del self._kernel
        self._kernel = None

    @property
    def _is_calibrated(self) -> bool:
        mode = self.quantization_mode
        return mode in ("gptq", "awq") and bool(getattr(self, f"is_{mode}_calibrated", False))

    def _calibrated_whole(self) -> Any:
        """Return the unsigned numbers as a matrix (outputs, inputs)."""
        if self._weight_bits != 4:
            return self.quantized_kernel
        return unpack_int4(self.quantized_kernel, self._quantized_columns, axis=0, dtype="uint8")

    def _calibrated_kernel(self, dtype: str) -> Tensor:
        """Return the kernel that the numbers stand for."""
        packed = self.quantized_kernel.value
        whole = (
            unpacked(packed, self._quantized_columns, 0, dtype, signed=False)
            if self._weight_bits == 4
            else ops.cast(packed, dtype)
        )
        matrix = dequantized_blocks(
            whole, self.kernel_scale.value, self.kernel_zero.value, self.g_idx, axis=1
        )
        if self.quantization_mode == "awq":
            matrix = matrix / self.awq_scales.value
        return ops.cast(ops.reshape(ops.transpose(matrix), self.original_kernel_shape), dtype)

    def _gptq_call(self, inputs: Any, training: bool | None = None) -> Any:
        del training
        x = self._as_float(inputs)
        kernel = (
            self._calibrated_kernel(x.dtype)
            if self._is_calibrated
            else ops.cast(self.kernel, x.dtype)
        )
        return self._activated(self._product(x, kernel))

    _awq_call = _gptq_call
