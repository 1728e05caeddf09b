"""Model.export to ONNX: the file computes what the model computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import layers
from lamina.export import FORMATS
from lamina.export.model import record_inference

Build = Callable[[], Any]


def stack(*parts: Callable[[], Any], shape: Any = (6, 4), dtype: str = "float32") -> Build:
    return lambda: lamina.Sequential([lamina.Input(shape, dtype=dtype), *[p() for p in parts]])


def graph(fn: Callable[[Any], Any], shape: Any = (5, 4)) -> Build:
    def build() -> Any:
        inputs = lamina.Input(shape)
        return lamina.Model(inputs, fn(inputs))

    return build


def masked(cell: Any, **settings: Any) -> Build:
    return stack(
        lambda: layers.Embedding(10, 4, mask_zero=True),
        lambda: layers.Bidirectional(cell(3, return_sequences=True, **settings)),
        lambda: cell(2, **settings),
        shape=(6,), dtype="int32",
    )  # fmt: skip


def several() -> Any:
    a, b = lamina.Input((4,), name="a"), lamina.Input((4,), name="b")
    x = layers.Concatenate()([a, b])
    return lamina.Model({"a": a, "b": b}, {"v": layers.Dense(3, "gelu")(x), "u": x})


class Subclass(lamina.Model):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.last = layers.Dense(3, "relu"), layers.Dense(1)

    def call(self, x: Any) -> Any:
        return self.last(self.inner(x))


def subclass() -> Any:
    model = Subclass()
    model(np.zeros((2, 4), "float32"))
    return model


IMAGE = (9, 8, 3)
MODELS: dict[str, Build] = {
    "dense": stack(lambda: layers.Dense(8, "relu"), lambda: layers.Dropout(0.5),
                   lambda: layers.Dense(3, "softmax"), shape=(4,)),
    "conv": stack(
        lambda: layers.Conv2D(4, 3, padding="same", activation="relu"),
        layers.BatchNormalization, lambda: layers.Conv2D(6, 3, strides=2, padding="same"),
        lambda: layers.Conv2D(6, 3, dilation_rate=2, padding="same", groups=2),
        lambda: layers.DepthwiseConv2D(3, padding="same"), lambda: layers.SeparableConv2D(5, 2),
        layers.Flatten, lambda: layers.Dense(2), shape=IMAGE),
    "pool": stack(lambda: layers.MaxPooling2D(3, strides=2, padding="same"),
                  lambda: layers.AveragePooling2D(2, padding="same"),
                  layers.GlobalAveragePooling2D, shape=IMAGE),
    "conv_1d": stack(lambda: layers.Conv1D(4, 3, padding="causal", activation="tanh"),
                     lambda: layers.MaxPooling1D(2),
                     lambda: layers.Conv1DTranspose(2, 3, strides=2, padding="same"),
                     shape=(12, 3)),
    "conv_transpose": stack(lambda: layers.Conv2DTranspose(4, 3, strides=2, padding="same"),
                            lambda: layers.Conv2DTranspose(2, 2, strides=3), shape=(5, 6, 3)),
    "conv_3d": stack(lambda: layers.Conv3D(3, 2), layers.GlobalMaxPooling3D, shape=(5, 5, 5, 2)),
    "lstm": stack(lambda: layers.LSTM(5, return_sequences=True),
                  lambda: layers.LSTM(3, go_backwards=True)),
    "lstm_open_length": stack(lambda: layers.LSTM(5, return_sequences=True), shape=(None, 4)),
    "gru": stack(lambda: layers.GRU(5, return_sequences=True),
                 lambda: layers.GRU(3, reset_after=False)),
    "simple_rnn": stack(lambda: layers.SimpleRNN(5, return_sequences=True, activation="relu"),
                        lambda: layers.SimpleRNN(3, use_bias=False)),
    "masked_lstm": masked(layers.LSTM),
    "masked_gru": masked(layers.GRU),
    "masked_rnn": masked(layers.SimpleRNN),
    "attention": graph(lambda x: layers.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True)),
    "shared_heads": graph(lambda x: layers.GroupQueryAttention(3, 4, 2)(x, x)),
    "dot_attention": graph(lambda x: layers.Attention()([x, x])),
    "norms": stack(layers.LayerNormalization, lambda: layers.Dense(4, "silu"),
                   layers.RMSNormalization, lambda: layers.GroupNormalization(2),
                   layers.UnitNormalization),
    "activations": stack(
        lambda: layers.Dense(4, "elu"), lambda: layers.Dense(4, "selu"),
        lambda: layers.Dense(4, "mish"), layers.LeakyReLU, layers.PReLU,
        lambda: layers.Dense(4, "hard_sigmoid"), lambda: layers.Dense(4, "softsign"),
        lambda: layers.Dense(4, "log_softmax"), lambda: layers.ReLU(6.0), shape=(4,)),
    "shapes": stack(
        lambda: layers.Permute((2, 1)), lambda: layers.Reshape((3, 8)),
        lambda: layers.ZeroPadding1D(2), lambda: layers.Cropping1D(1),
        lambda: layers.UpSampling1D(2), layers.Flatten, lambda: layers.RepeatVector(2)),
    "einsum": stack(lambda: layers.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d")),
    "several": several,
    "subclass": subclass,
}  # fmt: skip


def filled(build: Build) -> Any:
    lamina.utils.set_random_seed(0)
    model = build()
    generator = np.random.RandomState(1)
    model.set_weights([generator.uniform(0.05, 0.6, w.shape) for w in model.get_weights()])
    return model


@pytest.mark.parametrize("name", MODELS)
def test_onnx_computes_the_same(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    model, path = filled(MODELS[name]), str(tmp_path / "model.onnx")
    model.export(path, format="onnx", verbose=False)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    generator = np.random.RandomState(3)
    for rows in (1, 5):  # the batch size is open
        feed = {}
        for place in session.get_inputs():
            sizes = [d if isinstance(d, int) else 7 for d in place.shape]
            ids = "int" in place.type
            values = generator.randint(0, 4, [rows, *sizes[1:]]) if ids else (
                generator.uniform(-1, 1, [rows, *sizes[1:]])
            )  # fmt: skip
            feed[place.name] = values.astype("int32" if ids else "float32")
        expected = model(feed if len(feed) > 1 else next(iter(feed.values())))
        flat = [np.asarray(tensor) for tensor in lamina.tree.flatten(expected)]
        for got, want in zip(session.run(None, feed), flat, strict=True):
            np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6)


def test_names_and_signature(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "model.onnx"
    filled(several).export(path, format="onnx", verbose=False, opset_version=20)
    made = onnx.load(str(path))
    assert [value.name for value in made.graph.input] == ["a", "b"]
    assert [value.name for value in made.graph.output] == ["u", "v"]
    assert made.opset_import[0].version == 20
    spec = lamina.layers.InputSpec(shape=(3, 4), dtype="float32")
    record, _ = record_inference(filled(subclass), [spec])
    assert record.values[record.inputs[0]].shape == (3, 4)


def test_it_says_where_the_file_is(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("onnx")
    filled(MODELS["dense"]).export(tmp_path / "m.onnx", format="onnx")
    assert "m.onnx" in capsys.readouterr().out


def test_refused(tmp_path: Path) -> None:
    model, path = filled(MODELS["dense"]), tmp_path / "m"
    with pytest.raises(ValueError, match="Unrecognized format='pdf'.*onnx"):
        model.export(path, format="pdf")
    for other in ("tf_saved_model", "litert", "openvino", "torch"):
        with pytest.raises(NotImplementedError, match=f"lamina writes format='{FORMATS[0]}'"):
            model.export(path, format=other)
    with pytest.raises(ValueError, match="unknown arguments.*'speed'"):
        model.export(path, format="onnx", speed=3)
    with pytest.raises(ValueError, match="inputs of model .* are not known"):
        Subclass().export(path, format="onnx")
    with pytest.raises(ValueError, match="input_signature takes InputSpecs"):
        model.export(path, format="onnx", input_signature=[3])
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match="opset_version must be 18"):
        model.export(path, format="onnx", opset_version=9)
    resized = filled(stack(lambda: layers.UpSampling2D(2, interpolation="bilinear"), shape=IMAGE))
    with pytest.raises(NotImplementedError, match="up_sampling2d"):
        resized.export(path, format="onnx")
    assert not path.exists()
