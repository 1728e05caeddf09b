"""ReLU, LeakyReLU, PReLU, ELU and Softmax as layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamina
from lamina.testing import check_layer
from tests.conftest import check_golden, golden_names

PREFIXES = ("re_lu", "leaky_re_lu", "p_re_lu", "elu", "softmax")
L = lamina.layers


# A mask that is given goes on to the next layer, as in Keras.
@pytest.mark.filterwarnings("ignore:.*does not support masking")
@pytest.mark.parametrize("name", [n for n in golden_names("layers_more") if n.startswith(PREFIXES)])
def test_like_keras(name: str) -> None:
    check_golden("layers_more", name)


@pytest.mark.parametrize(
    ("name", "kwargs", "bad"),
    [
        ("ReLU", dict(max_value=2.0, negative_slope=0.1, threshold=0.5),
         [dict(max_value=-1), dict(negative_slope=None), dict(negative_slope=-1),
          dict(threshold=None), dict(threshold=-0.5), dict(threshold="a")]),
        ("LeakyReLU", dict(negative_slope=0.2),
         [dict(negative_slope=None), dict(negative_slope=-0.1)]),
        ("ELU", dict(alpha=0.5), [dict(alpha="a"), dict(alpha=None), dict(alpha=float("nan"))]),
        ("PReLU", dict(shared_axes=(1,)),
         [dict(shared_axes="a"), dict(shared_axes=[-1]), dict(shared_axes=(0, 1)),
          dict(shared_axes=0)]),
        ("Softmax", dict(axis=(1, 2)), [dict(axis="a"), dict(axis=0.5), dict(axis=())]),
    ],
)  # fmt: skip
def test_contract(name: str, kwargs: dict[str, Any], bad: list[dict[str, Any]]) -> None:
    x = np.random.RandomState(0).normal(size=(4, 3, 5)).astype("float32")
    check_layer(getattr(L, name), kwargs, input_data=x, bad_kwargs=bad)


@pytest.mark.parametrize("kind", ["initializer", "regularizer", "constraint"])
def test_unknown_names(kind: str) -> None:
    with pytest.raises(ValueError) as caught:
        L.PReLU(**{f"alpha_{kind}": "zeros_of_mine"})
    assert "PReLU" in str(caught.value) and "zeros_of_mine" in str(caught.value)


def test_masks_and_unknown_sizes_pass() -> None:
    masked = L.Masking()(np.array([[[1.0, 2.0], [0.0, 0.0]]], "float32"))
    for layer in (L.ReLU(), L.LeakyReLU(), L.PReLU(), L.ELU()):
        np.testing.assert_array_equal(np.asarray(layer(masked).mask), [[True, False]])
    for layer in (L.ReLU(), L.LeakyReLU(), L.ELU(), L.Softmax(), L.PReLU(shared_axes=[1])):
        assert layer(lamina.Input((None, 4))).shape == (None, None, 4)


def test_leaky_relu_by_its_older_argument() -> None:
    with pytest.warns(UserWarning, match="negative_slope"):
        assert L.LeakyReLU(alpha=0.1).negative_slope == 0.1


def test_integers_stay_integers_through_relu() -> None:
    y = np.asarray(L.ReLU(max_value=10)(np.array([[-5, 5, 20]], "int32")))
    np.testing.assert_array_equal(y, [[0, 5, 10]])
    assert y.dtype == np.int32


def test_shared_axes_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match="shared_axes"):
        L.PReLU(shared_axes=[3])(np.zeros((2, 3, 4), "float32"))


def test_softmax_mask_zeroes_its_places_also_where_nothing_counts() -> None:
    x = np.array([[1, 2, 5, 1], [1, 1, 1, 1], [3, 1, 2, 4]], "float32")
    mask = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
    y = np.asarray(L.Softmax()(x, mask=mask))
    e = np.exp(x) * mask
    expected = e / np.maximum(e.sum(-1, keepdims=True), 1e-9)
    np.testing.assert_allclose(y, expected, rtol=1e-5)
    np.testing.assert_array_equal(y[~mask], 0)


@pytest.mark.parametrize("mask", [[[1.0, 0.0, 1.0]], [1.0, 0.0, 1.0]])
def test_softmax_mask_broadcasts(mask: Any) -> None:
    y = np.asarray(L.Softmax()(np.array([[1.0, 2.0, 1.0], [3.0, 4.0, 5.0]]), mask=np.array(mask)))
    np.testing.assert_array_equal(y[:, 1], [0, 0])
    np.testing.assert_allclose(y.sum(1), [1, 1], rtol=1e-6)


@pytest.mark.parametrize("shape", [(2, 3), (1, 1, 3), (4,)])
def test_softmax_mask_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="mask"):
        L.Softmax()(np.zeros((1, 3), "float32"), mask=np.ones(shape, bool))


def test_a_subclass_may_have_weights() -> None:
    class Scaled(L.ReLU):
        def build(self, input_shape: Any) -> None:
            self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones")

        def call(self, inputs: Any) -> Any:
            return super().call(inputs) * self.factor

    layer = Scaled()
    assert not layer.built
    layer(np.ones((2, 3), "float32"))
    assert layer.factor.shape == (3,)
