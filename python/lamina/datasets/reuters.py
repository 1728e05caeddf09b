"""Reuters: 11,228 news items in 46 topics, as word numbers."""

from __future__ import annotations

import json

import numpy as np

from lamina.datasets.source import fetch
from lamina.datasets.split import Split, check_test_split, shuffled
from lamina.datasets.words import as_array, limit_words, shorter_than, with_start

TOPICS = (
    "cocoa grain veg-oil earn acq wheat copper housing money-supply coffee sugar trade reserves "
    "ship cotton carcass crude nat-gas cpi money-fx interest gnp meal-feed alum oilseed gold tin "
    "strategic-metal livestock retail ipi iron-steel rubber heat jobs lei bop zinc orange "
    "pet-chem dlr gas silver wpi hog lead"
)


def load_data(
    path: str = "reuters.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    test_split: float = 0.2,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
) -> Split:
    """Load the news items, downloading 2 MB the first time.

    Words are numbered by how often they occur, from `index_from` + 1 on.

    Args:
        path: name of the file in the cache directory, or an absolute path.
        num_words: words with this number or a higher one are replaced; None: all are kept.
        skip_top: words with a lower number are replaced.
        maxlen: only items of fewer words are kept.
        test_split: fraction of the items kept for testing.
        seed: of the shuffling before the split.
        start_char: put before every item; None for nothing.
        oov_char: what replaces words; None: they are dropped.
        index_from: added to every word number.

    Returns:
        (x_train, y_train), (x_test, y_test): x array of lists of int, y int64 from 0 to 45.

    Source: Lewis. Reuters-21578 text categorization test collection. 1997.
    """
    check_test_split(test_split)
    with np.load(fetch("reuters.npz", path), allow_pickle=True) as file:  # checksum was right
        texts, labels = shuffled([file["x"], file["y"]], seed)
    numbered, labels = shorter_than(maxlen, with_start(texts, start_char, index_from), labels)
    limited = limit_words(numbered, num_words, skip_top, oov_char)
    count = int(len(limited) * (1 - test_split))
    return (
        (as_array(limited[:count]), labels[:count]),
        (as_array(limited[count:]), labels[count:]),
    )


def get_word_index(path: str = "reuters_word_index.json") -> dict[str, int]:
    """The number of every word, before `index_from` is added."""
    with open(fetch("reuters_word_index.json", path), encoding="utf-8") as file:
        index: dict[str, int] = json.load(file)
    return index


def get_label_names() -> tuple[str, ...]:
    """The topics in the order of their labels."""
    return tuple(TOPICS.split())
