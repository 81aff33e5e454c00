"""What the figures mean: average precision, precision and recall, calibration error, bootstrap intervals.

Everything is plain numpy on `truth` (0/1) and `scores`, shape [photos] or [photos, labels]. Average precision is not
interpolated and is scikit-learn's `average_precision_score` to the last digits, ties included; the tests compare them.
A figure that does not exist (no photo holds the label) is NaN, never 0 and never 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Truth = NDArray[Any]
Scores = NDArray[Any]
Floats = NDArray[np.float64]

BINS = 15  # as in Guo et al. 2017
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95 % bootstrap interval over photos."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Decisions:
    """What came of saying yes from a threshold on; precision is NaN if nothing was said, recall if nothing holds."""

    said: int
    holds: int
    right: int

    @property
    def precision(self) -> float:
        """Share of what was said that holds."""
        return self.right / self.said if self.said else float("nan")

    @property
    def recall(self) -> float:
        """Share of what holds that was said."""
        return self.right / self.holds if self.holds else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of both; 0 where nothing was said or nothing holds, but not where neither is so."""
        return 2 * self.right / (self.said + self.holds) if self.said + self.holds else float("nan")


@dataclass(frozen=True, slots=True)
class Reliability:
    """Decisions by score, in equal-width bins of [0, 1]: how many, their mean score, and the share that holds."""

    counts: NDArray[np.int64]
    mean_score: Floats
    share: Floats

    def error(self) -> float:
        """Expected calibration error, sum over bins b of n_b / n * |share_b - mean score_b|.

        Naeini, Cooper and Hauskrecht 2015 in the binary form (share that holds against mean probability); with the bin
        count of Guo et al. 2017, whose equation 3 is the same sum over the top class alone.
        """
        filled = self.counts > 0
        gaps = np.abs(self.share[filled] - self.mean_score[filled])
        return float((self.counts[filled] * gaps).sum() / self.counts.sum())


def average_precision(truth: Truth, scores: Scores) -> float:
    """Sum over thresholds k of (R_k - R_{k-1}) P_k, not interpolated; photos of equal score count as one step."""
    recall, precision, _ = precision_recall(truth, scores)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def average_precisions(truth: Truth, scores: Scores) -> Floats:
    """Average precision of each label; shape [labels]."""
    return np.array([average_precision(truth[:, label], scores[:, label]) for label in range(truth.shape[1])])


def precision_recall(truth: Truth, scores: Scores) -> tuple[Floats, Floats, Floats]:
    """Recall (rising), precision and score at every distinct score, highest first. Recall is NaN if nothing holds."""
    order, ends = _ranks(scores)
    right = np.cumsum(truth[order] > 0)[ends]
    precision = right / (ends + 1.0)
    recall = right / right[-1] if len(right) and right[-1] else np.full(len(right), np.nan)
    return recall, precision, np.asarray(scores, np.float64)[order][ends]


def bootstrap(truth: Truth, scores: Scores, *, resamples: int = RESAMPLES, seed: int = 1) -> Floats:
    """Average precision of each label in `resamples` draws of the photos with replacement; shape [resamples, labels].

    A draw is a weight per photo (how often it was drawn), so that each label is sorted once. The same seed draws the
    same photos for every model: differences between models are paired.
    """
    photos, labels = truth.shape
    ranks = [_ranks(scores[:, label]) for label in range(labels)]
    rng = np.random.default_rng(seed)
    samples = np.empty((resamples, labels))
    for draw in range(resamples):
        weight = np.bincount(rng.integers(photos, size=photos), minlength=photos)
        for label, (order, ends) in enumerate(ranks):
            drawn = weight[order]
            said = np.cumsum(drawn)[ends]
            right = np.cumsum(drawn * (truth[order, label] > 0))[ends]
            precision = right / np.maximum(said, 1)
            total = right[-1]
            samples[draw, label] = (np.diff(right, prepend=0) * precision).sum() / total if total else np.nan
    return samples


def interval(value: float, samples: Floats) -> Interval:
    """The 2.5 and 97.5 percentiles of bootstrap samples of a figure; draws in which it does not exist are left out."""
    known = samples[~np.isnan(samples)]
    if not len(known):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.percentile(known, (2.5, 97.5))
    return Interval(value, float(low), float(high))


def mean_interval(values: Floats, samples: Floats) -> Interval:
    """The mean over labels and its interval; labels that no photo holds are left out of both."""
    known = ~np.isnan(values)
    if not known.any():
        return Interval(float("nan"), float("nan"), float("nan"))
    drawn = samples[:, known]
    # A rare label can be missing from a draw: that draw's mean is over the labels it has.
    return interval(float(values[known].mean()), np.nanmean(drawn[~np.isnan(drawn).all(axis=1)], axis=1))


def decide(truth: Truth, scores: Scores, thresholds: Sequence[float | None]) -> list[Decisions]:
    """What comes of saying each label from its threshold on (score >= threshold); None: the label is never said."""
    limits = np.array([np.inf if threshold is None else threshold for threshold in thresholds])
    said, holds = scores >= limits, truth > 0
    rights = said & holds
    return [Decisions(int(s), int(h), int(r)) for s, h, r in zip(said.sum(0), holds.sum(0), rights.sum(0), strict=True)]


def pool(decisions: Sequence[Decisions]) -> Decisions:
    """All labels' decisions as one ("micro")."""
    return Decisions(sum(d.said for d in decisions), sum(d.holds for d in decisions), sum(d.right for d in decisions))


def macro(figures: Sequence[float]) -> float:
    """Mean over labels, one that does not exist counted as 0, as scikit-learn does ("macro")."""
    return float(np.nan_to_num(np.array(figures, np.float64)).mean())


def reliability(truth: Truth, scores: Scores, *, bins: int = BINS) -> Reliability:
    """Sort decisions into bins (0, 1/bins], (1/bins, 2/bins], ...; a score of exactly 0 belongs to the first."""
    score, holds = np.asarray(scores, np.float64).ravel(), (np.asarray(truth) > 0).ravel()
    index = np.clip(np.ceil(score * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(index, minlength=bins)
    filled = np.maximum(counts, 1)
    mean_score = np.bincount(index, weights=score, minlength=bins) / filled
    share = np.bincount(index, weights=holds, minlength=bins) / filled
    return Reliability(counts, mean_score, share)


def _ranks(scores: Scores) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Photos by falling score, and the last place of each run of equal scores."""
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    ranked = np.asarray(scores)[order]
    return order, np.r_[np.flatnonzero(np.diff(ranked)), len(ranked) - 1]
