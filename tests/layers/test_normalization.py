"""Normalization against real Keras and against its formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamina
from lamina.testing import check_layer
from tests.conftest import check_golden, golden_names
from tests.layers import test_activation, test_alpha_dropout, test_dot, test_resizing

PREFIXES = (
    "batch_normalization_", "layer_normalization_", "group_normalization_", "rms_normalization_",
    "unit_normalization_",
)  # fmt: skip
L = lamina.layers


@pytest.mark.parametrize("name", [n for n in golden_names("layers_more") if n.startswith(PREFIXES)])
def test_like_keras(name: str) -> None:
    check_golden("layers_more", name)


def test_every_case_is_run_by_a_file_of_this_folder() -> None:
    known = PREFIXES + tuple(
        prefix
        for module in (test_activation, test_alpha_dropout, test_dot, test_resizing)
        for prefix in module.PREFIXES
    )
    assert [n for n in golden_names("layers_more") if not n.startswith(known)] == []


def rows(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).normal(1.0, 2.0, size=shape).astype("float32")


# ---- Batch normalization


def test_moving_statistics_follow_the_batch_eagerly() -> None:
    layer, x = L.BatchNormalization(momentum=0.8), rows(50, 3)
    y = np.asarray(layer(x, training=True))
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(y.var(0), 1, rtol=2e-3)  # epsilon is part of the divisor
    _, _, mean, variance = layer.get_weights()
    np.testing.assert_allclose(mean, 0.2 * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(variance, 0.8 + 0.2 * x.var(0), rtol=1e-5)


def test_inference_leaves_the_statistics_alone() -> None:
    layer, x = L.BatchNormalization(), rows(6, 3)
    np.testing.assert_allclose(np.asarray(layer(x)), x / np.sqrt(1.001), rtol=1e-5)
    np.testing.assert_array_equal(layer.get_weights()[2], np.zeros(3))


def test_a_frozen_layer_runs_in_inference_mode_while_training() -> None:
    layer, x = L.BatchNormalization(trainable=False), rows(6, 3)
    np.testing.assert_array_equal(np.asarray(layer(x, training=True)), np.asarray(layer(x)))
    assert len(layer.trainable_weights) == 0 and len(layer.non_trainable_weights) == 4
    layer.trainable = True
    assert [w.name for w in layer.trainable_weights] == ["gamma", "beta"]
    assert (np.asarray(layer(x, training=True)) != np.asarray(layer(x))).any()


def test_freezing_inside_a_compiled_model_stops_the_statistics() -> None:
    model = lamina.Sequential([lamina.Input((3,)), L.Dense(4), L.BatchNormalization()])
    x, y = rows(8, 3), rows(8, 4, seed=1)
    model.layers[1].trainable = False
    model.compile("sgd", "mse")
    before = model.layers[1].get_weights()
    model.fit(x, y, epochs=2, verbose=0)
    for a, b in zip(before, model.layers[1].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_eager_and_traced_training_leave_the_same_statistics() -> None:
    x = rows(16, 4, 3)
    layer = L.BatchNormalization(momentum=0.5)
    layer(x, training=True)
    model = lamina.Sequential([lamina.Input((4, 3)), L.BatchNormalization(momentum=0.5)])
    model.compile(lamina.optimizers.SGD(0.0), "mse")
    model.train_on_batch(x, x)
    for a, b in zip(layer.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_a_layer_used_twice_counts_both_batches() -> None:
    shared = L.BatchNormalization(momentum=0.5)
    a, b = lamina.Input((2,)), lamina.Input((2,))
    model = lamina.Model([a, b], L.Add()([shared(a), shared(b)]))
    model.compile("sgd", "mse")
    x, z = rows(4, 2), rows(4, 2, seed=1)
    model.train_on_batch([x, z], rows(4, 2))
    expected = 0.5 * (0.5 * x.mean(0)) + 0.5 * z.mean(0)
    np.testing.assert_allclose(shared.get_weights()[2], expected, rtol=1e-5)


def test_masked_steps_do_not_count() -> None:
    x = np.array([[[1, 5], [2, 5], [7, 7], [9, 9]]] * 3, "float32")
    mask = np.array([[True, True, False, False]] * 3)
    layer = L.BatchNormalization(momentum=0.0)
    layer(x, mask=mask, training=True)
    _, _, mean, variance = layer.get_weights()
    np.testing.assert_allclose(mean, [1.5, 5.0], rtol=1e-5)
    np.testing.assert_allclose(variance, [0.25, 0.0], atol=1e-5)


def test_a_batch_without_a_step_that_counts_gives_finite_values() -> None:
    layer = L.BatchNormalization()
    y = layer(np.zeros((4, 5), "float32"), mask=np.zeros((4,), bool), training=True)
    np.testing.assert_array_equal(np.asarray(y), np.zeros((4, 5)))


def test_a_mask_of_another_rank_is_refused() -> None:
    with pytest.raises(ValueError, match="mask"):
        L.BatchNormalization()(rows(2, 3, 4), mask=np.ones((2,), bool))


def test_the_mask_passes_on() -> None:
    masked = L.Masking()(np.array([[[1.0, 2.0], [0.0, 0.0]]], "float32"))
    for layer in (L.BatchNormalization(), L.LayerNormalization(), L.UnitNormalization()):
        np.testing.assert_array_equal(np.asarray(layer(masked).mask), [[True, False]])


def test_float64() -> None:
    layer, x = L.BatchNormalization(dtype="float64"), rows(9, 3).astype("float64")
    y = np.asarray(layer(x, training=True))
    expected = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


def test_renorm_with_the_batch_far_away_is_clipped() -> None:
    bounds = {"rmin": 0.5, "rmax": 2.0, "dmax": 1.0}
    layer, x = L.BatchNormalization(renorm=True, renorm_clipping=bounds), 100 * rows(8, 2)
    y = np.asarray(layer(x, training=True))
    d = np.clip(x.mean(0), -1, 1)
    expected = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3) * 2.0 + d
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


# ---- Axes


@pytest.mark.parametrize("axis", [1, -2, [1, 2], (2, 1), [-1], (1, -1)])
def test_any_axes(axis: Any) -> None:
    x = rows(2, 3, 4, 5)
    axes = tuple(axis) if isinstance(axis, (list, tuple)) else axis
    centred = x - x.mean(axes, keepdims=True)
    expected = centred / np.sqrt(x.var(axes, keepdims=True) + 1e-3)
    layer = L.LayerNormalization(axis=axis)
    # float32 sums in another order
    np.testing.assert_allclose(np.asarray(layer(x)), expected, rtol=1e-4, atol=1e-5)
    order = sorted(a % 4 for a in np.atleast_1d(axis))
    assert layer.gamma.shape == tuple(x.shape[a] for a in order)
    power = np.sqrt((x * x).mean(axes, keepdims=True) + 1e-6)
    np.testing.assert_allclose(np.asarray(L.RMSNormalization(axis=axis)(x)), x / power, rtol=1e-4)
    size = np.sqrt((x * x).sum(axes, keepdims=True))
    np.testing.assert_allclose(np.asarray(L.UnitNormalization(axis=axis)(x)), x / size, rtol=1e-4)


def test_gamma_of_several_axes_stays_in_place() -> None:
    x = rows(2, 3, 4, 5)
    layer, plain = L.LayerNormalization(axis=(3, 1)), L.LayerNormalization(axis=(1, 3))
    layer.build(x.shape)
    gamma = rows(3, 5)
    layer.set_weights([gamma, np.zeros((3, 5), "float32")])
    y = np.asarray(plain(x)) * gamma[None, :, None, :]
    np.testing.assert_allclose(np.asarray(layer(x)), y, rtol=1e-5, atol=1e-6)


def test_unit_normalization_of_zeros() -> None:
    np.testing.assert_array_equal(np.asarray(L.UnitNormalization()(np.zeros((1, 3)))), [[0, 0, 0]])


@pytest.mark.parametrize("groups", [1, 2, 6, -1])
def test_group_normalization_of_images(groups: int) -> None:
    x = rows(2, 3, 4, 6)
    count = 6 if groups == -1 else groups
    parts = x.reshape(2, 12, count, 6 // count)
    centred = parts - parts.mean((1, 3), keepdims=True)
    expected = (centred / np.sqrt(parts.var((1, 3), keepdims=True) + 1e-3)).reshape(x.shape)
    y = np.asarray(L.GroupNormalization(groups)(x))
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


class Around(L.Layer):
    """Has no shape rule, so that its layer runs on shapes."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def call(self, inputs: Any) -> Any:
        return self.inner(inputs)


