"""Ctrl-C stops fit within a batch and leaves the model usable."""

from __future__ import annotations

import sys

import pytest

from tests.processes import run_python

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

PROGRAM = """
import os, signal, sys, threading, time
import numpy as np
import lamina
what = sys.argv[1]
model = lamina.Sequential([lamina.Input((200,)), lamina.layers.Dense(200, "relu"),
                           lamina.layers.Dense(1)])
model.compile("adam", "mse")
x, y = np.ones((4096, 200), "float32"), np.ones((4096, 1), "float32")
model.fit(x[:32], y[:32], verbose=0)
calls = {
    "fit": lambda: model.fit(x, y, epochs=100000, verbose=0),
    "fit_callback": lambda: model.fit(x, y, epochs=100000, verbose=0, callbacks=[
        lamina.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)]),
    "predict": lambda: [model.predict(x, batch_size=1, verbose=0) for _ in range(100000)],
    "evaluate": lambda: [model.evaluate(x, y, batch_size=1, verbose=0) for _ in range(100000)],
}
threading.Timer(0.7, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    calls[what]()
except KeyboardInterrupt:
    pass
else:
    sys.exit("was not interrupted")
assert all(np.isfinite(w).all() for w in model.get_weights())
before = int(np.asarray(model.optimizer.iterations))
model.fit(x[:64], y[:64], verbose=0)
assert int(np.asarray(model.optimizer.iterations)) == before + 2
assert model.predict(x[:3], verbose=0).shape == (3, 1)
print("usable")
"""


@pytest.mark.parametrize("what", ["fit", "fit_callback", "predict", "evaluate"])
def test_interrupted(what: str) -> None:
    assert run_python(PROGRAM, what).strip() == "usable"
