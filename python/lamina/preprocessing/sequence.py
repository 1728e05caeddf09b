"""`pad_sequences` under its older address."""

from __future__ import annotations

from lamina.utils.sequence import pad_sequences

__all__ = ["pad_sequences"]
