"""Convolution layers of every rank and kind against real Keras, and what they share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from tests.conftest import check_golden, golden_names

layers = lamina.layers


@pytest.mark.parametrize("name", golden_names("convolution"))
def test_like_keras(name: str) -> None:
    check_golden("convolution", name)


def data(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).normal(size=shape).astype("float32")


KINDS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "Conv1D": (dict(filters=4, kernel_size=3), (8, 3)),
    "Conv2D": (dict(filters=4, kernel_size=3), (6, 7, 3)),
    "Conv3D": (dict(filters=4, kernel_size=2), (4, 5, 4, 3)),
    "Conv1DTranspose": (dict(filters=4, kernel_size=3, strides=2), (8, 3)),
    "Conv2DTranspose": (dict(filters=4, kernel_size=3, strides=2), (4, 5, 3)),
    "Conv3DTranspose": (dict(filters=4, kernel_size=3, strides=2), (2, 3, 2, 3)),
    "DepthwiseConv1D": (dict(kernel_size=3, depth_multiplier=2), (8, 3)),
    "DepthwiseConv2D": (dict(kernel_size=3, depth_multiplier=2), (6, 7, 3)),
    "SeparableConv1D": (dict(filters=4, kernel_size=3), (8, 3)),
    "SeparableConv2D": (dict(filters=4, kernel_size=3), (6, 7, 3)),
}
ALL = pytest.mark.parametrize("kind", sorted(KINDS))


def made(kind: str, **more: Any) -> tuple[Any, tuple[int, ...]]:
    arguments, shape = KINDS[kind]
    return getattr(layers, kind)(**{**arguments, **more}), shape


@ALL
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_declared_shape_is_the_real_one(kind: str, padding: str) -> None:
    layer, shape = made(kind, padding=padding)
    real = layer(data(2, *shape)).shape
    assert tuple(layer.compute_output_shape((2, *shape))) == tuple(real)
    assert layer(lamina.Input(shape)).shape == (None, *real[1:])
    unknown = layer(lamina.Input((*[None] * (len(shape) - 1), shape[-1]))).shape
    assert unknown == (*[None] * len(shape), real[-1])


@ALL
def test_both_data_formats_agree(kind: str) -> None:
    last, shape = made(kind, activation="tanh")
    first, _ = made(kind, activation="tanh", data_format="channels_first")
    x = data(2, *shape)
    expected = np.asarray(last(x))
    first.build((None, shape[-1], *shape[:-1]))
    first.set_weights(last.get_weights())
    rank = len(shape)
    turned = np.asarray(first(x.transpose(0, rank, *range(1, rank))))
    np.testing.assert_array_equal(turned.transpose(0, *range(2, rank + 1), 1), expected)


@ALL
def test_config_makes_the_same_layer(kind: str) -> None:
    layer, shape = made(kind, activation="relu", bias_initializer="ones", padding="same")
    layer(data(1, *shape))
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    again.build((None, *shape))
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(np.asarray(again(data(1, *shape))), layer(data(1, *shape)))


@ALL
def test_row_alone_equals_row_in_batch_bitwise(kind: str) -> None:
    layer, shape = made(kind, activation="sigmoid")
    x = data(5, *shape)
    whole = np.asarray(layer(x))
    for i in range(len(x)):
        np.testing.assert_array_equal(np.asarray(layer(x[i : i + 1]))[0], whole[i])


@ALL
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(kernel_size=0), ["kernel_size", "0"]),
        (dict(kernel_size=(1, 2, 3, 4)), ["kernel_size", "(1, 2, 3, 4)"]),
        (dict(strides=-1), ["strides", "-1"]),
        (dict(dilation_rate="a"), ["dilation_rate", "'a'"]),
        (dict(padding="sane"), ["padding", "sane", "same"]),
        (dict(data_format="last"), ["data_format", "last"]),
        (dict(activation="rely"), ["relu"]),
        (dict(use_bias="no"), ["use_bias"]),
        (dict(bias_initializer="zeroes"), ["zeros"]),
    ],
)
def test_bad_arguments(kind: str, arguments: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        made(kind, **arguments)
    for word in (kind, *words):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        ("Conv3D", dict(filters=0), "filters"),
        ("Conv1D", dict(groups=0), "groups"),
        ("Conv2D", dict(groups=3), "divisible"),
        ("Conv3D", dict(padding="causal"), "causal"),
        ("Conv1D", dict(padding="causal", data_format="channels_first"), "channels_last"),
        ("Conv2D", dict(lora_rank=0), "lora_rank"),
        ("Conv2DTranspose", dict(filters=-1), "filters"),
        ("Conv2DTranspose", dict(output_padding=2), "output_padding"),
        ("Conv2DTranspose", dict(output_padding=-1), "output_padding"),
        ("Conv2DTranspose", dict(dilation_rate=2), "dilation_rate"),
        ("DepthwiseConv2D", dict(depth_multiplier=0), "depth_multiplier"),
        ("SeparableConv1D", dict(depth_multiplier=-2), "depth_multiplier"),
        ("SeparableConv2D", dict(filters=None), "filters"),
        ("SeparableConv2D", dict(pointwise_initializer="x"), "initializer"),
    ],
)
def test_bad_arguments_of_one_kind(kind: str, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made(kind, **arguments)


def test_each_place_of_the_kernel_takes_part_in_a_causal_convolution() -> None:
    layer = layers.Conv1D(1, 3, padding="causal", kernel_initializer="ones")
    x = np.arange(1.0, 6.0, dtype="float32").reshape(1, 5, 1)
    np.testing.assert_array_equal(np.ravel(layer(x)), [1, 3, 6, 9, 12])


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("output_padding", [None, 0, 1, 2])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 5])
@pytest.mark.parametrize("strides", [1, 2, 3])
def test_transposed_convolution_spreads_its_inputs(
    strides: int, kernel_size: int, output_padding: int | None, padding: str
) -> None:
    """The definition: input i adds the kernel at i * strides; then the ends are cut."""
    if output_padding is not None and output_padding >= strides:
        return
    kernel = data(kernel_size, 1, 1)
    x = data(1, 4, 1, seed=1)
    y = np.asarray(lamina.ops.conv_transpose(x, kernel, strides, padding, output_padding))
    spread = np.zeros(3 * strides + kernel_size + 9)
    for i in range(4):
        spread[i * strides : i * strides + kernel_size] += x[0, i, 0] * kernel[:, 0, 0]
    if output_padding is None:
        size = 4 * strides if padding == "same" else 3 * strides + max(kernel_size, strides)
    else:
        size = (
            3 * strides + output_padding + (kernel_size % 2 if padding == "same" else kernel_size)
        )
    cut = max(3 * strides + kernel_size - size, 0) // 2 if padding == "same" else 0
    np.testing.assert_allclose(y[0, :, 0], spread[cut : cut + size], rtol=1e-5, atol=1e-6)


def test_explicit_padding_is_zeros_around() -> None:
    x, kernel = data(2, 5, 6, 3), data(3, 3, 3, 4, seed=1)
    padded = np.pad(x, ((0, 0), (1, 0), (2, 2), (0, 0)))
    expected = np.asarray(lamina.ops.conv(padded, kernel))
    y = lamina.ops.conv(x, kernel, padding=((1, 0), 2))
    np.testing.assert_array_equal(np.asarray(y), expected)
    with pytest.raises(ValueError, match="padding"):
        lamina.ops.conv(x, kernel, padding=(1, 2, 3))


@pytest.mark.parametrize(
    ("op", "kernels"),
    [
        ("conv", [(3, 3, 2, 4)]),
        ("conv_transpose", [(3, 3, 4, 2)]),
        ("depthwise_conv", [(3, 3, 2, 2)]),
        ("separable_conv", [(3, 3, 2, 2), (1, 1, 4, 2)]),
        ("conv", [(3, 3, 4)]),
    ],
)
def test_operations_refuse_kernels_that_do_not_fit(op: str, kernels: list[Any]) -> None:
    with pytest.raises(ValueError, match=op):
        getattr(lamina.ops, op)(data(1, 5, 5, 3), *[data(*shape) for shape in kernels])


# ---- Low-rank adaptation


def test_lora_trains_two_small_matrices_only(tmp_path: Path) -> None:
    layer = layers.Conv2D(4, 3, kernel_regularizer="l2")
    model = lamina.Sequential([lamina.Input((6, 6, 3)), layer])
    plain = np.asarray(layer.kernel)
    layer.enable_lora(2, lora_alpha=4.0)
    assert [w.name for w in layer.trainable_weights] == ["bias", "lora_kernel_a", "lora_kernel_b"]
    assert [w.name for w in layer.non_trainable_weights] == ["kernel"]
    np.testing.assert_array_equal(np.asarray(layer.kernel), plain)  # b is zero
    model.compile("sgd", "mse")
    x = data(8, 6, 6, 3)
    model.fit(x, data(8, 4, 4, 4), epochs=2, verbose=0)
    a, b = (np.asarray(m).reshape(-1, m.shape[-1]) for m in (layer.lora_kernel_a,
                                                             layer.lora_kernel_b))  # fmt: skip
    np.testing.assert_allclose(
        np.asarray(layer.kernel), plain + 2 * (a @ b).reshape(plain.shape), rtol=1e-5, atol=1e-6
    )

    model.save(tmp_path / "adapted.keras")
    again = lamina.models.load_model(tmp_path / "adapted.keras")
    assert again.layers[0].lora_enabled and again.layers[0].lora_alpha == 4.0
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5)

    model.save_weights(tmp_path / "adapted.weights.h5")
    fresh = lamina.Sequential([lamina.Input((6, 6, 3)), layers.Conv2D(4, 3)])
    fresh.load_weights(tmp_path / "adapted.weights.h5")
    np.testing.assert_allclose(fresh.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5)


def test_lora_refuses() -> None:
    with pytest.raises(ValueError, match="isn't yet built"):
        layers.Conv2D(4, 3).enable_lora(2)
    layer = layers.Conv1D(4, 3, lora_rank=2)
    layer(data(1, 5, 3))
    with pytest.raises(ValueError, match="already"):
        layer.enable_lora(2)
    layer = layers.Conv1D(4, 3, kernel_constraint="non_neg")
    layer(data(1, 5, 3))
    with pytest.raises(ValueError, match="constraint"):
        layer.enable_lora(2)
