"""Optimizers: ten-step trajectories of two variables, and configurations."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.golden.cases import Result, add, as_numpy, normal

STEPS = 10
TABLE: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {}),
    "sgd_momentum": ("SGD", dict(learning_rate=0.1, momentum=0.9)),
    "sgd_nesterov": ("SGD", dict(learning_rate=0.1, momentum=0.9, nesterov=True)),
    "sgd_weight_decay": ("SGD", dict(learning_rate=0.1, weight_decay=0.1)),
    "sgd_momentum_decay": ("SGD", dict(learning_rate=0.1, momentum=0.5, weight_decay=0.1)),
    "sgd_clipnorm": ("SGD", dict(learning_rate=0.1, clipnorm=0.5)),
    "sgd_clipvalue": ("SGD", dict(learning_rate=0.1, clipvalue=0.3)),
    "sgd_global_clipnorm": ("SGD", dict(learning_rate=0.1, global_clipnorm=0.5)),
    "sgd_ema": ("SGD", dict(learning_rate=0.1, use_ema=True, ema_momentum=0.8,
                            ema_overwrite_frequency=3)),
    "sgd_accumulation": ("SGD", dict(learning_rate=0.1, gradient_accumulation_steps=3)),
    "sgd_ema_accumulation": ("SGD", dict(learning_rate=0.1, use_ema=True, ema_momentum=0.5,
                                         ema_overwrite_frequency=2,
                                         gradient_accumulation_steps=2)),
    "adam_ema_accumulation": ("Adam", dict(learning_rate=0.1, use_ema=True, ema_momentum=0.7,
                                           weight_decay=0.1, gradient_accumulation_steps=2)),
    "adam": ("Adam", {}),
    "adam_args": ("Adam", dict(learning_rate=0.05, beta_1=0.8, beta_2=0.95, epsilon=1e-3)),
    "adam_amsgrad": ("Adam", dict(learning_rate=0.05, amsgrad=True)),
    "adam_weight_decay": ("Adam", dict(learning_rate=0.05, weight_decay=0.1)),
    "adam_clipnorm": ("Adam", dict(learning_rate=0.05, clipnorm=0.5)),
    "adam_global_clipnorm": ("Adam", dict(learning_rate=0.05, global_clipnorm=0.5)),
    "rmsprop": ("RMSprop", {}),
    "rmsprop_rho": ("RMSprop", dict(learning_rate=0.05, rho=0.5, epsilon=1e-3)),
    "rmsprop_momentum": ("RMSprop", dict(learning_rate=0.05, momentum=0.7)),
    "rmsprop_centered": ("RMSprop", dict(learning_rate=0.05, centered=True)),
    "rmsprop_centered_momentum": ("RMSprop", dict(learning_rate=0.05, centered=True,
                                                  momentum=0.7)),
    "rmsprop_weight_decay": ("RMSprop", dict(learning_rate=0.05, weight_decay=0.1)),
    "adagrad": ("Adagrad", dict(learning_rate=0.1)),
    "adagrad_args": ("Adagrad", dict(learning_rate=0.1, initial_accumulator_value=0.5,
                                     epsilon=1e-2, weight_decay=0.1)),
    "adadelta": ("Adadelta", dict(learning_rate=1.0)),
    "adadelta_args": ("Adadelta", dict(learning_rate=1.0, rho=0.7, epsilon=1e-3,
                                       weight_decay=0.1)),
    "adamax": ("Adamax", dict(learning_rate=0.05)),
    "adamax_args": ("Adamax", dict(learning_rate=0.05, beta_1=0.7, beta_2=0.8, epsilon=1e-2,
                                   weight_decay=0.1)),
    "nadam": ("Nadam", dict(learning_rate=0.05)),
    "nadam_args": ("Nadam", dict(learning_rate=0.05, beta_1=0.7, beta_2=0.8, epsilon=1e-2,
                                 weight_decay=0.1)),
    "nadam_accumulation": ("Nadam", dict(learning_rate=0.05, gradient_accumulation_steps=3)),
    "ftrl": ("Ftrl", dict(learning_rate=0.1)),
    "ftrl_args": ("Ftrl", dict(learning_rate=0.1, learning_rate_power=-0.7,
                               initial_accumulator_value=0.3, l1_regularization_strength=0.3,
                               l2_regularization_strength=0.2,
                               l2_shrinkage_regularization_strength=0.1, beta=0.2)),
    "lion": ("Lion", {}),
    "lion_args": ("Lion", dict(learning_rate=0.05, beta_1=0.7, beta_2=0.8, weight_decay=0.1)),
    "lamb": ("Lamb", dict(learning_rate=0.05)),
    "lamb_args": ("Lamb", dict(learning_rate=0.05, beta_1=0.7, beta_2=0.8, epsilon=1e-2,
                               weight_decay=0.1)),
    "adafactor": ("Adafactor", {}),
    "adafactor_args": ("Adafactor", dict(learning_rate=0.5, beta_2_decay=-0.5, epsilon_2=0.1,
                                         clip_threshold=0.5, relative_step=False,
                                         weight_decay=0.01)),
    "adafactor_relative": ("Adafactor", dict(learning_rate=0.5)),
    "schedule_free": ("ScheduleFreeAdamW", dict(learning_rate=0.05)),
    "schedule_free_args": ("ScheduleFreeAdamW", dict(learning_rate=0.05, beta_1=0.5, beta_2=0.9,
                                                     epsilon=1e-2, warmup_steps=4,
                                                     weight_decay=0.1)),
    "muon": ("Muon", dict(learning_rate=0.02)),
    "muon_args": ("Muon", dict(learning_rate=0.02, momentum=0.5, nesterov=False, ns_steps=3,
                               rms_rate=None, adam_lr_ratio=0.5, weight_decay=0.1,
                               adam_weight_decay=0.2)),
    "muon_excluded": ("Muon", dict(learning_rate=0.02, exclude_layers=["."])),
}  # fmt: skip


def trajectory(key: str) -> None:
    name, kwargs = TABLE[key]

    def run(keras: Any) -> Result:
        optimizer = getattr(keras.optimizers, name)(**kwargs)
        variables = [keras.Variable(normal(3, 4, seed=1)), keras.Variable(normal(5, seed=2))]
        rows = []
        for step in range(STEPS):
            grads = [normal(3, 4, seed=10 + step) * (step % 3 + 0.1), normal(5, seed=50 + step)]
            optimizer.apply_gradients(
                [(keras.ops.convert_to_tensor(g), v) for g, v in zip(grads, variables, strict=True)]
            )
            rows.append(np.concatenate([as_numpy(v.value).ravel() for v in variables]))
        return {
            "trajectory": np.stack(rows).astype("float32"),
            "iterations": int(optimizer.iterations),
        }

    # Ten updates: a rounding of each, of values near one.
    add("optimizers", key, run, rtol=2e-5, atol=2e-6)


for each in TABLE:
    trajectory(each)


def in_fit(key: str) -> None:
    """The same rules through the fused step of `fit`, frozen weights among them."""
    name, kwargs = TABLE[key]

    def run(keras: Any) -> Result:
        model = keras.Sequential([
            keras.Input((4,)), keras.layers.Dense(5, "tanh"), keras.layers.Dense(3, "tanh"),
            keras.layers.Dense(1),
        ])  # fmt: skip
        generator = np.random.RandomState(4)
        model.set_weights([generator.normal(size=w.shape) * 0.5 for w in model.get_weights()])
        model.layers[1].trainable = False
        model.compile(getattr(keras.optimizers, name)(**kwargs), "mse")
        history = model.fit(normal(25, 4), normal(25, 1, seed=2), batch_size=5, epochs=2,
                            shuffle=False, verbose=0)  # fmt: skip
        return {
            "loss": np.array(history.history["loss"], "float32"),
            "weights": np.concatenate([w.ravel() for w in model.get_weights()]),
        }

    add("optimizers", f"fit_{key}", run, rtol=1e-4, atol=1e-5)


for each in TABLE:
    if not each.endswith("_accumulation"):
        in_fit(each)


SLOTS = ("SGD", "Adam", "RMSprop", "Adagrad", "Adadelta", "Adamax", "Nadam", "Ftrl", "Lion",
         "Lamb", "Adafactor", "Muon", "ScheduleFreeAdamW")  # fmt: skip


def slots(keras: Any) -> Result:
    """Names, types and values of the variables after two steps, in their order."""
    result: Result = {}
    for name in SLOTS:
        optimizer = getattr(keras.optimizers, name)(learning_rate=0.1)
        weights = [
            keras.Variable(normal(4, 2, seed=1), name="kernel"),
            keras.Variable(normal(3, seed=2), name="bias"),
        ]
        for step in range(2):
            grads = [normal(4, 2, seed=10 + step), normal(3, seed=50 + step)]
            optimizer.apply([keras.ops.convert_to_tensor(g) for g in grads], weights)
        result[f"{name}_names"] = [
            f"{v.path} {v.dtype} {list(v.shape)}" for v in optimizer.variables
        ]
        values = [np.ravel(as_numpy(v.value)) for v in optimizer.variables]
        result[f"{name}_values"] = np.concatenate(values).astype("float32")
    return result


add("optimizers", "slots", slots)


def loss_scale(keras: Any) -> Result:
    """Good and bad steps: the weights, the scale and the counter after each."""
    inner = keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer = keras.optimizers.LossScaleOptimizer(inner, 4.0, 2)
    weight = keras.Variable(np.array([1.0, 2.0], "float32"), name="w")
    rows = []
    for pair in ((4, 8), (np.inf, 1), (4, 8), (4, 8), (4, 8), (1, np.nan), (2, 2)):
        optimizer.apply([keras.ops.convert_to_tensor(np.array(pair, "float32"))], [weight])
        scaled = optimizer.scale_loss(keras.ops.convert_to_tensor(3.0))
        state = [np.ravel(as_numpy(v.value)) for v in (weight, *optimizer.variables)]
        rows.append(np.concatenate([*state, np.ravel(as_numpy(scaled))]))
    return {"rows": np.stack(rows).astype("float32"), "iterations": int(optimizer.iterations)}


add("optimizers", "loss_scale", loss_scale)


def loss_scale_accumulation(keras: Any) -> Result:
    """A bad step among accumulated ones, with a weight that its gradient overwrites."""
    inner = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    optimizer = keras.optimizers.LossScaleOptimizer(inner, 4.0, 2)
    weights = [keras.Variable(normal(2, seed=1), name=name) for name in ("w", "scale")]
    weights[1].overwrite_with_gradient = True
    rows = []
    for pair in ((4, 8), (np.inf, 1), (4, 8), (3, 5), (4, np.nan), (6, 7)):
        gradient = keras.ops.convert_to_tensor(np.array(pair, "float32"))
        optimizer.apply([gradient, gradient], weights)
        state = [np.ravel(as_numpy(v.value)) for v in (*weights, *optimizer.variables)]
        rows.append(np.concatenate(state))
    return {"rows": np.stack(rows).astype("float32"), "iterations": int(optimizer.iterations)}


add("optimizers", "loss_scale_accumulation", loss_scale_accumulation)


def loss_scale_in_fit(keras: Any) -> Result:
    """The scale doubles twice during training, and the steps do not notice it."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(1)])
    generator = np.random.RandomState(4)
    model.set_weights([generator.normal(size=w.shape) * 0.5 for w in model.get_weights()])
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), 4.0, 3)
    model.compile(optimizer, "mse")
    history = model.fit(normal(20, 4), normal(20, 1, seed=2), batch_size=5, epochs=2,
                        shuffle=False, verbose=0)  # fmt: skip
    return {
        "loss": np.array(history.history["loss"], "float32"),
        "weights": np.concatenate([w.ravel() for w in model.get_weights()]),
        "scale": float(optimizer.scale_loss(keras.ops.convert_to_tensor(1.0))),
    }


