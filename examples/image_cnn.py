"""A convolutional network reads handwritten digits."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tensorflow.keras.layers import Conv2D, Dense, Flatten, MaxPooling2D
from tensorflow.keras.models import Sequential
from tensorflow.keras.utils import to_categorical

# 8 x 8 pixels, each drawn as 4 x 4, without the outermost two: 28 x 28, the size of MNIST.
images, labels = load_digits(return_X_y=True)
images = np.kron(images.reshape(-1, 8, 8) / 16, np.ones((1, 4, 4)))[:, 2:-2, 2:-2, np.newaxis]
x_train, x_test, y_train, y_test = train_test_split(
    images.astype("float32"), to_categorical(labels, 10), test_size=0.2, random_state=0
)

model = Sequential()
model.add(Conv2D(32, (3, 3), activation="relu", input_shape=(28, 28, 1)))
model.add(MaxPooling2D((2, 2)))
model.add(Flatten())
model.add(Dense(128, activation="relu"))
model.add(Dense(10, activation="softmax"))
model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
model.summary()
model.fit(x_train, y_train, epochs=10, batch_size=32, validation_split=0.1)

loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"test loss {loss:.4f}, test accuracy {accuracy:.4f}")
