"""Running data through a model's blocks to quantize their layers by what they see."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from lamina import ops
from lamina.layers.base import Layer
from lamina.layers.quantization.kernel import QuantizedKernel
from lamina.quantizers import calibration
from lamina.quantizers.calibrated import CalibratedConfig

if TYPE_CHECKING:
    from lamina.models.model import Model

_PARTS = ("pre_block_layers", "sequential_blocks")


def calibrate(
    model: Model, config: CalibratedConfig, is_wanted: Callable[[Layer], bool], type_check: bool
) -> None:
    """Quantize the kernels of a model's blocks, one block after the other.

    Each block sees what the blocks before it, already quantized, make of the samples. Layers
    outside the blocks are left as they are.

    Raises:
        ValueError: without data, or when nobody says what the blocks are.
    """
    structure = _structure_of(model, config)
    states: list[Any] = list(_samples(config))
    for layer in structure["pre_block_layers"]:
        states = [layer(state) for state in states]
    for block in structure["sequential_blocks"]:
        layers = [layer for layer in block._flatten_layers() if is_wanted(layer)]
        layers = [layer for layer in layers if _is_calibratable(layer)]
        seen = {id(layer): _Seen(layer) for layer in layers}
        with _watching(seen):
            for state in states:
                block(state)
        for layer in layers:
            if seen[id(layer)].count:
                layer.quantize(config.mode, type_check=type_check, config=config)
                layer._take_calibrated(seen[id(layer)].calibrated(config))
        states = [block(state) for state in states]


def _is_calibratable(layer: Layer) -> TypeGuard[QuantizedKernel]:
    if not isinstance(layer, QuantizedKernel):
        return False
    if not layer._has_rows:
        warnings.warn(
            f"quantize: {layer.name} stays as it is: gptq and awq take kernels whose first axes "
            f"are all that is summed over, not one of shape {layer.kernel.shape}.",
            stacklevel=6,
        )
    return layer._has_rows


class _Seen:
    """What the inputs of one layer looked like so far."""

    def __init__(self, layer: QuantizedKernel) -> None:
        self.layer = layer
        self.count = 0
        self.gram: Any = 0.0
        self.total: Any = 0.0

    def add(self, inputs: Any) -> None:
        rows = np.asarray(self.layer._input_rows(inputs).numpy(), np.float64)
        self.count += len(rows)
        self.gram = self.gram + rows.T @ rows
        self.total = self.total + np.abs(rows).sum(axis=0)

    def calibrated(self, config: Any) -> calibration.Calibrated:
        weights = np.asarray(self.layer._kernel_rows(), np.float64).T
        gram = self.gram / self.count
        if config.mode == "gptq":
            return calibration.gptq(weights, gram, config)
        return calibration.awq(weights, gram, self.total / self.count, config)


@contextmanager
def _watching(seen: dict[int, _Seen]) -> Iterator[None]:
    """Inside, every call of the layers is noted."""

    def watched(one: _Seen) -> Callable[..., Any]:
        call = one.layer.call

        def noted(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            one.add(inputs)
            return call(inputs, *args, **kwargs)

        return noted

    for one in seen.values():
        object.__setattr__(one.layer, "call", watched(one))
    try:
        yield
    finally:
        for one in seen.values():
            object.__delattr__(one.layer, "call")


def _structure_of(model: Model, config: CalibratedConfig) -> dict[str, Any]:
    structure = config.quantization_layer_structure
    if structure is None:
        structure = model.get_quantization_layer_structure(config.mode)
    if structure is None or any(part not in structure for part in _PARTS):
        raise ValueError(
            f"quantize: {config.mode} needs to know the model's blocks: pass "
            f"quantization_layer_structure to the config, a dict with {_PARTS[0]!r} and "
            f"{_PARTS[1]!r}, or write model.get_quantization_layer_structure(mode)."
        )
    return structure


def _samples(config: CalibratedConfig) -> Iterator[Any]:
    """Yield num_samples windows (1, sequence_length) of all token ids, evenly spread."""
    if config.dataset is None or config.tokenizer is None:
        raise ValueError(f"quantize: {config.mode} needs a dataset and a tokenizer in its config.")
    parts = [_ids_of(item, config.tokenizer) for item in config.dataset]
    ids = np.concatenate(parts) if parts else np.zeros(0, np.int64)
    if ids.size == 0:
        raise ValueError(f"quantize: the dataset of the {config.mode} config is empty.")
    length = config.sequence_length
    ids = np.tile(ids, -(-length // ids.size)) if ids.size < length else ids
    starts = np.linspace(0, ids.size - length, config.num_samples).astype(np.int64)
    for start in starts:
        yield ops.convert_to_tensor(ids[None, start : start + length].astype(np.int32))


def _ids_of(item: Any, tokenizer: Any) -> Any:
    """Return the token ids of a text or of an array of them."""
    if isinstance(item, str):
        item = tokenizer.tokenize(item) if hasattr(tokenizer, "tokenize") else tokenizer(item)
    return np.asarray(item.numpy() if hasattr(item, "numpy") else item).ravel()
