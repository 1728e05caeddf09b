"""`lamina demo`: train a CNN on real handwritten digits, then show what it learned."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from lamina.callbacks import Callback, LearningRateScheduler

BATCH_SIZE = 32
IMAGE_SIZE = 28
SHOWN_MISTAKES = 24

# The same model and batch in other libraries, each timed in a process of its own, so that no
# second OpenMP runtime or already warm cache disturbs the figures.
PEER_PROGRAMS = {
    "torch": """
import json, time, torch
from torch import nn
model = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                      nn.Linear(5408, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer = torch.optim.Adam(model.parameters())
x, y = torch.rand(32, 1, 28, 28), torch.randint(0, 10, (32,))
def step():
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()
for _ in range(5): step()
times = []
for _ in range(30):
    start = time.perf_counter(); step(); times.append(time.perf_counter() - start)
print(json.dumps({"name": "PyTorch " + torch.__version__, "seconds": sorted(times)[15]}))
""",
    "keras": """
import json, time, keras, numpy as np
model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Conv2D(32, 3, activation="relu"),
    keras.layers.MaxPooling2D(), keras.layers.Flatten(), keras.layers.Dense(128, activation="relu"),
    keras.layers.Dense(10, activation="softmax")])
model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
x, y = np.random.rand(960, 28, 28, 1).astype("float32"), np.eye(10)[np.arange(960) % 10]
model.fit(x, y, verbose=0)
start = time.perf_counter()
model.fit(x, y, verbose=0)
seconds = (time.perf_counter() - start) / 30
name = f"Keras {keras.__version__} on {keras.backend.backend()}"
print(json.dumps({"name": name, "seconds": seconds}))
""",
}
PEER_TIMEOUT_SECONDS = 90


class StepTimer(Callback):
    """Seconds that each epoch's training took, without its validation."""

    def __init__(self) -> None:
        super().__init__()
        self.epoch_seconds: list[float] = []
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._start = time.perf_counter()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.epoch_seconds.append(time.perf_counter() - self._start)


