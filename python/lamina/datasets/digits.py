"""Handwritten digits that scikit-learn carries: real images, no download."""

from __future__ import annotations

import numpy as np

from lamina.datasets.split import Split, load_from_scikit_learn, shuffled_split


def load_data(test_split: float = 0.2, seed: int = 113, image_size: int = 8) -> Split:
    """Load 1,797 grey images of handwritten digits; needs scikit-learn, no network.

    Args:
        test_split: fraction of the images kept for testing.
        seed: of the shuffling before the split.
        image_size: height and width. The images are 8 x 8; a larger size, such as MNIST's 28,
            enlarges them smoothly (bilinear).

    Returns:
        (x_train, y_train), (x_test, y_test): x uint8 of shape (images, height, width) from 0
        (paper) to 255 (ink), y uint8 from 0 to 9.

    Source: Alpaydin, Kaynak. Optical recognition of handwritten digits. UCI repository, 1998.
    """
    if image_size < 8:
        raise ValueError(f"digits.load_data: image_size must be 8 or more. Got {image_size!r}.")
    x, y = load_from_scikit_learn("digits")
    images = enlarge(x.reshape(-1, 8, 8), image_size) * (255.0 / 16.0)
    return shuffled_split(np.rint(images).astype(np.uint8), y.astype(np.uint8), test_split, seed)


def enlarge(images: np.ndarray, size: int) -> np.ndarray:
    """Resize square images (count, n, n) to (count, size, size), bilinear, half-pixel centres."""
    count = images.shape[1]
    position = np.clip((np.arange(size) + 0.5) * count / size - 0.5, 0, count - 1)
    low = np.minimum(position.astype(int), count - 2)
    weight = position - low
    matrix = np.zeros((size, count))  # row i mixes the two pixels around position i
    matrix[np.arange(size), low] = 1 - weight
    matrix[np.arange(size), low + 1] = weight
    return np.asarray(matrix @ images @ matrix.T)
