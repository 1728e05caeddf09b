"""Programs written for Keras run unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes import run_module, run_python

IMPORTS = {
    "keras": "import keras; m = keras.Sequential",
    "from_keras": "from keras.models import Sequential as m; from keras.layers import Dense, LSTM",
    "keras_modules": "import keras.layers, keras.utils; from keras import ops, layers; "
                     "m = keras.Sequential; assert keras.layers is layers",
    "tf_keras": "from tensorflow import keras; m = keras.Sequential",
    "tf_keras_models": "from tensorflow.keras.models import Sequential as m; "
                       "from tensorflow.keras.layers import Conv2D; "
                       "from tensorflow.keras.optimizers import Adam; "
                       "from tensorflow.keras.utils import to_categorical; "
                       "from tensorflow.keras.callbacks import EarlyStopping; "
                       "from tensorflow.keras.regularizers import l2",
    "tf": "import tensorflow as tf; m = tf.keras.Sequential; tf.keras.layers.Dense(3)",
    "tf_keras_module": "import tensorflow.keras as k; m = k.Sequential",
    "tf_keras_layers": "import tensorflow.keras.layers as l; import lamina; "
                       "assert l is lamina.layers; m = lamina.Sequential",
    "preprocessing": "from tensorflow.keras.preprocessing.text import Tokenizer; "
                     "from tensorflow.keras.preprocessing.sequence import pad_sequences; "
                     "import lamina; m = lamina.Sequential",
    "datasets": "from tensorflow.keras.datasets import mnist; from keras.datasets import imdb; "
                "import lamina; m = lamina.Sequential",
}  # fmt: skip


@pytest.mark.parametrize("name", IMPORTS)
def test_imports_resolve_to_lamina(name: str) -> None:
    run_python(
        "import lamina; lamina.install_as_keras()\n" + IMPORTS[name].replace("; ", "\n")
        + "\nassert m is lamina.Sequential, m"
    )  # fmt: skip


@pytest.mark.parametrize(
    "code",
    ["import tensorflow.data", "from tensorflow import constant", "import tensorflow as tf; tf.add",
     "import tensorflow.nn", "from tensorflow.estimator import x"],
)  # fmt: skip
def test_the_rest_of_tensorflow_says_what_it_is_not(code: str) -> None:
    program = f"""
import lamina
lamina.install_as_keras()
try:
    exec({code!r})
except ImportError as error:
    assert "keras" in str(error) and "lamina" in str(error), error
else:
    raise SystemExit("no ImportError")
"""
    run_python(program)


SCRIPT = """
import sys
import numpy as np
from tensorflow import keras
from tensorflow.keras import layers

model = keras.Sequential([layers.Dense(4, activation="relu", input_dim=2), layers.Dense(1)])
model.compile(optimizer="adam", loss="mse")
model.fit(np.zeros((8, 2)), np.zeros((8, 1)), epochs=1, verbose=0)
print(keras.__name__, sys.argv[1:], __name__)
"""


def test_run_a_script_with_arguments(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(SCRIPT)
    done = run_module("run", str(script), "--epochs", "3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "lamina ['--epochs', '3'] __main__"


def test_a_failing_script_fails_with_its_own_traceback(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text("import keras\n\ndef f():\n    raise RuntimeError('mine')\n\nf()\n")
    done = run_module("run", str(script))
    assert done.returncode == 1
    assert "RuntimeError: mine" in done.stderr and "broken.py" in done.stderr
    assert "cli.py" not in done.stderr


def test_exit_status_of_the_script(tmp_path: Path) -> None:
    script = tmp_path / "exits.py"
    script.write_text("import sys, keras\nsys.exit(7)\n")
    assert run_module("run", str(script)).returncode == 7


def test_imports_beside_the_script(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("from keras import layers\nunits = 3\n")
    script = tmp_path / "main.py"
    script.write_text("import helper\nprint(helper.units)\n")
    assert run_module("run", str(script)).stdout.strip() == "3"


def test_install_twice_and_too_late() -> None:
    run_python("import lamina\nlamina.install_as_keras()\nlamina.install_as_keras()\nimport keras")
    run_python("""
        import sys, types
        sys.modules["keras"] = types.ModuleType("keras")
        import lamina
        try:
            lamina.install_as_keras()
        except RuntimeError as error:
            assert "keras" in str(error)
        else:
            raise SystemExit("no error")
    """)
