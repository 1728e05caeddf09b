"""The dtypes of a layer: what it computes in, what its weights have, what its inputs become."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import dtype_policies, dtypes, tracing
from lamina.dtype_policies import DTypePolicy, DTypePolicyMap
from lamina.layers.conversion import cast_keeping_mask
from lamina.tensor import KerasTensor, Tensor
from lamina.variable import Variable


class Precision:
    """The part of a layer that knows its dtype policy."""

    name: str
    autocast: bool
    built: bool
    _path: str | None
    _dtype_policy: DTypePolicy

    @property
    def dtype_policy(self) -> DTypePolicy:
        """Compute and weight dtypes. Setting a quantized policy on a built layer quantizes it."""
        return self._dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, value: Any) -> None:
        policy, current = dtype_policies.get(value), self._dtype_policy
        if isinstance(current, DTypePolicyMap) and self._path:
            if self._path in current:  # a map takes no second entry for a path
                del current[self._path]
            current[self._path] = policy
        else:
            self._dtype_policy = policy
        if policy.quantization_mode is not None:
            self._take_quantization(policy.quantization_mode)

    def _take_quantization(self, mode: str) -> None:
        """Quantize the weights there are, as a policy set after building asks for."""
        if not self.built or getattr(self, "_is_quantized", False):
            return
        if mode in ("gptq", "awq"):
            raise ValueError(
                f"{self.name} ({type(self).__name__}): Implicitly enabling {mode.upper()} "
                "quantization is not supported: it needs data. Use model.quantize(...)."
            )
        self.quantize(mode)  # type: ignore[attr-defined]

    @property
    def _policy(self) -> DTypePolicy:
        """The policy that holds for this layer, looked up where there is a map of them."""
        policy = self._dtype_policy
        if isinstance(policy, DTypePolicyMap) and self._path:
            return policy[self._path]
        return policy

    @property
    def dtype(self) -> str:
        """Dtype of the weights."""
        return self.variable_dtype

    @property
    def variable_dtype(self) -> str:
        """Dtype of the weights."""
        return self._policy.variable_dtype

    @property
    def compute_dtype(self) -> str:
        """Dtype of the computation."""
        return self._policy.compute_dtype

    @property
    def input_dtype(self) -> str:
        """Dtype that floating point inputs are converted to."""
        return self.compute_dtype

    @property
    def quantization_mode(self) -> str | None:
        """ "int8", "int4", "float8", "gptq" or "awq"; None when the layer is not quantized."""
        return self._policy.quantization_mode

    def _autocast_dtype(self) -> str | None:
        """What `call` reads the weights as; None for as they are."""
        policy = self._dtype_policy
        if policy.__class__ is not DTypePolicy:  # every call comes through here: no detour
            policy = self._policy
        return policy.autocast_dtype if self.autocast else None

    def _as_float(self, tensor: Any) -> Any:
        """Return `tensor` in the compute dtype; integer inputs become floating point."""
        return (
            tensor
            if tensor.dtype == self.compute_dtype
            else cast_keeping_mask(tensor, self.compute_dtype)
        )

    def _convert(self, value: Any) -> Any:
        """Turn array data into a tensor of the compute dtype; leave everything else."""
        if isinstance(value, Variable):
            value = value.value
        if isinstance(value, (Tensor, KerasTensor)):
            dtype = value.dtype
            if self.autocast and dtypes.is_float_dtype(dtype) and dtype != self.input_dtype:
                if isinstance(value, Tensor):
                    return cast_keeping_mask(value, self.input_dtype)
                # No node of its own: the layer casts when it runs, and files know no such node.
                value.dtype = self.input_dtype
            return value
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, np.ndarray) or (
            hasattr(value, "__array__") and not isinstance(value, type)
        ):
            return self._convert_array(np.asarray(value))
        return value

    def _convert_array(self, array: np.ndarray[Any, Any]) -> Tensor:
        if dtypes.is_float_dtype(array.dtype.name) and self.autocast:
            return tracing.convert(array, self.input_dtype)
        if array.dtype.kind in "USOcV" and array.dtype.name not in dtypes.DTYPES:
            raise TypeError(
                f"{self.name} ({type(self).__name__}): inputs must be numbers, got an array "
                f"of dtype {array.dtype}."
            )
        return tracing.convert(array)
