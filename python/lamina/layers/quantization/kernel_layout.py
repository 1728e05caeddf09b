"""How the kernel of a layer meets its inputs and outputs: what quantized forms of it ask."""

from __future__ import annotations

import math
from typing import Any

from lamina import ops
from lamina.layers.lora import LowRankKernel
from lamina.tensor import Tensor
from lamina.variable import Variable


class KernelLayout(LowRankKernel):
    """A layer outputs = activation(product(inputs, kernel) + bias), seen by its axes.

    What is written here holds for a kernel (inputs, outputs) and the last axis of the inputs, as
    in `Dense`; a layer with other axes overrides it.
    """

    bias: Any
    activation: Any
    _kernel: Any

    # Axes

    @property
    def _kernel_reduced_axes(self) -> tuple[int, ...]:
        """The axes of the kernel that are summed over."""
        return (0,)

    def _input_reduced_axes(self, rank: int) -> tuple[int, ...]:
        """The axes of inputs of `rank` axes that are summed over."""
        return (rank - 1,)

    def _summed_input_axes(self, rank: int) -> tuple[int, ...]:
        """The same axes, in the order in which the kernel has them."""
        return self._input_reduced_axes(rank)

    def _scale_shape(self, kernel_shape: Any) -> tuple[int, ...]:
        """Return the shape of a scale for each output, which broadcasts with the outputs."""
        return tuple(kernel_shape[1:])

    def _scale_in_outputs(self, scale: Tensor) -> Tensor:
        """Turn a scale of the kernel, with size 1 on summed axes, towards the outputs."""
        return scale

    def _scale_in_kernel(self, scale: Tensor) -> Tensor:
        """Turn a scale of the outputs towards the kernel; undoes `_scale_in_outputs`."""
        return scale

    def _inputs_scale_in_outputs(self, scale: Tensor) -> Tensor:
        """Turn a scale of the inputs, with size 1 on summed axes, towards the outputs."""
        return scale

    def _matrix_shape(self, kernel_shape: Any) -> tuple[int, int]:
        """Return the kernel's shape as a matrix (inputs, outputs) for four-bit numbers."""
        rows = math.prod(kernel_shape[axis] for axis in self._kernel_reduced_axes)
        return rows, math.prod(kernel_shape) // max(rows, 1)

    # Computing

    def _product(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Multiply inputs and kernel, without the bias."""
        return ops.matmul(inputs, kernel)

    def _activated(self, outputs: Tensor) -> Tensor:
        """Add the bias and apply the activation."""
        if self.bias is not None:
            outputs = outputs + self.bias.value
        return outputs if self.activation is None else self.activation(outputs)

    def _adaptation(self, inputs: Tensor) -> Any:
        """Return what low-rank adaptation adds to the outputs; 0 without it."""
        if not self.lora_enabled:
            return 0.0
        return self._product(inputs, ops.cast(self._lora_product(), inputs.dtype))

    def _lora_product(self) -> Tensor:
        product = ops.matmul(self.lora_kernel_a, self.lora_kernel_b)
        shape = (*self.lora_kernel_a.shape[:-1], self.lora_kernel_b.shape[-1])
        scaled: Tensor = ops.reshape(product, shape) * (self.lora_alpha / self.lora_rank)
        return scaled

    # Weights

    def _kernel_of_bits(self, name: str, shape: Any, dtype: str) -> Variable:
        return self._constant_weight(name, tuple(shape), "zeros", dtype)

    def _constant_weight(
        self, name: str, shape: Any, initializer: str, dtype: str | None = None
    ) -> Variable:
        return self.add_weight(
            name=name, shape=shape, initializer=initializer, dtype=dtype, trainable=False
        )
