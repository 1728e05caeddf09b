"""Preparing text, sequences and pictures in NumPy, under the names that older programs use."""

from __future__ import annotations

from lamina.preprocessing import image, sequence, text

__all__ = ["image", "sequence", "text"]