def run_demo(out: str = "lamina-demo", epochs: int = 20, seed: int = 1) -> float:
    """Train, evaluate, save and draw.

    Args:
        out: folder for the weights and the pictures; made when missing.
        epochs: passes over the training digits.
        seed: of the random numbers.

    Returns:
        The accuracy on the test digits.

    Raises:
        ImportError: if scikit-learn, matplotlib or h5py is missing.
        ValueError: if `epochs` is less than 1.
    """
    if epochs < 1:
        raise ValueError(f"demo: epochs must be 1 or more. Got {epochs}.")
    _require("sklearn", "matplotlib", "h5py")
    from lamina.utils import set_random_seed

    set_random_seed(seed)
    (x_train, y_train), (x_test, y_test) = load_digits()
    print(
        f"{len(x_train)} handwritten digits to learn from, {len(x_test)} to test with "
        f"({IMAGE_SIZE} x {IMAGE_SIZE} pixels)"
    )
    model = make_model()
    model.summary()
    timer = StepTimer()
    history = model.fit(
        x_train,
        np.eye(10, dtype=np.float32)[y_train],
        batch_size=BATCH_SIZE,
        epochs=epochs,
        validation_data=(x_test, np.eye(10, dtype=np.float32)[y_test]),
        callbacks=[timer, LearningRateScheduler(learning_rate)],
    )
    predicted = np.asarray(model.predict(x_test, verbose=0)).argmax(axis=-1)
    accuracy = float(np.mean(predicted == y_test))

    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_weights(str(folder / "digits.weights.h5"))
    draw_learning_curve(history.history, folder / "learning_curve.png")
    draw_confusion_matrix(y_test, predicted, folder / "confusion_matrix.png")
    draw_mistakes(x_test, y_test, predicted, folder / "misclassified.png")

    print(f"\nTest accuracy: {accuracy:.2%}")
    _print_step_times(min(timer.epoch_seconds) / -(-len(x_train) // BATCH_SIZE))
    print(f"\nWritten to {folder}/:")
    for path in sorted(folder.iterdir()):
        print(f"  {path.name}")
    return accuracy


def load_digits() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """scikit-learn's digits as float32 images (rows, 28, 28, 1) from 0 to 1, and labels."""
    from lamina.datasets import digits

    (x_train, y_train), (x_test, y_test) = digits.load_data(image_size=IMAGE_SIZE)
    return (as_input(x_train), y_train), (as_input(x_test), y_test)


def as_input(images: np.ndarray) -> np.ndarray:
    """Bytes to float32 from 0 to 1, with a channel axis."""
    return np.asarray(images[..., np.newaxis] / np.float32(255), np.float32)


def make_model() -> Any:
    """The image classifier: one convolution, one hidden layer."""
    from lamina.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D
    from lamina.models import Sequential

    model = Sequential(
        [
            Input((IMAGE_SIZE, IMAGE_SIZE, 1)),
            Conv2D(32, (3, 3), activation="relu"),
            MaxPooling2D((2, 2)),
            Flatten(),
            Dense(128, activation="relu"),
            Dense(10, activation="softmax"),
        ],
        name="digits",
    )
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    return model


def learning_rate(epoch: int, present: float) -> float:
    """Adam's default for eight epochs, then a fifth less each: the end is calm, not lucky."""
    return present if epoch < 8 else present * 0.8


def draw_learning_curve(history: dict[str, list[float]], path: Path) -> None:
    """Loss and accuracy of training and test digits over the epochs."""
    figure, axes = _figure(1, 2, (9, 3.5))
    epochs = range(1, len(history["loss"]) + 1)
    for axis, name in zip(axes, ("loss", "accuracy"), strict=True):
        axis.plot(epochs, history[name], label="training digits")
        axis.plot(epochs, history[f"val_{name}"], label="test digits")
        axis.set_xlabel("epoch")
        axis.set_ylabel(name)
        axis.grid(alpha=0.3)
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def draw_confusion_matrix(labels: np.ndarray, predicted: np.ndarray, path: Path) -> None:
    """How often each digit (row) was read as each digit (column)."""
    counts = np.zeros((10, 10), dtype=int)
    np.add.at(counts, (labels, predicted), 1)
    figure, axes = _figure(1, 1, (5, 5))
    axis = axes[0]
    axis.imshow(counts, cmap="Blues")
    for row, column in np.argwhere(counts):
        color = "white" if counts[row, column] > counts.max() / 2 else "black"
        axis.text(column, row, counts[row, column], ha="center", va="center", color=color)
    axis.set_xticks(range(10))
    axis.set_yticks(range(10))
    axis.set_xlabel("read as")
    axis.set_ylabel("digit")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def draw_mistakes(
    images: np.ndarray, labels: np.ndarray, predicted: np.ndarray, path: Path
) -> None:
    """The digits that were read wrongly, with what they are and what they were taken for."""
    wrong = np.flatnonzero(labels != predicted)[:SHOWN_MISTAKES]
    columns = 6
    rows = max(-(-len(wrong) // columns), 1)
    figure, axes = _figure(rows, columns, (columns * 1.5, rows * 1.7 + 0.3))
    for axis in axes:
        axis.axis("off")
    for axis, index in zip(axes, wrong, strict=False):
        axis.imshow(images[index, :, :, 0], cmap="gray_r")
        axis.set_title(f"{labels[index]} read as {predicted[index]}", fontsize=8)
    if not len(wrong):
        figure.suptitle("every test digit was read correctly")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, list[Any]]:
    """A figure that needs no display, and its axes in reading order."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size)
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.ravel())


def _print_step_times(seconds: float) -> None:
    """Our time per training step, beside what the same step costs in the libraries found here."""
    print(f"Time per step of {BATCH_SIZE} digits: {seconds * 1e3:.3f} ms")
    peers = [measure_peer(name) for name in PEER_PROGRAMS]
    found = [peer for peer in peers if peer is not None]
    for name, cost in found:
        print(f"  {name} here: {cost * 1e3:.3f} ms ({cost / seconds:.1f} times as long)")
    if not found:
        print("  (with torch or keras installed, their time for the same step stands here)")


def measure_peer(module: str) -> tuple[str, float] | None:
    """Name and seconds per step of another library; None when it is missing or fails."""
    if importlib.util.find_spec(module) is None:
        return None
    command = [sys.executable, "-c", PEER_PROGRAMS[module]]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PEER_TIMEOUT_SECONDS, check=True
        )
        result = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, OSError, ValueError, IndexError):
        return None
    return result["name"], result["seconds"]


def _require(*modules: str) -> None:
    packages = {"sklearn": "scikit-learn"}
    missing = [packages.get(m, m) for m in modules if importlib.util.find_spec(m) is None]
    if missing:
        raise ImportError(f"demo needs {', '.join(missing)}: pip install {' '.join(missing)}")
