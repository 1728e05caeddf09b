"""XOR: four rows, two of each kind, that no single line can separate."""

import numpy as np
from keras.layers import Dense
from keras.models import Sequential

x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype="float32")
y = np.array([[0], [1], [1], [0]], dtype="float32")

model = Sequential()
model.add(Dense(4, input_dim=2, activation="relu"))
model.add(Dense(1, activation="sigmoid"))
model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
model.fit(x, y, epochs=500, batch_size=1, verbose=0)

loss, accuracy = model.evaluate(x, y, verbose=0)
print(f"loss {loss:.4f}, accuracy {accuracy:.2f}")
for row, answer in zip(x, model.predict(x, verbose=0), strict=True):
    print(f"{row.astype(int)} -> {answer[0]:.3f}")
