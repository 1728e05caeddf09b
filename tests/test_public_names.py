"""Public names that no other test goes through: settings, base classes, files, draws, scopes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import (
    callbacks,
    config,
    constraints,
    initializers,
    layers,
    legacy,
    models,
    optimizers,
    quantizers,
    random,
    regularizers,
    saving,
    tree,
    utils,
)

X = np.random.RandomState(0).normal(size=(8, 3)).astype("float32")


def small_model(**kwargs: Any) -> lamina.Model:
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2, **kwargs)])
    model.compile("sgd", "mse")
    return model


# ---- Settings


def test_interactive_logging_has_two_doors() -> None:
    doors = (
        (config.disable_interactive_logging, config.enable_interactive_logging),
        (utils.disable_interactive_logging, utils.enable_interactive_logging),
    )
    for disable, enable in doors:
        disable()
        assert not config.is_interactive_logging_enabled()
        assert not utils.is_interactive_logging_enabled()
        enable()
        assert config.is_interactive_logging_enabled()


def test_limits_on_training() -> None:
    seen: list[int] = []
    count = callbacks.LambdaCallback(on_batch_end=lambda batch, logs: seen.append(batch))
    config.set_max_epochs(2)
    config.set_max_steps_per_epoch(3)
    try:
        assert (config.max_epochs(), config.max_steps_per_epoch()) == (2, 3)
        small_model().fit(X, X[:, :2], batch_size=1, epochs=9, verbose=0, callbacks=[count])
    finally:
        config.set_max_epochs(None)
        config.set_max_steps_per_epoch(None)
    assert seen == [0, 1, 2] * 2
    assert config.max_epochs() is None and config.max_steps_per_epoch() is None


def test_the_backend_and_the_version() -> None:
    assert config.backend() == lamina.backend.backend()
    assert lamina.version() == lamina.__version__


def test_unsafe_deserialization_is_a_setting_of_the_process() -> None:
    assert callable(config.enable_unsafe_deserialization)
    program = """
import lamina
layer = lamina.layers.Lambda(lambda x: x * 2)
made = lamina.layers.serialize(layer)
try:
    lamina.layers.deserialize(made)
    raise SystemExit("code was run without being allowed")
except ValueError:
    pass
lamina.config.enable_unsafe_deserialization()
assert float(lamina.layers.deserialize(made)(lamina.ops.ones(()))) == 2.0
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---- Base classes, as users extend them


class Threes(initializers.Initializer):
    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return 3 * lamina.ops.ones(shape, dtype)


class AtMostOne(constraints.Constraint):
    def __call__(self, w: Any) -> Any:
        return lamina.ops.minimum(w, 1.0)


class Squares(regularizers.Regularizer):
    def __call__(self, x: Any) -> Any:
        return lamina.ops.sum(lamina.ops.square(x))


class Halves(optimizers.schedules.LearningRateSchedule):
    def __call__(self, step: Any) -> Any:
        return 0.5 ** lamina.ops.cast(step, "float32")


def test_own_initializer_constraint_and_regularizer() -> None:
    assert lamina.Initializer is initializers.Initializer
    assert lamina.Regularizer is regularizers.Regularizer
    model = small_model(
        kernel_initializer=Threes(), kernel_constraint=AtMostOne(), kernel_regularizer=Squares()
    )
    np.testing.assert_array_equal(model.get_weights()[0], 3.0)
    assert float(model.losses[0]) == 9 * 6
    model.train_on_batch(X, X[:, :2])
    assert model.get_weights()[0].max() <= 1.0


def test_own_schedule() -> None:
    variable = lamina.Variable(np.zeros(1, "float32"))
    optimizer = optimizers.SGD(Halves())
    for _ in range(3):
        optimizer.apply([lamina.ops.ones(1)], [variable])
    assert variable.numpy()[0] == -1.75


def test_optimizers_of_keras_2_are_gone() -> None:
    for kind in (
        optimizers.legacy.Adagrad,
        optimizers.legacy.Adam,
        optimizers.legacy.Ftrl,
        optimizers.legacy.Optimizer,
        optimizers.legacy.RMSprop,
        optimizers.legacy.SGD,
    ):
        with pytest.raises(ImportError, match=kind.__name__):
            kind()


# ---- Files and configurations


def test_functions_beside_the_methods_of_a_model(tmp_path: Path) -> None:
    model = small_model()
    expected = model.predict(X, verbose=0)
    for save in (models.save_model, saving.save_model):
        save(model, tmp_path / "model.keras")
        loaded = saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(loaded.predict(X, verbose=0), expected)
    other = models.model_from_json(model.to_json())
    saving.save_weights(model, tmp_path / "model.weights.h5")
    saving.load_weights(other, tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other.predict(X, verbose=0), expected)


