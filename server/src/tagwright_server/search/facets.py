"""How many photos of a result have each tag: of the commonest exactly, without going through all tags of all photos."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray

from tagwright_server.store.tag_index import TaggedPhotos

_AT_A_TIME = 1_000  # tags between two looks at the time
_FEW = 20_000  # photos whose tags are counted one by one, in a few milliseconds

Slots = NDArray[np.int32]


def facets(
    photos: TaggedPhotos,
    slots: Slots,
    totals: NDArray[np.int64],
    *,
    count: int,
    but: Collection[int] = (),
    go_on: Callable[[], object] = lambda: None,
) -> list[tuple[int, int]]:
    """Return the `count` commonest tags of photos, by number, with how many have each; of equals the older tag first.

    `totals` by tag are of photos of which these are some; tags in `but` are left out. `go_on` is called now and then,
    and raises where nobody waits any more.
    """
    if len(slots) <= _FEW:
        return _commonest(tag_counts(photos, slots), count, but)
    has = np.zeros(photos.end, np.bool_)
    has[slots] = True
    common = photos.bits.together(has)
    found = [
        (both, -tag) for tag, both in zip(photos.bits.tags, common.tolist(), strict=True) if both and tag not in but
    ]
    best = heapq.nlargest(count, found)[::-1]  # the least first, as a heap has it
    left_out = frozenset(but).union(photos.bits.tags)
    for done, tag in enumerate(np.argsort(-totals, kind="stable").tolist()):
        if totals[tag] < max(1, best[0][0] if len(best) == count else 1):
            break  # nor is any of the rest commoner here than it is in all
        if done % _AT_A_TIME == 0:
            go_on()
        if tag not in left_out and (both := together(photos, has, tag)):
            (heapq.heappushpop if len(best) == count else heapq.heappush)(best, (both, -tag))
    return [(-tag, both) for both, tag in sorted(best, reverse=True)]


def tag_counts(photos: TaggedPhotos, slots: Slots) -> NDArray[np.int64]:
    """Return by tag how many of some photos have it."""
    tags, _, _ = photos.tags_of(slots)
    return np.bincount(tags).astype(np.int64)


def together(photos: TaggedPhotos, has: NDArray[np.bool_], tag: int) -> int:
    """Return how many photos have a tag, of those that `has` says by slot."""
    return int(np.count_nonzero(has[photos.postings.of(tag).slots]))


def _commonest(counts: NDArray[np.int64], count: int, but: Collection[int]) -> list[tuple[int, int]]:
    there = np.flatnonzero(counts)
    there = there[~np.isin(there, list(but))]
    best = there[np.lexsort((there, -counts[there]))[:count]]
    return list(zip(best.tolist(), counts[best].tolist(), strict=True))
