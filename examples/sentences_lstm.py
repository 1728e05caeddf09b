"""An LSTM reads sentences and tells what they are about: text or classes.

The sentences are real: they are those of the language reference that comes with every Python.
"""

import re
from pydoc_data.topics import topics

import numpy as np
from tensorflow.keras.layers import LSTM, Dense, Embedding
from tensorflow.keras.models import Sequential
from tensorflow.keras.preprocessing.sequence import pad_sequences
from tensorflow.keras.preprocessing.text import Tokenizer


def sentences_of(*names):
    text = " ".join(" ".join(topics[name] for name in names).split())
    return [s for s in re.split(r"(?<=[.:]) (?=[A-Z])", text) if 5 <= len(s.split()) <= 100]


about_text = sentences_of("string-methods", "formatstrings", "strings")
about_classes = sentences_of("specialnames")
sentences = about_text + about_classes
labels = np.array([0] * len(about_text) + [1] * len(about_classes))

tokenizer = Tokenizer(num_words=5000)
tokenizer.fit_on_texts(sentences)
x = pad_sequences(tokenizer.texts_to_sequences(sentences), maxlen=100)
order = np.random.RandomState(0).permutation(len(x))
x, labels = x[order], labels[order]
split = int(len(x) * 0.8)

model = Sequential()
model.add(Embedding(input_dim=5000, output_dim=128, input_length=100))
model.add(LSTM(64))
model.add(Dense(1, activation="sigmoid"))
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
model.fit(x[:split], labels[:split], epochs=6, batch_size=32)

loss, accuracy = model.evaluate(x[split:], labels[split:], verbose=0)
print(f"{len(x)} sentences, test loss {loss:.4f}, test accuracy {accuracy:.4f}")
