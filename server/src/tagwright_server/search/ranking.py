"""The order of results: the most likely first, then those whose owner typed the tag earlier, then the last stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagwright_server.search.matching import Some

_POSITION_BITS = 16
_MANY = 16_384  # keys, of which a sample tells which may be among the best
_SAMPLED = 4_096


@dataclass(frozen=True, slots=True)
class Place:
    """A result's place in the order: behind all with a smaller key, and of its own key those with greater numbers."""

    key: int
    number: int


def keys(found: Some, *, newest: bool) -> NDArray[np.uint64]:
    """Return keys uint64 [n], the smaller the better; all equal where the last stored are to come first.

    Scores, float32 and not negative, are in the order of their bits.
    """
    if newest:
        return np.zeros(len(found.slots), np.uint64)
    bits = ~np.ascontiguousarray(found.scores, np.float32).view(np.uint32)
    return (bits.astype(np.uint64) << np.uint64(_POSITION_BITS)) | found.positions.astype(np.uint64)


def best(
    keys: NDArray[np.uint64], numbers: NDArray[np.int64], *, count: int, after: Place | None = None
) -> NDArray[np.int64]:
    """Return where the best `count` are, in order, of those behind a place; `numbers` are the photos', int64 [n]."""
    places = np.arange(len(keys))
    if after is not None:
        key = np.uint64(after.key)
        places = np.flatnonzero((keys > key) | ((keys == key) & (numbers < after.number)))
        keys, numbers = keys[places], numbers[places]
    if len(keys) > _MANY:
        places, keys, numbers = _good(places, keys, numbers, count)
    if len(keys) > count:
        worst = np.partition(keys, count - 1)[count - 1]
        sure, equal = np.flatnonzero(keys < worst), np.flatnonzero(keys == worst)
        wanted = count - len(sure)
        if len(equal) > wanted:
            equal = equal[np.argpartition(-numbers[equal], wanted - 1)[:wanted]]
        some = np.concatenate([sure, equal])
        places, keys, numbers = places[some], keys[some], numbers[some]
    ordered: NDArray[np.int64] = places[np.lexsort((-numbers, keys))]
    return ordered


def _good(
    places: NDArray[np.int64], keys: NDArray[np.uint64], numbers: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]:
    """Leave out most that cannot be among the best, by the keys of a sample; what is left has enough in any case."""
    sample = np.sort(keys[:: len(keys) // _SAMPLED])
    bound = sample[min(len(sample) - 1, 2 + 4 * count * len(sample) // len(keys))]
    some = np.flatnonzero(keys <= bound)
    return (places[some], keys[some], numbers[some]) if len(some) >= count else (places, keys, numbers)


def nearness(similarities: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Return keys uint64 [n] of similarities, -1 to 1: the greater the similarity, the smaller the key."""
    distances = 2.0 - similarities.astype(np.float64)  # positive, so that the bits are in order
    return distances.view(np.uint64)
