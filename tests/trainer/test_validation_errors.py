"""Every bad argument: the right exception with the words that matter, and nothing changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import lamina

X = np.random.RandomState(0).normal(size=(20, 4)).astype("float32")
Y = (np.arange(20) % 3).astype("int32")
ONE_HOT = np.eye(3, dtype="float32")[Y]


class Bad(NamedTuple):
    call: Callable[[Any], Any]
    words: list[str]
    error: type[Exception] | tuple[type[Exception], ...] = ValueError


def classifier(loss: str = "sparse_categorical_crossentropy") -> Any:
    model = lamina.Sequential([lamina.Input((4,)), lamina.layers.Dense(5, "relu", name="hidden"),
                               lamina.layers.Dropout(0.3),
                               lamina.layers.Dense(3, "softmax", name="head")])  # fmt: skip
    model.compile("adam", loss, metrics=["accuracy"])
    return model


BOTH = (ValueError, TypeError)
FIT: dict[str, Bad] = {
    # ---- numbers out of range, and of another type
    "validation_split_high": Bad(lambda m: m.fit(X, Y, validation_split=1.5),
                                 ["validation_split", "1.5"]),
    "validation_split_one": Bad(lambda m: m.fit(X, Y, validation_split=1.0),
                                ["validation_split", "1"]),
    "validation_split_negative": Bad(lambda m: m.fit(X, Y, validation_split=-0.1),
                                     ["validation_split", "-0.1"]),
    "validation_split_text": Bad(lambda m: m.fit(X, Y, validation_split="0.2"),
                                 ["validation_split", "0.2"], BOTH),
    "validation_split_nan": Bad(lambda m: m.fit(X, Y, validation_split=float("nan")),
                                ["validation_split", "nan"]),
    "validation_split_nothing_left": Bad(lambda m: m.fit(X[:1], Y[:1], validation_split=0.5),
                                         ["validation_split"]),
    "batch_size_zero": Bad(lambda m: m.fit(X, Y, batch_size=0), ["batch_size", "0"]),
    "batch_size_negative": Bad(lambda m: m.fit(X, Y, batch_size=-4), ["batch_size", "-4"]),
    "batch_size_float": Bad(lambda m: m.fit(X, Y, batch_size=2.5), ["batch_size", "2.5"], BOTH),
    "batch_size_text": Bad(lambda m: m.fit(X, Y, batch_size="8"), ["batch_size", "8"], BOTH),
    "epochs_negative": Bad(lambda m: m.fit(X, Y, epochs=-1), ["epochs", "-1"]),
    "epochs_float": Bad(lambda m: m.fit(X, Y, epochs=1.5), ["epochs", "1.5"], BOTH),
    "initial_epoch_negative": Bad(lambda m: m.fit(X, Y, initial_epoch=-1),
                                  ["initial_epoch", "-1"]),
    "steps_per_epoch_zero": Bad(lambda m: m.fit(X, Y, steps_per_epoch=0),
                                ["steps_per_epoch", "0"]),
    "validation_freq_zero": Bad(lambda m: m.fit(X, Y, validation_data=(X, Y), validation_freq=0),
                                ["validation_freq", "0"]),
    "verbose": Bad(lambda m: m.fit(X, Y, verbose="loud"), ["verbose", "loud"], BOTH),
    "shuffle_text": Bad(lambda m: m.fit(X, Y, shuffle="yes"), ["shuffle", "yes"], BOTH),
    "unknown_argument": Bad(lambda m: m.fit(X, Y, epoch=3), ["epoch"], TypeError),
    # ---- rows and shapes
    "rows": Bad(lambda m: m.fit(X, Y[:15]), ["20", "15"]),
    "rows_weights": Bad(lambda m: m.fit(X, Y, sample_weight=np.ones(7)), ["20", "7",
                                                                          "sample_weight"]),
    "rows_validation": Bad(lambda m: m.fit(X, Y, validation_data=(X, Y[:5])), ["20", "5"]),
    "no_rows": Bad(lambda m: m.fit(X[:0], Y[:0]), ["rows"]),
    "features": Bad(lambda m: m.fit(X[:, :3], Y), ["3", "4", "input"]),
    "rank": Bad(lambda m: m.fit(np.zeros((20, 2, 4, 4)), Y), ["4"]),
    "one_row_without_batch_axis": Bad(lambda m: m.predict(X[0], verbose=0), ["4"]),
    "scalar": Bad(lambda m: m.fit(3.0, Y), [], BOTH),
    "missing_y": Bad(lambda m: m.fit(X), ["y"]),
    "missing_x": Bad(lambda m: m.fit(), ["x"], BOTH),
    "none_x": Bad(lambda m: m.predict(None), ["x"], BOTH),
    "too_many_inputs": Bad(lambda m: m.fit([X, X], Y), ["2", "1"]),
    "too_many_targets": Bad(lambda m: m.fit(X, [Y, Y, Y]), ["3"]),
    "validation_data_of_one": Bad(lambda m: m.fit(X, Y, validation_data=(X,)),
                                  ["validation_data"]),
    # ---- labels
    "label_high": Bad(lambda m: m.fit(X, np.where(np.arange(20) == 13, 3, Y)), ["3"]),
    "label_negative": Bad(lambda m: m.fit(X, np.where(np.arange(20) == 13, -1, Y)), ["-1"]),
    "label_one_hot_into_sparse": Bad(lambda m: m.fit(X, ONE_HOT), ["(20, 3)", "3"]),
    # ---- types of data
    "text_x": Bad(lambda m: m.fit(np.full((20, 4), "a"), Y), ["x"], BOTH),
    "text_y": Bad(lambda m: m.fit(X, np.full(20, "cat")), ["y"], BOTH),
    "complex_x": Bad(lambda m: m.fit(X.astype(complex), Y), ["complex"], BOTH),
    "complex_y": Bad(lambda m: m.fit(X, Y.astype(complex)), ["complex"], BOTH),
    "object_x": Bad(lambda m: m.fit(np.array([[None] * 4] * 20), Y), ["x"], BOTH),
    "dates_x": Bad(lambda m: m.fit(np.full((20, 4), np.datetime64("2020-01-01")), Y), ["x"],
                   BOTH),
    # ---- class_weight, callbacks
    "class_weight_list": Bad(lambda m: m.fit(X, Y, class_weight=[1.0, 2.0]), ["class_weight"],
                             BOTH),
    "class_weight_text": Bad(lambda m: m.fit(X, Y, class_weight={0: "a"}), ["class_weight"],
                             BOTH),
    "both_weights": Bad(lambda m: m.fit(X, Y, class_weight={0: 1.0}, sample_weight=np.ones(20)),
                        ["class_weight", "sample_weight"]),
    "callbacks": Bad(lambda m: m.fit(X, Y, callbacks=["early"]), ["early"], BOTH),
    # ---- the other calls
    "evaluate_batch_size": Bad(lambda m: m.evaluate(X, Y, batch_size=0), ["batch_size", "0"]),
    "predict_batch_size": Bad(lambda m: m.predict(X, batch_size=-1), ["batch_size", "-1"]),
    "predict_features": Bad(lambda m: m.predict(X[:, :2]), ["2", "4", "input"]),
    "evaluate_rows": Bad(lambda m: m.evaluate(X, Y[:3]), ["20", "3"]),
    "evaluate_label": Bad(lambda m: m.evaluate(X, Y + 7), ["9"]),
    "train_on_batch_label": Bad(lambda m: m.train_on_batch(X, Y + 5), ["7"]),
    "train_on_batch_rows": Bad(lambda m: m.train_on_batch(X, Y[:4]), ["20", "4"]),
    "call_features": Bad(lambda m: m(X[:, :2]), ["2", "4", "input"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FIT)
def test_refused_and_nothing_changed(name: str) -> None:
    bad, model = FIT[name], classifier()
    model.fit(X, Y, verbose=0)  # slots and random state are not at their start
    twin = classifier()
    twin.set_weights(model.get_weights())
    before = [np.array(v.value) for v in [*model.weights, *model.optimizer.variables]]
    with pytest.raises(bad.error) as caught:
        bad.call(model)
    message = str(caught.value)
    for word in bad.words:
        assert word in message, message
    assert "\x1b" not in message
    after = [np.array(v.value) for v in [*model.weights, *model.optimizer.variables]]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)
    model.fit(X, Y, verbose=0)
    assert np.isfinite(model.evaluate(X, Y, verbose=0)).all()


def test_random_state_is_unchanged_by_a_refused_fit() -> None:
    weights = []
    for fails in (False, True):
        lamina.utils.set_random_seed(3)
        model = classifier()
        if fails:
            with pytest.raises(ValueError):
                model.fit(X, np.where(np.arange(20) == 19, 9, Y), batch_size=4, verbose=0)
        model.fit(X, Y, batch_size=4, verbose=0)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


TARGETS: dict[str, tuple[str, np.ndarray, list[str]]] = {
    "mse_columns": ("mse", np.zeros((20, 7)), ["(20, 7)", "3"]),
    "mse_flat": ("mse", np.zeros(20), ["20", "3"]),
    "mse_rank3": ("mse", np.zeros((20, 3, 3)), ["3"]),
    "categorical_columns": ("categorical_crossentropy", np.zeros((20, 5)), ["5", "3"]),
    "categorical_labels": ("categorical_crossentropy", Y, ["3"]),
    "binary_columns": ("binary_crossentropy", np.zeros((20, 2)), ["2", "3"]),
}


@pytest.mark.parametrize("name", TARGETS)
def test_y_of_another_shape_than_the_output_names_both(name: str) -> None:
    loss, y, words = TARGETS[name]
    model = classifier(loss)
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError) as caught:
            call(X, y, verbose=0)
        for word in words:
            assert word in str(caught.value)


@pytest.mark.parametrize("reader", ["Flatten", "LSTM"])  # the second reads the table itself
@pytest.mark.parametrize("bad", [9, 50, -1])
def test_embedding_ids_out_of_range(bad: int, reader: str) -> None:
    read = lamina.layers.LSTM(2) if reader == "LSTM" else lamina.layers.Flatten()
    model = lamina.Sequential([lamina.Input((3,), dtype="int32"),
                               lamina.layers.Embedding(9, 2, name="words"),
                               read, lamina.layers.Dense(1)])  # fmt: skip
    model.compile("adam", "mse")
    ids = np.arange(30).reshape(10, 3) % 9
    y = np.zeros((10, 1))
    model.fit(ids, y, verbose=0)
    before = model.get_weights()
    wrong = ids.copy()
    wrong[7, 1] = bad
    calls = [lambda: model.fit(wrong, y, verbose=0, batch_size=2, shuffle=False),
             lambda: model.predict(wrong, verbose=0),
             lambda: model.evaluate(wrong, y, verbose=0),
             lambda: model.train_on_batch(wrong, y)]  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError) as caught:
            call()
        assert str(bad) in str(caught.value)
        assert "8" in str(caught.value) or "9" in str(caught.value)  # the largest id, or the count
        assert "words" in str(caught.value) or "mbedding" in str(caught.value)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


COMPILE: dict[str, Bad] = {
    "optimizer_typo": Bad(lambda m: m.compile("adamm", "mse"), ["adamm", "adam"]),
    "optimizer_class": Bad(lambda m: m.compile(3, "mse"), ["3"], BOTH),
    "loss_typo": Bad(lambda m: m.compile("adam", "mean_square_error"),
                     ["mean_square_error", "mean_squared_error"]),
    "loss_type": Bad(lambda m: m.compile("adam", 3), ["3"], BOTH),
    "metric_typo": Bad(lambda m: m.compile("adam", "mse", metrics=["acuracy"]),
                       ["acuracy", "accuracy"]),
    "metrics_type": Bad(lambda m: m.compile("adam", "mse", metrics=3), ["metric", "3"], BOTH),
    "loss_dict_unknown": Bad(lambda m: m.compile("adam", {"haed": "mse"}), ["haed", "head"]),
    "loss_weights_count": Bad(lambda m: m.compile("adam", "mse", loss_weights=[1.0, 2.0]),
                              ["loss_weights", "2"]),
    "losses_count": Bad(lambda m: m.compile("adam", ["mse", "mae"]), ["2", "1"]),
    "unknown_argument": Bad(lambda m: m.compile("adam", "mse", metric=["mae"]), ["metric"], BOTH),
    "steps_per_execution": Bad(lambda m: m.compile("adam", "mse", steps_per_execution=0),
                               ["steps_per_execution", "0"]),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPILE)
def test_compile_refuses(name: str) -> None:
    """At compile, or at the latest when the first fit knows the outputs."""
    bad, model = COMPILE[name], classifier("mse")
    with pytest.raises(bad.error) as caught:
        bad.call(model)
        model.fit(X, ONE_HOT, verbose=0)
    for word in bad.words:
        assert word in str(caught.value), str(caught.value)


@pytest.mark.parametrize("call", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_not_compiled(call: str) -> None:
    model = lamina.Sequential([lamina.Input((4,)), lamina.layers.Dense(3)])
    with pytest.raises(ValueError, match="compile"):
        getattr(model, call)(X, ONE_HOT)


def test_named_inputs_and_outputs_that_do_not_exist() -> None:
    a, b = lamina.Input((4,), name="left"), lamina.Input((4,), name="right")
    model = lamina.Model([a, b], lamina.layers.Dense(1, name="y")(lamina.layers.Add()([a, b])))
    model.compile("adam", "mse")
    with pytest.raises(ValueError) as caught:
        model.fit({"left": X, "rihgt": X}, np.zeros((20, 1)), verbose=0)
    assert "rihgt" in str(caught.value) or "right" in str(caught.value)
    with pytest.raises(ValueError, match="right"):
        model.fit({"left": X}, np.zeros((20, 1)), verbose=0)
    with pytest.raises(ValueError):
        model.fit([X], np.zeros((20, 1)), verbose=0)


def test_a_negative_sample_weight_is_numbers_not_a_crash() -> None:
    model = classifier()
    model.fit(X, Y, sample_weight=-np.ones(20), verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_set_num_threads_is_checked() -> None:
    for bad in (0, -1, 1.5, "2"):
        with pytest.raises((ValueError, TypeError)):
            lamina.set_num_threads(bad)


@pytest.mark.parametrize("loss", ["mse", "mae", "binary_crossentropy", "huber"])
@pytest.mark.parametrize("shape", [(8,), (8, 3)])
def test_labels_are_not_stretched_over_the_outputs(loss: str, shape: tuple[int, ...]) -> None:
    model = lamina.Sequential([lamina.layers.Input((3,)), lamina.layers.Dense(2, "sigmoid")])
    model.compile("sgd", loss)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"\(8, 2\)"):
        model.fit(np.ones((8, 3), np.float32), np.ones(shape, np.float32), verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    model.fit(np.ones((8, 3), np.float32), np.ones((8, 2), np.float32), verbose=0)


def test_one_label_for_several_outputs_is_broadcast_with_a_warning() -> None:
    model = lamina.Sequential([lamina.layers.Input((3,)), lamina.layers.Dense(2)])
    model.compile("sgd", "mse")
    x = np.ones((8, 3), np.float32)
    with pytest.warns(UserWarning, match=r"\(8, 1\) do not match .* \(8, 2\)"):
        loss = model.train_on_batch(x, np.ones((8, 1), np.float32))
    wide = np.square(1 - lamina.ops.convert_to_numpy(model(x))).mean()
    assert 0 < wide < loss  # that step made it smaller
