"""The first loss that is not finite warns once, naming epoch, batch and the layer at fault."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import lamina

X = np.ones((12, 2), "float32")
Y = np.zeros((12, 1), "float32")


class Breaks(lamina.layers.Layer):
    """Divides by something that is zero in the rows whose first feature is zero."""

    def call(self, inputs: Any) -> Any:
        return inputs / inputs[:, :1]


def model_with(layer: Any) -> Any:
    model = lamina.Sequential([lamina.Input((2,)), layer, lamina.layers.Dense(1, name="last")])
    model.compile(lamina.optimizers.SGD(0.0), "mse")
    return model


def recorded(run: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    words = ("finite", "nan", "NaN", "inf")
    return [str(w.message) for w in caught if any(word in str(w.message) for word in words)]


def test_warns_once_with_epoch_batch_and_layer() -> None:
    x = X.copy()
    x[9] = 0.0  # batch 3 of 4 rows
    model = model_with(Breaks(name="divider"))
    messages = recorded(lambda: model.fit(x, Y, batch_size=4, epochs=3, shuffle=False, verbose=0))
    assert len(messages) == 1
    assert "divider" in messages[0]
    assert "epoch 1" in messages[0].lower() and "batch 3" in messages[0].lower()


def test_bad_data_is_named_as_data() -> None:
    x = X.copy()
    x[0, 0] = np.nan
    model = model_with(lamina.layers.Dense(2, name="first"))
    messages = recorded(lambda: model.fit(x, Y, verbose=0))
    assert len(messages) == 1
    assert "input" in messages[0].lower() or "x" in messages[0] or "first" in messages[0]


def test_exploding_weights() -> None:
    model = lamina.Sequential([lamina.Input((2,)), lamina.layers.Dense(1, name="only")])
    model.compile(lamina.optimizers.SGD(3e38), "mse")
    messages = recorded(lambda: model.fit(X, Y + 1, batch_size=4, epochs=3, verbose=0))
    assert len(messages) == 1 and "only" in messages[0]


def test_a_finite_fit_is_silent() -> None:
    model = model_with(lamina.layers.Dense(2))
    assert recorded(lambda: model.fit(X, Y, epochs=2, verbose=0)) == []


@pytest.mark.filterwarnings("ignore")
def test_terminate_on_nan_stops() -> None:
    x = X.copy()
    x[:] = np.nan
    model = model_with(lamina.layers.Dense(2))
    history = model.fit(x, Y, epochs=5, verbose=0, callbacks=[lamina.callbacks.TerminateOnNaN()])
    assert len(history.epoch) == 1
