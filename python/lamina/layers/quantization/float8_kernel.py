"""Training with inputs, kernel and gradients rounded to eight-bit floats."""

from __future__ import annotations

from typing import Any

from lamina import ops
from lamina.layers.quantization.arithmetic import straight_through
from lamina.layers.quantization.kernel_layout import KernelLayout
from lamina.quantizers.float8 import quantize_and_dequantize
from lamina.tensor import Tensor
from lamina.tracing import apply
from lamina.variable import Variable

_FORWARD, _BACKWARD = "float8_e4m3fn", "float8_e5m2"
_HISTORY = 1024


class Float8Kernel(KernelLayout):
    """The mode "float8": the kernel stays, and what is multiplied is rounded.

    Inputs, kernel and the gradient of the outputs each have a scale, and a history of the largest
    values of past steps it follows. These are weights whose "gradient" is their next value: an
    optimizer overwrites them with it.
    """

    outputs_grad_scale: Variable
    outputs_grad_amax_history: Variable

    def _float8_build(self) -> None:
        length = getattr(self._policy, "amax_history_length", _HISTORY)
        for what in ("inputs", "kernel", "outputs_grad"):
            for name, shape, first in (("scale", (), "ones"), ("amax_history", (length,), "zeros")):
                statistic = self.add_weight(
                    name=f"{what}_{name}",
                    shape=shape,
                    initializer=first,
                    dtype="float32",
                    trainable=True,
                    autocast=False,
                    overwrite_with_gradient=True,
                )
                setattr(self, f"{what}_{name}", statistic)

    def _float8_operand(self, x: Tensor, what: str, training: bool) -> Tensor:
        """Return `x` rounded to what its scale makes of it."""
        scale, history = getattr(self, f"{what}_scale"), getattr(self, f"{what}_amax_history")
        value = ops.stop_gradient(quantize_and_dequantize(x, scale, _FORWARD, x.dtype))
        if not training:
            return straight_through(value, x)
        rounded: Tensor = apply(
            "float8_operand", value, x, scale.value, history.value, format=_FORWARD
        )
        return rounded

    def _float8_call(self, inputs: Any, training: bool | None = None) -> Any:
        if self.lora_enabled:
            raise NotImplementedError(
                f"{self.name} ({type(self).__name__}): float8 does not work with lora."
            )
        x = self._as_float(inputs)
        kernel = ops.cast(self._kernel, x.dtype)
        outputs = self._product(
            self._float8_operand(x, "inputs", bool(training)),
            self._float8_operand(kernel, "kernel", bool(training)),
        )
        outputs = apply(
            "float8_gradient",
            outputs,
            self.outputs_grad_scale.value,
            self.outputs_grad_amax_history.value,
            format=_BACKWARD,
        )
        if self.bias is not None:
            bias = self.bias.value
            if bias.dtype == "float32":  # hardware adds the bias of such products in bfloat16
                bias = ops.cast(ops.cast(bias, "bfloat16"), "float32")
            outputs = outputs + bias
        return outputs if self.activation is None else self.activation(outputs)
