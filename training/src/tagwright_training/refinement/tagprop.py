"""TagProp: a vote of neighbours whose weights by rank are learnt, with a sigmoid for every tag.

Guillaumin et al., "TagProp: Discriminative Metric Learning in Nearest Neighbor Models for Image Auto-Annotation", ICCV
2009, the rank-based variant with word-specific logistic modulation (their equations 1, 2 and 6). Ranks are tied in
groups that grow with the rank: with a weight for each of 1,000 ranks it only learns noise (MAP .52 instead of .59).

Promises: deterministic; the log-likelihood never falls from one round to the next.
Never: sees an expert label; a photo is never its own neighbour while weights are learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagwright_training.refinement.baselines import nearest
from tagwright_training.refinement.corpus import Embedded

Array = NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fit:
    """Weights by group of ranks (>= 0, sum 1), each tag's slope and offset, log-likelihood after each round."""

    ranks: Floats
    slopes: Floats
    offsets: Floats
    likelihoods: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TagProp:
    """p(t | x) = sigmoid(a_t z_t + b_t), z_t = sum over the k nearest, in order, of pi_j [t in tags_j]."""

    k: int = 1000
    rounds: int = 30
    sample: int = 4000
    """Library photos to learn from at most, evenly spread: a few weights need no more."""
    name: str = "TagProp"

    def scores(self, library: Embedded, photos: Embedded, names: Sequence[str]) -> Array:
        """Probabilities, `[photos, names]`."""
        count = len(library.vectors)
        tags = library.tags.only(names).rows(0, count)
        learning = np.unique(np.linspace(0, count - 1, min(self.sample, count)).astype(np.int64))
        k = min(self.k, count - 1)
        groups = rank_groups(k)
        votes = np.empty((len(learning), len(names), len(groups)), np.float32)
        for start, stop, near in nearest(library.vectors, library.vectors[learning], k + 1):
            itself = near == learning[start:stop, None]
            itself[:, -1] |= ~itself.any(1)  # among many equal photos it may not be listed: then the last one goes
            votes[start:stop] = group_votes(tags, near[~itself].reshape(stop - start, k), groups)
        fit = fit_tagprop(votes, tags[learning], rounds=self.rounds)
        scores = np.empty((len(photos.vectors), len(names)), np.float32)
        for start, stop, near in nearest(library.vectors, photos.vectors, k):
            z = group_votes(tags, near, groups) @ fit.ranks
            scores[start:stop] = _sigmoid(z * fit.slopes + fit.offsets)
        return scores


def rank_groups(k: int) -> NDArray[np.int64]:
    """Where each group of ranks begins: 0, 1, 2, 3, ..., then wider by a third each."""
    starts = [0]
    while starts[-1] < k:
        starts.append(starts[-1] + max(1, starts[-1] // 3))
    return np.array(starts[:-1], np.int64)


def group_votes(tags: Array, near: NDArray[np.int64], groups: NDArray[np.int64]) -> Array:
    """The share of each group of neighbours that carries each tag, `[m, tags, groups]`; near is `[m, k]`."""
    sizes = np.diff(np.append(groups, near.shape[1]))
    sums = np.add.reduceat(tags[near], groups, axis=1) / sizes[None, :, None]
    return np.asarray(sums.transpose(0, 2, 1), np.float32)


def fit_tagprop(votes: Array, targets: Array, *, rounds: int) -> Fit:
    """Learn from what each photo's neighbours carry, `[n, tags, groups]`, and what it carries itself, `[n, tags]`.

    Each tag's positives weigh 1/n+ and its negatives 1/n-; in turn a Newton fit of the sigmoids and a projected
    gradient step of the rank weights, its length halved until the likelihood rises (Armijo).
    """
    positive = targets > 0
    held, lacking = np.maximum(positive.sum(0), 1), np.maximum((~positive).sum(0), 1)
    weight = np.where(positive, 1 / held, 1 / lacking)
    sign = np.where(positive, 1.0, -1.0)
    k = votes.shape[2]
    ranks = np.full(k, 1 / max(k, 1))
    z = votes @ ranks
    slopes, offsets = np.full(z.shape[1], 1.0), np.zeros(z.shape[1])
    likelihoods: list[float] = []
    step = 1.0
    for _ in range(rounds):
        now = _likelihood(z, sign, weight, slopes, offsets)
        refitted = _sigmoids(z, positive, weight, slopes, offsets)
        if (after := _likelihood(z, sign, weight, *refitted)) > now:  # Newton steps can overshoot
            (slopes, offsets), now = refitted, after
        pull = weight * sign * _sigmoid(-sign * (z * slopes + offsets)) * slopes  # d likelihood / d z
        gradient = np.tensordot(pull, votes, 2)
        scale = np.abs(gradient).max() + 1e-12
        while step > 1e-6:
            tried = project_to_simplex(ranks + step * gradient / scale)
            blended = votes @ tried
            if _likelihood(blended, sign, weight, slopes, offsets) >= now + 1e-4 * float(gradient @ (tried - ranks)):
                ranks, z = tried, blended
                break
            step /= 2
        likelihoods.append(_likelihood(z, sign, weight, slopes, offsets))
        step = max(2 * step, 1e-3)
    return Fit(ranks, slopes, offsets, tuple(likelihoods))


def project_to_simplex(point: Floats) -> Floats:
    """The nearest point with no negative part and sum 1 (Duchi et al. 2008)."""
    falling = -np.sort(-point)
    surplus = (np.cumsum(falling) - 1) / np.arange(1, len(point) + 1)
    last = np.flatnonzero(falling > surplus)[-1]
    return np.asarray(np.maximum(point - surplus[last], 0))


def _sigmoids(
    z: Floats, positive: NDArray[np.bool_], weight: Floats, slopes: Floats, offsets: Floats
) -> tuple[Floats, Floats]:
    """Weighted logistic regression on z alone, per tag; a little ridge keeps separable tags finite."""
    scale = z.std(0) + 1e-9
    unit = z / scale
    a, b = slopes * scale, offsets.copy()
    for _ in range(8):
        p = _sigmoid(unit * a + b)
        error = weight * (positive - p)
        spread = weight * p * (1 - p)
        ga, gb = (error * unit).sum(0) - 1e-3 * a, error.sum(0) - 1e-3 * b
        haa, hab, hbb = (spread * unit * unit).sum(0) + 1e-3, (spread * unit).sum(0), spread.sum(0) + 1e-3
        determinant = haa * hbb - hab**2
        a = np.clip(a + (hbb * ga - hab * gb) / determinant, -30, 30)
        b = np.clip(b + (haa * gb - hab * ga) / determinant, -30, 30)
    return a / scale, b


def _likelihood(z: Floats, sign: Floats, weight: Floats, slopes: Floats, offsets: Floats) -> float:
    losses = np.logaddexp(0, -sign * (z * slopes + offsets))
    return -float((weight * losses).sum())


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -60, 60))))
