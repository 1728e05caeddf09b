"""Checks for layers, as this project runs them; use them for layers of your own.

In a test file:

    from lamina.testing import check_layer

    def test_my_layer():
        check_layer(MyLayer, {"units": 3}, input_shape=(2, 5))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

STEPS = 25
RELATIVE, ABSOLUTE = 1e-5, 1e-6  # float32 sums in another order


def check_layer(
    layer_class: type,
    init_kwargs: Mapping[str, Any],
    input_shape: Sequence[int] | None = None,
    input_data: Any = None,
    dtype: str = "float32",
    weight_shapes: Sequence[Sequence[int]] | None = None,
    bad_kwargs: Sequence[Mapping[str, Any]] = (),
    custom_objects: Mapping[str, Any] | None = None,
) -> Any:
    """Check that a layer keeps what every layer promises.

    - The constructor refuses an argument it does not know, and each of `bad_kwargs`.
    - `get_config` and `from_config` give an equal layer; a model that contains it survives its
      own config.
    - The declared output shape is the real one, with known and with unknown batch size.
    - Called on values, inside a model, and on symbols it computes the same; a row alone gives
      what it gives in a batch.
    - Weights are made once, in a fixed order, trainable before other ones of the same path.
    - A few training steps lower the loss, and freezing stops the weights.

    Args:
        layer_class: subclass of `lamina.Layer`.
        init_kwargs: arguments of its constructor.
        input_shape: shape of a random input, with the batch size; or give `input_data`.
        input_data: an array, or a list of arrays for a layer of several inputs.
        dtype: of the random input.
        weight_shapes: expected shapes in creation order; None: not checked.
        bad_kwargs: arguments that the constructor must refuse, each replacing some of
            `init_kwargs`; the message must name one of them.
        custom_objects: classes that the config names and lamina does not know.

    Returns:
        The outputs of an inference call, as an array or a list of arrays.

    Raises:
        AssertionError: if a promise is broken; the message says which.
        ValueError: if neither or both of `input_shape` and `input_data` are given.
    """
    if (input_shape is None) == (input_data is None):
        raise ValueError("check_layer: give either input_shape or input_data.")
    objects = {layer_class.__name__: layer_class, **(custom_objects or {})}
    if input_data is None:
        random = np.random.RandomState(0)
        input_data = random.uniform(0.1, 1.0, size=tuple(input_shape or ())).astype(dtype)
    data = [np.asarray(d) for d in input_data] if isinstance(input_data, list) else input_data

    _check_arguments(layer_class, init_kwargs, bad_kwargs)
    layer = layer_class(**init_kwargs)
    _check_config(layer, layer_class)
    outputs = _check_outputs(layer, data)
    _check_weights(layer, weight_shapes)
    model = _check_model(layer, data, outputs, objects)
    _check_training(layer, model, data, outputs)
    return outputs


def _check_arguments(
    layer_class: type, init_kwargs: Mapping[str, Any], bad_kwargs: Sequence[Mapping[str, Any]]
) -> None:
    try:
        layer_class(**{**init_kwargs, "no_such_argument": 1})
    except (TypeError, ValueError) as error:
        assert "no_such_argument" in str(error), f"the message does not name the argument: {error}"
    else:
        raise AssertionError(f"{layer_class.__name__} accepts an argument it does not know")
    for bad in bad_kwargs:
        try:
            layer_class(**{**init_kwargs, **bad})
        except (TypeError, ValueError) as error:
            assert any(name in str(error) for name in bad), (
                f"the message for {dict(bad)} names none of the arguments: {error}"
            )
        else:
            raise AssertionError(f"{layer_class.__name__} accepts {dict(bad)}")


def _check_config(layer: Any, layer_class: Any) -> None:
    config = layer.get_config()
    again = layer_class.from_config(config)
    assert type(again) is layer_class, f"from_config gives a {type(again).__name__}"
    assert again.get_config() == config, "from_config(get_config()) has another config"
    assert again.name == layer.name, "from_config(get_config()) has another name"


def _check_outputs(layer: Any, data: Any) -> Any:
    first = _arrays(layer(data))
    second = _arrays(layer(data))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b, "a second inference call gives other values")
    declared = layer.compute_output_shape(_shapes(data, batch=True))
    _same_shapes(declared, first, batch=True)
    declared = layer.compute_output_shape(_shapes(data, batch=False))
    _same_shapes(declared, first, batch=False)
    row = [d[:1] for d in data] if isinstance(data, list) else data[:1]
    for whole, alone in zip(first, _arrays(layer(row)), strict=True):
        np.testing.assert_array_equal(alone[0], whole[0], "a row alone gives other values")
    return first if len(first) > 1 else first[0]


def _check_weights(layer: Any, expected: Sequence[Sequence[int]] | None) -> None:
    shapes = [tuple(w.shape) for w in layer.weights]
    assert [w.shape for w in layer.get_weights()] == shapes, "get_weights has another order"
    paths = [w.path for w in layer.weights]
    assert len(set(paths)) == len(paths), f"two weights have one path: {paths}"
    count = sum(int(np.prod(shape)) for shape in shapes)
    assert layer.count_params() == count, "count_params is not the number of weights"
    if expected is not None:
        wanted = [tuple(shape) for shape in expected]
        assert shapes == wanted, f"weights have shapes {shapes}, expected {wanted}"
    values = [np.full(shape, 0.25, w.dtype) for shape, w in zip(shapes, layer.weights, strict=True)]
    kept = layer.get_weights()
    layer.set_weights(values)
    for value, got in zip(values, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(got, value, "set_weights does not set the weights")
    layer.set_weights(kept)


def _check_model(layer: Any, data: Any, outputs: Any, objects: Mapping[str, Any]) -> Any:
    from lamina import Input, Model

    many = data if isinstance(data, list) else [data]
    inputs = [Input(d.shape[1:], dtype=str(d.dtype)) for d in many]
    made = layer(inputs if isinstance(data, list) else inputs[0])
    model: Any = Model(inputs if isinstance(data, list) else inputs[0], made)
    expected = outputs if isinstance(outputs, list) else [outputs]
    declared = model.output_shape
    _same_shapes(declared, expected, batch=False)
    for traced, eager in zip(_arrays(model.predict(data, verbose=0)), expected, strict=True):
        np.testing.assert_allclose(
            traced, eager, RELATIVE, ABSOLUTE, err_msg="eager and traced differ"
        )
    again = Model.from_config(model.get_config(), custom_objects=dict(objects))
    again.set_weights(model.get_weights())
    for a, b in zip(_arrays(again.predict(data, verbose=0)), expected, strict=True):
        np.testing.assert_allclose(
            a, b, RELATIVE, ABSOLUTE, err_msg="the model made from the config computes otherwise"
        )
    return model


def _check_training(layer: Any, model: Any, data: Any, outputs: Any) -> None:
    if not layer.trainable_weights:
        return
    from lamina.optimizers import Adam

    random = np.random.RandomState(1)
    expected = outputs if isinstance(outputs, list) else [outputs]
    targets = [e + random.uniform(0.1, 0.3, size=e.shape).astype(e.dtype) for e in expected]
    target = targets if isinstance(outputs, list) else targets[0]
    losses = ["mse"] * len(targets) if isinstance(outputs, list) else "mse"
    kept = layer.get_weights()
    model.compile(Adam(0.01), losses)
    history = model.fit(data, target, epochs=STEPS, verbose=0).history["loss"]
    assert np.isfinite(history).all(), f"training gives {history}"
    assert history[-1] < history[0], f"{STEPS} steps raise the loss: {history}"
    changed = [(a != b).any() for a, b in zip(kept, layer.get_weights(), strict=True) if a.size]
    assert any(changed), "training changes no weight"
    layer.trainable = False
    model.compile(Adam(0.01), losses)
    frozen = layer.get_weights()
    if model.trainable_weights:
        model.fit(data, target, verbose=0)
    for a, b in zip(frozen, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b, "a frozen layer was trained")
    layer.trainable = True


def _arrays(value: Any) -> list[np.ndarray]:
    return [np.asarray(v) for v in (value if isinstance(value, (list, tuple)) else [value])]


def _shapes(data: Any, batch: bool) -> Any:
    if isinstance(data, list):
        return [_shapes(d, batch) for d in data]
    return (data.shape[0] if batch else None, *data.shape[1:])


def _same_shapes(declared: Any, arrays: list[np.ndarray], batch: bool) -> None:
    shapes = [declared] if len(arrays) == 1 and not isinstance(declared[0], (tuple, list)) else (
        list(declared)
    )  # fmt: skip
    real = [a.shape if batch else (None, *a.shape[1:]) for a in arrays]
    assert [tuple(s) for s in shapes] == real, f"declared output shape {shapes}, real {real}"
