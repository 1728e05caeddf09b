"""lamina.function: traced once per signature, then one program."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import GradientTape, layers, ops
from tests.processes import ROOT


def array(*values: float) -> np.ndarray:
    return np.array(values, "float32")


@lamina.function
def doubled(x: Any) -> Any:
    return x * 2.0


def test_traced_once_for_each_signature() -> None:
    seen = []

    @lamina.function
    def fn(x: Any, k: float = 2.0, *, flag: bool = True) -> Any:
        seen.append(flag)
        return x * k

    np.testing.assert_array_equal(fn(array(1, 2)), [2, 4])
    np.testing.assert_array_equal(fn(array(3, 4)), [6, 8])
    fn(ops.convert_to_tensor(array(5, 6)))
    assert len(seen) == fn.trace_count == 1
    fn(array(1, 2, 3))  # another shape
    fn(np.array([1, 2], "float64"))  # another dtype
    fn(array(1, 2), 3.0)  # another Python value
    fn(array(1, 2), flag=False)
    fn(array(1, 2), k=2.0)  # by name it is another call
    assert fn.trace_count == 6
    assert fn.__name__ == "fn"
    assert "multiply" in fn.text(array(1, 2))


def test_structures_of_arguments_and_results() -> None:
    @lamina.function
    def fn(batch: dict[str, Any], rest: tuple[Any, ...]) -> Any:
        return {"sum": batch["a"] + batch["b"][0], "rest": [rest[1], None, "text", 3]}

    out = fn({"b": [array(1)], "a": array(2)}, (1, array(5)))
    np.testing.assert_array_equal(out["sum"], [3])
    np.testing.assert_array_equal(out["rest"][0], [5])
    assert out["rest"][1:] == [None, "text", 3]
    assert isinstance(out["sum"], lamina.Tensor)


def test_variables_are_read_and_assigned() -> None:
    total = lamina.Variable(1.0)

    @lamina.function
    def add(x: Any) -> Any:
        total.assign_add(x)
        return total

    assert [float(add(np.float32(2))), float(add(np.float32(2)))] == [3.0, 5.0]
    total.assign(10.0)
    assert float(add(np.float32(1))) == 11.0
    assert float(total.numpy()) == 11.0


def test_random_numbers_move_on() -> None:
    dropout = layers.Dropout(0.5)
    draw = lamina.function(lambda: lamina.random.uniform((8,)))
    drop = lamina.function(lambda x: dropout(x, training=True))
    assert not np.array_equal(draw(), draw())
    ones = np.ones(64, "float32")
    assert not np.array_equal(drop(ones), drop(ones))


def test_methods_have_programs_of_their_own() -> None:
    class Scale:
        def __init__(self, k: float) -> None:
            self.k, self.traces = k, 0

        @lamina.function
        def __call__(self, x: Any) -> Any:
            self.traces += 1
            return x * self.k

        @lamina.function
        def apply(self, x: Any) -> Any:
            self.traces += 1
            return x * self.k

    a, b = Scale(2.0), Scale(3.0)
    assert [float(s.apply(np.float32(5))) for s in (a, b, a)] == [10.0, 15.0, 10.0]
    assert (a.traces, b.traces) == (1, 1)


def test_inside_layers_models_and_other_functions() -> None:
    class Double(layers.Layer):
        @lamina.function
        def call(self, x: Any) -> Any:
            return x * 2.0

    model = lamina.Sequential([lamina.Input((2,)), Double()])
    np.testing.assert_array_equal(model.predict(np.ones((1, 2)), verbose=0), [[2, 2]])
    np.testing.assert_array_equal(Double()(array(1)), [2])
    outer = lamina.function(lambda x: doubled(x) + 1.0)
    np.testing.assert_array_equal(outer(array(1)), [3])
    x = ops.convert_to_tensor(array(1, 2))
    with GradientTape() as tape:
        tape.watch(x)
        y = ops.sum(doubled(x) ** 2)
    np.testing.assert_allclose(tape.gradient(y, x), [8, 16])
    place = doubled(lamina.Input((3,)))
    assert place.shape == (None, 3)


def test_the_guide_runs() -> None:
    guide = ROOT / "docs" / "custom-loops.md"
    if not guide.exists():
        pytest.skip("installed without the documents")
    code = re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile("\n".join(code), str(guide), "exec"), {})


def test_pickle_and_copy() -> None:
    for made in (pickle.loads(pickle.dumps(doubled)), copy.deepcopy(doubled)):
        assert float(made(np.float32(2.0))) == 4.0


def test_errors() -> None:
    kept = []

    @lamina.function
    def decides(x: Any) -> Any:
        return x if x > 0 else -x

    @lamina.function
    def leaks(x: Any) -> Any:
        kept.append(x * 2)
        return x

    with pytest.raises(TypeError, match="where"):
        decides(np.float32(1))
    leaks(np.float32(1))
    with pytest.raises(RuntimeError, match="another trace"):
        lamina.function(lambda: kept[0] + 1.0)()
    with pytest.raises(RuntimeError, match="another trace"):
        lamina.function(lambda: kept[0])()
    with pytest.raises(TypeError, match="takes a function"):
        lamina.function(3)  # type: ignore[arg-type]
    assert lamina.tracing.current_tracer() is None


def test_an_id_out_of_range_changes_nothing() -> None:
    table, count = layers.Embedding(5, 2), lamina.Variable(0.0)
    table(np.array([[0]]))

    @lamina.function
    def look(ids: Any) -> Any:
        count.assign_add(1.0)
        return table(ids)

    with pytest.raises(ValueError, match="7"):
        look(np.array([[7]], "int32"))
    assert float(count.numpy()) == 0.0
    assert look(np.array([[4]], "int32")).shape == (1, 1, 2)
    assert float(count.numpy()) == 1.0


def test_many_traces_are_told() -> None:
    fn = lamina.function(lambda x, k: x * k)
    with pytest.warns(UserWarning, match="traced 16 times"):
        for i in range(20):
            fn(np.float32(1), float(i))


def test_two_optimizers_of_a_gan() -> None:
    lamina.utils.set_random_seed(1)
    real = np.random.RandomState(0).normal(3.0, 0.5, size=(64, 1)).astype("float32")
    generator = lamina.Sequential([lamina.Input((2,)), layers.Dense(8, "relu"), layers.Dense(1)])
    critic = lamina.Sequential([lamina.Input((1,)), layers.Dense(8, "relu"), layers.Dense(1)])
    g_optimizer, d_optimizer = lamina.optimizers.Adam(0.01), lamina.optimizers.Adam(0.01)
    bce = lamina.losses.BinaryCrossentropy(from_logits=True)

    @lamina.function
    def step(real: Any) -> tuple[Any, Any]:
        noise = lamina.random.normal((64, 2))
        with GradientTape() as d_tape:
            score_real, score_fake = critic(real), critic(generator(noise))
            d_loss = bce(ops.ones_like(score_real), score_real) + bce(
                ops.zeros_like(score_fake), score_fake
            )
        weights = critic.trainable_variables
        d_optimizer.apply(d_tape.gradient(d_loss, weights), weights)
        with GradientTape() as g_tape:
            score = critic(generator(noise))
            g_loss = bce(ops.ones_like(score), score)
        weights = generator.trainable_variables
        g_optimizer.apply(g_tape.gradient(g_loss, weights), weights)
        return d_loss, g_loss

    for _ in range(600):
        losses = step(real)
    made = generator.predict(np.random.RandomState(1).normal(size=(500, 2)), verbose=0)
    assert np.isfinite([float(loss) for loss in losses]).all()
    assert step.trace_count == 1
    assert made.mean() > 1.5  # it began around 0; the real mean is 3
    assert int(g_optimizer.iterations) == int(d_optimizer.iterations) == 600


def test_a_loop_with_metrics_schedules_and_regularizers() -> None:
    lamina.utils.set_random_seed(2)
    x = np.random.RandomState(0).normal(size=(60, 4)).astype("float32")
    y = (x[:, 0] + x[:, 1] > 0).astype("int32")
    model = lamina.Sequential([
        lamina.Input((4,)), layers.Dense(8, "relu", kernel_regularizer="l2"),
        layers.BatchNormalization(), layers.Dropout(0.1), layers.Dense(2),
    ])  # fmt: skip
    rate = lamina.optimizers.schedules.ExponentialDecay(0.05, 10, 0.9)
    optimizer = lamina.optimizers.SGD(rate, momentum=0.9)
    loss_fn = lamina.losses.SparseCategoricalCrossentropy(from_logits=True)
    accuracy = lamina.metrics.SparseCategoricalAccuracy()

    @lamina.function
    def train_step(x: Any, y: Any) -> Any:
        with GradientTape() as tape:
            logits = model(x, training=True)
            loss = loss_fn(y, logits) + ops.sum(ops.stack(model.losses))
        weights = model.trainable_variables
        optimizer.apply(tape.gradient(loss, weights), weights)
        accuracy.update_state(y, logits)
        return loss

    moving = model.layers[1].moving_mean.numpy()
    for _ in range(15):
        accuracy.reset_state()
        for begin in range(0, 60, 20):
            train_step(x[begin : begin + 20], y[begin : begin + 20])
    assert train_step.trace_count == 1
    assert float(accuracy.result()) > 0.9
    assert not np.array_equal(moving, model.layers[1].moving_mean.numpy())
    assert float(optimizer.learning_rate) < 0.05
