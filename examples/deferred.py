"""A model without an input shape: it is built by the first data it sees."""

import keras
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

x, y = load_diabetes(return_X_y=True)
x = StandardScaler().fit_transform(x)
y = (y - y.mean()) / y.std()

model = keras.Sequential([keras.layers.Dense(10, activation="relu"), keras.layers.Dense(1)])
model.compile(optimizer="adam", loss="mse")
print("built:", model.built, "weights:", len(model.weights))
history = model.fit(x, y, epochs=30, batch_size=32, validation_split=0.2, verbose=0)
print("built:", model.built, "weights:", len(model.weights))
model.summary()
print(f"mean squared error: {history.history['val_loss'][-1]:.3f} (always the mean: 1.000)")
