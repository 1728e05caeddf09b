"""RNN over any cells, ConvLSTM, grouped-query attention, spectral and input normalization."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.golden.cases import Result, add, as_numpy, normal
from tests.golden.recurrent_attention_cases import MASKED
from tests.golden.recurrent_attention_cases import layer as any_layer

FAMILY = "sequence_layers"


def layer(name: str, shapes: Any, build: Any, **settings: Any) -> None:
    any_layer(name, shapes, build, family=FAMILY, **settings)


def masked(name: str, build: Any, rows: int = len(MASKED)) -> None:
    layer(name, [(5,)], lambda k, t: build(k, k.layers.Embedding(9, 3, mask_zero=True)(t)),
          x=MASKED[:rows], pre=False)  # fmt: skip


# ---- RNN over lists of cells and over cells of one's own
def cells(k: Any) -> list[Any]:
    return [k.layers.LSTMCell(4), k.layers.GRUCell(3), k.layers.SimpleRNNCell(2)]


layer("rnn_cells", [(5, 3)], lambda k, t: k.layers.RNN(cells(k))(t))
layer("rnn_cells_sequences", [(5, 3)], lambda k, t: k.layers.RNN(
    k.layers.StackedRNNCells(cells(k)), return_sequences=True, go_backwards=True)(t))  # fmt: skip
masked("rnn_cells_masked", lambda k, t: k.layers.RNN(cells(k), return_sequences=True)(t))
masked("rnn_cells_zero_output", lambda k, t: k.layers.RNN(
    cells(k), return_sequences=True, zero_output_for_mask=True)(t))  # fmt: skip


def flattened_states(k: Any, t: Any) -> list[Any]:
    output, first, second = k.layers.RNN(
        [k.layers.LSTMCell(3), k.layers.LSTMCell(2)], return_state=True
    )(t)
    return [output, *first, *second]


layer("rnn_cells_state", [(5, 3)], flattened_states)


def accumulating_cell(k: Any) -> Any:
    """A cell of two states: a decaying sum of the inputs, and a gated one."""

    class Cell(k.layers.Layer):
        def __init__(self, units: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.units, self.state_size, self.output_size = units, [units, units], units

        def build(self, input_shape: Any) -> None:
            self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")
            self.decay = self.add_weight(shape=(self.units,), name="decay")

        def call(self, inputs: Any, states: Any) -> Any:
            total, gated = states
            entering = k.ops.matmul(inputs, self.kernel)
            total = total * self.decay + entering
            gated = gated + k.ops.tanh(total) * entering
            return gated, [total, gated]

    return Cell(4)


layer("rnn_own_cell", [(5, 3)], lambda k, t: k.layers.RNN(
    accumulating_cell(k), return_sequences=True)(t))  # fmt: skip
masked("rnn_own_cell_masked", lambda k, t: k.layers.RNN(
    accumulating_cell(k), return_state=True)(t))  # fmt: skip
layer("bidirectional_rnn", [(5, 3)], lambda k, t: k.layers.Bidirectional(
    k.layers.RNN(cells(k), return_sequences=True), merge_mode="sum")(t))  # fmt: skip

# ---- ConvLSTM
CONV_LSTM: dict[str, tuple[int, tuple[int, ...], dict[str, Any]]] = {
    "1d": (1, (3, 6, 2), {}),
    "1d_sequences": (1, (3, 6, 2), dict(return_sequences=True, padding="same")),
    "1d_strides": (1, (3, 7, 2), dict(strides=2, go_backwards=True)),
    "2d": (2, (3, 5, 4, 2), {}),
    "2d_same": (2, (3, 5, 4, 2), dict(padding="same", return_sequences=True)),
    "2d_state": (2, (3, 5, 4, 2), dict(return_state=True, use_bias=False)),
    "2d_dilated": (2, (2, 6, 6, 1), dict(dilation_rate=2, return_sequences=True)),
    "2d_relu": (2, (3, 4, 4, 2), dict(activation="relu", recurrent_activation="hard_sigmoid")),
    "2d_first": (2, (3, 2, 5, 4), dict(data_format="channels_first", return_sequences=True)),
    "3d": (3, (2, 4, 3, 4, 2), dict(kernel_size=2)),
}
for case_name, (rank, shape, arguments) in CONV_LSTM.items():
    settings = dict(filters=3, kernel_size=3, **arguments) if rank < 3 else dict(
        filters=2, **arguments)  # fmt: skip
    layer(f"conv_lstm{case_name}", [shape], lambda k, t, r=rank, a=settings: getattr(
        k.layers, f"ConvLSTM{r}D")(**a)(t), pre=False, scale=0.2)  # fmt: skip

# ---- Grouped-query attention, and multi-head attention of queries that may see nothing
GROUPED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "one_key_head": (dict(num_key_value_heads=1, use_bias=False), {}),
    "gate": (dict(use_gate=True), {}),
    "scores": ({}, dict(return_attention_scores=True)),
    "causal": ({}, dict(use_causal_mask=True)),
    "window": (dict(sliding_window=2), dict(use_causal_mask=True)),
    "given_mask": ({}, dict(attention_mask=np.array([[[1, 0, 1, 0], [0, 1, 1, 1]] * 2] * 3,
                                                    dtype=bool))),
}  # fmt: skip
for case_name, (arguments, call_arguments) in GROUPED.items():
    settings = dict(head_dim=3, num_query_heads=4, num_key_value_heads=2) | arguments
    layer(f"gqa_{case_name}", [(4, 6)], lambda k, t, a=settings, c=call_arguments:
          k.layers.GroupQueryAttention(**a)(t, t, **c))  # fmt: skip
masked("gqa_mask", lambda k, t: k.layers.GroupQueryAttention(2, 4, 2)(t, t))
masked("mha_mask_of_queries", lambda k, t: k.layers.MultiHeadAttention(2, 3)(t, t))
BLIND = np.array([[[1, 0, 1, 0], [0, 0, 0, 0]] * 2] * 3, dtype=bool)
layer(
    "mha_blind",
    [(4, 6)],
    lambda k, t: k.layers.MultiHeadAttention(2, 3)(t, t, attention_mask=BLIND),
    trains=False,  # the gradient of a query that sees nothing differs among Keras's backends
)
layer(
    "mha_blind_scores",  # a scored query that sees nothing has no shares
    [(4, 6)],
    lambda k, t: k.layers.MultiHeadAttention(2, 3)(
        t, t, attention_mask=BLIND, return_attention_scores=True
    )[0],
)
masked("mha_mask_causal", lambda k, t: k.layers.MultiHeadAttention(2, 3)(
    t, t, use_causal_mask=True))  # fmt: skip

# ---- ops.dot_product_attention
PAIRS = np.array([[[1, 0, 1, 1, 0], [0, 0, 0, 1, 0], [0, 1, 1, 1, 1], [1, 1, 0, 0, 1]]], dtype=bool)
PRODUCTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "scale": dict(scale=0.3),
    "causal": dict(is_causal=True),
    "mask": dict(mask=PAIRS[:, None]),
    "bias": dict(bias=normal(1, 2, 4, 5, seed=3)),
}
for case_name, arguments in PRODUCTS.items():
    layer(f"dot_product_attention_{case_name}", [(4, 2, 3), (5, 2, 3), (5, 2, 3)], lambda
          k, q, key, v, a=arguments: k.ops.dot_product_attention(q, key, v, **a))  # fmt: skip

# ---- Spectral normalization, reversible embeddings
layer("spectral_dense", [(4,)], lambda k, t: k.layers.SpectralNormalization(
    k.layers.Dense(3), power_iterations=2)(t))  # fmt: skip
layer("spectral_conv", [(5, 5, 2)], lambda k, t: k.layers.SpectralNormalization(
    k.layers.Conv2D(3, 2))(t))  # fmt: skip
for tied in (True, False):

    def reversible(k: Any, t: Any, tied: bool = tied) -> Any:
        table = k.layers.ReversibleEmbedding(9, 3, tie_weights=tied, logit_soft_cap=2.0)
        return table(k.layers.Dense(3)(table(t)), reverse=True)

    layer(f"reversible_embedding_{'tied' if tied else 'own'}", [(5,)], reversible, x=MASKED,
          pre=False)  # fmt: skip


# ---- The Normalization layer
def normalization(name: str, shape: tuple[int, ...], adapt: bool, **arguments: Any) -> None:
    data = 3.0 + 2.0 * normal(*shape, seed=4)

    def run(keras: Any) -> Result:
        layer = keras.layers.Normalization(**arguments)
        if adapt:
            layer.adapt(data)
        model = keras.Sequential([keras.Input(shape[1:]), layer])
        return {
            "output": as_numpy(model.predict(normal(*shape, seed=5), verbose=0)),
            "mean": as_numpy(layer.mean),
            "variance": as_numpy(layer.variance),
            "weight_shapes": [list(w.shape) for w in layer.weights],
            "paths": [w.path for w in layer.weights] if not adapt else [],
        }

    add(FAMILY, f"normalization_{name}", run)


normalization("features", (8, 4), True)
normalization("all", (8, 4), True, axis=None)
normalization("two_axes", (8, 4, 3, 5), True, axis=(1, -1))
normalization("invert", (8, 4), True, invert=True)
normalization("given", (8, 4), False, mean=[1.0, 2.0, 0.0, -1.0], variance=[1.0, 4.0, 0.0, 2.0])
normalization("scalar", (8, 3, 4), False, mean=2.0, variance=9.0)
normalization("aligned", (8, 3, 4), False, axis=(1, 2), mean=[1.0, 2.0, 3.0, 4.0],
              variance=[1.0, 1.0, 4.0, 4.0])  # fmt: skip