add("optimizers", "loss_scale_in_fit", loss_scale_in_fit)


def overwriting(keras: Any) -> Result:
    """A weight that its gradient overwrites: the largest one of those accumulated."""
    optimizer = keras.optimizers.SGD(1.0, gradient_accumulation_steps=3, loss_scale_factor=2.0)
    weights = [keras.Variable(normal(2, seed=1), name=name) for name in ("scale", "w")]
    weights[0].overwrite_with_gradient = True
    rows = []
    for size in (2.0, 3.0, 0.5, 1.0, 0.25, 4.0):
        gradient = keras.ops.ones((2,)) * size
        optimizer.apply([gradient, gradient], weights)
        rows.append(np.concatenate([as_numpy(v.value) for v in weights]))
    return {"rows": np.stack(rows).astype("float32")}


add("optimizers", "overwriting", overwriting)


def stateless(keras: Any) -> Result:
    """Values of the weights and of the optimizer after two steps."""
    result: Result = {}
    for name, kwargs in (("Adam", dict(weight_decay=0.1)), ("SGD", dict(momentum=0.9)),
                         ("RMSprop", dict(use_ema=True))):  # fmt: skip
        optimizer = getattr(keras.optimizers, name)(learning_rate=0.1, **kwargs)
        weights = [keras.Variable(normal(4, 2, seed=1)), keras.Variable(normal(3, seed=2))]
        optimizer.build(weights)
        values = [v.value for v in weights]
        own = [v.value for v in optimizer.variables]
        for step in range(2):
            grads = [normal(4, 2, seed=10 + step), normal(3, seed=50 + step)]
            grads = [keras.ops.convert_to_tensor(g) for g in grads]
            values, own = optimizer.stateless_apply(own, grads, values)
        flat = [np.ravel(as_numpy(v)) for v in (*values, *own)]
        result[name] = np.concatenate(flat).astype("float32")
    return result


