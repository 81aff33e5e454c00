"""What the figures of refinement mean: concepts ranked for a photo, wrong tags found, missing labels added.

Plain numpy; truth is 0/1. A figure that does not exist is NaN. Average precision by concept is `metrics`'.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tagwright_training.metrics import RESAMPLES, Floats, Interval, Scores, Truth, average_precision, interval


def image_precisions(truth: Truth, scores: Scores) -> Floats:
    """Average precision of each photo's ranking of concepts, `[photos]` of `[photos, concepts]`; NaN where none holds.

    Concepts of equal score count as one step, so that a method that says nothing gains nothing by their order.
    """
    found = np.full(len(truth), np.nan)
    for row in np.flatnonzero(np.asarray(truth).any(axis=1)).tolist():
        found[row] = average_precision(truth[row], scores[row])
    return found


def mean_image_precision(precisions: Floats, *, none_is_zero: bool, seed: int = 1) -> Interval:
    """Mean of `image_precisions` (MiAP) with its bootstrap interval over photos.

    `none_is_zero` is the convention of Li et al. 2016, whose code counts a photo without any concept as 0; the other
    leaves such photos out, and is the higher the more of them there are.
    """
    values = np.nan_to_num(precisions) if none_is_zero else precisions[~np.isnan(precisions)]
    return mean_with_interval(values, seed=seed)


def mean_with_interval(values: Floats, *, seed: int = 1) -> Interval:
    """Mean over photos and its 95 % bootstrap interval."""
    if not len(values):
        return Interval(float("nan"), float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    samples = np.array([values[rng.integers(len(values), size=len(values))].mean() for _ in range(RESAMPLES)])
    return interval(float(values.mean()), samples)


def recall_at_precision(wrong: Truth, suspicion: Scores, precisions: Sequence[float]) -> list[float]:
    """The greatest share of wrong tags that are found where at least `precision` of what is found is wrong; 0: never.

    `wrong` and `suspicion` are `[tags]`; tags of equal suspicion are found together.
    """
    wrong = np.asarray(wrong) > 0
    order = np.argsort(-np.asarray(suspicion, np.float64), kind="stable")
    ranked = np.asarray(suspicion)[order]
    ends = np.r_[np.flatnonzero(np.diff(ranked)), len(ranked) - 1]
    hits = np.cumsum(wrong[order])[ends]
    share = hits / (ends + 1.0)
    recall = hits / max(1, int(wrong.sum()))
    return [float(recall[share >= least].max(initial=0.0)) for least in precisions]


def recall_intervals(
    wrong: Truth, suspicion: Scores, photos: NDArray[np.int64], precisions: Sequence[float], *, seed: int = 1
) -> list[Interval]:
    """`recall_at_precision` with bootstrap intervals over photos; `photos[i]` is the photo that tag i belongs to."""
    wrong, suspicion = np.asarray(wrong), np.asarray(suspicion)
    rng = np.random.default_rng(seed)
    groups, place = np.unique(photos, return_inverse=True)
    rows = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[rows], np.arange(len(groups) + 1))
    samples = np.empty((RESAMPLES, len(precisions)))
    for draw in range(RESAMPLES):
        drawn = rng.integers(len(groups), size=len(groups))
        tags = np.concatenate([rows[starts[group] : starts[group + 1]] for group in drawn.tolist()])
        samples[draw] = recall_at_precision(wrong[tags], suspicion[tags], precisions)
    values = recall_at_precision(wrong, suspicion, precisions)
    return [interval(value, samples[:, at]) for at, value in enumerate(values)]


def addition_precisions(truth: Truth, scores: Scores, given: Truth, counts: Sequence[int]) -> list[Floats]:
    """For each n of `counts`, the share of each photo's n best labels it was not given that hold, `[photos]`.

    All are `[photos, labels]`. Labels that the owner gave are left aside; a photo with fewer than n others counts with
    what it has, one with none is NaN.
    """
    ranked = np.where(np.asarray(given) > 0, -np.inf, np.asarray(scores, np.float64))
    order = np.argsort(-ranked, axis=1, kind="stable")
    holds = np.take_along_axis(np.asarray(truth) > 0, order, axis=1)
    there = np.isfinite(np.take_along_axis(ranked, order, axis=1))
    found = []
    for count in counts:
        said = there[:, :count].sum(axis=1)
        right = (holds[:, :count] & there[:, :count]).sum(axis=1)
        found.append(np.divide(right, said, out=np.full(len(said), np.nan), where=said > 0))
    return found


def roc_area(truth: Truth, scores: Scores) -> float:
    """Area under the ROC curve: how often one that holds scores more than one that does not, ties counted as half."""
    holds, score = np.asarray(truth) > 0, np.asarray(scores, np.float64)
    positives, negatives = int(holds.sum()), int((~holds).sum())
    if not positives or not negatives:
        return float("nan")
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # 1 for the lowest, the mean rank among equals
    return float((ranks[holds].sum() - positives * (positives + 1) / 2) / (positives * negatives))
