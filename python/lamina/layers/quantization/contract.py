"""Quantization as every layer knows it: which methods there are, and which of them runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from lamina.quantizers.configuration import QUANTIZATION_MODES, QuantizationConfig, resolve


class Quantization:
    """The part of a layer that stores its weights with few bits.

    A layer that can be quantized writes `quantize` and `quantized_build`, and a method
    `_<mode>_call` for each mode. Once its dtype policy has a mode, calling the layer runs
    `quantized_call` in place of `call`.
    """

    name: str
    built: bool
    _is_locked: bool

    if TYPE_CHECKING:  # what the other parts of a layer bring

        @property
        def quantization_mode(self) -> str | None: ...

        @property
        def dtype_policy(self) -> Any: ...

        @dtype_policy.setter
        def dtype_policy(self, value: Any) -> None: ...

        @property
        def _policy(self) -> Any: ...

    def quantize(
        self, mode: str | None = None, type_check: bool = True, config: Any = None
    ) -> None:
        """Replace the weights by quantized ones.

        Args:
            mode: "int8", "int4", "float8", "gptq" or "awq"; the mode of `config` when None.
            type_check: whether a subclass of a layer refuses, since its `call` may use the
                weights in ways of its own.
            config: `lamina.quantizers.QuantizationConfig` of the mode; its default when None.

        Raises:
            ValueError: for an unbuilt or already quantized layer, and for an unknown mode.
            NotImplementedError: when the layer has no quantized form.
        """
        self._checked_request(mode, config)
        del type_check
        self._not_implemented("quantize")

    def quantized_build(self, input_shape: Any, mode: str, config: Any = None) -> None:
        """Make the weights of the quantized layer."""
        del input_shape, mode, config
        self._not_implemented("quantized_build")

    def quantized_call(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the outputs with the quantized weights."""
        mode = self.quantization_mode
        if mode not in QUANTIZATION_MODES:
            raise self._invalid_mode(mode)
        return getattr(self, f"_{mode}_call")(*args, **kwargs)

    def _int8_call(self, *args: Any, **kwargs: Any) -> Any:
        self._not_implemented("_int8_call")

    def _int4_call(self, *args: Any, **kwargs: Any) -> Any:
        self._not_implemented("_int4_call")

    def _float8_call(self, *args: Any, **kwargs: Any) -> Any:
        self._not_implemented("_float8_call")

    def _gptq_call(self, *args: Any, **kwargs: Any) -> Any:
        self._not_implemented("_gptq_call")

    def _awq_call(self, *args: Any, **kwargs: Any) -> Any:
        self._not_implemented("_awq_call")

    def _not_implemented(self, method: str) -> NoReturn:
        raise NotImplementedError(
            f"{self.name}: {type(self).__name__} does not have a `{method}` method implemented."
        )

    def _invalid_mode(
        self, mode: Any, allowed: tuple[str, ...] = QUANTIZATION_MODES
    ) -> NotImplementedError:
        return NotImplementedError(
            f"{self.name} ({type(self).__name__}): Invalid quantization mode. Expected one of "
            f"{allowed}. Got {mode!r}."
        )

    def _checked_request(self, mode: Any, config: Any) -> QuantizationConfig:
        """Return the settings asked for; refuse what no layer can do."""
        who = f"{self.name} ({type(self).__name__})"
        settings = resolve(mode, config)
        if not self.built:
            raise ValueError(
                f"{who}: Cannot quantize a layer that isn't yet built. Call it on data or use "
                "build(input_shape) first."
            )
        if getattr(self, "_is_quantized", False) and self.quantization_mode is not None:
            raise ValueError(
                f"{who}: the layer is already quantized with dtype_policy="
                f"{self.dtype_policy.name!r}. Got mode={settings.mode!r}."
            )
        return settings

    def _checked_own_request(self, mode: Any, type_check: bool, config: Any) -> QuantizationConfig:
        """`_checked_request`, and refuse users' subclasses with `type_check`."""
        if type_check and not type(self).__module__.startswith("lamina."):
            self._not_implemented("quantize")
        return self._checked_request(mode, config)

    @contextmanager
    def _open_for_weights(self) -> Iterator[None]:
        """Let a built layer take new weights."""
        was_locked, self._is_locked = self._is_locked, False
        try:
            yield
        finally:
            self._is_locked = was_locked

    def _take_policy(self, config: QuantizationConfig) -> None:
        """Give the layer the quantized dtype policy of `config`."""
        if self.quantization_mode is None:
            self.dtype_policy = f"{config.dtype_policy_mode}_from_{self._policy.name}"
