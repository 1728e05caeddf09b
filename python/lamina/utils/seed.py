"""One seed for everything random."""

from __future__ import annotations

import operator


def set_random_seed(seed: int) -> None:
    """Seed Python's `random`, NumPy and lamina, so that a program repeats its numbers.

    lamina's results then depend on nothing else: not on the threads, nor on the batch.

    Args:
        seed: integer from 0 to 2**32 - 1.

    Raises:
        ValueError: if `seed` is no integer of that range.
    """
    import random

    import numpy as np

    from lamina import random as lamina_random

    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if isinstance(seed, bool) or not 0 <= number < 2**32:
        raise ValueError(
            f"set_random_seed: seed must be an integer from 0 to 2**32 - 1. Got {seed!r}."
        )
    random.seed(number)
    np.random.seed(number)
    lamina_random.set_global_seed(number)
