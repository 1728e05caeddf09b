"""`lamina.ops.math`: transforms, segments and special functions."""

from __future__ import annotations

from lamina.ops.elementwise import erf, erfc, erfinv, rsqrt
from lamina.ops.factors import logdet
from lamina.ops.fourier import (
    extract_sequences,
    fft,
    fft2,
    ifft2,
    irfft,
    istft,
    rfft,
    stft,
)
from lamina.ops.integers import view_as_complex, view_as_real
from lamina.ops.linalg import qr
from lamina.ops.reduce import logsumexp, norm
from lamina.ops.scattering import segment_max, segment_min, segment_prod, segment_sum
from lamina.ops.series import cdist
from lamina.ops.sorting import in_top_k, top_k

__all__ = [
    "cdist",
    "erf",
    "erfc",
    "erfinv",
    "extract_sequences",
    "fft",
    "fft2",
    "ifft2",
    "in_top_k",
    "irfft",
    "istft",
    "logdet",
    "logsumexp",
    "norm",
    "qr",
    "rfft",
    "rsqrt",
    "segment_max",
    "segment_min",
    "segment_prod",
    "segment_sum",
    "stft",
    "top_k",
    "view_as_complex",
    "view_as_real",
]
