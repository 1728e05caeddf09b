"""What is measured for its depth or length: a ResNet50, stacks of many layers, long series."""

from __future__ import annotations

import functools
from typing import Any

from bench.workloads.workload import Data, Workload, classes, uniform

# ---- ResNet50 on small images: first filters, blocks, stride of each stage

_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))


def picture_data() -> Data:
    return uniform(2, 64, 64, 3), classes(2, 10)


def build_resnet50(keras: Any) -> Any:
    layers = keras.layers

    def conv(x: Any, filters: int, size: int, stride: int = 1, relu: bool = True) -> Any:
        x = layers.Conv2D(filters, size, strides=stride, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        return layers.Activation("relu")(x) if relu else x

    def block(x: Any, filters: int, stride: int, is_first: bool) -> Any:
        around = conv(x, 4 * filters, 1, stride, relu=False) if is_first else x
        x = conv(x, filters, 1, stride)
        x = conv(x, filters, 3)
        x = conv(x, 4 * filters, 1, relu=False)
        return layers.Activation("relu")(layers.Add()([x, around]))

    inputs = keras.Input((64, 64, 3))
    x = layers.MaxPooling2D(3, 2, padding="same")(conv(inputs, 64, 7, 2))
    for filters, blocks, stride in _STAGES:
        for number in range(blocks):
            x = block(x, filters, 1 if number else stride, number == 0)
    x = layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, x)
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    return model


def torch_resnet50(torch: Any) -> tuple[Any, Any]:
    nn = torch.nn

    def conv(channels: int, filters: int, size: int, stride: int = 1) -> list[Any]:
        return [
            nn.Conv2d(channels, filters, size, stride, size // 2, bias=False),
            nn.BatchNorm2d(filters),
        ]

    class Block(nn.Module):
        def __init__(self, channels: int, filters: int, stride: int, is_first: bool) -> None:
            super().__init__()
            self.way = nn.Sequential(
                *conv(channels, filters, 1, stride),
                nn.ReLU(),
                *conv(filters, filters, 3),
                nn.ReLU(),
                *conv(filters, 4 * filters, 1),
            )
            around = conv(channels, 4 * filters, 1, stride) if is_first else []
            self.around = nn.Sequential(*around)

        def forward(self, x: Any) -> Any:
            return torch.relu(self.way(x) + self.around(x))

    stack = [*conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for filters, blocks, stride in _STAGES:
        for number in range(blocks):
            stack.append(Block(channels, filters, 1 if number else stride, number == 0))
            channels = 4 * filters
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]
    return nn.Sequential(*stack, *head), nn.CrossEntropyLoss()


# ---- stacks of `layers` Dense layers

DEPTHS = (50, 100, 200, 400, 800)


def row_data() -> Data:
    return uniform(8, 16), uniform(8, 1)


def build_stack(layers: int, keras: Any) -> Any:
    dense = keras.layers.Dense
    hidden = [dense(16, activation="relu") for _ in range(layers)]
    model = keras.Sequential([keras.Input((16,)), *hidden, dense(1)])
    model.compile(optimizer="adam", loss="mse")
    return model


def torch_stack(layers: int, torch: Any) -> tuple[Any, Any]:
    nn = torch.nn
    hidden = [part for _ in range(layers) for part in (nn.Linear(16, 16), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(16, 1)), nn.MSELoss()


# ---- recurrent layers over series of `steps`

LENGTHS = (50, 100, 200, 400, 800, 1600)


def long_series_data(steps: int) -> Data:
    return uniform(128, steps, 32), uniform(128, 1)


def build_recurrent(layer: str, steps: int, keras: Any) -> Any:
    recurrent = getattr(keras.layers, layer)(64)
    model = keras.Sequential([keras.Input((steps, 32)), recurrent, keras.layers.Dense(1)])
    model.compile(optimizer="adam", loss="mse")
    return model


def torch_recurrent(layer: str, torch: Any) -> tuple[Any, Any]:
    nn = torch.nn

    class LastOutput(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.recurrent = getattr(nn, layer)(32, 64, batch_first=True)
            self.dense = nn.Linear(64, 1)

        def forward(self, x: Any) -> Any:
            return self.dense(self.recurrent(x)[0][:, -1])

    return LastOutput(), nn.MSELoss()


RESNET50 = Workload("resnet50", 2, picture_data, build_resnet50, torch_resnet50)
STACKS = {
    depth: Workload(
        f"stack of {depth}",
        8,
        row_data,
        functools.partial(build_stack, depth),
        functools.partial(torch_stack, depth),
    )
    for depth in DEPTHS
}
RECURRENT = {
    (layer, steps): Workload(
        f"{layer} over {steps}",
        32,
        functools.partial(long_series_data, steps),
        functools.partial(build_recurrent, layer, steps),
        functools.partial(torch_recurrent, layer),
    )
    for layer in ("LSTM", "GRU")
    for steps in LENGTHS
}
WORKLOADS = (RESNET50, *STACKS.values(), *RECURRENT.values())
