"""Preparing text and sequences in NumPy, under the names that older programs use."""

from __future__ import annotations

from lamina.preprocessing import sequence, text

__all__ = ["sequence", "text"]
