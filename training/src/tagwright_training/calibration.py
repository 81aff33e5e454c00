"""From logits to probabilities, and from those to thresholds: both on photos that training did not learn from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

TARGET_PRECISIONS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
FEWEST_CHOSEN = 20  # a precision measured on fewer decisions says nothing
CONFIDENCE_Z = 1.0  # standard errors below what was counted: five times in six the precision is no worse than that


def fit_platt(
    logits: NDArray[np.float32], truth: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slope and offset a label, so that sigmoid(slope * logit + offset) is a probability (Platt 1999).

    Newton's method on the log-loss with Platt's smoothed targets. Arrays `[n, labels]` in, `[labels]` out.
    """
    slopes, offsets = np.ones(logits.shape[1]), np.zeros(logits.shape[1])
    for i in range(logits.shape[1]):
        x = np.column_stack([logits[:, i], np.ones(len(logits))]).astype(np.float64)
        positives = truth[:, i].sum()
        negatives = len(truth) - positives
        target = np.where(truth[:, i] > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
        w = np.array([1.0, 0.0])
        for _ in range(50):
            p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
            hessian = (x * (p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(2)
            move = np.linalg.solve(hessian, x.T @ (p - target))
            w -= np.clip(move, -1, 1)
            if np.abs(move).max() < 1e-8:
                break
        slopes[i], offsets[i] = max(w[0], 1e-3), w[1]  # a falling curve would turn the ranking round
    return slopes, offsets


def fit_thresholds(truth: NDArray[np.float32], scores: NDArray[np.float64]) -> dict[str, Any]:
    """`default_threshold` (greatest F1) and `thresholds` by target precision (None: never reached) of one label.

    A target's threshold is the smallest score at which the precision of all scores at least as high reaches it, even by
    the lower end of Wilson's interval (1927). By the plain count, the smallest such score would ride on luck.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(truth[order])
    chosen = np.arange(1, len(ranked) + 1)
    last_of_tie = np.append(ranked[1:] != ranked[:-1], True)
    precision, recall = hits / chosen, hits / max(hits[-1], 1)
    safe_precision = wilson_lower(precision, chosen)
    usable = last_of_tie & (chosen >= FEWEST_CHOSEN)
    f1 = np.where(usable, 2 * precision * recall / np.maximum(precision + recall, 1e-12), -1)
    thresholds: dict[str, float | None] = {}
    for target in TARGET_PRECISIONS:
        reached = np.flatnonzero(usable & (safe_precision >= target))
        thresholds[str(target)] = _round_down(ranked[reached[-1]]) if len(reached) else None
    return {"default_threshold": _round_down(ranked[int(f1.argmax())]), "thresholds": thresholds}


def wilson_lower(share: NDArray[np.float64], count: NDArray[np.int64], z: float = CONFIDENCE_Z) -> NDArray[np.float64]:
    """Lower end of Wilson's score interval of a share counted among `count`."""
    middle = share + z**2 / (2 * count)
    spread = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return np.asarray((middle - spread) / (1 + z**2 / count))


def _round_down(score: float) -> float:
    return float(np.floor(score * 1e4) / 1e4)
