"""Variety: an order in which each photo is relevant and unlike those before it.

Greedy selection by the utility of sMMR (Spyromitros-Xioufis et al., ICMR 2015), as MediaEval's entries use it:

    U(i | S) = w R(i) + (1 - w) min over j in S of d(i, j)

where R is relevance and d a distance; with the greatest similarity in place of the least distance it is classical MMR
(Carbonell and Goldstein, SIGIR 1998), and for d = 1 - cosine the two are the same. Near-duplicates and bursts are put
together first, so that no page shows one motif twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

POOL = 300  # photos that are put in order: as many as MediaEval gives for a query; the contract says so (search.proto)
SAME_BITS = 3  # of 64 in which perceptual hashes differ at most, where photos look the same
BURST_US = 10 * 60 * 1_000_000  # between photos that one author took: the contract says so (search.proto)

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Variety:
    """How much relevance counts against variety (w), and how much look counts against tags in what makes photos unlike.

    Both 0 to 1, fitted on photos of the library (`make evaluate-search`).
    """

    relevance: float = 0.7
    look: float = 0.5


def traits(vectors: Array, tag_scores: Array, *, look: float) -> Array:
    """Return rows whose inner products are `look` x the cosine of looks + (1 - `look`) x that of tags' scores.

    `vectors` float32 [n, D], `tag_scores` float32 [n, T]; a row of zeros is unlike everything.
    """
    parts = [np.sqrt(share) * _unit(rows) for rows, share in ((vectors, look), (tag_scores, 1 - look))]
    return np.concatenate(parts, axis=1)


def diversify(relevance: Array, rows: Array, *, count: int, weight: float) -> list[int]:
    """Return up to `count` places of candidates, in the order in which they are chosen.

    `relevance` float32 [n], 0 to 1, the greatest first; `rows` float32 [n, d] of `traits`; `weight` is w above. Of
    equal utilities the first candidate's wins, so that the same candidates always come out in the same order.
    """
    chosen: list[int] = []
    nearest = np.ones(len(relevance), np.float32)  # distance to the nearest chosen one; so far, none is
    left = np.ones(len(relevance), np.bool_)
    for _ in range(min(count, len(relevance))):
        utility = np.where(left, weight * relevance + (1 - weight) * nearest, -np.inf)
        best = int(np.argmax(utility))
        chosen.append(best)
        left[best] = False
        np.minimum(nearest, 1 - rows @ rows[best], out=nearest)
    return chosen


def put_together(hashes: NDArray[np.uint64], authors: Sequence[int], captured_us: NDArray[np.int64]) -> list[int]:
    """Return for each candidate, the most relevant first, the place of the one that stands for it: mostly its own.

    Photos look the same whose perceptual hashes differ in SAME_BITS at most; a burst is what one author took within
    BURST_US of the one that stands for it. `authors`: a number each, -1 where it is not known; so for `captured_us`.
    """
    stands: list[int] = []
    for place in range(len(hashes)):
        first = np.array([at for at in range(place) if stands[at] == at], np.int64)
        same = _bits(hashes[first] ^ hashes[place]) <= SAME_BITS
        if authors[place] >= 0 and captured_us[place] >= 0:
            by_author = np.array([authors[at] == authors[place] for at in first.tolist()], np.bool_)
            known = captured_us[first] >= 0
            near = np.abs(captured_us[first] - captured_us[place]) <= BURST_US
            same |= by_author & known & near
        found = first[same]
        stands.append(int(found[0]) if len(found) else place)
    return stands


def _bits(numbers: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return how many bits of each are set."""
    found: NDArray[np.int64] = np.unpackbits(numbers.view(np.uint8).reshape(len(numbers), -1), axis=1).sum(axis=1)
    return found


def _unit(rows: Array) -> Array:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12), np.float32)
