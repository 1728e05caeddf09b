"""summary() prints Keras's table, and fit, evaluate and predict its progress lines."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from tests.conftest import check_golden, golden_names
from tests.golden import summary_cases


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", golden_names("summary"))
def test_like_keras(name: str) -> None:
    check_golden("summary", name)


def test_summary_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    model = lamina.Sequential([lamina.Input((3,)), lamina.layers.Dense(2, name="head")])
    assert model.summary() is None
    assert "head (Dense)" in capsys.readouterr().out


def test_sizes_grow_from_bytes_to_megabytes() -> None:
    model = lamina.Sequential([lamina.Input((1000,)), lamina.layers.Dense(300)])
    assert "300,300 (1.15 MB)" in summary_cases.printed(model)


def test_an_epoch_is_one_plain_line_when_output_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = lamina.Sequential([lamina.Input((2,)), lamina.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.zeros((20, 2)), np.zeros((20, 1)), batch_size=2, epochs=3)
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[::2] == ["Epoch 1/3", "Epoch 2/3", "Epoch 3/3"]
    assert len(lines) == 6 and all("10/10" in line and "loss:" in line for line in lines[1::2])
    assert not any("\x08" in line or "\x1b" in line or "\r" in line for line in lines)


def test_several_outputs_are_a_list_in_a_graph_and_a_tuple_for_an_inner_model() -> None:
    inputs = lamina.Input((4, 2))
    outputs = lamina.layers.LSTM(3, return_state=True)(inputs)
    assert "[(None, 3), (None, 3)," in summary_cases.printed(lamina.Model(inputs, outputs))

    class Outer(lamina.Model):
        def __init__(self) -> None:
            super().__init__()
            self.inner = lamina.Model(inputs, outputs)

        def call(self, x: object) -> object:
            return self.inner(x)[0]

    model = Outer()
    model(np.zeros((1, 4, 2), "float32"))
    assert "((None, 3), (None, 3)," in summary_cases.printed(model)
