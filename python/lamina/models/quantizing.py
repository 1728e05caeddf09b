"""Quantizing every layer of a model that can be."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lamina.layers.base import Layer
from lamina.models.calibration import calibrate
from lamina.quantizers.calibrated import CalibratedConfig
from lamina.quantizers.configuration import resolve

if TYPE_CHECKING:
    from lamina.models.model import Model


def quantize_model(model: Model, mode: Any, config: Any, filters: Any, type_check: bool) -> None:
    """Quantize the innermost layers that `filters` lets through; see `Model.quantize`."""
    config = resolve(mode, config)
    is_wanted = _filter_of(filters)
    if isinstance(config, CalibratedConfig):
        calibrate(model, config, is_wanted, type_check)
        model._forget_programs()
        return
    parts = [layer for layer in model._flatten_layers() if not layer._layers]
    for layer in parts:
        if not is_wanted(layer):
            continue
        try:
            layer.quantize(config.mode, type_check=type_check, config=config)
        except NotImplementedError as error:
            warnings.warn(str(error), stacklevel=3)
    model._forget_programs()


def _filter_of(filters: Any) -> Callable[[Layer], bool]:
    """Return whether a layer is to be quantized, by its name or by a function of it."""
    if filters is None:
        return lambda layer: True
    if callable(filters):
        return lambda layer: bool(filters(layer))
    patterns = [filters] if isinstance(filters, str) else filters
    if not isinstance(patterns, (list, tuple)) or any(not isinstance(p, str) for p in patterns):
        raise ValueError(
            "quantize: filters must be a regular expression, a list of them, or a function of a "
            f"layer. Got {filters!r}."
        )
    return lambda layer: any(re.search(pattern, layer.name) for pattern in patterns)
