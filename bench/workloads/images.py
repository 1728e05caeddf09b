"""Convolutional networks."""

from __future__ import annotations

from typing import Any

from bench.workloads.workload import Data, Workload, classes, uniform


def digits_data() -> Data:
    return uniform(640, 28, 28, 1), classes(640, 10)


def build_cnn_seed(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    return model


def torch_cnn_seed(torch: Any) -> tuple[Any, Any]:
    nn = torch.nn
    features = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    head = [nn.Linear(5408, 128), nn.ReLU(), nn.Linear(128, 10)]
    return nn.Sequential(*features, *head), nn.CrossEntropyLoss()


def build_cnn_demo(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Conv2D(64, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    return model


def torch_cnn_demo(torch: Any) -> tuple[Any, Any]:
    nn = torch.nn
    features = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2)]
    features += [nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*features, nn.Dropout(0.5), nn.Linear(1600, 10)), nn.CrossEntropyLoss()


def colour_data() -> Data:
    return uniform(256, 32, 32, 3), classes(256, 10)


def build_cnn_bn(keras: Any) -> Any:
    layers = keras.layers
    stack = [keras.Input((32, 32, 3))]
    for filters in (32, 64, 128):
        for _ in range(2):
            stack += [
                layers.Conv2D(filters, 3, padding="same", use_bias=False),
                layers.BatchNormalization(),
                layers.Activation("relu"),
            ]
        stack.append(layers.MaxPooling2D())
    model = keras.Sequential([*stack, layers.Flatten(), layers.Dense(10, activation="softmax")])
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    return model


def torch_cnn_bn(torch: Any) -> tuple[Any, Any]:
    nn = torch.nn
    stack, channels = [], 3
    for filters in (32, 64, 128):
        for _ in range(2):
            stack += [nn.Conv2d(channels, filters, 3, padding=1, bias=False)]
            stack += [nn.BatchNorm2d(filters), nn.ReLU()]
            channels = filters
        stack.append(nn.MaxPool2d(2))
    return nn.Sequential(*stack, nn.Flatten(), nn.Linear(2048, 10)), nn.CrossEntropyLoss()


_MOBILE = ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1))  # filters, stride


def build_mobilenet(keras: Any) -> Any:
    layers = keras.layers
    stack = [keras.Input((32, 32, 3)), layers.Conv2D(32, 3, padding="same", use_bias=False)]
    stack += [layers.BatchNormalization(), layers.ReLU()]
    for filters, stride in _MOBILE:
        stack += [
            layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(filters, 1, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
        ]
    stack += [layers.GlobalAveragePooling2D(), layers.Dense(10, activation="softmax")]
    model = keras.Sequential(stack)
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    return model


def torch_mobilenet(torch: Any) -> tuple[Any, Any]:
    nn = torch.nn
    stack = [nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
    channels = 32
    for filters, stride in _MOBILE:
        stack += [
            nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, filters, 1, bias=False),
            nn.BatchNorm2d(filters),
            nn.ReLU(),
        ]
        channels = filters
    stack += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10)]
    return nn.Sequential(*stack), nn.CrossEntropyLoss()


def segmentation_data() -> Data:
    x = uniform(64, 64, 64, 3)
    return x, (x.mean(axis=-1, keepdims=True) > 0.5).astype("float32")


def build_unet(keras: Any) -> Any:
    layers = keras.layers

    def double(x: Any, filters: int) -> Any:
        for _ in range(2):
            x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        return x

    inputs = keras.Input((64, 64, 3))
    fine = double(inputs, 16)
    middle = double(layers.MaxPooling2D()(fine), 32)
    deep = double(layers.MaxPooling2D()(middle), 64)
    x = layers.Conv2DTranspose(32, 2, strides=2)(deep)
    x = double(layers.Concatenate()([x, middle]), 32)
    x = layers.Conv2DTranspose(16, 2, strides=2)(x)
    x = double(layers.Concatenate()([x, fine]), 16)
    model = keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(x))
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return model


def torch_unet(torch: Any) -> tuple[Any, Any]:
    nn = torch.nn

    def double(channels: int, filters: int) -> Any:
        first = nn.Conv2d(channels, filters, 3, padding=1)
        return nn.Sequential(first, nn.ReLU(), nn.Conv2d(filters, filters, 3, padding=1), nn.ReLU())

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fine, self.middle, self.deep = double(3, 16), double(16, 32), double(32, 64)
            self.up_middle = nn.ConvTranspose2d(64, 32, 2, 2)
            self.up_fine = nn.ConvTranspose2d(32, 16, 2, 2)
            self.join_middle, self.join_fine = double(64, 32), double(32, 16)
            self.pool, self.last = nn.MaxPool2d(2), nn.Conv2d(16, 1, 1)

        def forward(self, x: Any) -> Any:
            fine = self.fine(x)
            middle = self.middle(self.pool(fine))
            x = self.up_middle(self.deep(self.pool(middle)))
            x = self.up_fine(self.join_middle(torch.cat([x, middle], 1)))
            return self.last(self.join_fine(torch.cat([x, fine], 1)))

    return UNet(), nn.BCEWithLogitsLoss()


WORKLOADS = (
    Workload("cnn_seed", 32, digits_data, build_cnn_seed, torch_cnn_seed),
    Workload("cnn_demo", 128, digits_data, build_cnn_demo, torch_cnn_demo),
    Workload("cnn_bn", 64, colour_data, build_cnn_bn, torch_cnn_bn),
    Workload("mobilenet", 64, colour_data, build_mobilenet, torch_mobilenet),
    Workload("unet", 16, segmentation_data, build_unet, torch_unet),
)
