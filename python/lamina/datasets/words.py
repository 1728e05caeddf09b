"""Texts as lists of word numbers: what imdb and reuters share."""

from __future__ import annotations

from typing import Any

import numpy as np

Texts = list[list[int]]


def with_start(texts: Any, start_char: int | None, index_from: int | None) -> Texts:
    """Move word numbers up by `index_from` and put `start_char` before every text."""
    if start_char is not None:
        return [[start_char, *(word + (index_from or 0) for word in text)] for text in texts]
    return [[word + (index_from or 0) for word in text] for text in texts]


def shorter_than(maxlen: int | None, texts: Texts, labels: np.ndarray) -> tuple[Texts, np.ndarray]:
    """Keep the texts of fewer than `maxlen` words.

    Raises:
        ValueError: if none is left.
    """
    if not maxlen:
        return texts, labels
    kept = [i for i, text in enumerate(texts) if len(text) < maxlen]
    if not kept:
        raise ValueError(f"load_data: no text is shorter than maxlen={maxlen}; increase maxlen.")
    return [texts[i] for i in kept], labels[kept]


def limit_words(texts: Texts, num_words: int | None, skip_top: int, oov_char: int | None) -> Texts:
    """Replace words outside [skip_top, num_words) by `oov_char`, or drop them when it is None."""
    if not num_words:
        num_words = max(max(text) for text in texts)
    if oov_char is None:
        return [[word for word in text if skip_top <= word < num_words] for text in texts]
    return [[word if skip_top <= word < num_words else oov_char for word in text] for text in texts]


def as_array(texts: Texts) -> np.ndarray:
    """Lists of different lengths as one array of objects."""
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array
