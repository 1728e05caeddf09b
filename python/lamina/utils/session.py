"""Starting afresh in a process that has made models before."""

from __future__ import annotations


def clear_session(free_memory: bool = True) -> None:
    """Forget what the process remembers of earlier models.

    Automatic names count from the start, and the global dtype policy is that of `floatx()`.

    Args:
        free_memory: whether to look for models that only refer to each other, at once.
    """
    import gc

    from lamina import config, names

    names.reset_names()
    config.forget_dtype_policy()
    if free_memory:
        gc.collect()
