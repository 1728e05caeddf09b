"""Choosing weights of few bits by what the inputs of a layer looked like: GPTQ and AWQ.

Weights are matrices (outputs, inputs); the inputs are known by their Gram matrix, the sum of
x x^T over the samples, since the squared error of the outputs is e G e^T for an error e.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from lamina.quantizers.calibrated import AWQConfig, GPTQConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

Matrix: TypeAlias = "NDArray[np.float64]"


class Calibrated(NamedTuple):
    """Whole numbers (outputs, inputs), and what they mean.

    value = (whole - zero[:, group_of]) * scale[:, group_of] / input_scales
    """

    whole: Matrix
    scale: Matrix  # (outputs, groups)
    zero: Matrix
    group_of: NDArray[np.int64]  # of each input
    input_scales: Matrix

    def values(self) -> Matrix:
        """Return the matrix that the numbers stand for."""
        scale, zero = self.scale[:, self.group_of], self.zero[:, self.group_of]
        return (self.whole - zero) * scale / self.input_scales


def grid_of(
    weights: Matrix, levels: int, symmetric: bool = False, per_channel: bool = True
) -> tuple[Matrix, Matrix]:
    """Return scale and zero point of each row, so that its values and 0 lie on 0 ... levels."""
    low, high = np.minimum(weights.min(axis=1), 0), np.maximum(weights.max(axis=1), 0)
    if not per_channel:
        low, high = np.full_like(low, low.min()), np.full_like(high, high.max())
    if symmetric:
        high = np.maximum(-low, high)
        low = -high
    is_zero = high == low
    low, high = np.where(is_zero, -1.0, low), np.where(is_zero, 1.0, high)
    scale = (high - low) / levels
    zero = np.full_like(low, (levels + 1) / 2) if symmetric else np.round(-low / scale)
    return scale, np.clip(zero, 0, levels)


def rounded(weights: Matrix, scale: Matrix, zero: Matrix, levels: int) -> Matrix:
    """Return the nearest whole numbers 0 ... levels."""
    return np.clip(np.round(weights / scale) + zero, 0, levels)


def gptq(weights: Matrix, gram: Matrix, config: GPTQConfig) -> Calibrated:
    """Round the inputs' weights one after the other; those to come make up for each error.

    Args:
        weights: matrix (outputs, inputs).
        gram: Gram matrix of the inputs.
        config: bits, groups, damping and order.

    Raises:
        ValueError: if the weights or the Gram matrix hold NaN or infinity.

    Source: Frantar et al., https://arxiv.org/abs/2210.17323, algorithm 1.
    """
    _check_finite("GPTQ", weights, gram)
    levels, columns = 2**config.weight_bits - 1, weights.shape[1]
    size = columns if config.group_size == -1 else config.group_size
    weights, gram = weights.astype(np.float64), 2 * gram.astype(np.float64)
    never_seen = np.diag(gram) == 0
    gram[never_seen, never_seen] = 1.0
    weights[:, never_seen] = 0.0
    order = np.arange(columns)
    if config.activation_order:
        order = np.argsort(-np.diag(gram), kind="stable")
    weights, gram = weights[:, order], gram[order][:, order]
    gram += np.eye(columns) * max(config.hessian_damping * np.diag(gram).mean(), 1e-10)
    upper = np.linalg.cholesky(np.linalg.inv(gram)).T

    whole = np.zeros_like(weights)
    grids: list[tuple[Matrix, Matrix]] = []
    for i in range(columns):
        if i % size == 0:
            group = weights[:, i : i + size]
            grids.append(grid_of(group, levels, config.symmetric, config.per_channel))
        scale, zero = grids[-1]
        whole[:, i] = rounded(weights[:, i], scale, zero, levels)
        error = (weights[:, i] - (whole[:, i] - zero) * scale) / upper[i, i]
        weights[:, i + 1 :] -= np.outer(error, upper[i, i + 1 :])

    back = np.argsort(order)
    scales, zeros = (np.stack(parts, axis=1) for parts in zip(*grids, strict=True))
    return Calibrated(
        whole[:, back], scales, zeros, (np.arange(columns) // size)[back], np.ones(columns)
    )


def awq(weights: Matrix, gram: Matrix, magnitude: Matrix, config: AWQConfig) -> Calibrated:
    """Scale up the weights of strong inputs before rounding, by the power that errs least.

    Args:
        weights: matrix (outputs, inputs).
        gram: Gram matrix of the inputs.
        magnitude: mean absolute value of each input.
        config: groups, and how many powers between 0 and 1 are tried.

    Raises:
        ValueError: if the weights or the Gram matrix hold NaN or infinity.

    Source: Lin et al., https://arxiv.org/abs/2306.00978, section 3.2.
    """
    _check_finite("AWQ", weights, gram)
    weights = weights.astype(np.float64)
    best, least = None, np.inf
    for step in range(config.num_grid_points):
        strength = np.maximum(magnitude, 1e-8) ** (step / config.num_grid_points)
        input_scales = np.maximum(strength / np.sqrt(strength.max() * strength.min()), 1e-4)
        found = _in_groups(weights * input_scales, input_scales, config)
        error = found.values() - weights
        loss = float(np.sum((error @ gram) * error))
        if best is None or loss < least:
            best, least = found, loss
    assert best is not None  # there is at least one point
    return best


def _check_finite(way: str, weights: Matrix, gram: Matrix) -> None:
    for what, matrix in (("weights", weights), ("inputs seen in calibration", gram)):
        if not np.isfinite(matrix).all():
            raise ValueError(f"{way}: the {what} hold NaN or infinity; no rounding is best then.")


def _in_groups(scaled: Matrix, input_scales: Matrix, config: AWQConfig) -> Calibrated:
    levels, columns = 2**config.weight_bits - 1, scaled.shape[1]
    size = columns if config.group_size == -1 else config.group_size
    group_of = np.arange(columns) // size
    grids = [grid_of(scaled[:, start : start + size], levels) for start in range(0, columns, size)]
    scale, zero = (np.stack(parts, axis=1) for parts in zip(*grids, strict=True))
    whole = rounded(scaled, scale[:, group_of], zero[:, group_of], levels)
    return Calibrated(whole, scale, zero, group_of, input_scales)
