"""How to make each public layer, and on what: one or more entries per layer class.

`test_layers.py` fails for a public layer without an entry, so a new layer comes with its contract.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Shape = tuple[int, ...]


class Inner:
    """A layer or cell that another layer takes as an argument: a new one each time."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        self.name, self.kwargs = name, kwargs

    def make(self, layers: Any) -> Any:
        return getattr(layers, self.name)(**self.kwargs)


class Entry(NamedTuple):
    """A layer's arguments and its input shapes (with batch); several for a list of inputs."""

    kwargs: dict[str, Any]
    shapes: tuple[Shape, ...]
    ids: int = 0  # inputs are whole numbers below this, 0 for floats
    variable: tuple[int, ...] = ()  # axes (batch excluded) whose size may stay unknown
    separate: bool = False  # inputs are arguments of the call, not one list


def one(*shape: int, ids: int = 0, variable: tuple[int, ...] = (), **kwargs: Any) -> Entry:
    return Entry(kwargs, (shape,), ids, variable)


def several(*shapes: Shape, separate: bool = False, **kwargs: Any) -> Entry:
    return Entry(kwargs, shapes, separate=separate)


IMAGE = (2, 7, 8, 3)
VOLUME = (2, 5, 6, 7, 3)
STEPS = (2, 6, 4)
SAME = ((2, 3, 4), (2, 3, 4))


def spatial(name: str, ranks: tuple[int, ...] = (1, 2, 3), **kwargs: Any) -> dict[str, list[Entry]]:
    """Entries for `name1D` ... on a sequence, an image, a volume, with unknown spatial sizes."""
    shapes = {1: STEPS, 2: IMAGE, 3: VOLUME}
    return {
        name.format(rank): [
            one(*shapes[rank], variable=tuple(range(1, rank + 1)), **kwargs),
            one(*shapes[rank], data_format="channels_first", **kwargs),
        ]
        for rank in ranks
    }


