"""A layer with a kernel, in every quantization mode: what `Dense` and `EinsumDense` share."""

from __future__ import annotations

from typing import Any

from lamina import ops, serialization
from lamina.layers.quantization.calibrated_kernel import CalibratedKernel
from lamina.layers.quantization.float8_kernel import Float8Kernel
from lamina.layers.quantization.integer_kernel import IntegerKernel
from lamina.quantizers.configuration import QUANTIZATION_MODES, QuantizationConfig
from lamina.tensor import Tensor

_STATISTICS = [
    f"{what}_{name}"
    for what in ("inputs", "kernel", "outputs_grad")
    for name in ("scale", "amax_history")
]


class QuantizedKernel(IntegerKernel, Float8Kernel, CalibratedKernel):
    """A layer with a kernel and a bias that can be quantized and adapted."""

    _is_quantized = False
    quantization_config: QuantizationConfig | None = None

    def _init_quantization(self, quantization_config: Any) -> None:
        if isinstance(quantization_config, dict):
            quantization_config = serialization.deserialize_keras_object(quantization_config)
        self.quantization_config = quantization_config

    @property
    def kernel(self) -> Any:
        """The kernel: a weight, or the tensor that low-rank adaptation makes of it.

        Quantized to four bits, its whole numbers.

        Raises:
            AttributeError: if the layer is not built yet.
        """
        if self._is_calibrated:
            return self._calibrated_whole()
        if self.quantization_mode != "int4" or self._kernel is None:
            return super().kernel
        whole = self._int4_whole()
        return whole + self._lora_product() if self.lora_enabled else whole

    def _adapted_kernel(self, kernel: Any) -> Tensor:
        product = self._lora_product()
        return ops.cast(kernel.value, product.dtype) + product

    def _check_adaptable(self) -> None:
        if self.quantization_mode in ("gptq", "awq"):
            raise NotImplementedError(
                f"{self.name} ({type(self).__name__}): lora does not work with "
                f"{self.quantization_mode.upper()}."
            )
        super()._check_adaptable()

    def _lora_kernel_shape(self) -> tuple[int, ...]:
        if self.quantization_mode == "int4":
            return self.original_kernel_shape
        return super()._lora_kernel_shape()

    # Quantizing

    def quantize(
        self, mode: str | None = None, type_check: bool = True, config: Any = None
    ) -> None:
        """Replace the kernel by a quantized one; see `Layer.quantize`.

        "int8" and "int4" compute with whole numbers and scales, "float8" trains with rounded
        operands, "gptq" and "awq" wait for the model's calibration.
        """
        config = self._checked_own_request(mode, type_check, config)
        mode, kernel = config.mode, self._kernel
        shape = tuple(kernel.shape)
        values: dict[str, Any] = {}
        if mode in ("int8", "int4"):
            values = getattr(self, f"_{mode}_values")(kernel.value, config)
            del self._kernel
        self.quantization_config = config
        self.quantized_build(shape, mode, config)
        for name, value in values.items():
            getattr(self, name).assign(value)
        self._take_policy(config)

    def quantized_build(self, kernel_shape: Any, mode: str, config: Any = None) -> None:
        """Make the weights that a kernel of `kernel_shape` has in `mode`, with first values.

        Raises:
            NotImplementedError: for an unknown mode.
        """
        if mode not in QUANTIZATION_MODES:
            raise self._invalid_mode(mode)
        with self._open_for_weights():
            if mode == "float8":
                self._float8_build()
            elif mode in ("gptq", "awq"):
                self._calibrated_build(kernel_shape, mode, config)
            else:
                getattr(self, f"_{mode}_build")(kernel_shape, config)
        self._is_quantized = True

    def _built_quantized(self, kernel_shape: Any) -> bool:
        """In `build`: make quantized weights if the policy asks; is a plain kernel needed too?"""
        mode = self.quantization_mode
        if mode is None:
            return True
        self.quantized_build(kernel_shape, mode, self.quantization_config)
        return mode == "float8"

    # Files

    @property
    def variable_serialization_spec(self) -> dict[str | None, list[str]]:
        """Names of the weights in a file, by quantization mode; None is the plain layer."""
        calibrated = ["bias", "quantized_kernel", "kernel_scale", "kernel_zero"]
        return {
            None: ["kernel", "bias"],
            "int8": ["kernel", "bias", "kernel_scale"],
            "int4": ["kernel", "bias", "kernel_scale", "kernel_zero", "g_idx"],
            "float8": ["kernel", "bias", *_STATISTICS],
            "gptq": [*calibrated, "g_idx"],
            "awq": [*calibrated, "awq_scales", "g_idx"],
        }

    def _merged_values(self) -> dict[int, Any]:
        """The kernel with what adaptation adds, quantized again where it was."""
        if not self.lora_enabled:
            return {}
        mode, product = self.quantization_mode, self._lora_product()
        if mode not in ("int8", "int4"):
            return {id(self._kernel): self._kernel.value + product}
        plain = self._int4_kernel(product.dtype) if mode == "int4" else self._int8_kernel()
        config = self.quantization_config
        values = getattr(self, f"_{mode}_values")(plain + product, config)
        return {id(getattr(self, name)): value for name, value in values.items()}

    def _int8_kernel(self) -> Tensor:
        """Return the kernel that the eight bits stand for."""
        whole = ops.cast(self._kernel, self.kernel_scale.dtype)
        return whole / self._scale_in_kernel(self.kernel_scale.value)

    def _loaded(self) -> None:
        """Adaptation begins anew, and data were seen where numbers come from a file."""
        super()._loaded()
        if self.quantization_mode in ("gptq", "awq"):
            setattr(self, f"is_{self.quantization_mode}_calibrated", True)

    def _quantization_config(self) -> dict[str, Any]:
        """The entries of `get_config` that tell of adaptation and quantization."""
        config = serialization.serialize_keras_object(self.quantization_config)
        return {"quantization_config": config, **self._lora_config()}
