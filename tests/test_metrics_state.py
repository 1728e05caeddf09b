"""Metrics: where their state lies, values passed along, the types they compute in, messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamina
from lamina import losses, metrics, ops


class Holder(metrics.Metric):
    def __init__(self) -> None:
        super().__init__(name="holder")
        self.plain = self.add_variable((), name="plain")

    def update_state(self, value: Any) -> None:
        self.plain.assign_add(value)

    def result(self) -> Any:
        return self.plain * 2.0


def test_variables_in_containers_belong_to_the_metric() -> None:
    holder = Holder()
    holder.more = {"a": [lamina.Variable(1.0)], "b": (lamina.Variable(2.0), 3, "text")}
    later: list[Any] = []
    holder.later = later
    holder.parts = [metrics.Mean(), {"sum": metrics.Sum()}]
    holder.again = holder.plain
    assert len(holder.variables) == 1 + 2 + 2 + 1
    holder.later.append(lamina.Variable(4.0))
    assert len(holder.variables) == 7
    holder.reset_state()
    assert all(float(v.numpy()) == 0.0 for v in holder.variables)


def test_state_in_containers_is_part_of_the_traced_step() -> None:
    class Two(metrics.Metric):
        def __init__(self) -> None:
            super().__init__(name="two")
            self.parts = [metrics.Sum(), metrics.Sum()]

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            self.parts[0].update_state(y_true)
            self.parts[1].update_state(ops.ones_like(y_true))

        def result(self) -> Any:
            return self.parts[0].result() / self.parts[1].result()

    model = lamina.Sequential([lamina.Input((1,)), lamina.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=[Two()])
    y = np.arange(6, dtype="float32")[:, None]
    for _ in range(2):
        assert model.evaluate(y, y, batch_size=2, verbose=0)[1] == pytest.approx(2.5)


def test_stateless_steps_leave_the_state() -> None:
    holder = Holder()
    holder.update_state(1.0)
    values = holder.stateless_update_state([ops.convert_to_tensor(10.0)], 5.0)
    assert float(values[0]) == 15.0 and float(holder.stateless_result(values)) == 30.0
    assert float(holder.stateless_reset_state()[0]) == 0.0
    assert float(holder.result()) == 2.0
    with pytest.raises(ValueError, match="2 values for 1 variables"):
        holder.stateless_update_state([1.0, 2.0], 5.0)


@pytest.mark.parametrize(
    ("dtype", "computes"),
    [(None, "float32"), ("float64", "float64"), ("float16", "float16"),
     ("mixed_bfloat16", "bfloat16"), (lamina.DTypePolicy("float64"), "float64")],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:dtype policy")
def test_dtype_of_losses_and_metrics(dtype: Any, computes: str) -> None:
    loss, metric = losses.MeanSquaredError(dtype=dtype), metrics.Mean(dtype=dtype)
    assert loss.dtype == metric.dtype == computes
    assert loss([1.0, 2.0], [1.0, 4.0]).dtype == computes
    assert metric([1.0, 2.0]).dtype == computes
    with pytest.raises(AttributeError):
        metric.dtype = "float32"  # type: ignore[misc]


@pytest.mark.parametrize("make", [losses.MeanSquaredError, metrics.Mean])
def test_an_unknown_dtype_is_refused_at_once(make: Any) -> None:
    with pytest.raises(ValueError, match="flot32"):
        make(dtype="flot32")


def test_arguments_are_attributes() -> None:
    assert metrics.PrecisionAtRecall(0.4, num_thresholds=7, class_id=1).recall == 0.4
    assert metrics.TopKCategoricalAccuracy(k=3).k == 3
    assert losses.Tversky(alpha=0.3).alpha == 0.3
    assert losses.BinaryFocalCrossentropy(gamma=3.0).gamma == 3.0


def test_class_id_needs_columns() -> None:
    metric = metrics.Precision(class_id=2)
    with pytest.raises(ValueError, match="2D array"):
        metric([0, 1], [0.2, 0.3])
    with pytest.raises(ValueError, match="class_id=2 is out of range for 2 classes"):
        metric([[0, 1]], [[0.2, 0.3]])


def test_fractional_weights_of_counts_warn() -> None:
    with pytest.warns(UserWarning, match="casting cuts the fractions"):
        metrics.MeanIoU(2)([0, 1], [0, 1], sample_weight=[0.5, 1.0])


@pytest.mark.parametrize(
    ("y_true", "y_pred", "like"),
    [
        (np.array([[0.0], [1.0], [1.0]]), np.array([[0.2], [0.7], [0.4]]), "binary_crossentropy"),
        (np.array([1, 0, 1]), np.array([[0.2, 0.8], [0.5, 0.5], [0.1, 0.9]]),
         "sparse_categorical_crossentropy"),
        (np.eye(2)[[1, 0, 1]], np.array([[0.2, 0.8], [0.5, 0.5], [0.1, 0.9]]),
         "categorical_crossentropy"),
    ],
)  # fmt: skip
def test_crossentropy_in_compile_fits_the_labels(y_true: Any, y_pred: Any, like: str) -> None:
    def loss_of(name: str) -> float:
        model = lamina.Sequential([lamina.Input(y_pred.shape[1:]), lamina.layers.Activation(None)])
        model.compile("sgd", name)
        return float(model.evaluate(y_pred, y_true, verbose=0))

    assert loss_of("crossentropy") == loss_of("ce") == pytest.approx(loss_of(like))


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: losses.CosineSimilarity(axis="last"), "axis"),
        (lambda: losses.Dice(axis=[1, "x"]), "axis"),
        (lambda: losses.SparseCategoricalCrossentropy(ignore_class="x"), "ignore_class"),
        (lambda: losses.CategoricalFocalCrossentropy(alpha=[0.1, "x"]), "alpha"),
        (lambda: losses.LossFunctionWrapper("mse"), "fn"),
        (lambda: losses.Huber(name=3), "name"),
        (lambda: metrics.Mean(name=3), "name"),
        (lambda: metrics.AUC(thresholds="x"), "thresholds"),
        (lambda: metrics.AUC(label_weights=["x"]), "label_weights"),
        (lambda: metrics.IoU(3, "x"), "target_class_ids"),
        (lambda: metrics.PearsonCorrelation(axis="x"), "axis"),
        (lambda: metrics.MeanMetricWrapper(3), "fn"),
        (lambda: lamina.constraints.MaxNorm(axis="x"), "axis"),
        (lambda: lamina.optimizers.schedules.PiecewiseConstantDecay("x", [1.0]), "boundaries"),
        (lambda: lamina.optimizers.Muon(exclude_layers="dense"), "exclude_layers"),
        (lambda: lamina.callbacks.EarlyStopping(patience="x"), "patience"),
        (lambda: lamina.callbacks.EarlyStopping(baseline="x"), "baseline"),
        (lambda: lamina.callbacks.ReduceLROnPlateau(cooldown=-1), "cooldown"),
        (lambda: lamina.callbacks.CSVLogger("f", append="x"), "append"),
    ],
)
def test_a_wrong_argument_is_named(make: Any, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        make()
