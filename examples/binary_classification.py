"""Two dense layers on random rows: the shape of many first programs."""

import numpy as np
from tensorflow.keras.layers import Dense
from tensorflow.keras.models import Sequential

x = np.random.random((100, 10))
y = np.random.randint(2, size=(100, 1))

model = Sequential([Dense(8, activation="relu", input_dim=10), Dense(1, activation="sigmoid")])
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
model.summary()
model.fit(x, y, epochs=5, batch_size=10)
print("first rows:", model.predict(x[:3], verbose=0).ravel())