@pytest.mark.parametrize(
    "make",
    [
        L.BatchNormalization,
        L.LayerNormalization,
        lambda: L.GroupNormalization(2),
        L.RMSNormalization,
        L.UnitNormalization,
    ],
)
def test_unknown_sizes(make: Any) -> None:
    inputs = lamina.Input((None, None, 4))
    model = lamina.Model(inputs, Around(make())(make()(inputs)))
    assert model.output_shape == (None, None, None, 4)
    for shape in ((2, 3, 5, 4), (1, 6, 2, 4)):
        assert model.predict(rows(*shape), verbose=0).shape == shape


# ---- Contract and bad arguments


@pytest.mark.parametrize(
    ("name", "kwargs", "shape", "bad"),
    [
        ("BatchNormalization", {}, (4, 5),
         [dict(axis=1.5), dict(momentum=1.2), dict(epsilon=-1), dict(center="yes"),
          dict(scale=2), dict(renorm="a"), dict(renorm_momentum=-1),
          dict(renorm_clipping={"rmaxx": 1}), dict(renorm_clipping={"dmax": -1}),
          dict(renorm_clipping={"rmin": 2, "rmax": 1}), dict(synchronized=True)]),
        ("BatchNormalization", dict(axis=1, renorm=True), (4, 3, 2), []),
        ("LayerNormalization", dict(axis=[-1, -2]), (4, 3, 2),
         [dict(axis="a"), dict(axis=[]), dict(axis={"axis": 1}), dict(epsilon=-1),
          dict(center=None), dict(scale=3), dict(rms_scaling="a")]),
        ("LayerNormalization", dict(rms_scaling=True), (4, 6), []),
        ("GroupNormalization", dict(groups=2), (4, 3, 6),
         [dict(groups=0), dict(groups=-2), dict(groups=1.5), dict(groups="2"), dict(axis=None),
          dict(epsilon="a")]),
        ("GroupNormalization", dict(groups=-1, axis=1), (4, 3, 6), []),
        ("RMSNormalization", dict(axis=[1, 2]), (4, 3, 6), [dict(axis=0.5), dict(epsilon=-1)]),
        ("UnitNormalization", dict(axis=[1, 2]), (4, 3, 6), [dict(axis="1")]),
    ],
)  # fmt: skip
def test_contract(
    name: str, kwargs: dict[str, Any], shape: tuple[int, ...], bad: list[dict[str, Any]]
) -> None:
    check_layer(getattr(L, name), kwargs, input_shape=shape, bad_kwargs=bad)


