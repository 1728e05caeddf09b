"""What a functional or Sequential model accepts as inputs, and how it says what it does not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import layers

ONE = np.ones((2, 3), "float32")
WARNING = "structure of `inputs` doesn't match"


def two(form: Callable[[Any, Any], Any]) -> Any:
    a, b = lamina.Input((3,), name="a"), lamina.Input((3,), name="b")
    return lamina.Model(form(a, b), layers.add([a, b]), name="m")


FORMS: dict[str, Callable[[Any, Any], Any]] = {
    "list": lambda a, b: [a, b],
    "tuple": lambda a, b: (a, b),
    "dict": lambda a, b: {"x": a, "y": b},
    "turned": lambda a, b: {"y": a, "x": b},
    "mixed": lambda a, b: [a, {"q": b}],
}
# model, inputs -> whether it warns
ACCEPTED: dict[str, tuple[str, Any, bool]] = {
    "list": ("list", [ONE, ONE], False),
    "tuple_for_list": ("list", (ONE, ONE), False),
    "list_for_tuple": ("tuple", [ONE, ONE], False),
    "names_for_list": ("list", {"b": ONE, "a": ONE}, False),
    "more_names_for_list": ("list", {"b": ONE, "a": ONE, "z": ONE}, False),
    "dict": ("dict", {"y": ONE, "x": ONE}, False),
    "list_for_dict": ("dict", [ONE, ONE], True),
    "more_for_dict": ("dict", {"y": ONE, "x": ONE, "z": ONE}, True),
    "flat_for_mixed": ("mixed", [ONE, ONE], True),
    "mixed": ("mixed", [ONE, {"q": ONE}], False),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str) -> None:
    form, inputs, warns = ACCEPTED[name]
    model = two(FORMS[form])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outputs = model(inputs)
    assert [WARNING in str(w.message) for w in caught] == [True] * warns
    np.testing.assert_array_equal(np.asarray(outputs), 2 * ONE)


REFUSED: dict[str, tuple[str, Any, str]] = {
    "too_many": ("list", [ONE, ONE, ONE], r"expects 2 named input\(s\).*'a', 'b'.* got 3"),
    "too_few": ("list", ONE, r"expects 2 named input\(s\).*got 1"),
    "missing": ("dict", {"x": ONE}, "no data for input 'y'"),
    "other_names": ("list", {"x": ONE, "y": ONE}, "no data for input 'a'"),
    "open_order": ("turned", [ONE, ONE], WARNING),
    "none": ("list", [ONE, None], "input 'b' is not optional"),
    "size": ("list", [ONE, np.ones((2, 4))], r"expected 3 features, got 4.*'b' and path '1'"),
    "rank": ("dict", {"x": ONE, "y": np.ones((2, 3, 4))}, r"'b' and path 'y'.*found shape=\(2,"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    form, inputs, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        two(FORMS[form])(inputs)


class Optional(layers.Layer):
    def call(self, x: Any, extra: Any = None) -> Any:
        return x if extra is None else x + extra


def test_optional_inputs() -> None:
    x, o = lamina.Input((3,), name="x"), lamina.Input((3,), name="o", optional=True)
    model = lamina.Model({"x": x, "o": o}, layers.Dense(1)(Optional()(x, o)))
    model.compile("adam", "mse")
    y = np.ones((2, 1), "float32")
    for extra in (None, ONE):
        data = {"x": ONE, "o": extra}
        assert model(data).shape == (2, 1)
        model.fit(data, y, verbose=0)
        model.evaluate(data, y, verbose=0)
        assert model.predict(data, verbose=0).shape == (2, 1)

    def batches() -> Any:
        for _ in range(3):
            yield {"x": ONE, "o": None}, y

    model.fit(batches(), verbose=0)


def test_outputs_in_any_structure() -> None:
    a = lamina.Input((3,), name="a")
    x, y = layers.Dense(1, name="x")(a), layers.Dense(2, name="y")(a)
    model = lamina.Model(a, {"p": [x, (y,)], "q": x})
    out = model.predict(ONE, verbose=0)
    assert out["p"][0].shape == (2, 1)
    assert out["p"][1][0].shape == (2, 2)
    np.testing.assert_array_equal(out["q"], out["p"][0])
    again = lamina.Model.from_config(model.get_config())
    assert isinstance(again.output["p"][1], tuple | list)


def test_disconnected_outputs_are_named() -> None:
    a, b = lamina.Input((3,), name="a"), lamina.Input((3,), name="b")
    with pytest.raises(ValueError, match="path `v` is not connected.*'b'"):
        lamina.Model(a, {"u": a * 2, "v": b * 3})
    with pytest.raises(ValueError, match="All `inputs` values must be KerasTensors"):
        lamina.Model("a", a * 2)
    with pytest.raises(ValueError, match="All `outputs` values must be KerasTensors"):
        lamina.Model(a, "a")


def test_sequential_of_several_tensors_and_of_unknown_shapes() -> None:
    class Both(layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs["a"] + inputs["b"]

    class Unknown(layers.Layer):
        def call(self, x: Any) -> Any:
            return x + 1.0

        def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError

    for first, data in ((Both(), {"a": ONE, "b": ONE}), (Unknown(), ONE)):
        model = lamina.Sequential([first, layers.Dense(2)])
        assert model(data).shape == (2, 2)
        model.compile("sgd", "mse")
        model.fit(data, np.ones((2, 2)), verbose=0)
        assert model.predict(data, verbose=0).shape == (2, 2)


def test_sequential_refuses() -> None:
    class Two(layers.Layer):
        def call(self, x: Any, y: Any) -> Any:
            return x + y

    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2, name="d")])
    for call, words in (
        (lambda: model.build((None, 4)), "already been configured"),
        (lambda: model.add(lamina.Input((3,))), "already been configured"),
        (lambda: model.add(layers.Dense(2, name="d")), "unique names"),
        (lambda: model.add(3), "Only instances of"),
        (lambda: lamina.Sequential([Two()]).build((None, 2)), "single positional argument"),
        (lambda: lamina.Sequential()(ONE), "no layers"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    model.build((None, 3))
    model.pop()
    with pytest.raises(IndexError, match="no layer left to pop"):
        model.pop()
    for reserved, words in ((model, r"add\(\)` and `pop"), (two(FORMS["list"]), "Model.layers")):
        with pytest.raises(AttributeError, match=words):
            reserved.layers = []


def test_state_tree() -> None:
    inputs = lamina.Input((3,))
    model = lamina.Model(inputs, layers.Dense(1, name="d")(inputs))
    model.compile("adam", "mse")
    tree = model.get_state_tree(value_format="numpy_array")
    assert tree["trainable_variables"]["d"]["kernel"].shape == (3, 1)
    assert set(tree["metrics_variables"]["loss"]) == {"total", "count"}
    tree["trainable_variables"]["d"]["kernel"] += 1.0
    model.set_state_tree({"trainable_variables": tree["trainable_variables"]})
    np.testing.assert_array_equal(
        model.layers[1].kernel.numpy(), tree["trainable_variables"]["d"]["kernel"]
    )
    for bad, words in (
        ({"weights": {}}, "'weights' is no kind"),
        ({"trainable_variables": {"d": {"scale": 1.0}}}, "'d/scale'"),
    ):
        with pytest.raises(ValueError, match=words):
            model.set_state_tree(bad)
    with pytest.raises(ValueError, match="value_format"):
        model.get_state_tree("text")