def test_configurations_in_the_form_of_keras_2() -> None:
    described = legacy.saving.serialize_keras_object(initializers.Constant(2.0))
    assert described["class_name"] == "Constant"
    again = utils.legacy.deserialize_keras_object(
        utils.legacy.serialize_keras_object(initializers.Constant(2.0)),
        module_objects={"Constant": initializers.Constant},
    )
    assert again.value == 2.0
    again = legacy.saving.deserialize_keras_object(
        described, module_objects={"Constant": initializers.Constant}
    )
    assert isinstance(again, initializers.Constant)


def test_quantization_settings_go_through_a_configuration() -> None:
    absmax = quantizers.AbsMaxQuantizer(axis=0)
    assert isinstance(absmax, quantizers.Quantizer)
    again = quantizers.deserialize(quantizers.serialize(absmax))
    assert again.get_config() == absmax.get_config()
    int8 = quantizers.Int8QuantizationConfig()
    assert isinstance(int8, quantizers.QuantizationConfig) and int8.mode == "int8"
    float8 = quantizers.Float8QuantizationConfig()
    assert float8.mode == "float8"
    assert quantizers.Float8QuantizationConfig.from_config(float8.get_config()).mode == "float8"


# ---- Random draws: the distributions are Keras's, the numbers lamina's own


def test_moments_of_rarer_distributions() -> None:
    n = 40_000
    gamma = random.gamma((n,), 2.5, seed=1).numpy()
    assert abs(gamma.mean() - 2.5) < 0.05 and abs(gamma.var() - 2.5) < 0.15
    beta = random.beta((n,), 2.0, 3.0, seed=2).numpy()
    assert abs(beta.mean() - 0.4) < 0.01 and abs(beta.var() - 0.04) < 0.003
    assert 0 <= beta.min() and beta.max() <= 1
    binomial = random.binomial((n,), 10.0, 0.3, seed=3).numpy()
    assert abs(binomial.mean() - 3.0) < 0.05 and abs(binomial.var() - 2.1) < 0.1
    np.testing.assert_array_equal(binomial, np.round(binomial))


def test_elastic_transform_moves_places_and_repeats() -> None:
    image = np.random.RandomState(1).uniform(size=(1, 16, 16, 2)).astype("float32")
    moved = lamina.ops.image.elastic_transform(image, alpha=8.0, sigma=2.0, seed=5).numpy()
    again = lamina.ops.image.elastic_transform(image, alpha=8.0, sigma=2.0, seed=5).numpy()
    assert moved.shape == image.shape and not np.allclose(moved, image)
    np.testing.assert_array_equal(moved, again)
    assert image.min() - 1e-5 <= moved.min() and moved.max() <= image.max() + 1e-5
    flat = lamina.ops.image.elastic_transform(np.full_like(image, 0.5), seed=5).numpy()
    np.testing.assert_allclose(flat, 0.5, rtol=1e-5)


# ---- Scopes, progress, structures


def test_rematerialization_changes_no_number() -> None:
    @lamina.remat
    def squares(x: Any) -> Any:
        return lamina.ops.square(x)

    np.testing.assert_array_equal(squares(X).numpy(), X * X)
    with lamina.RematScope(mode="full"):
        model = small_model(kernel_initializer="ones")
    np.testing.assert_allclose(model.predict(X, verbose=0)[:, 0], X.sum(1), rtol=1e-5)
    with pytest.raises(ValueError, match="mode"):
        lamina.RematScope(mode="always")


def test_layers_work_on_places_in_a_symbolic_scope() -> None:
    with lamina.SymbolicScope():
        place = layers.Dense(4)(lamina.KerasTensor((None, 3)))
    assert place.shape == (None, 4)


def test_progress_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    bar = utils.Progbar(4, verbose=2)
    for step in range(1, 5):
        bar.update(step, [("loss", 1.0)])
    assert "4/4" in capfd.readouterr().out
    small_model().fit(X, X[:, :2], batch_size=2, verbose=2, callbacks=[callbacks.ProgbarLogger()])
    assert "4/4" in capfd.readouterr().out


def test_what_counts_as_nested() -> None:
    nested = [tree.is_nested(value) for value in ([], (1,), {"a": 1}, "text", X, None)]
    assert nested == [True, True, True, False, False, False]
