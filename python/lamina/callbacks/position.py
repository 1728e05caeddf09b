"""Where a training run is, so that another process can go on from there."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import numpy as np

from lamina.random import global_seed_generator


class Position(NamedTuple):
    """The next batch of a run, and what decides the order of the rows.

    Attributes:
        epoch: epoch of the next batch, from 0.
        batch: batches of that epoch that are done.
        next_batch: place of the next batch in the data (differs when epochs are cut short by
            `steps_per_epoch`).
        order_seed: seed of the order that the data are in.
    """

    epoch: int
    batch: int = 0
    next_batch: int = 0
    order_seed: tuple[int, int] = (0, 0)


def random_state() -> dict[str, Any]:
    """State of the generators that a run draws from, as plain numbers."""
    version, numbers, gauss = random.getstate()
    _, words, place, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(numbers), gauss],
        "numpy": [np.asarray(words).tolist(), int(place), int(has_gauss), float(cached)],
        "lamina": global_seed_generator().state.numpy().tolist(),
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Bring the generators back to what `random_state` returned."""
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    words, place, has_gauss, cached = state["numpy"]
    np.random.set_state(("MT19937", np.array(words, np.uint32), place, has_gauss, cached))
    global_seed_generator().state.assign(np.array(state["lamina"], np.int64))