add("optimizers", "stateless", stateless)


def undecayed(keras: Any) -> Result:
    """Weights left out of the decay, by themselves and by name, before the first step."""
    result: Result = {}
    for name in ("SGD", "Adam", "Lion"):
        optimizer = getattr(keras.optimizers, name)(learning_rate=0.1, weight_decay=0.5)
        weights = [
            keras.Variable(normal(3, seed=i), name=kind)
            for i, kind in enumerate(("kernel", "bias", "gamma"))
        ]
        optimizer.exclude_from_weight_decay(var_list=[weights[0]], var_names=["^bi"])
        for step in range(2):
            grads = [keras.ops.convert_to_tensor(normal(3, seed=9 + step)) for _ in weights]
            optimizer.apply(grads, weights)
        result[name] = np.concatenate([as_numpy(v.value) for v in weights])
    return result


add("optimizers", "undecayed", undecayed)


def several(keras: Any) -> Result:
    """A MultiOptimizer: which weights each optimizer gets, and the steps they make."""
    chosen = keras.optimizers.OptimizerMap(
        keras.optimizers.SGD(0.1), {"kernel": keras.optimizers.Adam(0.1)}
    )
    optimizer = keras.optimizers.MultiOptimizer(chosen, loss_scale_factor=4.0)
    weights = [
        keras.Variable(normal(4, 2, seed=1), name="kernel"),
        keras.Variable(normal(3, seed=2), name="kernel_bias"),
    ]
    for step in range(2):
        grads = [normal(4, 2, seed=10 + step), normal(3, seed=50 + step)]
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in grads], weights)
    kinds = {
        each.path: list(each.shape) for each in optimizer.variables if "iteration" not in each.path
    }
    return {
        "weights": np.concatenate([as_numpy(v.value).ravel() for v in weights]),
        "shapes": list(kinds.values()),
        "iterations": int(optimizer.iterations),
        "names": [type(each).__name__ for each in optimizer.optimizers],
    }


add("optimizers", "several", several)


def muon_parts(keras: Any) -> Result:
    optimizer = keras.optimizers.Muon()
    square = keras.ops.convert_to_tensor(normal(2, 3, 4, seed=1))
    tall = keras.ops.convert_to_tensor(normal(5, 3, seed=2))
    return {
        "stack": as_numpy(optimizer.zeropower_via_newtonschulz5(square, 5)),
        "tall": as_numpy(optimizer.zeropower_via_newtonschulz5(tall, 3)),
        "adjusted": as_numpy(optimizer.lr_adjust(tall)),
    }


add("optimizers", "muon_parts", muon_parts)


def configs(keras: Any) -> Result:
    result: Result = {}
    for name in SLOTS:
        config = getattr(keras.optimizers, name)().get_config()
        result[name] = {
            k: round(float(v), 9) if isinstance(v, float) else v for k, v in config.items()
        }
    return result


add("optimizers", "configs", configs)
