"""The one place that writes to standard output."""

from __future__ import annotations

import os
import sys

from lamina import config


def print_message(text: str, end: str = "\n") -> None:
    """Show `text` on standard output, or log it when interactive logging is off."""
    if not config.is_interactive_logging_enabled():
        import logging

        logging.getLogger("lamina").info(text.strip("\b\r\n"))
        return
    stream = sys.stdout
    if stream is None:  # a program without a console
        return
    try:
        stream.write(text + end)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write((text + end).encode(encoding, "replace").decode(encoding))
    stream.flush()


def is_live() -> bool:
    """Whether standard output can redraw a line: a terminal, a notebook, or PyCharm's console."""
    stream = sys.stdout
    if stream is not None and hasattr(stream, "isatty") and stream.isatty():
        return True
    return "ipykernel" in sys.modules or "PYCHARM_HOSTED" in os.environ
