"""A model without an input shape: it is built by the first data it sees."""

from keras.layers import Dense
from keras.models import Sequential
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

x, y = load_diabetes(return_X_y=True)
x = StandardScaler().fit_transform(x)
y = (y - y.mean()) / y.std()

model = Sequential([Dense(10, activation="relu"), Dense(1)])
model.compile(optimizer="adam", loss="mse")
print("built:", model.built, "weights:", len(model.weights))
history = model.fit(x, y, epochs=30, batch_size=32, validation_split=0.2, verbose=0)
print("built:", model.built, "weights:", len(model.weights))
model.summary()
print(f"mean squared error: {history.history['val_loss'][-1]:.3f} (always the mean: 1.000)")