LAYERS: dict[str, list[Entry]] = {
    # core
    "Activation": [one(2, 5, activation="tanh")],
    "Dense": [
        one(2, 5, units=3),
        one(2, 4, 5, units=3, use_bias=False, activation="relu", variable=(1,)),
        one(2, 5, units=3, kernel_regularizer="l2", bias_constraint="non_neg"),
    ],
    "EinsumDense": [
        one(2, 5, equation="ab,bc->ac", output_shape=3),
        one(2, 4, 5, equation="abc,cd->abd", output_shape=(None, 3), bias_axes="d", variable=(1,)),
    ],
    "Embedding": [
        one(2, 6, ids=9, input_dim=9, output_dim=4, variable=(1,)),
        one(2, 6, ids=9, input_dim=9, output_dim=4, mask_zero=True),
    ],
    "ReversibleEmbedding": [one(2, 6, ids=9, input_dim=9, output_dim=4)],
    "Identity": [one(2, 5, variable=(1,))],
    "Masking": [one(*STEPS, mask_value=0.0, variable=(1,))],
    # activations
    "ReLU": [one(2, 5, max_value=1.0, negative_slope=0.1, threshold=0.2)],
    "LeakyReLU": [one(2, 5, negative_slope=0.2)],
    "PReLU": [one(2, 4, 5), one(*IMAGE, shared_axes=[1, 2])],
    "ELU": [one(2, 5, alpha=0.7)],
    "Softmax": [one(2, 5, axis=-1)],
    # convolution
    **spatial("Conv{}D", filters=4, kernel_size=3, padding="same", activation="relu"),
    **spatial("Conv{}DTranspose", filters=4, kernel_size=3, strides=2),
    **spatial("DepthwiseConv{}D", (1, 2), kernel_size=3, depth_multiplier=2),
    **spatial("SeparableConv{}D", (1, 2), filters=4, kernel_size=3),
    # pooling
    **spatial("MaxPooling{}D", pool_size=2),
    **spatial("AveragePooling{}D", pool_size=2, padding="same"),
    **spatial("GlobalMaxPooling{}D"),
    **spatial("GlobalAveragePooling{}D", keepdims=True),
    **{
        f"Adaptive{kind}Pooling{rank}D": [one(*shape, output_size=2)]
        for kind in ("Max", "Average")
        for rank, shape in ((1, STEPS), (2, IMAGE), (3, VOLUME))
    },
    # recurrent
    **{
        name: [
            one(*STEPS, units=3, variable=(1,)),
            one(*STEPS, units=3, return_sequences=True, go_backwards=True, variable=(1,)),
            one(*STEPS, units=3, dropout=0.2, recurrent_dropout=0.1, use_bias=False),
        ]
        for name in ("LSTM", "GRU", "SimpleRNN")
    },
    "ConvLSTM1D": [one(2, 3, 6, 2, filters=3, kernel_size=3)],
    "ConvLSTM2D": [one(2, 3, 6, 5, 2, filters=3, kernel_size=3, return_sequences=True)],
    "ConvLSTM3D": [one(2, 2, 4, 4, 3, 1, filters=2, kernel_size=2, padding="same")],
    # around other layers
    "RNN": [
        one(*STEPS, cell=Inner("LSTMCell", units=3), return_sequences=True),
        one(*STEPS, cell=[Inner("GRUCell", units=3), Inner("SimpleRNNCell", units=2)]),
    ],
    "Bidirectional": [
        one(*STEPS, layer=Inner("LSTM", units=3), variable=(1,)),
        one(*STEPS, layer=Inner("GRU", units=3, return_sequences=True), merge_mode="ave"),
        one(
            *STEPS,
            layer=Inner("LSTM", units=3),
            backward_layer=Inner("LSTM", units=3, go_backwards=True),
        ),
    ],
    "TimeDistributed": [
        one(*STEPS, layer=Inner("Dense", units=3)),
        one(2, 3, 6, 5, 2, layer=Inner("Conv2D", filters=3, kernel_size=2)),
    ],
    "SpectralNormalization": [one(2, 5, layer=Inner("Dense", units=3), power_iterations=2)],
    # attention
    "Attention": [several((2, 4, 3), (2, 5, 3)), several((2, 4, 3), (2, 4, 3), use_scale=True)],
    "AdditiveAttention": [several((2, 4, 3), (2, 5, 3))],
    "MultiHeadAttention": [
        several((2, 4, 6), (2, 5, 6), separate=True, num_heads=2, key_dim=3),
        several((2, 4, 6), (2, 5, 6), separate=True, num_heads=2, key_dim=3, value_dim=2),
    ],
    "GroupQueryAttention": [
        several(
            (2, 4, 8), (2, 5, 8),
            separate=True, head_dim=4, num_query_heads=4, num_key_value_heads=2,
        )
    ],
    # normalization
    "BatchNormalization": [one(*IMAGE, momentum=0.9), one(2, 5, axis=-1, scale=False)],
    "LayerNormalization": [one(2, 4, 5, variable=(1,)), one(2, 4, 5, axis=[1, 2])],
    "GroupNormalization": [one(2, 4, 6, groups=3)],
    "RMSNormalization": [one(2, 4, 5, variable=(1,))],
    "UnitNormalization": [one(2, 4, 5, variable=(1,))],
    "Normalization": [one(2, 5, mean=1.5, variance=2.0)],
    # regularization
    "Dropout": [one(2, 4, 5, rate=0.3, noise_shape=(None, 1, 5), seed=1)],
    "SpatialDropout1D": [one(*STEPS, rate=0.3, variable=(1,))],
    "SpatialDropout2D": [one(*IMAGE, rate=0.3, variable=(1, 2))],
    "SpatialDropout3D": [one(*VOLUME, rate=0.3, variable=(1, 2, 3))],
    "GaussianDropout": [one(2, 5, rate=0.3)],
    "GaussianNoise": [one(2, 5, stddev=0.3)],
    "AlphaDropout": [one(2, 5, rate=0.3)],
    "ActivityRegularization": [one(2, 5, l1=0.1, l2=0.2)],
    # merging
    **{
        name: [several(*SAME)]
        for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
    },
    "Concatenate": [several((2, 3, 4), (2, 5, 4), axis=1)],
    "Dot": [several((2, 3, 4), (2, 3, 5), axes=1), several((2, 4), (2, 4), axes=1, normalize=True)],
    # reshaping
    "Flatten": [one(2, 3, 4, variable=(1,))],
    "Reshape": [one(2, 3, 4, target_shape=(2, -1))],
    "Permute": [one(2, 3, 4, dims=(2, 1), variable=(1,))],
    "RepeatVector": [one(2, 5, n=3)],
    "UpSampling1D": [one(*STEPS, size=2, variable=(1,))],
    "UpSampling2D": [
        one(*IMAGE, size=(2, 3), variable=(1, 2)),
        one(*IMAGE, size=2, interpolation="bilinear"),
    ],
    "UpSampling3D": [one(*VOLUME, size=2, variable=(1, 2, 3))],
    **spatial("ZeroPadding{}D", (2, 3), padding=1),
    **spatial("Cropping{}D", (2, 3), cropping=1),
    "ZeroPadding1D": [one(*STEPS, padding=(1, 2), variable=(1,))],
    "Cropping1D": [one(*STEPS, cropping=(1, 2), variable=(1,))],
    "Rescaling": [one(2, 5, scale=2.0, offset=1.0, variable=(1,))],
}  # fmt: skip

# Base classes, and those whose contract is in test_cells.
ELSEWHERE = {
    "Layer", "InputLayer", "Wrapper", "Lambda", "StackedRNNCells", "LSTMCell", "GRUCell",
    "SimpleRNNCell",
}  # fmt: skip


def arguments(layers: Any, entry: Entry) -> dict[str, Any]:
    """The keyword arguments for the constructor, with inner layers made of `layers`."""

    def made(value: Any) -> Any:
        if isinstance(value, Inner):
            return value.make(layers)
        if isinstance(value, list):
            return [made(item) for item in value]
        return value

    return {name: made(value) for name, value in entry.kwargs.items()}


def arrays(entry: Entry, seed: int = 0) -> list[np.ndarray]:
    """Inputs for an entry, the same at every call."""
    random = np.random.RandomState(seed)
    if entry.ids:
        return [random.randint(0, entry.ids, shape).astype("int32") for shape in entry.shapes]
    return [random.normal(size=shape).astype("float32") for shape in entry.shapes]
