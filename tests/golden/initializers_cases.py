"""Initializers: statistics over many values (two generators never give the same bits)."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.golden.cases import Result, add, as_numpy

SHAPES = {"matrix": (120, 250), "conv": (5, 5, 24, 32), "tall": (300, 80)}
RANDOM: dict[str, tuple[str, dict[str, Any]]] = {
    "glorot_uniform": ("GlorotUniform", {}), "glorot_normal": ("GlorotNormal", {}),
    "he_uniform": ("HeUniform", {}), "he_normal": ("HeNormal", {}),
    "lecun_uniform": ("LecunUniform", {}), "lecun_normal": ("LecunNormal", {}),
    "random_normal": ("RandomNormal", {}), "random_uniform": ("RandomUniform", {}),
    "truncated_normal": ("TruncatedNormal", {}),
    "random_normal_args": ("RandomNormal", dict(mean=2.0, stddev=0.5)),
    "random_uniform_args": ("RandomUniform", dict(minval=1.0, maxval=3.0)),
    "variance_scaling": ("VarianceScaling", dict(scale=2.0, mode="fan_avg",
                                                 distribution="untruncated_normal")),
}  # fmt: skip
EXACT: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "zeros": ("Zeros", {}, (3, 4)), "ones": ("Ones", {}, (3, 4)),
    "constant": ("Constant", dict(value=0.7), (3,)), "identity": ("Identity", {}, (4, 4)),
    "identity_gain": ("Identity", dict(gain=2.5), (3, 5)),
    "stft": ("STFT", {}, (16, 1, 9)),
    "stft_imag": ("STFT", dict(side="imag", window="blackman", scaling="spectrum", periodic=True),
                  (12, 1, 17)),
    "stft_tukey": ("STFT", dict(window="tukey", scaling=None), (10, 1, 6)),
    "stft_values": ("STFT", dict(window=[1.0, 2.0, 3.0, 4.0], side="imag"), (4, 1, 5)),
}  # fmt: skip


def statistics(key: str) -> None:
    name, kwargs = RANDOM[key]

    def run(keras: Any) -> Result:
        result: Result = {}
        for label, shape in SHAPES.items():
            x = as_numpy(getattr(keras.initializers, name)(seed=3, **kwargs)(shape)).ravel()
            deviation = x.std()
            result[label] = np.array(
                [x.mean(), deviation, np.abs(x - x.mean()).max() / deviation], "float32"
            )
        return result

    add("initializers", key, run)


for each in RANDOM:
    statistics(each)


def orthogonal(keras: Any) -> Result:
    result: Result = {}
    for shape in ((4, 4), (3, 7), (8, 2), (2, 3, 5)):
        x = as_numpy(keras.initializers.Orthogonal(gain=2.0, seed=1)(shape))
        m = x.reshape(-1, x.shape[-1]).astype("float64")
        gram = m @ m.T if m.shape[0] <= m.shape[1] else m.T @ m
        result[f"{shape}"] = gram
    return result


add("initializers", "orthogonal_gram", orthogonal, atol=1e-5)


def exact(key: str) -> None:
    name, kwargs, shape = EXACT[key]

    def run(keras: Any) -> Result:
        return {"value": as_numpy(getattr(keras.initializers, name)(**kwargs)(shape))}

    add("initializers", key, run)


for each in EXACT:
    exact(each)


def names(keras: Any) -> Result:
    known = ("glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform",
             "lecun_normal", "orthogonal", "random_normal", "random_uniform", "truncated_normal",
             "zeros", "ones", "identity", "uniform", "normal", "GlorotUniform",
             "Orthogonal", "Zeros", "stft", "STFT", "STFTInitializer", "IdentityInitializer",
             "OrthogonalInitializer", "one", "zero")  # fmt: skip
    return {n: type(keras.initializers.get(n)).__name__ for n in known}


add("initializers", "names", names)


def configs(keras: Any) -> Result:
    classes = [name for name, _ in RANDOM.values()] + ["Orthogonal"]
    found = {n: getattr(keras.initializers, n)(seed=1).get_config() for n in classes}
    return {**found, "STFT": keras.initializers.STFT().get_config()}


add("initializers", "configs", configs)
