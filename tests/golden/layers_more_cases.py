"""More layers: normalization, activations with arguments, resizing, Dot.

As in `layers_cases`, a Dense layer stands before the layer, so that its weights after two steps
of SGD show the gradient with respect to the layer's input. The second prediction shows what
training left in the moving statistics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.golden.cases import Result, add, as_numpy, flat, normal, rng

Build = Callable[[Any, Any], Any]  # (keras, tensor) -> tensor


def fill(model: Any, scale: float) -> list[list[int]]:
    """As `cases.fill`, with variances and deviations that can be such."""
    generator = rng(7)
    values = []
    for w in model.weights:
        value = scale * generator.normal(size=tuple(w.shape))
        spread = w.path.endswith(("variance", "stddev"))
        values.append((np.abs(value) + 0.5 if spread else value).astype("float32"))
    model.set_weights(values)
    return [list(v.shape) for v in values]


def plain_config(layer: Any) -> dict[str, Any]:
    return {k: v for k, v in layer.get_config().items() if k not in ("dtype", "name")}


def layer(
    name: str, shape: tuple[int, ...], build: Build, *, x: np.ndarray | None = None,
    rtol: float = 5e-5, atol: float = 5e-6, scale: float = 0.7,
) -> None:  # fmt: skip
    """One case. `x` replaces the random input."""
    data = normal(4, *shape, seed=len(name)) if x is None else x

    def run(keras: Any) -> Result:
        inputs = keras.Input(shape)
        h = keras.layers.Masking()(inputs) if "mask" in name else inputs
        outputs = build(keras, keras.layers.Dense(shape[-1], name="before")(h))
        model = keras.Model(inputs, outputs)
        result: Result = {"weight_shapes": fill(model, scale)}
        result["output"] = predicted = model.predict(data, verbose=0)
        result["output_shape"] = list(model.output_shape)
        result["paths"] = [w.path for w in model.weights]
        result["config"] = plain_config(model.layers[-1])
        target = normal(*predicted.shape, seed=5)
        model.compile(keras.optimizers.SGD(0.1), "mse")
        losses = [as_numpy(model.train_on_batch(data, target)) for _ in range(2)]
        result["losses"] = np.array([float(np.ravel(loss)[0]) for loss in losses], "float32")
        result["after"] = flat(model.get_weights())
        result["output_after"] = model.predict(data, verbose=0)
        return result

    add("layers_more", name, run, rtol, atol)


# Sequences whose steps of zeros are masked: at the end, inside, at the beginning.
PADDED = normal(4, 5, 3, seed=2)
PADDED[0, 3:] = PADDED[1, 2] = PADDED[2, :2] = 0

# ---- Normalization
BATCH: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "plain": ((5,), {}),
    "image": ((3, 4, 3), dict(momentum=0.9)),
    "axis1": ((3, 4, 2), dict(axis=1, epsilon=0.01)),
    "no_scale": ((5,), dict(scale=False, momentum=0.5)),
    "no_center": ((5,), dict(center=False)),
    "bare": ((4, 3), dict(center=False, scale=False, momentum=0.0)),
    "frozen": ((5,), dict(trainable=False)),
    "regularized": ((5,), dict(gamma_regularizer="l2", beta_regularizer="l1",
                               gamma_constraint="non_neg", beta_constraint="non_neg")),
    "renorm": ((5,), dict(renorm=True, momentum=0.9, renorm_momentum=0.8)),
    "renorm_clipped": ((2, 3), dict(renorm=True, renorm_clipping=dict(
        rmin=0.5, rmax=1.5, dmax=0.2))),
}  # fmt: skip
for case, (sizes, arguments) in BATCH.items():
    layer(f"batch_normalization_{case}", sizes, lambda k, t, a=arguments:
          k.layers.BatchNormalization(**a)(t))  # fmt: skip
layer("batch_normalization_mask", (5, 3), lambda k, t: k.layers.BatchNormalization(
    momentum=0.6)(t), x=PADDED)  # fmt: skip
layer("batch_normalization_initializers", (4,), lambda k, t: k.layers.BatchNormalization(
    moving_mean_initializer="ones", moving_variance_initializer=k.initializers.Constant(2.0),
    beta_initializer="ones", gamma_initializer="zeros")(t))  # fmt: skip
layer("batch_normalization_twice", (4,), lambda k, t: k.layers.BatchNormalization()(
    k.layers.Activation("relu")(k.layers.BatchNormalization()(t))))  # fmt: skip

LAYER: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "plain": ((6,), {}),
    "sequence": ((3, 5), dict(epsilon=1e-6)),
    "axes": ((3, 4, 2), dict(axis=[2, 3])),  # Keras's torch backend takes trailing axes only
    "axes_unsorted": ((3, 4, 2), dict(axis=(-1, -2))),
    "no_scale": ((6,), dict(scale=False)),
    "no_center": ((6,), dict(center=False)),
    "regularized": ((6,), dict(gamma_regularizer="l2", beta_constraint="non_neg")),
}
for case, (sizes, arguments) in LAYER.items():
    layer(f"layer_normalization_{case}", sizes, lambda k, t, a=arguments:
          k.layers.LayerNormalization(**a)(t))  # fmt: skip
layer("layer_normalization_rms_scaling", (6,), lambda k, t: k.layers.LayerNormalization(
    rms_scaling=True)(t))  # fmt: skip

GROUP: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "plain": ((3, 2, 6), dict(groups=2)),
    "vector": ((6,), dict(groups=3)),
    "sequence": ((4, 6), dict(groups=6, epsilon=0.01)),
    "one": ((3, 4), dict(groups=1, center=False)),
    "instance": ((3, 2, 4), dict(groups=-1, scale=False)),
    "axis1": ((4, 3, 2), dict(groups=2, axis=1)),
    "regularized": ((4, 4), dict(groups=2, gamma_regularizer="l2", beta_regularizer="l1")),
}
for case, (sizes, arguments) in GROUP.items():
    layer(f"group_normalization_{case}", sizes, lambda k, t, a=arguments:
          k.layers.GroupNormalization(**a)(t))  # fmt: skip

for case, axis in (("plain", -1), ("axis1", 1), ("axes", [1, 2])):
    if case != "axis1":
        layer(f"rms_normalization_{case}", (3, 4), lambda k, t, a=axis:
              k.layers.RMSNormalization(axis=a)(t))  # fmt: skip
    layer(f"unit_normalization_{case}", (3, 4), lambda k, t, a=axis:
          k.layers.UnitNormalization(axis=a)(t))  # fmt: skip

# ---- Activations
ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "re_lu": ("ReLU", {}),
    "re_lu_max": ("ReLU", dict(max_value=0.8)),
    "re_lu_slope": ("ReLU", dict(negative_slope=0.2)),
    "re_lu_threshold": ("ReLU", dict(threshold=0.3)),
    "re_lu_all": ("ReLU", dict(max_value=1.0, negative_slope=0.1, threshold=0.25)),
    "leaky_re_lu": ("LeakyReLU", {}),
    "leaky_re_lu_slope": ("LeakyReLU", dict(negative_slope=0.05)),
    "elu": ("ELU", {}),
    "elu_alpha": ("ELU", dict(alpha=0.4)),
    "p_re_lu": ("PReLU", {}),
    "p_re_lu_shared": ("PReLU", dict(shared_axes=[1])),
    "p_re_lu_options": ("PReLU", dict(shared_axes=(1, 2), alpha_initializer="ones",
                                      alpha_regularizer="l2", alpha_constraint="non_neg")),
    "softmax": ("Softmax", {}),
    "softmax_axis1": ("Softmax", dict(axis=1)),
    "softmax_axes": ("Softmax", dict(axis=(1, 2))),
}  # fmt: skip
for case, (kind, arguments) in ACTIVATIONS.items():
    layer(case, (3, 4), lambda k, t, n=kind, a=arguments: getattr(k.layers, n)(**a)(t))
layer("softmax_where", (3, 4), lambda k, t: k.layers.Flatten()(
    k.layers.Softmax()(t, mask=t > -0.5)))  # fmt: skip

# ---- Resizing
RESIZING: dict[str, tuple[str, tuple[int, ...], dict[str, Any]]] = {
    "cropping1d": ("Cropping1D", (6, 3), {}),
    "cropping1d_pair": ("Cropping1D", (6, 3), dict(cropping=(0, 2))),
    "cropping2d": ("Cropping2D", (5, 6, 2), dict(cropping=((1, 0), (2, 1)))),
    "cropping2d_one": ("Cropping2D", (5, 6, 2), dict(cropping=1)),
    "cropping2d_two": ("Cropping2D", (5, 6, 2), dict(cropping=(2, 1))),
    "cropping2d_none": ("Cropping2D", (3, 2, 2), {}),
    "cropping2d_channels_first": ("Cropping2D", (2, 5, 4), dict(
        cropping=((1, 2), (1, 0)), data_format="channels_first")),
    "zero_padding1d": ("ZeroPadding1D", (4, 3), {}),
    "zero_padding1d_pair": ("ZeroPadding1D", (4, 3), dict(padding=(2, 0))),
    "zero_padding1d_channels_first": ("ZeroPadding1D", (4, 3), dict(
        padding=(1, 2), data_format="channels_first")),
    "up_sampling1d": ("UpSampling1D", (4, 3), {}),
    "up_sampling1d_three": ("UpSampling1D", (4, 3), dict(size=3)),
}  # fmt: skip
for case, (kind, sizes, arguments) in RESIZING.items():
    layer(case, sizes, lambda k, t, n=kind, a=arguments: getattr(k.layers, n)(**a)(t))

# ---- Dot, and dropout that has nothing to drop
layer("dot_vectors", (4,), lambda k, t: k.layers.Dot(axes=1)([t, k.layers.Dense(4)(t)]))
layer("dot_normalized", (4,), lambda k, t: k.layers.Dot(-1, normalize=True)(
    [t, k.layers.Dense(4)(t)]))  # fmt: skip
layer("dot_matrices", (3, 4), lambda k, t: k.layers.Dot(axes=(2, 2))([t, k.layers.Dense(4)(t)]))
layer("dot_axes", (3, 4), lambda k, t: k.layers.Dot(axes=(1, -2), normalize=True)(
    [t, k.layers.Dense(2)(t)]))  # fmt: skip
layer("dot_other_ranks", (2, 3, 4), lambda k, t: k.layers.Dot(axes=(3, 1))(
    [t, k.layers.Dense(4)(k.layers.Flatten()(t))]))  # fmt: skip
layer("dot_rank4", (2, 3, 4), lambda k, t: k.layers.Dot(axes=(2, 2))(
    [t, k.layers.Dense(2)(t)]), scale=0.2)  # fmt: skip
layer("dot_function", (4,), lambda k, t: k.layers.dot([t, k.layers.Dense(4)(t)], axes=1))
layer("alpha_dropout_none", (4,), lambda k, t: k.layers.AlphaDropout(0.0)(t))
