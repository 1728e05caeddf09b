"""What every layer keeps: config, files, shapes, eager = traced, arguments refused by name."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import layers
from tests.conftest import check_golden, golden_names
from tests.contract.layer_table import ELSEWHERE, LAYERS, Entry, arguments, arrays

ALL = [
    pytest.param(name, entry, id=f"{name}-{i}")
    for name, entries in LAYERS.items()
    for i, entry in enumerate(entries)
]


def public_layers() -> dict[str, type]:
    """The public layer classes by their own names (aliases left out)."""
    found = {}
    for name in dir(layers):
        value = getattr(layers, name)
        if isinstance(value, type) and issubclass(value, layers.Layer) and value.__name__ == name:
            found[name] = value
    return found


def make(name: str, entry: Entry, **more: Any) -> layers.Layer:
    return getattr(layers, name)(**arguments(layers, entry), **more)


def call(layer: layers.Layer, entry: Entry, inputs: list[Any]) -> Any:
    if entry.separate:
        return layer(*inputs)
    return layer(inputs[0] if len(inputs) == 1 else inputs)


def dtype_of(entry: Entry) -> str:
    return "int32" if entry.ids else "float32"


def model_of(
    layer: layers.Layer, entry: Entry, unknown: bool = False, weights: bool = False
) -> lamina.Model:
    """A functional model of the one layer.

    `unknown` leaves the sizes open that may be; `weights` puts a Dense layer before it, so that
    there is something to train.
    """
    inputs = [
        lamina.Input(
            [
                None if unknown and axis + 1 in entry.variable else n
                for axis, n in enumerate(shape[1:])
            ],
            dtype=dtype_of(entry),
        )
        for shape in entry.shapes
    ]
    before = [layers.Dense(x.shape[-1])(x) for x in inputs] if weights else inputs
    return lamina.Model(inputs, call(layer, entry, before))


def test_every_public_layer_has_an_entry() -> None:
    covered = {getattr(layers, name) for name in set(LAYERS) | ELSEWHERE}
    missing = {name for name, cls in public_layers().items() if cls not in covered}
    assert not missing, f"add these layers to tests/contract/layer_table.py: {sorted(missing)}"


@pytest.mark.parametrize(("name", "entry"), ALL)
def test_config_round_trip(name: str, entry: Entry) -> None:
    layer = make(name, entry)
    config = layer.get_config()
    json.dumps(config)
    again = type(layer).from_config(config)
    assert again.get_config() == config
    for argument, given in entry.kwargs.items():
        assert argument in config, f"{argument}={given!r} is not in the config"
    through = layers.deserialize(json.loads(json.dumps(layers.serialize(layer))))
    assert through.get_config() == config


@pytest.mark.parametrize(("name", "entry"), ALL)
def test_shapes_agree(name: str, entry: Entry) -> None:
    inputs = arrays(entry)
    layer = make(name, entry)
    shape = tuple(call(layer, entry, inputs).shape)
    promised = make(name, entry).compute_output_shape(
        *(entry.shapes if entry.separate or len(entry.shapes) == 1 else (list(entry.shapes),))
    )
    assert all(p in (None, size) for p, size in zip(promised, shape, strict=True))
    known, unknown = model_of(make(name, entry), entry), model_of(make(name, entry), entry, True)
    assert tuple(known.output_shape) in ((None, *shape[1:]), (None, *promised[1:]))
    for open_size, size in zip(unknown.output_shape, shape, strict=True):
        assert open_size is None or open_size == size


@pytest.mark.parametrize(("name", "entry"), ALL)
def test_eager_equals_traced_and_the_file_keeps_it(name: str, entry: Entry, tmp_path: Path) -> None:
    inputs = arrays(entry)
    layer = make(name, entry)
    at_once = call(layer, entry, inputs).numpy()
    assert np.isfinite(at_once).all()
    model = model_of(layer, entry, unknown=True)
    given = inputs[0] if len(inputs) == 1 else inputs
    traced = model.predict(given, verbose=0)
    np.testing.assert_allclose(traced, at_once, rtol=1e-5, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = lamina.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(given, verbose=0), traced)
    names = [(w.name, tuple(w.shape)) for w in model.weights]
    assert names == [(w.name, tuple(w.shape)) for w in loaded.weights]


@pytest.mark.filterwarnings("ignore:Layer .* does not support masking")
@pytest.mark.parametrize("case", golden_names("masks"))
def test_the_mask_that_goes_on_is_that_of_keras(case: str) -> None:
    check_golden("masks", case)


@pytest.mark.parametrize(("name", "entry"), ALL)
def test_a_training_step_is_finite(name: str, entry: Entry) -> None:
    inputs = arrays(entry)
    model = model_of(make(name, entry), entry, weights=not entry.ids)
    model.compile("sgd", "mse")
    given = inputs[0] if len(inputs) == 1 else inputs
    target = np.zeros(model.predict(given, verbose=0).shape, "float32")
    loss = model.train_on_batch(given, target)
    assert np.isfinite(loss)
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_a_wrong_argument_is_named(name: str) -> None:
    with pytest.raises((TypeError, ValueError), match="no_such_argument"):
        make(name, LAYERS[name][0], no_such_argument=1)


# Free text, or flags of which Keras takes any truth value.
FREE = {
    "name", "quantization_config", "implementation", "weights", "zero_output_for_mask",
    "gptq_unpacked_column_size",
}  # fmt: skip
ARGUMENTS = [
    pytest.param(name, argument, id=f"{name}-{argument}")
    for name in sorted(LAYERS)
    if hasattr(layers, name)
    for argument, p in inspect.signature(getattr(layers, name)).parameters.items()
    if p.kind is not p.VAR_KEYWORD and argument not in FREE
]


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_a_senseless_value_is_refused_and_named(name: str, argument: str) -> None:
    kwargs = {**arguments(layers, LAYERS[name][0]), argument: object()}
    with pytest.raises((TypeError, ValueError), match=argument):
        getattr(layers, name)(**kwargs)
