"""Words and time series: recurrent networks, a text convolution, a transformer."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.workloads.workload import Data, Workload, random, uniform, zeros_and_ones


def words(rows: int, steps: int, vocabulary: int) -> np.ndarray:
    return random().randint(1, vocabulary, size=(rows, steps)).astype(np.int32)


def sentence_data() -> Data:
    return words(320, 100, 5000), zeros_and_ones(320)


def build_lstm_seed(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((100,), dtype="int32"),
            layers.Embedding(input_dim=5000, output_dim=128),
            layers.LSTM(64),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return model


def torch_lstm_seed(torch: Any) -> tuple[Any, Any]:
    nn = torch.nn

    class LastOutput(nn.Module):
        """Embedding, LSTM, and the output after the last word."""

        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(5000, 128)
            self.lstm = nn.LSTM(128, 64, batch_first=True)
            self.dense = nn.Linear(64, 1)

        def forward(self, ids: Any) -> Any:
            outputs, _ = self.lstm(self.embedding(ids))
            return self.dense(outputs[:, -1])

    return LastOutput(), nn.BCEWithLogitsLoss()


def series_data() -> Data:
    return uniform(320, 50, 16), uniform(320, 1)


def build_gru_stack(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((50, 16)),
            layers.GRU(128, return_sequences=True),
            layers.GRU(64),
            layers.Dense(1),
        ]
    )
    model.compile(optimizer="adam", loss="mse")
    return model


def torch_gru_stack(torch: Any) -> tuple[Any, Any]:
    nn = torch.nn

    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lower = nn.GRU(16, 128, batch_first=True)
            self.upper = nn.GRU(128, 64, batch_first=True)
            self.dense = nn.Linear(64, 1)

        def forward(self, x: Any) -> Any:
            outputs, _ = self.upper(self.lower(x)[0])
            return self.dense(outputs[:, -1])

    return Stack(), nn.MSELoss()


def build_text_conv(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((100,), dtype="int32"),
            layers.Embedding(5000, 128),
            layers.Conv1D(128, 5, activation="relu"),
            layers.GlobalMaxPooling1D(),
            layers.Dense(64, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return model


def torch_text_conv(torch: Any) -> tuple[Any, Any]:
    nn = torch.nn

    class TextConv(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.conv = nn.Embedding(5000, 128), nn.Conv1d(128, 128, 5)
            self.head = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 1))

        def forward(self, ids: Any) -> Any:
            x = torch.relu(self.conv(self.embedding(ids).transpose(1, 2)))
            return self.head(x.amax(dim=2))

    return TextConv(), nn.BCEWithLogitsLoss()


_STEPS, _WIDTH, _HEADS, _FEED = 128, 64, 4, 256


def transformer_data() -> Data:
    return words(160, _STEPS, 2000), zeros_and_ones(160)


def build_transformer(keras: Any) -> Any:
    layers = keras.layers
    inputs = keras.Input((_STEPS,), dtype="int32")
    x = layers.Embedding(2000, _WIDTH)(inputs)
    for _ in range(2):
        attended = layers.MultiHeadAttention(_HEADS, _WIDTH // _HEADS)(x, x)
        x = layers.LayerNormalization()(layers.Add()([x, attended]))
        fed = layers.Dense(_WIDTH)(layers.Dense(_FEED, activation="relu")(x))
        x = layers.LayerNormalization()(layers.Add()([x, fed]))
    x = layers.GlobalAveragePooling1D()(x)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return model


def torch_transformer(torch: Any) -> tuple[Any, Any]:
    nn = torch.nn

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(2000, _WIDTH)
            self.blocks = nn.Sequential(
                *(
                    nn.TransformerEncoderLayer(_WIDTH, _HEADS, _FEED, 0.0, batch_first=True)
                    for _ in range(2)
                )
            )
            self.dense = nn.Linear(_WIDTH, 1)

        def forward(self, ids: Any) -> Any:
            return self.dense(self.blocks(self.embedding(ids)).mean(dim=1))

    return Classifier(), nn.BCEWithLogitsLoss()


WORKLOADS = (
    Workload("lstm_seed", 32, sentence_data, build_lstm_seed, torch_lstm_seed),
    Workload("gru_stack", 32, series_data, build_gru_stack, torch_gru_stack),
    Workload("text_conv", 32, sentence_data, build_text_conv, torch_text_conv),
    Workload("transformer", 32, transformer_data, build_transformer, torch_transformer),
)
