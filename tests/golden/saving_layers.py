"""Models of the layers whose weights lie deepest in a file: cells, wrappers, many convolutions."""

from __future__ import annotations

from typing import Any

from tests.golden.cases import integers, normal, uniform


def _joined(keras: Any, inputs: Any, branches: list[Any], name: str, rate: float = 0.01) -> Any:
    k = keras.layers
    flat = k.Concatenate()([k.Flatten()(branch) for branch in branches])
    model = keras.Model(inputs, k.Dense(2, name="end")(flat), name=name)
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


def depthwise(keras: Any) -> Any:
    k = keras.layers
    image = keras.Input((5, 5, 2))
    rows = k.Reshape((5, 10))(image)
    branches = [
        k.DepthwiseConv1D(2, depth_multiplier=2)(rows),
        k.DepthwiseConv2D(3, strides=2)(image),
        k.SeparableConv1D(2, 3)(rows),
        k.SeparableConv2D(2, 3, padding="same")(image),
    ]
    return _joined(keras, image, branches, "depthwise")


def transposed(keras: Any) -> Any:
    k = keras.layers
    image = keras.Input((5, 5, 2))
    cube = k.Reshape((5, 5, 2, 1))(image)
    branches = [
        k.Conv1DTranspose(2, 3, strides=2)(k.Reshape((5, 10))(image)),
        k.Conv2DTranspose(2, 3, strides=2, padding="same")(image),
        k.Conv3D(2, 2)(cube),
        k.Conv3DTranspose(1, 2)(cube),
    ]
    return _joined(keras, image, branches, "transposed")


def cells(keras: Any) -> Any:
    k = keras.layers
    frames = keras.Input((3, 8))
    branches = [
        k.RNN(k.StackedRNNCells([k.LSTMCell(2), k.GRUCell(3)]), name="stacked")(frames),
        k.RNN(k.SimpleRNNCell(2), return_sequences=True)(frames),
        k.Bidirectional(k.LSTM(2), backward_layer=k.GRU(2, go_backwards=True))(frames),
    ]
    return _joined(keras, frames, branches, "cells")


def frames(keras: Any) -> Any:
    k = keras.layers
    films = keras.Input((3, 4, 4, 2))
    branches = [
        k.TimeDistributed(k.Conv2D(3, 2), name="each")(films),
        k.ConvLSTM1D(2, 2)(k.Reshape((3, 8, 4))(films)),
        k.ConvLSTM2D(2, 2, return_sequences=True)(films),
    ]
    return _joined(keras, films, branches, "frames")


def attention(keras: Any) -> Any:
    k = keras.layers
    inputs = keras.Input((4, 6))
    branches = [
        k.GroupQueryAttention(3, 4, 2, name="grouped")(inputs, inputs),
        k.AdditiveAttention()([inputs, inputs]),
        k.Attention(use_scale=True, score_mode="concat")([inputs, inputs]),
        k.EinsumDense("abc,cd->abd", (4, 2), bias_axes="d")(inputs),
    ]
    return _joined(keras, inputs, branches, "attention")


def normalizers(keras: Any) -> Any:
    k = keras.layers
    inputs = keras.Input((4, 6))
    adapted = k.Normalization(name="adapted")
    adapted.adapt(uniform(20, 4, 6, high=3.0))
    h = k.SpectralNormalization(k.Dense(6), power_iterations=2, name="spectral")(adapted(inputs))
    branches = [
        k.GroupNormalization(2)(h),
        k.RMSNormalization()(h),
        k.BatchNormalization()(h),
        k.PReLU(shared_axes=[1])(h),
    ]
    return _joined(keras, inputs, branches, "normalizers", 1e-4)


def tied(keras: Any) -> Any:
    k = keras.layers
    ids = keras.Input((5,), dtype="int32")
    table = k.ReversibleEmbedding(9, 4, tie_weights=False, name="table")
    return _joined(keras, ids, [table(k.LSTM(4, return_sequences=True)(table(ids)), reverse=True)],
                   "tied")  # fmt: skip


_MAKERS = (depthwise, transposed, cells, frames, attention, normalizers, tied)
MODELS = {make.__name__: make for make in _MAKERS}
_SHAPES = {
    "depthwise": (5, 5, 2), "transposed": (5, 5, 2), "cells": (3, 8), "frames": (3, 4, 4, 2),
    "attention": (4, 6), "normalizers": (4, 6),
}  # fmt: skip


def data(name: str) -> tuple[Any, Any]:
    if name == "tied":
        return integers(9, 8, 5), normal(8, 2)
    return normal(8, *_SHAPES[name]), normal(8, 2, seed=2)
