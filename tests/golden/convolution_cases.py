"""Convolution layers of every kind: outputs, shapes, weights, configs, two steps of training.

A Dense layer stands before the layer (on the channels, or the last axis with channels first), so
that its weights after training show the gradient with respect to the layer's input.
"""

from __future__ import annotations

from typing import Any

from tests.golden.cases import Result, add, as_numpy, fill, flat, normal

FIRST = "channels_first"


def convolution(kind: str, name: str, shape: tuple[int, ...], **arguments: Any) -> None:
    """One case: a layer of this kind on inputs of this shape."""
    data = normal(2, *shape, seed=len(name))

    def run(keras: Any) -> Result:
        inputs = keras.Input(shape)
        layer = getattr(keras.layers, kind)(**arguments)
        model = keras.Model(inputs, layer(keras.layers.Dense(shape[-1], name="before")(inputs)))
        result: Result = {"weight_shapes": fill(model)}
        result["output"] = predicted = model.predict(data, verbose=0)
        result["output_shape"] = list(model.output_shape)
        axis = 1 if arguments.get("data_format") == FIRST else -1
        unknown: list[int | None] = [None] * (len(shape) + 1)
        unknown[axis] = inputs.shape[axis]
        result["shape_of_unknown"] = list(layer.compute_output_shape(tuple(unknown)))
        result["paths"] = [weight.path for weight in model.weights]
        config = layer.get_config()
        result["config"] = {k: v for k, v in config.items() if k not in ("dtype", "name")}
        for role in list(result["config"]):
            if role.endswith("_initializer"):
                del result["config"][role]
        model.compile(keras.optimizers.SGD(0.1), "mse")
        target = normal(*predicted.shape, seed=5)
        losses = [as_numpy(model.train_on_batch(data, target)) for _ in range(2)]
        result["losses"] = [float(loss.ravel()[0]) for loss in losses]
        result["after"] = flat(model.get_weights())
        return result

    add("convolution", f"{kind}_{name}".lower(), run, 5e-5, 5e-6)


convolution("Conv1D", "same", (9, 3), filters=4, kernel_size=3, padding="same", strides=2)
convolution("Conv1D", "causal", (9, 4), filters=4, kernel_size=3, padding="causal",
            dilation_rate=2, groups=2, activation="relu")  # fmt: skip
convolution("Conv1D", "first", (4, 9), filters=3, kernel_size=2, data_format=FIRST,
            activation="tanh")  # fmt: skip
convolution("Conv2D", "first", (3, 6, 7), filters=4, kernel_size=(3, 2), data_format=FIRST,
            strides=(2, 1), padding="same")  # fmt: skip
convolution("Conv2D", "lora", (5, 5, 3), filters=4, kernel_size=2, lora_rank=2, lora_alpha=3.0,
            kernel_regularizer="l2")  # fmt: skip
convolution("Conv2D", "lora_groups", (5, 5, 4), filters=6, kernel_size=2, lora_rank=2, groups=2)
convolution("Conv3D", "plain", (4, 5, 4, 2), filters=3, kernel_size=(2, 3, 2))
convolution("Conv3D", "strides", (5, 4, 5, 2), filters=4, kernel_size=3, strides=(2, 1, 2),
            padding="same", groups=2, activation="sigmoid", use_bias=False)  # fmt: skip
convolution("Conv3D", "first", (2, 4, 4, 5), filters=3, kernel_size=2, dilation_rate=(1, 2, 2),
            data_format=FIRST, kernel_regularizer="l2", bias_constraint="non_neg")  # fmt: skip

convolution("Conv1DTranspose", "valid", (5, 3), filters=4, kernel_size=3, strides=2)
convolution("Conv1DTranspose", "gap", (4, 3), filters=2, kernel_size=2, strides=3)
convolution("Conv1DTranspose", "dilated", (5, 3), filters=4, kernel_size=3, dilation_rate=2)
convolution("Conv2DTranspose", "same", (4, 5, 3), filters=4, kernel_size=3, strides=2,
            padding="same", activation="relu")  # fmt: skip
convolution("Conv2DTranspose", "padded", (4, 3, 3), filters=2, kernel_size=(3, 4),
            strides=(2, 3), output_padding=(1, 0))  # fmt: skip
