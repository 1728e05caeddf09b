"""An autoencoder squeezes handwritten digits through 64 numbers and draws them again."""

import numpy as np
from keras.layers import Dense, Input
from keras.models import Model
from sklearn.datasets import load_digits

images, _ = load_digits(return_X_y=True)
images = np.kron(images.reshape(-1, 8, 8) / 16, np.ones((1, 4, 4)))[:, 2:-2, 2:-2]
x = images.reshape(len(images), 784).astype("float32")

inputs = Input(shape=(784,))
encoded = Dense(64, activation="relu")(inputs)
decoded = Dense(784, activation="sigmoid")(encoded)
autoencoder = Model(inputs, decoded)
encoder = Model(inputs, encoded)

autoencoder.compile(optimizer="adam", loss="mse")
history = autoencoder.fit(x, x, epochs=5, batch_size=32)
print("codes:", encoder.predict(x, verbose=0).shape)
print("mean squared error by epoch:", [round(loss, 4) for loss in history.history["loss"]])
