"""IMDB: 50,000 film reviews, positive or negative, as word numbers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from lamina.datasets.source import fetch
from lamina.datasets.split import Split
from lamina.datasets.words import as_array, limit_words, shorter_than, with_start


def load_data(
    path: str = "imdb.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
    **kwargs: Any,
) -> Split:
    """Load 25,000 training and 25,000 test reviews, downloading 17 MB the first time.

    Words are numbered by how often they occur, from `index_from` + 1 on.

    Args:
        path: name of the file in the cache directory, or an absolute path.
        num_words: words with this number or a higher one are replaced; None: all are kept.
        skip_top: words with a lower number are replaced.
        maxlen: only reviews of fewer words are kept.
        seed: of the shuffling.
        start_char: put before every review; None for nothing.
        oov_char: what replaces words; None: they are dropped.
        index_from: added to every word number.

    Returns:
        (x_train, y_train), (x_test, y_test): x array of lists of int, y int64, 1 for positive.

    Source: Maas and others. Learning word vectors for sentiment analysis. 2011.
    """
    if "nb_words" in kwargs:  # the name of num_words in early Keras
        num_words = kwargs.pop("nb_words")
    if kwargs:
        raise TypeError(f"imdb.load_data: unknown arguments {', '.join(kwargs)}.")
    with np.load(fetch("imdb.npz", path), allow_pickle=True) as file:  # checksum was right
        parts = [(file["x_train"], file["y_train"]), (file["x_test"], file["y_test"])]
    random = np.random.RandomState(seed)  # one generator: the test order follows the training's
    prepared = []
    for texts, labels in parts:
        order = np.arange(len(texts))
        random.shuffle(order)
        numbered = with_start(texts[order], start_char, index_from)
        prepared.append(shorter_than(maxlen, numbered, labels[order]))
    (x_train, y_train), (x_test, y_test) = prepared
    texts = limit_words(x_train + x_test, num_words, skip_top, oov_char)
    count = len(x_train)
    return (as_array(texts[:count]), y_train), (as_array(texts[count:]), y_test)


def get_word_index(path: str = "imdb_word_index.json") -> dict[str, int]:
    """The number of every word, before `index_from` is added."""
    with open(fetch("imdb_word_index.json", path), encoding="utf-8") as file:
        index: dict[str, int] = json.load(file)
    return index
