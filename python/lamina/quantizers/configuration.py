"""How a layer or model is quantized: one class of settings for each mode."""

from __future__ import annotations

from typing import Any

from lamina import serialization
from lamina.quantizers.quantizer import AbsMaxQuantizer

QUANTIZATION_MODES = ("int8", "float8", "int4", "gptq", "awq")


def _serialized(quantizer: Any) -> Any:
    return serialization.serialize_keras_object(quantizer)


def _deserialized(config: Any) -> Any:
    return serialization.deserialize_keras_object(config) if isinstance(config, dict) else config


class QuantizationConfig:
    """Base of the settings of a quantization mode.

    Args:
        weight_quantizer: quantizer of the weights; the mode's own when None.
        activation_quantizer: quantizer of the inputs; they stay floating point when None.
    """

    def __init__(self, weight_quantizer: Any = None, activation_quantizer: Any = None) -> None:
        self.weight_quantizer = weight_quantizer
        self.activation_quantizer = activation_quantizer

    @property
    def mode(self) -> str:
        """The mode: "int8", "int4", "float8", "gptq" or "awq"."""
        raise NotImplementedError(
            "QuantizationConfig itself has no mode: use the class of the mode you mean, such as "
            "Int8QuantizationConfig."
        )

    @property
    def dtype_policy_mode(self) -> str:
        """The mode as the name of a dtype policy begins with it."""
        return self.mode

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain values."""
        return {
            "weight_quantizer": _serialized(self.weight_quantizer),
            "activation_quantizer": _serialized(self.activation_quantizer),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> QuantizationConfig:
        """Make the settings from `get_config()`."""
        return cls(**{key: _deserialized(value) for key, value in config.items()})

    @staticmethod
    def weight_quantizer_or_default(config: QuantizationConfig | None, default: Any) -> Any:
        """Return the quantizer of the weights that `config` asks for, or else `default`."""
        if config is None or config.weight_quantizer is None:
            return default
        return config.weight_quantizer

    @staticmethod
    def activation_quantizer_or_default(config: QuantizationConfig | None, default: Any) -> Any:
        """Return the quantizer of the inputs: `config`'s, which may be None, or `default`."""
        return default if config is None else config.activation_quantizer


def _check_output(owner: str, quantizer: Any, *dtypes: str) -> None:
    if quantizer is not None and quantizer.output_dtype not in dtypes:
        raise ValueError(
            f"{owner}: weight_quantizer must give {' or '.join(map(repr, dtypes))}. "
            f"Got output_dtype={quantizer.output_dtype!r}."
        )


class Int8QuantizationConfig(QuantizationConfig):
    """Weights of eight bits with one scale for each output, and inputs of eight bits.

    Args:
        weight_quantizer: quantizer to int8; by the largest absolute value when None.
        activation_quantizer: quantizer of the inputs; "default" is an `AbsMaxQuantizer`, None
            leaves them floating point.

    Raises:
        ValueError: when `weight_quantizer` gives another dtype.
    """

    def __init__(self, weight_quantizer: Any = None, activation_quantizer: Any = "default") -> None:
        if isinstance(activation_quantizer, str) and activation_quantizer == "default":
            activation_quantizer = AbsMaxQuantizer()
        super().__init__(weight_quantizer, activation_quantizer)
        _check_output(type(self).__name__, weight_quantizer, "int8")

    @property
    def mode(self) -> str:
        """ "int8"."""
        return "int8"


class Int4QuantizationConfig(QuantizationConfig):
    """Weights of four bits, two to a byte.

    Args:
        weight_quantizer: quantizer to four bits in int8; the mode's own when None.
        activation_quantizer: quantizer of the inputs; "default" and None leave them floating
            point.
        block_size: inputs that share a scale and a zero point; None or -1 for one scale for each
            output, which custom quantizers need.

    Raises:
        ValueError: for another block size, or a quantizer that gives another dtype.
    """

    def __init__(
        self,
        weight_quantizer: Any = None,
        activation_quantizer: Any = "default",
        block_size: int | None = 128,
    ) -> None:
        if isinstance(activation_quantizer, str) and activation_quantizer == "default":
            activation_quantizer = None
        super().__init__(weight_quantizer, activation_quantizer)
        if block_size is not None and block_size != -1 and block_size <= 0:
            raise ValueError(
                "Int4QuantizationConfig: block_size must be a positive integer, or None or -1 for "
                f"one block. Got {block_size!r}."
            )
        self.block_size = block_size
        _check_output(type(self).__name__, weight_quantizer, "int8")

    @property
    def mode(self) -> str:
        """ "int4"."""
        return "int4"

    @property
    def dtype_policy_mode(self) -> str:
        """ "int4/" and the block size, -1 where there are no blocks."""
        return f"int4/{self.block_size or -1}"

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "block_size": self.block_size}


class Float8QuantizationConfig(QuantizationConfig):
    """Training with inputs, kernels and gradients rounded to eight-bit floats."""

    def __init__(self) -> None:
        super().__init__(None, None)

    @property
    def mode(self) -> str:
        """ "float8"."""
        return "float8"

    def get_config(self) -> dict[str, Any]:
        return {}


def resolve(mode: str | None, config: Any) -> QuantizationConfig:
    """Return the settings that the arguments `mode` and `config` of `quantize` mean.

    Raises:
        ValueError: when both are missing, contradict each other, or name no mode; and when a
            mode that needs settings comes without.
    """
    if mode is None and config is None:
        raise ValueError("quantize: You must provide either mode or config.")
    if config is not None and not isinstance(config, QuantizationConfig):
        raise ValueError(f"quantize: config must be a QuantizationConfig. Got {config!r}.")
    if mode is None and config is not None:
        mode = config.mode
    if mode not in QUANTIZATION_MODES:
        raise ValueError(
            f"quantize: Invalid quantization mode. Expected one of {QUANTIZATION_MODES}. "
            f"Got {mode!r}."
        )
    if config is None:
        return _default_of(mode)
    settings: QuantizationConfig = config
    if settings.mode != mode:
        raise ValueError(
            f"quantize: Contradictory arguments: mode={mode!r}, and a config for {settings.mode!r}."
        )
    return settings


def _default_of(mode: str) -> QuantizationConfig:
    if mode == "int8":
        return Int8QuantizationConfig()
    if mode == "int4":
        return Int4QuantizationConfig()
    if mode == "float8":
        return Float8QuantizationConfig()
    raise ValueError(
        f"quantize: mode {mode!r} needs data to calibrate with: pass a {mode.upper()}Config as "
        "config."
    )
