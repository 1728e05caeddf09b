"""CTC decoding against every way to read the labels."""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np

from lamina import ops

STEPS, CLASSES, BLANK = 5, 3, 0


def readings(log_p: np.ndarray) -> dict[tuple[int, ...], float]:
    """The probability of every label sequence, summed over all alignments."""
    found: dict[tuple[int, ...], float] = defaultdict(float)
    for path in itertools.product(range(CLASSES), repeat=len(log_p)):
        labels = tuple(c for c, _ in itertools.groupby(path) if c != BLANK)
        found[labels] += float(np.exp(sum(row[c] for row, c in zip(log_p, path, strict=True))))
    return found


def test_a_wide_beam_finds_the_best_readings() -> None:
    logits = np.random.default_rng(7).normal(0, 1.5, (3, STEPS, CLASSES)).astype("float32")
    labels, scores = ops.ctc_decode(
        logits, np.array([5, 5, 3], "int32"), strategy="beam_search", beam_width=60, top_paths=3
    )
    for i, length in enumerate((5, 5, 3)):
        row = logits[i, :length].astype("float64")
        every = readings(row - np.log(np.exp(row).sum(-1, keepdims=True)))
        best = sorted(every, key=lambda k: every[k], reverse=True)[:3]
        for k, want in enumerate(best):
            padded = [*want, *[-1] * (STEPS - len(want))]
            np.testing.assert_array_equal(np.asarray(labels)[k, i], padded)
            np.testing.assert_allclose(np.asarray(scores)[i, k], np.log(every[want]), rtol=1e-5)


def test_a_narrow_beam_forgets_and_goes_on() -> None:
    logits = np.random.default_rng(8).normal(0, 2, (1, 40, 30)).astype("float32")
    lengths = np.array([40], "int32")
    narrow = ops.ctc_decode(logits, lengths, strategy="beam_search", beam_width=2, top_paths=2)
    wide = ops.ctc_decode(logits, lengths, strategy="beam_search", beam_width=50, top_paths=2)
    assert np.all(np.asarray(wide[1])[0, 0] >= np.asarray(narrow[1])[0, 0])
    assert np.asarray(narrow[0]).shape == (2, 1, 40)


def test_what_is_no_number_shows_in_the_scores() -> None:
    logits = np.full((1, 2, 3), np.nan, "float32")
    _, scores = ops.ctc_decode(logits, np.array([2], "int32"), strategy="beam_search")
    assert np.isnan(np.asarray(scores)).all()
