"""The text of `summary()` and of `fit`'s and `evaluate`'s progress, as Keras prints it."""

from __future__ import annotations

import contextlib
import io
import os
import re
from typing import Any
from unittest import mock

from tests.golden.cases import Result, add, normal


def printed(model: Any, **kwargs: Any) -> str:
    lines: list[str] = []
    model.summary(print_fn=lambda text, line_break=False: lines.append(text), **kwargs)
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(lines))  # rich's bold and colours
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))


def without_optimizer_bytes(text: str) -> str:
    """The step number is int32 in some of Keras's backends and int64 in others."""
    return re.sub(r"((?:Total|Optimizer) params: [\d,]+) \(.*\)", r"\1", text)


def summary(name: str, build: Any, **kwargs: Any) -> None:
    def run(keras: Any) -> Result:
        with mock.patch.dict(os.environ, COLUMNS=str(kwargs.get("line_length") or 80)):
            text = printed(build(keras), **kwargs)
        return {"text": without_optimizer_bytes(text) if name == "fitted" else text}

    add("summary", name, run)


def dense(keras: Any) -> Any:
    return keras.Sequential([keras.layers.Dense(8, "relu", input_dim=10),
                             keras.layers.Dense(1, "sigmoid")])  # fmt: skip


def cnn(keras: Any) -> Any:
    k = keras.layers
    return keras.Sequential([
        k.Conv2D(32, (3, 3), activation="relu", input_shape=(28, 28, 1)), k.MaxPooling2D((2, 2)),
        k.Flatten(), k.Dense(128, activation="relu"), k.Dense(10, activation="softmax"),
    ])  # fmt: skip


def sequence(keras: Any) -> Any:
    k = keras.layers
    model = keras.Sequential([k.Embedding(5000, 128), k.LSTM(64), k.Dense(1, "sigmoid")])
    model.build((None, 100))
    return model


def deferred(keras: Any) -> Any:
    return keras.Sequential([keras.layers.Dense(10, "relu"), keras.layers.Dense(1)])


def autoencoder(keras: Any) -> Any:
    inputs = keras.Input((784,))
    h = keras.layers.Dense(64, activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Dense(784, activation="sigmoid")(h))


def branches(keras: Any) -> Any:
    k = keras.layers
    a, b = keras.Input((4,), name="left"), keras.Input((6,), name="right")
    h = k.Concatenate(name="both")([k.Dense(3, name="a_rather_long_layer_name")(a), b])
    return keras.Model([a, b], [k.Dense(2, name="p")(h), k.Add()([k.Dense(4)(h), a])], name="net")


def frozen(keras: Any) -> Any:
    model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(300), keras.layers.Dense(7)])
    model.layers[0].trainable = False
    return model


def compiled(keras: Any) -> Any:
    model = dense(keras)
    model.compile("adam", "mse")
    return model


def fitted(keras: Any) -> Any:
    model = compiled(keras)
    model.fit(normal(8, 10), normal(8, 1), verbose=0)
    return model


def nested(keras: Any) -> Any:
    k = keras.layers
    block = keras.Sequential([keras.Input((5,)), k.Dense(3), k.Dense(2)], name="block")
    inputs = keras.Input((5,))
    return keras.Model(inputs, k.Dense(1)(block(inputs)), name="outer")


for each in (dense, cnn, sequence, deferred, autoencoder, branches, frozen, compiled, fitted,
             nested):  # fmt: skip
    summary(each.__name__, each)
summary("nested_expanded", nested, expand_nested=True)
summary("frozen_show_trainable", frozen, show_trainable=True)
summary("cnn_wide", cnn, line_length=100)
summary("empty", lambda keras: keras.Sequential())


# ---- Progress, with times taken out


def normalized(text: str) -> str:
    """Only what does not depend on the clock: no colours, no backspaces, no times."""
    text = re.sub(r"\x1b\[[0-9;]*[mK]|\x08", "", text)
    text = re.sub(r"\d+(us|ms|s)/(step|epoch)", "T/step", text)
    return re.sub(r" \d+(:\d+)*s? (?=T/step)", " T ", text)


def last_lines(text: str) -> list[str]:
    """The last state of every line that a carriage return may have redrawn."""
    lines = [normalized(line.rsplit("\r", 1)[-1]) for line in text.split("\n")]
    return [line.rstrip() for line in lines if line.strip()]


def progress(name: str, **kwargs: Any) -> None:
    def run(keras: Any) -> Result:
        model = dense(keras)
        model.set_weights([w * 0 for w in model.get_weights()])
        model.compile(keras.optimizers.SGD(0.0), "mse", metrics=["mae"])
        x, y = normal(40, 10), normal(40, 1) * 0 + 1
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            if name.startswith("fit"):
                model.fit(x, y, shuffle=False, **kwargs)
            elif name.startswith("evaluate"):
                model.evaluate(x, y, **kwargs)
            else:
                model.predict(x, **kwargs)
        return {"lines": last_lines(out.getvalue())}

    add("summary", f"progress_{name}", run)


progress("fit_verbose2", epochs=2, batch_size=10, verbose=2)
progress("fit_verbose2_validation", epochs=2, batch_size=10, verbose=2, validation_split=0.25)
progress("fit_verbose1", epochs=2, batch_size=10, verbose=1)
progress("fit_verbose1_validation", epochs=1, batch_size=10, verbose=1, validation_split=0.25)
progress("fit_auto", epochs=1, batch_size=20)
progress("fit_verbose0", epochs=2, verbose=0)
progress("evaluate_verbose1", verbose=1)
progress("evaluate_verbose2", verbose=2)
progress("predict_verbose1", verbose=1)
progress("predict_verbose2", verbose=2)
