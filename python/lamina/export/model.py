"""Model.export: the inference of a model as a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lamina import structure
from lamina.export.record import Record, RecordingTracer
from lamina.layers.spec import InputSpec
from lamina.tensor import KerasTensor, Tensor

if TYPE_CHECKING:
    from lamina.models.model import Model

FORMATS = ("onnx",)
# Formats of Keras that are the files of one other framework, and which one.
_ELSEWHERE = {
    "tf_saved_model": "tensorflow, jax and torch",
    "litert": "tensorflow",
    "openvino": "openvino, tensorflow, jax and torch",
    "torch": "torch",
}


def export_model(
    model: Model,
    filepath: Any,
    format: str = "tf_saved_model",
    verbose: bool | None = None,
    input_signature: Any = None,
    **kwargs: Any,
) -> None:
    """Write the inference of a model to a file; see `Model.export`."""
    if format not in (*FORMATS, *_ELSEWHERE):
        raise ValueError(
            f"export(): Unrecognized format={format!r}. Available here: {', '.join(FORMATS)}."
        )
    if format in _ELSEWHERE:
        writer = "export_saved_model" if format == "tf_saved_model" else f"export_{format}"
        raise NotImplementedError(
            f"export(): format={format!r} is made of another framework's parts: in Keras "
            f"`{writer}` only currently supports the {_ELSEWHERE[format]} backends. lamina writes "
            f"format={FORMATS[0]!r}."
        )
    from lamina.export.onnx_file import write_onnx

    opset_version = kwargs.pop("opset_version", None)
    if kwargs:
        raise ValueError(f"export(): unknown arguments {sorted(kwargs)} for format={format!r}.")
    record, output_names = record_inference(model, input_signature)
    write_onnx(record, output_names, os.fspath(filepath), model.name, opset_version)
    if verbose or verbose is None:
        print(f"Saved artifact at '{os.fspath(filepath)}'.")


def record_inference(model: Model, input_signature: Any = None) -> tuple[Record, list[str]]:
    """Trace a model's inference on inputs whose first size is open.

    Returns:
        The record, and the names of the outputs.

    Raises:
        ValueError: for a model that is not built, when there is no `input_signature`.
    """
    places = _signature(model, input_signature)
    tracer = RecordingTracer()
    names = _unique(_input_names(model, places))
    with tracer:
        remaining = iter(names)
        inputs = structure.map_structure(
            lambda place: tracer.named_input(place.shape, place.dtype, next(remaining)), places
        )
        outputs = model(inputs, training=False)
        flat: list[Tensor] = structure.flatten(outputs)
        for tensor in flat:
            tracer.result(tensor)
    model._clear_losses()
    tracer.record.prune()
    return tracer.record, _unique(_output_names(model, outputs), taken=names)


def _signature(model: Model, given: Any) -> Any:
    """The inputs as KerasTensors in the model's structure."""
    if given is not None:
        if isinstance(given, (list, tuple)) and len(given) == 1:
            given = given[0]
        return structure.map_structure(_place, given)
    if getattr(model, "inputs", None):
        return structure.map_structure(_open_batch, model.input)
    shapes = model._build_shapes
    if not model.built or not shapes:
        raise ValueError(
            f"export(): the inputs of model {model.name!r} are not known. Call it on data first, "
            "or pass input_signature=[InputSpec(shape=..., dtype=...)]."
        )
    return structure.map_shapes(
        lambda shape: KerasTensor((None, *shape[1:]), dtype=model.input_dtype),
        next(iter(shapes.values())),
    )


def _place(spec: Any) -> KerasTensor:
    if isinstance(spec, KerasTensor):
        return spec
    if isinstance(spec, InputSpec) and spec.shape is not None:
        return KerasTensor(spec.shape, dtype=spec.dtype or "float32", name=spec.name)
    if isinstance(spec, Tensor):
        return KerasTensor(spec.shape, dtype=spec.dtype)
    raise ValueError(
        f"export(): input_signature takes InputSpecs with a shape, or KerasTensors. Got {spec!r}."
    )


def _open_batch(place: KerasTensor) -> KerasTensor:
    return KerasTensor(place.shape, dtype=place.dtype, name=place.name)


def _input_names(model: Model, places: Any) -> list[str]:
    count = len(structure.flatten(places))
    known = getattr(model, "input_names", None) or []
    return list(known) if len(known) == count else [f"input_{i}" for i in range(count)]


def _output_names(model: Model, outputs: Any) -> list[str]:
    flat = structure.flatten(outputs)
    if isinstance(outputs, dict) and len(outputs) == len(flat):
        return structure.sorted_keys(outputs)
    known = getattr(model, "output_names", None) or []
    return list(known) if len(known) == len(flat) else [f"output_{i}" for i in range(len(flat))]


def _unique(names: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    seen, result = set(taken), []
    for name in names:
        number, one = 1, name
        while one in seen:
            one, number = f"{name}_{number}", number + 1
        seen.add(one)
        result.append(one)
    return result