@pytest.mark.parametrize("name", ["BatchNormalization", "LayerNormalization", "GroupNormalization"])
@pytest.mark.parametrize("weight", ["beta", "gamma"])
@pytest.mark.parametrize("kind", ["initializer", "regularizer", "constraint"])
def test_unknown_names(name: str, weight: str, kind: str) -> None:
    with pytest.raises(ValueError) as caught:
        getattr(L, name)(**{f"{weight}_{kind}": "ones_of_mine"})
    assert name in str(caught.value) and "ones_of_mine" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: L.BatchNormalization(axis=4, name="bn"), ["bn", "axis 4", "3 axes"]),
        (lambda: L.LayerNormalization(axis=[1, -2], name="ln"), ["ln", "twice"]),
        (lambda: L.GroupNormalization(3, name="gn"), ["gn", "groups=3", "(4)"]),
        (lambda: L.GroupNormalization(8, name="gn"), ["gn", "groups=8", "(4)"]),
        (lambda: L.GroupNormalization(1, axis=0, name="gn"), ["gn", "axis 0", "batch"]),
        (lambda: L.UnitNormalization(axis=-4, name="un"), ["un", "axis -4", "3 axes"]),
    ],
)
def test_axes_and_groups_that_do_not_fit(make: Any, words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        make()(rows(2, 3, 4))
    for word in words:
        assert word in str(caught.value)


def test_unknown_channels_are_refused() -> None:
    for layer in (L.BatchNormalization(), L.LayerNormalization(), L.GroupNormalization(1)):
        with pytest.raises(ValueError, match="should have a defined dimension"):
            layer(lamina.Input((3, None)))


def test_row_alone_equals_row_in_batch_bitwise() -> None:
    x = rows(7, 5, 8)
    for layer in (L.BatchNormalization(), L.LayerNormalization(), L.GroupNormalization(4)):
        whole = np.asarray(layer(x))
        for i in range(len(x)):
            np.testing.assert_array_equal(np.asarray(layer(x[i : i + 1]))[0], whole[i])
