"""GRU, layers around layers, and attention: outputs, shapes, paths, and one step of SGD."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.golden.cases import Result, add, as_numpy, fill, flat, normal

Build = Callable[..., Any]  # (keras, *tensors) -> tensor or list of tensors
FAMILY = "recurrent_attention"


def layer(
    name: str, shapes: list[tuple[int, ...]], build: Build, *, x: np.ndarray | None = None,
    pre: bool = True, scale: float = 0.4, family: str = FAMILY, trains: bool = True,
) -> None:  # fmt: skip
    """One case. `x` replaces the random input; `pre=False` leaves the Dense before out,
    `trains=False` the step."""
    data = [normal(3, *shape, seed=len(name) + i) for i, shape in enumerate(shapes)]
    if x is not None:
        data = [x]

    def run(keras: Any) -> Result:
        inputs = [keras.Input(s, dtype=str(d.dtype)) for s, d in zip(shapes, data, strict=True)]
        tensors = [
            keras.layers.Dense(t.shape[-1], name=f"before_{i}")(t) if pre else t
            for i, t in enumerate(inputs)
        ]
        outputs = build(keras, *tensors)
        model = keras.Model(inputs, outputs)
        weight_shapes = fill(model, scale=scale)
        predicted = model.predict(data, verbose=0)
        many = isinstance(predicted, (list, tuple))
        predicted = list(predicted) if many else [predicted]
        result: Result = {f"output_{i}": p for i, p in enumerate(predicted)}
        declared = model.output_shape
        result["output_shape"] = [list(s) for s in (declared if many else [declared])]
        result["weight_shapes"] = weight_shapes
        result["paths"] = [w.path for w in model.weights]
        if weight_shapes and trains:
            targets = [normal(*p.shape, seed=5 + i) for i, p in enumerate(predicted)]
            model.compile(keras.optimizers.SGD(0.5), ["mse"] * len(targets) if many else "mse")
            loss = model.train_on_batch(data, targets if many else targets[0])
            result["loss"] = float(as_numpy(loss[0] if isinstance(loss, (list, tuple)) else loss))
            result["after"] = flat(model.get_weights())
        return result

    add(family, name, run, rtol=2e-4, atol=2e-5)


# Masks through Embedding(mask_zero=True): leading, trailing, inner zeros, and a wholly masked row.
MASKED = np.array(
    [[1, 2, 3, 4, 5], [0, 0, 6, 7, 8], [3, 4, 0, 0, 0], [5, 0, 6, 0, 7], [0, 0, 0, 0, 0]], "int32"
)


def masked(name: str, build: Build, rows: int = len(MASKED)) -> None:
    layer(name, [(5,)], lambda k, t: build(k, k.layers.Embedding(9, 3, mask_zero=True)(t)),
          x=MASKED[:rows], pre=False)  # fmt: skip


# ---- GRU
RECURRENT: dict[str, dict[str, Any]] = {
    "plain": {},
    "sequences": dict(return_sequences=True),
    "sequences_state": dict(return_sequences=True, return_state=True),
    "backwards_sequences": dict(go_backwards=True, return_sequences=True),
    "no_bias": dict(use_bias=False),
    "relu_hard": dict(activation="relu", recurrent_activation="hard_sigmoid"),
    "unroll": dict(unroll=True, return_sequences=True),
    "gelu": dict(activation="gelu", return_sequences=True),
}
for after in (True, False):
    prefix = "gru_" if after else "gru_before_"
    for case_name, arguments in RECURRENT.items():
        layer(f"{prefix}{case_name}", [(5, 3)], lambda k, t, r=after, a=arguments:
              k.layers.GRU(4, reset_after=r, **a)(t))  # fmt: skip
    layer(f"{prefix}stacked", [(5, 3)], lambda k, t, r=after: k.layers.GRU(2, reset_after=r)(
        k.layers.GRU(4, return_sequences=True, reset_after=r)(t)))  # fmt: skip
    layer(f"{prefix}wide", [(4, 9)], lambda k, t, r=after:
          k.layers.GRU(19, reset_after=r)(t), scale=0.2)  # fmt: skip
    layer(f"{prefix}initial_state", [(5, 3)], lambda k, t, r=after: k.layers.GRU(
        4, return_sequences=True, reset_after=r)(
            t, initial_state=k.layers.Dense(4)(t[:, 0])))  # fmt: skip
    for case_name in ("plain", "sequences", "sequences_state", "backwards_sequences", "unroll"):
        masked(f"{prefix}mask_{case_name}", lambda k, t, r=after, a=RECURRENT[case_name]:
               k.layers.GRU(4, reset_after=r, **a)(t))  # fmt: skip

# ---- Bidirectional
for mode in ("concat", "sum", "mul", "ave", None):
    for kind in ("GRU", "LSTM"):
        layer(f"bidirectional_{kind.lower()}_{mode}", [(5, 3)], lambda k, t, m=mode, n=kind:
              k.layers.Bidirectional(getattr(k.layers, n)(2), merge_mode=m)(t))  # fmt: skip
    layer(f"bidirectional_sequences_state_{mode}", [(5, 3)], lambda k, t, m=mode:
          k.layers.Bidirectional(k.layers.GRU(2, return_sequences=True, return_state=True),
                                 merge_mode=m, name="bi")(t))  # fmt: skip
    masked(
        f"bidirectional_mask_{mode}",
        lambda k, t, m=mode: k.layers.Bidirectional(
            k.layers.LSTM(2, return_sequences=True), merge_mode=m
        )(t),
    )
masked("bidirectional_mask_stacked", lambda k, t: k.layers.Bidirectional(k.layers.SimpleRNN(2))(
    k.layers.Bidirectional(k.layers.GRU(2, return_sequences=True))(t)))  # fmt: skip
layer("bidirectional_other_backward", [(5, 3)], lambda k, t: k.layers.Bidirectional(
    k.layers.LSTM(2), backward_layer=k.layers.GRU(2, go_backwards=True))(t))  # fmt: skip
layer(
    "bidirectional_initial_state",
    [(5, 3)],
    lambda k, t: k.layers.Bidirectional(k.layers.GRU(2))(
        t, initial_state=[k.layers.Dense(2)(t[:, 0]), k.layers.Dense(2)(t[:, 1])]
    ),
)

# ---- TimeDistributed
layer("time_distributed_dense", [(4, 3)], lambda k, t: k.layers.TimeDistributed(
    k.layers.Dense(2, activation="tanh"))(t))  # fmt: skip
layer("time_distributed_conv", [(3, 4, 4, 2)], lambda k, t: k.layers.TimeDistributed(
    k.layers.Conv2D(2, 3))(t))  # fmt: skip
layer("time_distributed_lstm", [(3, 4, 2)], lambda k, t: k.layers.TimeDistributed(
    k.layers.LSTM(2))(t))  # fmt: skip
layer("time_distributed_function", [(4, 3)], lambda k, t: k.layers.TimeDistributed(
    k.layers.Dense(3, activation=lambda v: v / k.ops.sum(k.ops.abs(v))))(t))  # fmt: skip
masked("time_distributed_mask", lambda k, t: k.layers.GRU(2)(
    k.layers.TimeDistributed(k.layers.Dense(2))(t)))  # fmt: skip
layer("time_distributed_model", [(4, 3)], lambda k, t: k.layers.TimeDistributed(
    k.Sequential([k.layers.Dense(4, activation="relu"), k.layers.Dense(2)]))(t))  # fmt: skip

# ---- EinsumDense
EINSUM: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "dense": ((6,), dict(equation="ab,bc->ac", output_shape=4, bias_axes="c")),
    "heads": ((4, 6), dict(equation="abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de")),
    "ellipsis_left": ((4, 6), dict(equation="...x,xy->...y", output_shape=4, bias_axes="y",
                                   activation="relu")),
    "ellipsis_right": ((6, 3), dict(equation="ab...,bc->ac...", output_shape=5, bias_axes="c")),
    "bias_of_two_axes": ((4, 6), dict(equation="abc,cd->abd", output_shape=(4, 5),
                                      bias_axes="bd", kernel_regularizer="l2")),
    "two_summed": ((4, 6), dict(equation="abc,bcd->ad", output_shape=3)),
}  # fmt: skip
for case_name, (case_shape, arguments) in EINSUM.items():
    layer(f"einsum_dense_{case_name}", [case_shape], lambda k, t, a=arguments:
          k.layers.EinsumDense(**a)(t))  # fmt: skip

# ---- MultiHeadAttention
HEADS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "sizes": (dict(value_dim=4, output_shape=(5, 2), use_bias=False), {}),
    "gate": (dict(use_gate=True, value_dim=4, output_shape=5), {}),
    "scores": ({}, dict(return_attention_scores=True)),
    "causal": ({}, dict(use_causal_mask=True)),
    "window": (dict(sliding_window=2), {}),
    "window_causal": (dict(sliding_window=2), dict(use_causal_mask=True)),
    "given_mask": ({}, dict(attention_mask=np.array([[[1, 0, 1, 0], [0, 1, 1, 1]] * 2] * 3,
                                                    dtype=bool))),
    "mask_of_heads": ({}, dict(attention_mask=np.array(
        [[[[1, 0, 1, 0]] * 4, [[0, 1, 1, 1]] * 4]] * 3, dtype=bool))),
}  # fmt: skip
for case_name, (arguments, call_arguments) in HEADS.items():
    layer(f"mha_{case_name}", [(4, 6)], lambda k, t, a=arguments, c=call_arguments:
          k.layers.MultiHeadAttention(2, 3, **a)(t, t, **c))  # fmt: skip
layer("mha_cross", [(4, 6), (5, 3)], lambda k, q, v: k.layers.MultiHeadAttention(
    3, 4, name="heads")(q, v))  # fmt: skip
layer("mha_key", [(4, 6), (4, 3), (4, 2)], lambda k, q, v, key: k.layers.MultiHeadAttention(
    2, 4)(q, v, key, return_attention_scores=True))  # fmt: skip
for axes in (1, 2, (1, 2)):
    layer(f"mha_axes_{axes}", [(3, 4, 5)], lambda k, t, a=axes: k.layers.MultiHeadAttention(
        2, 3, attention_axes=a)(t, t))  # fmt: skip
masked("mha_mask", lambda k, t: k.layers.GRU(2)(k.layers.MultiHeadAttention(2, 3)(t, t)), rows=4)

# ---- Attention, AdditiveAttention
SINGLE: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "dot": ("Attention", {}, {}),
    "dot_scale": ("Attention", dict(use_scale=True), dict(return_attention_scores=True)),
    "concat": ("Attention", dict(score_mode="concat"), {}),
    "concat_scale": ("Attention", dict(score_mode="concat", use_scale=True), {}),
    "causal": ("Attention", {}, dict(use_causal_mask=True)),
    "additive": ("AdditiveAttention", {}, dict(return_attention_scores=True)),
    "additive_plain": ("AdditiveAttention", dict(use_scale=False), {}),
    "additive_causal": ("AdditiveAttention", {}, dict(use_causal_mask=True)),
}
for case_name, (kind, arguments, call_arguments) in SINGLE.items():
    layer(f"attention_{case_name}", [(4, 3), (4, 3)], lambda k, q, v, n=kind, a=arguments,
          c=call_arguments: getattr(k.layers, n)(**a)([q, v], **c))  # fmt: skip
layer("attention_key", [(4, 3), (5, 2), (5, 3)], lambda k, q, v, key:
      k.layers.Attention()([q, v, key]))  # fmt: skip
for kind in ("Attention", "AdditiveAttention"):
    masked(f"attention_mask_{kind}", lambda k, t, n=kind: k.layers.GRU(2)(
        getattr(k.layers, n)()([t, t])), rows=4)  # fmt: skip