convolution("Conv2DTranspose", "first", (3, 4, 5), filters=4, kernel_size=(3, 2),
            strides=(2, 1), data_format=FIRST, use_bias=False)  # fmt: skip
convolution("Conv2DTranspose", "unit", (4, 5, 9), filters=10, kernel_size=3, padding="same",
            kernel_regularizer="l1", bias_regularizer="l2",
            kernel_constraint="max_norm")  # fmt: skip
convolution("Conv3DTranspose", "valid", (3, 2, 3, 2), filters=3, kernel_size=2,
            strides=(2, 1, 2))  # fmt: skip
convolution("Conv3DTranspose", "same", (2, 3, 2, 2), filters=2, kernel_size=3, strides=2,
            padding="same", output_padding=1)  # fmt: skip

convolution("DepthwiseConv1D", "plain", (8, 3), kernel_size=3)
convolution("DepthwiseConv1D", "multiplier", (9, 3), kernel_size=2, depth_multiplier=4, strides=2,
            padding="same", activation="relu")  # fmt: skip
convolution("DepthwiseConv2D", "same", (6, 5, 18), kernel_size=3, padding="same")
convolution("DepthwiseConv2D", "strides", (7, 6, 5), kernel_size=3, strides=2, padding="same",
            depth_multiplier=3, use_bias=False)  # fmt: skip
convolution("DepthwiseConv2D", "dilated", (7, 8, 4), kernel_size=(2, 3), dilation_rate=2,
            depthwise_regularizer="l2", depthwise_constraint="non_neg")  # fmt: skip
convolution("DepthwiseConv2D", "first", (4, 6, 5), kernel_size=2, depth_multiplier=2,
            data_format=FIRST)  # fmt: skip

convolution("SeparableConv1D", "plain", (8, 3), filters=5, kernel_size=3, depth_multiplier=2)
convolution("SeparableConv1D", "same", (9, 4), filters=3, kernel_size=3, strides=2,
            padding="same", activation="relu", pointwise_regularizer="l2")  # fmt: skip
convolution("SeparableConv2D", "same", (6, 5, 4), filters=6, kernel_size=3, padding="same",
            depthwise_constraint="non_neg", pointwise_constraint="non_neg")  # fmt: skip
convolution("SeparableConv2D", "dilated", (7, 8, 3), filters=4, kernel_size=(2, 3),
            dilation_rate=2, depth_multiplier=3, depthwise_regularizer="l1")  # fmt: skip
convolution("SeparableConv2D", "first", (3, 6, 7), filters=4, kernel_size=2, use_bias=False,
            data_format=FIRST)  # fmt: skip


def operations(keras: Any) -> Result:
    """`keras.ops` of this family, with kernels of any shape and both data formats."""
    ops = keras.ops
    images, volume = normal(2, 6, 7, 4), normal(1, 3, 4, 4, 2)
    first = images.transpose(0, 3, 1, 2)
    results = {
        "conv": ops.conv(images, normal(3, 2, 2, 6), strides=(2, 1), padding="same"),
        "conv_3d": ops.conv(volume, normal(2, 2, 3, 2, 3), dilation_rate=(1, 2, 1)),
        "conv_first": ops.conv(first, normal(3, 3, 4, 2), data_format=FIRST),
        "transpose": ops.conv_transpose(images, normal(3, 2, 5, 4), strides=2),
        "transpose_padded": ops.conv_transpose(
            images, normal(3, 3, 5, 4), strides=2, padding="same", output_padding=1
        ),
        "transpose_3d": ops.conv_transpose(volume, normal(2, 2, 2, 3, 2), strides=(1, 2, 1)),
        "depthwise": ops.depthwise_conv(images, normal(3, 2, 4, 3), strides=2),
        "depthwise_first": ops.depthwise_conv(first, normal(2, 2, 4, 1), data_format=FIRST),
        "separable": ops.separable_conv(
            images, normal(3, 3, 4, 2), normal(1, 1, 8, 3), padding="same"
        ),
        "separable_1d": ops.separable_conv(
            images[:, 0], normal(3, 4, 2), normal(1, 8, 3), dilation_rate=2
        ),
    }
    return {name: as_numpy(value) for name, value in results.items()}


add("convolution", "operations", operations, 5e-5, 5e-6)
