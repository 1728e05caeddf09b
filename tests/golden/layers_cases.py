"""Layers: weight shapes, outputs, and what one step of SGD does to every weight.

Where the layer takes floats, a Dense layer stands before it, so that its weights after the step
show the gradient with respect to the layer's input as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.golden.cases import Result, add, as_numpy, fill, flat, integers, normal

Build = Callable[[Any, Any], Any]  # (keras, tensor) -> tensor or list of tensors


def layer(
    name: str, shape: tuple[int, ...], build: Build, *, x: np.ndarray | None = None,
    pre: bool = True, batch: int = 3, rtol: float = 5e-5, atol: float = 5e-6, scale: float = 0.4,
) -> None:  # fmt: skip
    """One case. `x` replaces the random input; `pre=False` leaves the Dense before out."""
    data = normal(batch, *shape, seed=len(name)) if x is None else x

    def run(keras: Any) -> Result:
        inputs = keras.Input(shape, dtype=str(data.dtype))
        h = keras.layers.Dense(shape[-1], name="before")(inputs) if pre else inputs
        outputs = build(keras, h)
        model = keras.Model(inputs, outputs)
        shapes = fill(model, scale=scale)
        predicted = model.predict(data, verbose=0)
        many = isinstance(predicted, (list, tuple))
        predicted = list(predicted) if many else [predicted]
        result: Result = {f"output_{i}": p for i, p in enumerate(predicted)}
        declared = model.output_shape
        result["output_shape"] = [list(s) for s in (declared if many else [declared])]
        result["weight_shapes"] = shapes
        result["paths"] = [w.path for w in model.weights]
        if shapes:
            targets = [normal(*p.shape, seed=5 + i) for i, p in enumerate(predicted)]
            model.compile(keras.optimizers.SGD(0.5), ["mse"] * len(targets) if many else "mse")
            loss = model.train_on_batch(data, targets if many else targets[0])
            result["loss"] = float(as_numpy(loss[0] if isinstance(loss, (list, tuple)) else loss))
            result["after"] = flat(model.get_weights())
        return result

    add("layers", name, run, rtol, atol)


# ---- Dense, Activation
for activation in (
    None, "relu", "sigmoid", "tanh", "softmax", "elu", "selu", "gelu", "silu", "softplus",
    "softsign", "leaky_relu", "hard_sigmoid", "exponential", "relu6", "log_softmax", "mish",
):  # fmt: skip
    layer(f"dense_{activation}", (5,), lambda k, t, a=activation: k.layers.Dense(4, a)(t))
    layer(f"activation_{activation or 'linear'}", (6,), lambda k, t, a=activation:
          k.layers.Activation(a or "linear")(t))  # fmt: skip
layer("dense_no_bias", (5,), lambda k, t: k.layers.Dense(4, use_bias=False)(t))
layer("dense_rank3", (3, 5), lambda k, t: k.layers.Dense(4, "relu")(t))
layer("dense_rank4", (2, 3, 5), lambda k, t: k.layers.Dense(2, "tanh")(t))
layer("dense_wide", (37,), lambda k, t: k.layers.Dense(65, "relu")(t), scale=0.1)
layer("dense_regularized", (5,), lambda k, t: k.layers.Dense(
    4, kernel_regularizer="l2", bias_regularizer=k.regularizers.L1(0.02))(t))  # fmt: skip
layer("dense_activity_regularizer", (5,), lambda k, t: k.layers.Dense(
    4, activity_regularizer=k.regularizers.L2(0.1))(t))  # fmt: skip
layer("dense_constraint", (5,), lambda k, t: k.layers.Dense(
    4, kernel_constraint=k.constraints.MaxNorm(0.5))(t))  # fmt: skip

# ---- Shapes and merging
layer("flatten", (2, 3, 4), lambda k, t: k.layers.Flatten()(t))
layer("flatten_vector", (4,), lambda k, t: k.layers.Flatten()(t))
layer("flatten_channels_first", (2, 3, 4), lambda k, t: k.layers.Flatten("channels_first")(t))
layer("reshape", (6, 2), lambda k, t: k.layers.Reshape((3, 4))(t))
layer("reshape_infer", (6, 2), lambda k, t: k.layers.Reshape((-1, 3))(t))
layer("rescaling", (4,), lambda k, t: k.layers.Rescaling(1 / 255.0, offset=-0.5)(t))
layer("dropout_inference", (4,), lambda k, t: k.layers.Dropout(0.0)(t))
layer("lambda", (4,), lambda k, t: k.layers.Lambda(lambda v: k.ops.tanh(v) * 2.0 + 1.0)(t))
layer("add", (4,), lambda k, t: k.layers.Add()([t, k.layers.Dense(4)(t), t]))
layer("add_broadcast", (3, 4), lambda k, t: k.layers.Add()([t, k.layers.Dense(1)(t)]))
layer("concatenate", (3, 4), lambda k, t: k.layers.Concatenate()([t, k.layers.Dense(2)(t)]))
layer("concatenate_axis1", (3, 4), lambda k, t: k.layers.Concatenate(axis=1)(
    [t, k.layers.Dense(4)(t), t]))  # fmt: skip
layer("operators", (4,), lambda k, t: (t * 2.0 - 1.0) / (k.ops.abs(t) + 1.0) + k.ops.exp(-t))

# ---- Convolution
CONVOLUTIONS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "plain": ((6, 7, 3), dict(filters=4, kernel_size=3)),
    "relu": ((6, 7, 1), dict(filters=5, kernel_size=(3, 3), activation="relu")),
    "same": ((6, 7, 2), dict(filters=3, kernel_size=3, padding="same", activation="tanh")),
    "even_kernel_same": ((5, 6, 2), dict(filters=3, kernel_size=(2, 4), padding="same")),
    "stride2": ((7, 8, 2), dict(filters=3, kernel_size=3, strides=2)),
    "stride2_same": ((7, 8, 2), dict(filters=3, kernel_size=3, strides=2, padding="same")),
    "stride_2_1_same": ((6, 5, 2), dict(filters=3, kernel_size=(5, 2), strides=(2, 1),
                                        padding="same")),
    "stride3": ((8, 9, 2), dict(filters=2, kernel_size=2, strides=3)),
    "dilation2": ((8, 7, 2), dict(filters=3, kernel_size=3, dilation_rate=2)),
    "dilation_2_1_same": ((6, 7, 2), dict(filters=3, kernel_size=3, dilation_rate=(2, 1),
                                          padding="same")),
    "groups2": ((5, 5, 4), dict(filters=6, kernel_size=3, groups=2)),
    "groups_depthwise": ((5, 5, 4), dict(filters=4, kernel_size=3, groups=4, padding="same")),
    "pointwise": ((4, 5, 3), dict(filters=6, kernel_size=1, activation="sigmoid")),
    "no_bias": ((5, 5, 2), dict(filters=3, kernel_size=3, use_bias=False)),
    "whole_image": ((4, 3, 2), dict(filters=3, kernel_size=(4, 3))),
    "softmax": ((4, 4, 2), dict(filters=3, kernel_size=2, activation="softmax")),
    "many_filters": ((5, 5, 3), dict(filters=33, kernel_size=3, activation="relu")),
    "channels_first": ((3, 6, 7), dict(filters=4, kernel_size=3, data_format="channels_first")),
    "channels_first_same": ((2, 6, 7), dict(filters=4, kernel_size=3, strides=2, padding="same",
                                            data_format="channels_first")),
    "regularized": ((5, 5, 2), dict(filters=3, kernel_size=3, kernel_regularizer="L1L2")),
}  # fmt: skip
for case_name, (case_shape, arguments) in CONVOLUTIONS.items():
    layer(f"conv2d_{case_name}", case_shape, lambda k, t, a=arguments: k.layers.Conv2D(**a)(t))

# ---- Pooling
POOLS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "plain": ((6, 8, 3), dict(pool_size=(2, 2))),
    "odd": ((5, 7, 2), dict(pool_size=2)),
    "same": ((5, 7, 2), dict(pool_size=(2, 2), padding="same")),
    "overlap": ((6, 7, 2), dict(pool_size=3, strides=1)),
    "overlap_same": ((6, 7, 2), dict(pool_size=3, strides=2, padding="same")),
    "rectangle": ((6, 7, 2), dict(pool_size=(3, 2), strides=(2, 3))),
    "channels_first": ((2, 6, 7), dict(pool_size=2, data_format="channels_first")),
}
for case_name, (case_shape, arguments) in POOLS.items():
    layer(f"max_pooling2d_{case_name}", case_shape, lambda k, t, a=arguments:
          k.layers.MaxPooling2D(**a)(t))  # fmt: skip
    if case_name not in ("same", "overlap_same"):  # Keras's torch backend averages those wrongly
        layer(f"average_pooling2d_{case_name}", case_shape, lambda k, t, a=arguments:
              k.layers.AveragePooling2D(**a)(t))  # fmt: skip
for kind in ("Average", "Max"):
    for keep in (False, True):
        layer(f"global_{kind.lower()}_pooling2d_keepdims_{keep}", (4, 5, 3), lambda k, t, n=kind,
              d=keep: getattr(k.layers, f"Global{n}Pooling2D")(keepdims=d)(t))  # fmt: skip
    layer(f"global_{kind.lower()}_pooling2d_channels_first", (3, 4, 5), lambda k, t, n=kind:
          getattr(k.layers, f"Global{n}Pooling2D")(data_format="channels_first")(t))  # fmt: skip

# ---- Embedding
IDS = integers(9, 4, 6, seed=3)
layer("embedding", (6,), lambda k, t: k.layers.Embedding(9, 3)(t), x=IDS, pre=False)
layer("embedding_duplicates", (6,), lambda k, t: k.layers.Embedding(9, 3)(t),
      x=np.minimum(IDS, 2), pre=False)  # fmt: skip
layer("embedding_then_dense", (6,), lambda k, t: k.layers.Dense(2)(k.layers.Flatten()(
    k.layers.Embedding(9, 3)(t))), x=IDS, pre=False)  # fmt: skip
layer("embedding_mask_pooled", (6,), lambda k, t: k.layers.LSTM(2)(
    k.layers.Embedding(9, 3, mask_zero=True)(t)),
    x=np.where(np.arange(6) < [[2], [4], [6], [1]], IDS + 0 * IDS, 0).astype("int32"),
    pre=False)  # fmt: skip

# ---- Recurrent
RECURRENT: dict[str, dict[str, Any]] = {
    "plain": {},
    "sequences": dict(return_sequences=True),
    "state": dict(return_state=True),
    "sequences_state": dict(return_sequences=True, return_state=True),
    "backwards": dict(go_backwards=True),
    "backwards_sequences": dict(go_backwards=True, return_sequences=True),
    "no_bias": dict(use_bias=False),
    "relu": dict(activation="relu"),
    "unroll": dict(unroll=True, return_sequences=True),
    "gelu": dict(activation="gelu", return_sequences=True),
}
for kind in ("LSTM", "SimpleRNN"):
    for case_name, arguments in RECURRENT.items():
        layer(f"{kind.lower()}_{case_name}", (5, 3), lambda k, t, n=kind, a=arguments:
              getattr(k.layers, n)(4, **a)(t), rtol=2e-4, atol=2e-5)  # fmt: skip
    layer(f"{kind.lower()}_stacked", (5, 3), lambda k, t, n=kind: getattr(k.layers, n)(2)(
        getattr(k.layers, n)(4, return_sequences=True)(t)), rtol=2e-4, atol=2e-5)  # fmt: skip
    layer(f"{kind.lower()}_one_step", (1, 3), lambda k, t, n=kind: getattr(k.layers, n)(4)(t))
    layer(f"{kind.lower()}_wide", (4, 9), lambda k, t, n=kind: getattr(k.layers, n)(19)(t),
          scale=0.2, rtol=2e-4, atol=2e-5)  # fmt: skip
layer("lstm_hard_sigmoid", (5, 3), lambda k, t: k.layers.LSTM(
    4, recurrent_activation="hard_sigmoid")(t), rtol=2e-4, atol=2e-5)  # fmt: skip
layer("lstm_initial_state", (5, 3), lambda k, t: k.layers.LSTM(4, return_sequences=True)(
    t, initial_state=[k.layers.Dense(4)(t[:, 0]), k.layers.Dense(4)(t[:, 1])]),
    rtol=2e-4, atol=2e-5)  # fmt: skip
layer("simplernn_initial_state", (5, 3), lambda k, t: k.layers.SimpleRNN(4)(
    t, initial_state=k.layers.Dense(4)(t[:, 0])), rtol=2e-4, atol=2e-5)  # fmt: skip


def encoder_decoder(keras: Any, t: Any) -> Any:
    _, h, c = keras.layers.LSTM(4, return_state=True)(t)
    return keras.layers.LSTM(4, return_sequences=True)(t, initial_state=[h, c])


layer("lstm_encoder_decoder", (4, 3), encoder_decoder, rtol=2e-4, atol=2e-5)

# Masks through Embedding(mask_zero=True): leading, trailing, inner zeros, and a wholly masked row.
MASKED = np.array(
    [[1, 2, 3, 4, 5], [0, 0, 6, 7, 8], [3, 4, 0, 0, 0], [5, 0, 6, 0, 7], [0, 0, 0, 0, 0]], "int32"
)
MASKS: dict[str, dict[str, Any]] = {
    "last": {},
    "sequences": dict(return_sequences=True),
    "backwards": dict(go_backwards=True, return_sequences=True),
    "state": dict(return_state=True),
    "unroll": dict(unroll=True, return_sequences=True),
}
for kind in ("LSTM", "SimpleRNN"):
    for case_name, arguments in MASKS.items():
        layer(f"{kind.lower()}_mask_{case_name}", (5,), lambda k, t, n=kind, a=arguments:
              getattr(k.layers, n)(4, **a)(k.layers.Embedding(9, 3, mask_zero=True)(t)),
              x=MASKED, pre=False, rtol=2e-4, atol=2e-5)  # fmt: skip
    layer(f"{kind.lower()}_mask_stacked", (5,), lambda k, t, n=kind: getattr(k.layers, n)(3)(
        getattr(k.layers, n)(4, return_sequences=True)(
            k.layers.Embedding(9, 3, mask_zero=True)(t))),
        x=MASKED, pre=False, rtol=2e-4, atol=2e-5)  # fmt: skip
