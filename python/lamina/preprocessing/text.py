"""Words to numbers: the `Tokenizer` of older programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'
MODES = ("binary", "count", "freq", "tfidf")


def text_to_word_sequence(
    input_text: str, filters: str = FILTERS, lower: bool = True, split: str = " "
) -> list[str]:
    """Cut a text into words.

    Args:
        input_text: the text.
        filters: characters that end a word and belong to none.
        lower: whether to make everything lower case.
        split: what stands between words.
    """
    if lower:
        input_text = input_text.lower()
    spaced = input_text.translate({ord(character): split for character in filters})
    return [word for word in spaced.split(split) if word]


class Tokenizer:
    """Number the words of a collection of texts, the most frequent one first.

    Number 0 is nobody's: it is free for padding.

    Args:
        num_words: only words with a lower number are used; None: all.
        filters: characters that end a word and belong to none.
        lower: whether to make everything lower case.
        split: what stands between words.
        char_level: whether every character is a word.
        oov_token: word number 1, which stands for unknown words; None: they are dropped.
        analyzer: function from a text to its words, instead of all that.

    Attributes:
        word_index: dict from word to number.
        index_word: dict from number to word.
        word_counts: dict from word to its occurrences.
        word_docs: dict from word to the number of texts that have it.
        document_count: number of texts.
    """

    def __init__(
        self,
        num_words: int | None = None,
        filters: str = FILTERS,
        lower: bool = True,
        split: str = " ",
        char_level: bool = False,
        oov_token: str | None = None,
        analyzer: Callable[[str], list[str]] | None = None,
        **kwargs: Any,
    ) -> None:
        self.document_count = int(kwargs.pop("document_count", 0))
        if kwargs:
            raise TypeError(f"Tokenizer: unknown arguments {', '.join(kwargs)}.")
        self.num_words = num_words
        self.filters = filters
        self.lower = lower
        self.split = split
        self.char_level = char_level
        self.oov_token = oov_token
        self.analyzer = analyzer
        self.word_counts: dict[str, int] = {}
        self.word_docs: dict[str, int] = {}
        self.word_index: dict[str, int] = {}
        self.index_word: dict[int, str] = {}
        self.index_docs: dict[int, int] = {}

    def _words(self, text: Any) -> list[str]:
        if not isinstance(text, str):  # a list of words already
            return [word.lower() for word in text] if self.lower else list(text)
        if self.char_level:
            return list(text.lower() if self.lower else text)
        if self.analyzer is not None:
            return self.analyzer(text)
        return text_to_word_sequence(text, self.filters, self.lower, self.split)

    def fit_on_texts(self, texts: Iterable[Any]) -> None:
        """Count the words of texts (or of lists of words) and number them."""
        for text in texts:
            words = self._words(text)
            self.document_count += 1
            for word in words:
                self.word_counts[word] = self.word_counts.get(word, 0) + 1
            for word in set(words):
                self.word_docs[word] = self.word_docs.get(word, 0) + 1
        by_count = sorted(self.word_counts, key=lambda word: -self.word_counts[word])
        if self.oov_token is not None:
            by_count = [self.oov_token, *(word for word in by_count if word != self.oov_token)]
        self.word_index = {word: number for number, word in enumerate(by_count, start=1)}
        self.index_word = {number: word for word, number in self.word_index.items()}
        for word, count in self.word_docs.items():
            self.index_docs[self.word_index[word]] = count

    def fit_on_sequences(self, sequences: Iterable[Iterable[int]]) -> None:
        """Count in how many sequences of numbers every number is."""
        for sequence in sequences:
            self.document_count += 1
            for number in set(sequence):
                self.index_docs[number] = self.index_docs.get(number, 0) + 1

    def texts_to_sequences(self, texts: Iterable[Any]) -> list[list[int]]:
        """The numbers of the words of every text."""
        return list(self.texts_to_sequences_generator(texts))

    def texts_to_sequences_generator(self, texts: Iterable[Any]) -> Iterator[list[int]]:
        """The same, one text at a time."""
        unknown = self.word_index.get(self.oov_token) if self.oov_token is not None else None
        for text in texts:
            numbers = (self.word_index.get(word) for word in self._words(text))
            known = (unknown if self._is_unknown(number) else number for number in numbers)
            yield [number for number in known if number is not None]

    def _is_unknown(self, number: int | None) -> bool:
        return number is None or (self.num_words is not None and number >= self.num_words)

    def sequences_to_texts(self, sequences: Iterable[Iterable[int]]) -> list[str]:
        """The words of every sequence of numbers, with a space between them."""
        texts = []
        for sequence in sequences:
            known = (
                self.oov_token if self._is_unknown(number) else self.index_word.get(number)
                for number in sequence
            )
            words = (word if word is not None else self.oov_token for word in known)
            texts.append(" ".join(word for word in words if word is not None))
        return texts

    def texts_to_matrix(self, texts: Iterable[Any], mode: str = "binary") -> np.ndarray:
        """One row per text, one column per word number; see `sequences_to_matrix`."""
        return self.sequences_to_matrix(self.texts_to_sequences(texts), mode)

    def sequences_to_matrix(
        self, sequences: Iterable[list[int]], mode: str = "binary"
    ) -> np.ndarray:
        """One row per sequence, one column per word number.

        Args:
            sequences: lists of word numbers.
            mode: "binary" is 1 where the word occurs, "count" how often, "freq" which part of
                the text it is, "tfidf" its frequency weighted by its rarity.

        Returns:
            float64 array of shape (sequences, num_words).
        """
        if mode not in MODES:
            raise ValueError(f"Tokenizer: mode must be one of {MODES}. Got {mode!r}.")
        width = self.num_words or len(self.word_index) + 1
        if width == 1:
            raise ValueError("Tokenizer: give num_words or call fit_on_texts first.")
        if mode == "tfidf" and not self.document_count:
            raise ValueError("Tokenizer: mode 'tfidf' needs fit_on_texts first.")
        rows = list(sequences)
        matrix = np.zeros((len(rows), width))
        for row, sequence in zip(matrix, rows, strict=True):
            for number, count in Counter(n for n in sequence if n < width).items():
                row[number] = self._weight(mode, number, count, len(sequence))
        return matrix

    def _weight(self, mode: str, number: int, count: int, length: int) -> float:
        if mode == "binary":
            return 1.0
        if mode == "count":
            return float(count)
        if mode == "freq":
            return count / length
        rarity = np.log(1 + self.document_count / (1 + self.index_docs.get(number, 0)))
        return float((1 + np.log(count)) * rarity)

    def get_config(self) -> dict[str, Any]:
        """The arguments and the counts; the counts as JSON text."""
        return {
            "num_words": self.num_words,
            "filters": self.filters,
            "lower": self.lower,
            "split": self.split,
            "char_level": self.char_level,
            "oov_token": self.oov_token,
            "document_count": self.document_count,
            "word_counts": json.dumps(self.word_counts),
            "word_docs": json.dumps(self.word_docs),
            "index_docs": json.dumps(self.index_docs),
            "index_word": json.dumps(self.index_word),
            "word_index": json.dumps(self.word_index),
        }

    def to_json(self, **kwargs: Any) -> str:
        """The configuration as JSON text; `tokenizer_from_json` reads it."""
        return json.dumps({"class_name": "Tokenizer", "config": self.get_config()}, **kwargs)


def tokenizer_from_json(json_string: str) -> Tokenizer:
    """Make the tokenizer that `Tokenizer.to_json` described."""
    config = json.loads(json_string)["config"]
    parts = {
        name: json.loads(config.pop(name))
        for name in ("word_counts", "word_docs", "index_docs", "index_word", "word_index")
    }
    tokenizer = Tokenizer(**config)
    tokenizer.word_counts = parts["word_counts"]
    tokenizer.word_docs = parts["word_docs"]
    tokenizer.word_index = parts["word_index"]
    tokenizer.index_docs = {int(key): value for key, value in parts["index_docs"].items()}
    tokenizer.index_word = {int(key): value for key, value in parts["index_word"].items()}
    return tokenizer
