"""Losses against real Keras; names, gradients at the edges and errors."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from tests.conftest import check_golden, golden_names


@pytest.mark.parametrize("name", golden_names("losses"))
def test_like_keras(name: str) -> None:
    check_golden("losses", name)


@pytest.mark.parametrize(("typo", "meant"), [
    ("mean_square_error", "mean_squared_error"),
    ("binary_crossentropi", "binary_crossentropy"),
    ("sparse_categorical_crossentrophy", "sparse_categorical_crossentropy"),
])  # fmt: skip
def test_typo(typo: str, meant: str) -> None:
    with pytest.raises(ValueError) as caught:
        lamina.losses.get(typo)
    assert typo in str(caught.value) and meant in str(caught.value)


def test_reduction_is_checked() -> None:
    with pytest.raises(ValueError, match="average"):
        lamina.losses.MeanSquaredError(reduction="average")


@pytest.mark.parametrize("name", ["MeanSquaredError", "BinaryCrossentropy",
                                  "CategoricalCrossentropy"])  # fmt: skip
def test_shapes_that_differ_are_both_named(name: str) -> None:
    with pytest.raises(ValueError) as caught:
        loss = getattr(lamina.losses, name)()
        loss(np.zeros((4, 3), "float32"), np.full((4, 2), 0.5, "float32"))
    assert "3" in str(caught.value) and "2" in str(caught.value)


@pytest.mark.parametrize("bad", [5, -1])
def test_label_out_of_range(bad: int) -> None:
    loss = lamina.losses.SparseCategoricalCrossentropy(from_logits=True)
    with pytest.raises(ValueError) as caught:
        float(loss(np.array([0, bad]), np.zeros((2, 5), "float32")))
    assert str(bad) in str(caught.value)


@pytest.mark.parametrize("logit", [-1e4, -100.0, 0.0, 100.0, 1e4])
def test_extreme_logits_stay_finite_and_train(logit: float) -> None:
    for classes, loss, y in ((1, lamina.losses.BinaryCrossentropy(from_logits=True), [[1.0]]),
                             (3, lamina.losses.SparseCategoricalCrossentropy(from_logits=True),
                              [1])):  # fmt: skip
        model = lamina.Sequential([lamina.Input((1,)), lamina.layers.Dense(classes)])
        kernel, bias = model.get_weights()
        model.set_weights([kernel * 0 + logit, bias])
        model.compile("sgd", loss)
        assert np.isfinite(model.train_on_batch(np.ones((1, 1)), np.array(y)))
        assert all(np.isfinite(w).all() for w in model.get_weights())


def test_probability_loss_fused_with_its_activation_equals_the_logit_form() -> None:
    x = np.random.RandomState(0).normal(size=(20, 4)).astype("float32")
    y = np.arange(20) % 3
    results = []
    for activation, from_logits in (("softmax", False), (None, True)):
        model = lamina.Sequential([lamina.Input((4,)), lamina.layers.Dense(3, activation)])
        model.set_weights([np.eye(4, 3), np.zeros(3)])
        model.compile(lamina.optimizers.SGD(0.5), lamina.losses.SparseCategoricalCrossentropy(
            from_logits=from_logits))  # fmt: skip
        model.fit(x, y, epochs=5, shuffle=False, verbose=0)
        results.append(model.get_weights()[0])
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5, atol=1e-6)


def test_ctc_names_the_shapes_it_cannot_take() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        lamina.losses.ctc(np.zeros((2, 3)), np.zeros((2, 3)))


def test_ctc_of_more_labels_than_steps_is_infinite() -> None:
    assert np.isinf(float(lamina.losses.ctc(np.array([[1, 2, 2]]), np.zeros((1, 3, 4)))[0]))


def test_config_round_trip() -> None:
    loss = lamina.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1, name="mine")
    again = lamina.losses.deserialize(lamina.losses.serialize(loss))
    assert again.get_config() == loss.get_config()
    for name in ("Circle", "CTC"):
        loss = getattr(lamina.losses, name)(reduction="sum")
        again = lamina.losses.deserialize(lamina.losses.serialize(loss))
        assert again.get_config() == loss.get_config()
        assert lamina.losses.get(name.lower()) is getattr(lamina.losses, name.lower())
    assert lamina.losses.get("mse") is lamina.losses.mean_squared_error
