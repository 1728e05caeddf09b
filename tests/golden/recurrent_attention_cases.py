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
    pre: bool = True, scale: float = 0.4,
) -> None:  # fmt: skip
    """One case. `x` replaces the random input; `pre=False` leaves the Dense before out."""
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
        if weight_shapes:
            targets = [normal(*p.shape, seed=5 + i) for i, p in enumerate(predicted)]
            model.compile(keras.optimizers.SGD(0.5), ["mse"] * len(targets) if many else "mse")
            loss = model.train_on_batch(data, targets if many else targets[0])
            result["loss"] = float(as_numpy(loss[0] if isinstance(loss, (list, tuple)) else loss))
            result["after"] = flat(model.get_weights())
        return result

    add(FAMILY, name, run, rtol=2e-4, atol=2e-5)


# Masks through Embedding(mask_zero=True): leading, trailing, inner zeros, and a wholly masked row.
MASKED = np.array(
    [[1, 2, 3, 4, 5], [0, 0, 6, 7, 8], [3, 4, 0, 0, 0], [5, 0, 6, 0, 7], [0, 0, 0, 0, 0]], "int32"
)


def masked(name: str, build: Build) -> None:
    layer(name, [(5,)], lambda k, t: build(k, k.layers.Embedding(9, 3, mask_zero=True)(t)),
          x=MASKED, pre=False)  # fmt: skip


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
    masked(f"bidirectional_mask_{mode}", lambda k, t, m=mode:
           k.layers.Bidirectional(k.layers.LSTM(2, return_sequences=True), merge_mode=m)(t))
masked("bidirectional_mask_stacked", lambda k, t: k.layers.Bidirectional(k.layers.SimpleRNN(2))(
    k.layers.Bidirectional(k.layers.GRU(2, return_sequences=True))(t)))  # fmt: skip
layer("bidirectional_other_backward", [(5, 3)], lambda k, t: k.layers.Bidirectional(
    k.layers.LSTM(2), backward_layer=k.layers.GRU(3, go_backwards=True))(t))  # fmt: skip
layer("bidirectional_initial_state", [(5, 3)], lambda k, t: k.layers.Bidirectional(
    k.layers.GRU(2))(t, initial_state=[k.layers.Dense(2)(t[:, 0]), k.layers.Dense(2)(t[:, 1])]))

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
