"""Variety: an order in which each photo is relevant and unlike those before it.

Greedy selection by the utility of sMMR (Spyromitros-Xioufis et al., ICMR 2015), as MediaEval's entries use it:

    U(i | S) = w R(i) + (1 - w) min over j in S of d(i, j),    d(i, j) = 1 - exp(-|a_i - a_j|^2 / SPREAD)

where R is relevance and a what a photo looks like and which tags it has (`traits`). Classical MMR (Carbonell and
Goldstein, SIGIR 1998) is the same with 1 - cosine for d; that seeks what is farthest, oddities first, while here
photos that differ clearly count nearly alike, so that of several new motifs the most relevant one is next.
Near-duplicates and bursts are put together first, so that no page shows one motif twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SPREAD = 2.0  # squared distance at which photos are two thirds as unlike as can be: two tags apart
COMMON = 1 / 15  # of the pool, that have a tag: rarer ones tell of single photos, not of motifs
POOL = 300  # photos that are put in order: as many as MediaEval gives for a query; the contract says so (search.proto)
SAME_BITS = 3  # of 64 in which perceptual hashes differ at most, where photos look the same
BURST_S = 600.0  # between photos that one author took: the contract says so (search.proto)

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Variety:
    """How much relevance counts against variety (w), and how much look counts against tags in what makes photos unlike.

    Both 0 to 1, chosen on photos of the library; what they give is measured by `make evaluate-search`.
    """

    relevance: float = 0.98
    look: float = 0.3


def traits(vectors: Array, tag_scores: Array, *, look: float) -> Array:
    """Return rows [n, d] whose squared distances are `look` x that of looks + (1 - `look`) x that of tags' scores.

    `vectors` float32 [n, D], as directions; `tag_scores` float32 [n, T], of which the COMMON tags count.
    """
    common = np.count_nonzero(tag_scores, axis=0) >= max(2.0, COMMON * len(tag_scores))
    parts = [np.float32(look) ** 0.5 * _unit(vectors), np.float32(1 - look) ** 0.5 * tag_scores[:, common]]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def diversify(relevance: Array, rows: Array, *, count: int, weight: float) -> list[int]:
    """Return up to `count` places of candidates, in the order in which they are chosen.

    `relevance` float32 [n], 0 to 1, the greatest first; `rows` float32 [n, d] of `traits`; `weight` is w above. Of
    equal utilities the first candidate's wins, so that the same candidates always come out in the same order.
    """
    chosen: list[int] = []
    squares = np.square(rows).sum(axis=1)
    nearest = np.ones(len(relevance), np.float32)  # distance to the nearest chosen one; so far, none is
    left = np.ones(len(relevance), np.bool_)
    for _ in range(min(count, len(relevance))):
        utility = np.where(left, weight * relevance + (1 - weight) * nearest, -np.inf)
        best = int(np.argmax(utility))
        chosen.append(best)
        left[best] = False
        apart = np.maximum(squares + squares[best] - 2 * (rows @ rows[best]), 0)
        np.minimum(nearest, 1 - np.exp(-apart / SPREAD), out=nearest)
    return chosen


def put_together(hashes: NDArray[np.uint64], authors: NDArray[np.int32], captured_s: NDArray[np.float64]) -> list[int]:
    """Return for each candidate, the most relevant first, the place of the one that stands for it: mostly its own.

    Photos look the same whose perceptual hashes differ in SAME_BITS at most; a burst is what one author took within
    BURST_S of the one that stands for it. Not known: -1 of `authors`, NaN of `captured_s`.
    """
    same = _bits(hashes[:, None] ^ hashes[None, :]) <= SAME_BITS
    by_author = (authors[:, None] == authors[None, :]) & (authors[:, None] >= 0)
    same |= by_author & (np.abs(captured_s[:, None] - captured_s[None, :]) <= BURST_S)
    stands, behind = np.arange(len(hashes)), np.triu(same, 1)
    for place in np.flatnonzero(behind.any(axis=1)).tolist():
        if stands[place] == place:  # it stands for those behind it for whom nobody does
            rest = np.flatnonzero(behind[place])
            stands[rest[stands[rest] == rest]] = place
    found: list[int] = stands.tolist()
    return found


def _bits(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return how many bits of each are set: sums of pairs, of fours, of bytes."""
    by_two = numbers - ((numbers >> np.uint64(1)) & np.uint64(0x5555555555555555))
    by_four = (by_two & np.uint64(0x3333333333333333)) + ((by_two >> np.uint64(2)) & np.uint64(0x3333333333333333))
    by_byte = (by_four + (by_four >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    found: NDArray[np.uint64] = (by_byte * np.uint64(0x0101010101010101)) >> np.uint64(56)
    return found


def _unit(rows: Array) -> Array:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12), np.float32)
