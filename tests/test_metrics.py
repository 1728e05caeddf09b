"""Metrics against real Keras; names, configuration, reset, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamina
from tests.conftest import check_golden, golden_names
from tests.golden.metrics_cases import TABLE


@pytest.mark.filterwarnings("ignore:.*sample_weight has a float type:UserWarning")
@pytest.mark.parametrize("name", golden_names("metrics"))
def test_like_keras(name: str) -> None:
    check_golden("metrics", name)


@pytest.mark.parametrize(("typo", "meant"), [
    ("acuracy", "accuracy"), ("binary_acuracy", "binary_accuracy"), ("precison", "Precision"),
])  # fmt: skip
def test_typo_in_compile(typo: str, meant: str) -> None:
    model = lamina.Sequential([lamina.Input((2,)), lamina.layers.Dense(1)])
    with pytest.raises(ValueError) as caught:
        model.compile("sgd", "mse", metrics=[typo])
        model.fit(np.zeros((2, 2)), np.zeros((2, 1)), verbose=0)
    assert typo in str(caught.value) and meant.lower() in str(caught.value).lower()


@pytest.mark.parametrize(
    ("name", "kwargs", "word"),
    [
        ("AUC", dict(num_thresholds=1), "num_thresholds"),
        ("AUC", dict(curve="ROCK"), "ROCK"),
        ("AUC", dict(summation_method="median"), "median"),
        ("Precision", dict(thresholds=1.5), "1.5"),
        ("Recall", dict(thresholds=[-0.1]), "-0.1"),
        ("IoU", dict(num_classes=3, target_class_ids=[3]), "target_class_ids"),
        ("MeanIoU", dict(num_classes=0), "num_classes"),
        ("BinaryIoU", dict(threshold=1.5), "threshold"),
        ("FBetaScore", dict(beta=-1.0), "beta"),
        ("FBetaScore", dict(threshold=1.5), "threshold"),
        ("F1Score", dict(average="median"), "average"),
    ],
)
def test_bad_arguments(name: str, kwargs: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        getattr(lamina.metrics, name)(**kwargs)


@pytest.mark.parametrize("key", TABLE)
def test_config_round_trip(key: str) -> None:
    name, kwargs, _ = TABLE[key]
    metric = getattr(lamina.metrics, name)(**kwargs)
    again = lamina.metrics.deserialize(lamina.metrics.serialize(metric))
    assert again.get_config() == metric.get_config()


@pytest.mark.parametrize("name", ["R2Score", "F1Score", "OneHotMeanIoU"])
def test_in_compile_as_by_hand(name: str) -> None:
    kwargs = dict(num_classes=3) if name == "OneHotMeanIoU" else {}
    x = np.random.RandomState(0).normal(size=(10, 4)).astype("float32")
    y = np.eye(3, dtype="float32")[np.arange(10) % 3]
    model = lamina.Sequential([lamina.Input((4,)), lamina.layers.Dense(3)])
    model.compile("sgd", "mse", metrics=[getattr(lamina.metrics, name)(**kwargs, name="m")])
    measured = model.evaluate(x, y, batch_size=4, return_dict=True, verbose=0)["m"]
    by_hand = getattr(lamina.metrics, name)(**kwargs)(y, model.predict(x, verbose=0))
    np.testing.assert_allclose(measured, np.asarray(by_hand), rtol=1e-5)


def test_call_updates_and_returns_the_running_result() -> None:
    metric = lamina.metrics.BinaryAccuracy()
    assert float(metric([[1.0]], [[0.9]])) == 1.0
    assert float(metric([[1.0]], [[0.1]])) == 0.5
    metric.reset_state()
    assert float(metric.result()) == 0.0
    assert [v.shape for v in metric.variables] == [(), ()]


def test_mean_over_many_updates_does_not_drift() -> None:
    metric = lamina.metrics.Mean()
    values = np.random.RandomState(0).uniform(size=2000).astype("float32")
    for value in values:
        metric.update_state(value)
    # a float32 sum of 2,000 terms
    assert float(metric.result()) == pytest.approx(float(values.mean(dtype="float64")), rel=1e-4)


def test_custom_metric_class() -> None:
    class Largest(lamina.metrics.Metric):
        def __init__(self, name: str = "largest") -> None:
            super().__init__(name=name)
            self.value = self.add_variable(shape=(), initializer="zeros", name="value")

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            seen = lamina.ops.max(lamina.ops.abs(y_true - y_pred))
            self.value.assign(lamina.ops.maximum(self.value, seen))

        def result(self) -> Any:
            return self.value

    x = np.arange(10, dtype="float32").reshape(10, 1)
    model = lamina.Sequential([lamina.Input((1,)), lamina.layers.Dense(1)])
    model.set_weights([np.ones((1, 1)), np.zeros(1)])
    model.compile(lamina.optimizers.SGD(0.0), "mse", metrics=[Largest()])
    history = model.fit(x, x * 2, batch_size=3, epochs=2, verbose=0).history
    assert history["largest"] == [9.0, 9.0]
