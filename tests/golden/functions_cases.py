"""Functions of the public namespaces: losses, metrics, merging, schedules, helpers, settings."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.golden.cases import Result, add, as_numpy, integers, normal, one_hot, uniform
from tests.golden.losses_cases import (
    BINARY,
    DIRECTIONS,
    LABELS,
    LOGITS,
    PADDED_LABELS,
    PROBABILITIES,
    SHARED_LABELS,
    STEPS,
    UNIT,
)

Call = tuple[dict[str, Any], np.ndarray, np.ndarray]
ONE_HOT = one_hot(LABELS, 5)
REAL: tuple[np.ndarray, np.ndarray] = (normal(6, 4, seed=8), normal(6, 4, seed=9))

LOSSES: dict[str, list[Call]] = {
    "binary_crossentropy": [
        ({}, BINARY, UNIT),
        (dict(from_logits=True, label_smoothing=0.2, axis=0), BINARY, LOGITS[:, :4]),
    ],
    "binary_focal_crossentropy": [
        ({}, BINARY, UNIT),
        (dict(apply_class_balancing=True, alpha=0.4, gamma=1.5, label_smoothing=0.1), BINARY, UNIT),
        (dict(from_logits=True), BINARY, LOGITS[:, :4]),
    ],
    "categorical_crossentropy": [
        ({}, ONE_HOT, PROBABILITIES),
        (dict(from_logits=True, label_smoothing=0.1), ONE_HOT, LOGITS),
        (dict(axis=0), ONE_HOT, PROBABILITIES),
    ],
    "categorical_focal_crossentropy": [
        ({}, ONE_HOT, PROBABILITIES),
        (dict(alpha=0.4, gamma=1.5, from_logits=True, label_smoothing=0.1), ONE_HOT, LOGITS),
    ],
    "categorical_generalized_cross_entropy": [(dict(q=0.6), LABELS, PROBABILITIES)],
    "categorical_hinge": [({}, ONE_HOT, PROBABILITIES)],
    "circle": [
        ({}, SHARED_LABELS, DIRECTIONS),
        (dict(gamma=5.0, margin=0.1, remove_diagonal=False), SHARED_LABELS, DIRECTIONS),
        (
            dict(ref_labels=SHARED_LABELS[:4], ref_embeddings=DIRECTIONS[:4, ::-1].copy()),
            SHARED_LABELS,
            DIRECTIONS,
        ),
    ],
    "cosine_similarity": [({}, *REAL), (dict(axis=0), *REAL)],
    "ctc": [({}, PADDED_LABELS, STEPS)],
    "dice": [({}, BINARY, UNIT), (dict(axis=(1,)), BINARY, UNIT)],
    "hinge": [({}, BINARY, REAL[1]), ({}, 2 * BINARY - 1, REAL[1])],
    "huber": [({}, *REAL), (dict(delta=0.7), *REAL)],
    "kl_divergence": [({}, PROBABILITIES[::-1].copy(), PROBABILITIES)],
    "log_cosh": [({}, *REAL)],
    "mean_absolute_error": [({}, *REAL)],
    "mean_absolute_percentage_error": [({}, *REAL)],
    "mean_squared_error": [({}, *REAL)],
    "mean_squared_logarithmic_error": [({}, UNIT, UNIT[::-1].copy())],
    "poisson": [({}, UNIT, UNIT[::-1].copy())],
    "sparse_categorical_crossentropy": [
        ({}, LABELS, PROBABILITIES),
        (dict(from_logits=True, ignore_class=1), LABELS, LOGITS),
    ],
    "squared_hinge": [({}, 2 * BINARY - 1, REAL[1])],
    "tversky": [({}, BINARY, UNIT), (dict(alpha=0.3, beta=0.6, axis=(1,)), BINARY, UNIT)],
}
METRICS: dict[str, list[Call]] = {
    "binary_accuracy": [({}, BINARY, UNIT), (dict(threshold=0.3), BINARY, UNIT)],
    "categorical_accuracy": [({}, ONE_HOT, PROBABILITIES)],
    "concordance_correlation": [({}, *REAL), (dict(axis=0), *REAL)],
    "pearson_correlation": [({}, *REAL), (dict(axis=0), *REAL)],
    "sparse_categorical_accuracy": [({}, LABELS, PROBABILITIES)],
    "sparse_top_k_categorical_accuracy": [(dict(k=2), LABELS, PROBABILITIES)],
    "top_k_categorical_accuracy": [(dict(k=2), ONE_HOT, PROBABILITIES)],
}


def function_case(family: str, name: str, calls: list[Call]) -> None:
    def run(keras: Any) -> Result:
        function = getattr(getattr(keras, family), name)
        tensor = keras.ops.convert_to_tensor
        result = {
            f"{i}": as_numpy(function(tensor(y), tensor(p), **kw))
            for i, (kw, y, p) in enumerate(calls)
        }
        kwargs, y, p = calls[0]
        if not kwargs:
            found = getattr(keras, family).get(name)
            result["by_name"] = as_numpy(found(tensor(y), tensor(p)))
        return result

    add("functions", f"{family}.{name}", run)


for _family, _table in (("losses", LOSSES), ("metrics", METRICS)):
    for _name, _calls in _table.items():
        function_case(_family, _name, _calls)


def merging(keras: Any) -> Result:
    """The functions beside the merging layers."""
    x, y, z = (normal(2, 3, 4, seed=i) for i in range(3))
    layers = keras.layers
    result = {
        name: as_numpy(getattr(layers, name)([x, y, z]))
        for name in ("add", "average", "maximum", "minimum", "multiply", "concatenate")
    }
    result["subtract"] = as_numpy(layers.subtract([x, y]))
    result["dot"] = as_numpy(layers.dot([x, y], axes=2, normalize=True))
    return result


add("functions", "merging", merging)

SCHEDULES: dict[str, tuple[str, dict[str, Any]]] = {
    "exponential": ("ExponentialDecay", dict(decay_steps=4, decay_rate=0.7)),
    "exponential_stairs": (
        "ExponentialDecay",
        dict(decay_steps=4, decay_rate=0.7, staircase=True),
    ),
    "inverse_time": ("InverseTimeDecay", dict(decay_steps=3, decay_rate=0.5)),
    "inverse_time_stairs": (
        "InverseTimeDecay",
        dict(decay_steps=3, decay_rate=0.5, staircase=True),
    ),
    "polynomial": ("PolynomialDecay", dict(decay_steps=5, end_learning_rate=0.01, power=2.0)),
    "polynomial_cycle": ("PolynomialDecay", dict(decay_steps=5, cycle=True)),
    "cosine": ("CosineDecay", dict(decay_steps=8, alpha=0.1)),
    "cosine_warmup": (
        "CosineDecay",
        dict(decay_steps=6, warmup_target=0.5, warmup_steps=3),
    ),
    "cosine_restarts": (
        "CosineDecayRestarts",
        dict(first_decay_steps=3, t_mul=1.5, m_mul=0.8, alpha=0.05),
    ),
}


def schedule_case(key: str) -> None:
    name, kwargs = SCHEDULES[key]

    def run(keras: Any) -> Result:
        schedules = keras.optimizers.schedules
        schedule = getattr(schedules, name)(0.2, **kwargs)
        again = schedules.deserialize(schedules.serialize(schedule))
        return {
            "values": np.array([float(schedule(step)) for step in range(14)], "float32"),
            "again": np.array([float(again(step)) for step in range(14)], "float32"),
            "config": schedule.get_config(),
        }

    add("functions", f"schedules.{key}", run)


for _key in SCHEDULES:
    schedule_case(_key)


def piecewise(keras: Any) -> Result:
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([3, 6], [0.3, 0.2, 0.1])
    return {
        "values": np.array([float(schedule(step)) for step in range(9)], "float32"),
        "config": schedule.get_config(),
    }


add("functions", "schedules.piecewise", piecewise)


def numerical(keras: Any) -> Result:
    """Helpers that prepare arrays."""
    utils = keras.utils
    ids = integers(4, 2, 3, seed=3)
    lists = [[1, 2, 3, 4], [5], [], [6, 7]]
    return {
        "normalize": utils.normalize(normal(3, 4)),
        "normalize_axis": utils.normalize(normal(3, 4), axis=1, order=1),
        "to_categorical": utils.to_categorical(ids),
        "to_categorical_more": utils.to_categorical(ids, num_classes=6),
        "pad": utils.pad_sequences(lists),
        "pad_more": keras.preprocessing.sequence.pad_sequences(
            lists, maxlen=3, dtype="float32", padding="post", truncating="post", value=-1.0
        ),
        "dtypes": [
            utils.standardize_dtype(d) if d else utils.standardize_dtype(None)
            for d in ("float64", "int8", "bool", None)
        ],
        "dtypes_numpy": [
            keras.backend.standardize_dtype(np.dtype(d)) for d in ("float16", "uint8", "int64")
        ],
    }


add("functions", "numerical", numerical)


def dtypes(keras: Any) -> Result:
    """What the kinds of dtypes and tensors are called."""
    backend = keras.backend
    names = ("float16", "bfloat16", "float64", "int8", "uint16", "bool")
    return {
        "float": [bool(backend.is_float_dtype(name)) for name in names],
        "int": [bool(backend.is_int_dtype(name)) for name in names],
        "place": [
            bool(function(value))
            for function in (backend.is_keras_tensor, keras.utils.is_keras_tensor)
            for value in (keras.KerasTensor((2,)), np.zeros(2))
        ],
        "uid": [backend.get_uid("a"), backend.get_uid("a"), backend.get_uid("b")],
    }


add("functions", "dtypes", dtypes)


def settings(keras: Any) -> Result:
    """Global settings, set and read in both places that have them."""
    found: list[Any] = []
    for place in (keras.config, keras.backend):
        before = place.floatx(), place.epsilon(), place.image_data_format()
        found.append([*before])
        place.set_floatx("float64")
        place.set_epsilon(1e-4)
        place.set_image_data_format("channels_first")
        found.append([place.floatx(), place.epsilon(), place.image_data_format()])
        found.append(keras.layers.Conv2D(1, 1).data_format)
        place.set_floatx(before[0])
        place.set_epsilon(before[1])
        place.set_image_data_format(before[2])
    return {"found": found, "dtype": keras.ops.convert_to_tensor(1.0).ndim}


add("functions", "settings", settings)


def registered(keras: Any) -> Result:
    """Names and configurations of objects that a program registers."""

    def make() -> Any:
        @keras.saving.register_keras_serializable("golden", "Twice")
        class Twice:
            def __init__(self, factor: float = 2.0) -> None:
                self.factor = factor

            def get_config(self) -> dict[str, Any]:
                return {"factor": self.factor}

            @classmethod
            def from_config(cls, config: dict[str, Any]) -> Any:
                return cls(**config)

        return Twice

    saving, utils = keras.saving, keras.utils
    kind = make()
    config = saving.serialize_keras_object(kind(3.0))
    again = utils.deserialize_keras_object(utils.serialize_keras_object(kind(4.0)))
    return {
        "name": [saving.get_registered_name(kind), utils.get_registered_name(kind)],
        "found": saving.get_registered_object("golden>Twice") is kind
        and utils.get_registered_object("golden>Twice") is kind,
        "known": "golden>Twice" in saving.get_custom_objects()
        and "golden>Twice" in utils.get_custom_objects(),
        "config": {k: v for k, v in config.items() if k != "module"},
        "factors": [saving.deserialize_keras_object(config).factor, again.factor],
    }


add("functions", "registered", registered)

MEMBERS = {
    "constraints": ("max_norm", "non_neg", "unit_norm", "min_max_norm"),
    "initializers": ("zeros", "glorot_uniform", "orthogonal"),
    "regularizers": ("l1", "l2"),
    "activations": ("relu", "gelu", "log_softmax"),
    "losses": ("mse", "Huber", "binary_crossentropy"),
    "metrics": ("mae", "AUC"),
    "optimizers": ("sgd", "adam"),
}


def by_name(keras: Any) -> Result:
    """What `get` finds for a name, as `serialize` describes it, and back."""
    found: dict[str, Any] = {}
    for family, names in MEMBERS.items():
        place = getattr(keras, family)
        for name in names:
            config = place.serialize(place.get(name))
            again = place.deserialize(copy.deepcopy(config))
            found[f"{family}.{name} again"] = getattr(again, "__name__", type(again).__name__)
            if isinstance(config, dict):
                config = {k: v for k, v in config.items() if k in ("class_name", "config")}
            found[f"{family}.{name}"] = config
    return found


add("functions", "by_name", by_name)


def normalizations(keras: Any) -> Result:
    """Normalizing functions of `ops`."""
    x, gain, shift = normal(2, 3, 4), uniform(4, seed=2), normal(4, seed=3)
    mean, variance = normal(4, seed=4), uniform(4, seed=5, low=0.5)
    ops = keras.ops
    return {
        "batch": as_numpy(ops.batch_normalization(x, mean, variance, -1, shift, gain)),
        "batch_plain": as_numpy(ops.batch_normalization(x, mean, variance, 2, epsilon=1e-2)),
        "layer": as_numpy(ops.layer_normalization(x, gain, shift)),
        "layer_plain": as_numpy(ops.layer_normalization(x, axis=-1, epsilon=1e-2)),
        "rms": as_numpy(ops.rms_normalization(x, gain)),
        "rms_plain": as_numpy(ops.rms_normalization(x, axis=-1, epsilon=1e-2)),
    }


add("functions", "normalizations", normalizations)


def pictures(keras: Any) -> Result:
    """Pictures as arrays and in files."""
    utils, image = keras.utils, keras.preprocessing.image
    color, gray = uniform(6, 9, 3, seed=4), 300 * uniform(5, 4, 1, seed=5)
    alpha = uniform(4, 6, 4, seed=6)
    result: Result = {
        "array": utils.img_to_array(color[:, :, 0], dtype="float64"),
        "array_first": utils.img_to_array(color, data_format="channels_first"),
        "color": np.asarray(utils.array_to_img(color)),
        "gray": np.asarray(utils.array_to_img(gray, scale=False)),
        "first": np.asarray(utils.array_to_img(color.transpose(2, 0, 1), "channels_first")),
        "resized": as_numpy(image.smart_resize(color, (4, 4))),
        "resized_batch": as_numpy(image.smart_resize(color[None], (3, 7), interpolation="nearest")),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        utils.save_img(path, color)
        for mode in ("rgb", "rgba", "grayscale"):
            result[mode] = np.asarray(utils.load_img(path, color_mode=mode))
        for kept in (False, True):
            loaded = utils.load_img(
                path, target_size=(4, 4), interpolation="bilinear", keep_aspect_ratio=kept
            )
            result[f"kept_{kept}"] = np.asarray(loaded)
        utils.save_img(path, alpha, scale=False, file_format="png")
        result["alpha"] = np.asarray(image.load_img(path, color_mode="rgba"))
        result["modes"] = [utils.array_to_img(x).mode for x in (color, gray, alpha)]
    return result


add("functions", "pictures", pictures)


def program_settings(keras: Any) -> Result:
    """`utils.Config`, in all its uses."""
    config = keras.utils.Config(size=3, name="a")
    config.rate = 0.5
    config["steps"] = [1, 2]
    config.update({"size": 4}, more=True)
    found: list[Any] = [
        config.pop("name"),
        config.get("name", "none"),
        len(config),
        "rate" in config,
    ]
    config.freeze()
    refused = []
    for change in (
        lambda: setattr(config, "rate", 1.0),
        lambda: config.pop("rate"),
        lambda: config.update(rate=1.0),
        lambda: config["none"],
    ):
        try:
            change()
        except (ValueError, AttributeError, KeyError) as error:
            refused.append(type(error).__name__)
    found.append(config.frozen)
    config.unfreeze()
    config.pop("more")
    return {
        "found": found,
        "refused": refused,
        "left": config.as_dict(),
        "json": config.to_json(),
        "listed": [list(config.keys()), list(config.values()), [list(i) for i in config.items()]],
        "walked": sorted(config),
        "text": repr(config),
    }


add("functions", "program_settings", program_settings)


def stateless_loss(keras: Any) -> Result:
    """The loss of a batch for other weights than the model has."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, kernel_regularizer="l2")])
    model.compile("sgd", "mse")
    x, y = normal(4, 3), normal(4, 2, seed=2)
    weights = [normal(3, 2, seed=3), normal(2, seed=4)]
    before = [w.copy() for w in model.get_weights()]
    outputs = x @ weights[0] + weights[1]
    loss, (trainable, rest, _) = model.stateless_compute_loss(
        [keras.ops.convert_to_tensor(w) for w in weights],
        [],
        [v.value for v in model.metrics_variables],
        x=keras.ops.convert_to_tensor(x),
        y=keras.ops.convert_to_tensor(y),
        y_pred=keras.ops.convert_to_tensor(outputs),
    )
    kept = all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    return {
        "loss": as_numpy(loss),
        "kernel": as_numpy(trainable[0]),
        "counts": [len(trainable), len(rest)],
        "kept": kept,
    }


add("functions", "stateless_loss", stateless_loss)
