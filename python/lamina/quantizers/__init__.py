"""Quantizers, the settings of quantization, and the functions they are made of.

Source: https://keras.io/api/quantizers/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lamina import serialization
from lamina.quantizers.calibrated import AWQConfig, GPTQConfig
from lamina.quantizers.configuration import (
    Float8QuantizationConfig,
    Int4QuantizationConfig,
    Int8QuantizationConfig,
    QuantizationConfig,
)
from lamina.quantizers.fake_quant import fake_quant_with_min_max_vars
from lamina.quantizers.float8 import (
    compute_float8_amax_history,
    compute_float8_scale,
    quantize_and_dequantize,
)
from lamina.quantizers.integer import (
    abs_max_quantize,
    abs_max_quantize_grouped_with_zero_point,
    pack_int4,
    unpack_int4,
)
from lamina.quantizers.quantizer import AbsMaxQuantizer, Quantizer
from lamina.validation import did_you_mean

_CLASSES = (
    AbsMaxQuantizer,
    Quantizer,
    QuantizationConfig,
    Int8QuantizationConfig,
    Int4QuantizationConfig,
    Float8QuantizationConfig,
    GPTQConfig,
    AWQConfig,
)
_BY_NAME: dict[str, Any] = {
    **{cls.__name__: cls for cls in _CLASSES},
    "abs_max_quantizer": AbsMaxQuantizer,
}


def get(identifier: Any, **kwargs: Any) -> Any:
    """Return the quantizer that a name, configuration, class or object stands for.

    Args:
        identifier: any of these; None stays None.
        kwargs: arguments of the constructor, for a name or a class.

    Raises:
        ValueError: for anything else.
    """
    if identifier is None:
        return None
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    found = identifier
    if isinstance(identifier, str):
        known = serialization.get_registered_object(identifier)
        found = known if known is not None else _BY_NAME.get(identifier)
    if isinstance(found, type):
        return found(**kwargs)
    if callable(found):
        return found
    hint = did_you_mean(identifier, _BY_NAME) if isinstance(identifier, str) else ""
    raise ValueError(
        f"quantizer: must be a name, configuration or object. Got {identifier!r}.{hint}"
    )


def serialize(initializer: Any) -> Any:
    """Return the configuration of a quantizer."""
    return serialization.serialize_keras_object(initializer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Build the quantizer that `serialize` described."""
    return serialization.deserialize_keras_object(
        config, module_objects=_BY_NAME, custom_objects=dict(custom_objects or {})
    )


__all__ = [
    "AWQConfig",
    "AbsMaxQuantizer",
    "Float8QuantizationConfig",
    "GPTQConfig",
    "Int4QuantizationConfig",
    "Int8QuantizationConfig",
    "QuantizationConfig",
    "Quantizer",
    "abs_max_quantize",
    "abs_max_quantize_grouped_with_zero_point",
    "compute_float8_amax_history",
    "compute_float8_scale",
    "deserialize",
    "fake_quant_with_min_max_vars",
    "get",
    "pack_int4",
    "quantize_and_dequantize",
    "serialize",
    "unpack_int4",
]
