"""What the figures of search mean: precision, NDCG and average precision of a result, and how varied it is.

Plain numpy. A result is photos' numbers in order; what it lacks to `count` places counts as wrong. A figure that does
not exist (no photo is relevant) is NaN, never 0 and never 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

COUNT = 20  # the first page, and MediaEval's official cut-off
LEAST_CLUSTER = 5  # photos: smaller patterns of labels join the nearest one

Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]


def precision_at(relevant: Bools, result: Rows, count: int = COUNT) -> float:
    """Share of the first `count` places that a relevant photo has; `relevant` bool [photos]."""
    return float(relevant[result[:count]].sum() / count)


def ndcg_at(relevant: Bools, result: Rows, count: int = COUNT) -> float:
    """DCG, sum of 1 / log2(place + 1) over relevant places, over that of the best result there could be.

    Järvelin and Kekäläinen 2002, relevance 0 or 1.
    """
    holds = int(relevant.sum())
    if not holds:
        return float("nan")
    gains = 1 / np.log2(np.arange(2, count + 2))
    hits = relevant[result[:count]]
    return float(gains[: len(hits)][hits].sum() / gains[: min(count, holds)].sum())


def average_precision_of(relevant: Bools, result: Rows) -> float:
    """Mean over all relevant photos of the precision at their places, 0 for those that are not in the result."""
    holds = int(relevant.sum())
    if not holds:
        return float("nan")
    hits = relevant[result]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].sum() / holds)


def clusters_of(others: Bools, least: int = LEAST_CLUSTER) -> Rows:
    """Return a cluster's number for each relevant photo, by the pattern of its other labels, bool [photos, labels].

    A proxy, since MIRFlickr has no clusters: patterns of fewer than `least` photos join the nearest pattern that has
    as many, by Hamming distance, of equally near ones that of most photos. Without any such pattern all are one.
    """
    patterns, which, counts = np.unique(others, axis=0, return_inverse=True, return_counts=True)
    which = which.reshape(-1)
    large = np.flatnonzero(counts >= least)
    if not len(large):
        return np.zeros(len(others), np.int64)
    apart = (patterns[:, None, :] != patterns[None, large, :]).sum(axis=2)
    order = np.lexsort((np.arange(len(large)), -counts[large]))  # the largest first, so that argmin prefers it
    joined = order[np.argmin(apart[:, order], axis=1)]
    found: Rows = joined[which].astype(np.int64)
    return found


def cluster_recall_at(clusters: Rows, relevant: Bools, result: Rows, count: int = COUNT) -> float:
    """Share of the clusters that relevant photos of the first `count` places belong to, of as many as there could be.

    `clusters` has a number for every photo, -1 for those that are not relevant; there could be `count` at most.
    """
    there = len(np.unique(clusters[relevant]))
    if not there:
        return float("nan")
    first = result[:count]
    return len(np.unique(clusters[first[relevant[first]]])) / min(count, there)


def distance_at(vectors: NDArray[np.float32], result: Rows, count: int = COUNT) -> float:
    """Mean of 1 - cosine over pairs of the first `count` photos; `vectors` [photos, D] of length 1."""
    rows = vectors[result[:count]]
    if len(rows) < 2:
        return float("nan")
    similar = rows @ rows.T
    pairs = len(rows) * (len(rows) - 1)
    return float(1 - (similar.sum() - np.trace(similar)) / pairs)


def mean(values: Sequence[float]) -> float:
    """The mean of the figures that exist."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
