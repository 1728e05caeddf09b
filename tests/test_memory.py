"""Flat memory: cycles of create, fit, predict, delete, and many predicts."""

from __future__ import annotations

import sys

import pytest

from tests.processes import run_python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")

HEADER = """
import gc
import numpy as np
import lamina

def resident() -> int:
    gc.collect()
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) * 1024

x = np.random.RandomState(0).normal(size=(20, 10)).astype("float32")
y = x[:, :1].copy()
"""


def grown(body: str) -> float:
    return float(run_python(HEADER + body).strip().splitlines()[-1]) / 2**20


def test_a_thousand_models() -> None:
    """Less than 1 MB over 1,000 cycles; the first cycles fill allocators and caches."""
    megabytes = grown("""
def cycle():
    lamina.utils.clear_session()
    model = lamina.Sequential([lamina.Input((10,)), lamina.layers.Dense(16, "relu"),
                               lamina.layers.Dropout(0.2), lamina.layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(x, y, batch_size=8, verbose=0)
    model.predict(x, verbose=0)

for _ in range(300):
    cycle()
before = resident()
for _ in range(1000):
    cycle()
print(resident() - before)
""")
    assert megabytes < 1.0


def test_ten_thousand_predicts() -> None:
    megabytes = grown("""
model = lamina.Sequential([lamina.Input((10,)), lamina.layers.Dense(16, "relu"),
                           lamina.layers.Dense(1)])
for _ in range(2000):
    model.predict(x[:1], verbose=0)
before = resident()
for _ in range(10000):
    model.predict(x[:1], verbose=0)
print(resident() - before)
""")
    assert megabytes < 1.0


def test_eager_ops_and_changing_shapes() -> None:
    """A new batch size is a new plan; the cache of plans is bounded."""
    megabytes = grown("""
model = lamina.Sequential([lamina.Input((10,)), lamina.layers.Dense(16, "relu"),
                           lamina.layers.Dense(1)])
big = np.zeros((600, 10), "float32")
def cycle():
    for n in range(1, 600, 7):
        model(big[:n])
        lamina.ops.exp(lamina.ops.matmul(big[:n], np.ones((10, 3), "float32")))
for _ in range(10):
    cycle()
before = resident()
for _ in range(30):
    cycle()
print(resident() - before)
""")
    assert megabytes < 2.0
