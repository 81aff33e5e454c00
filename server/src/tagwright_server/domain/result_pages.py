"""A whole result, and one page of it: in the order of its keys, or varied.

A page begins behind a place that says which photo came last, so that what is stored, changed or deleted meanwhile moves
nothing else; photos that are newer than the first page are in none.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagwright_server.errors import ArgumentInvalid
from tagwright_server.search.diversity import POOL, Variety, diversify, put_together, traits
from tagwright_server.search.ranking import Place, best
from tagwright_server.store.photo_index import PhotoIndex
from tagwright_server.store.tag_index import NO_SCORE, NOT_KNOWN, UNJUDGED, TaggedPhotos

_VARIETY = Variety()


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: behind a place in the order, or behind so many of the pool; photos up to a number."""

    up_to: int | None = None
    behind: Place | None = None
    pooled: int = 0

    @classmethod
    def of(cls, text: str | None) -> Cursor:
        """Read what `str()` of one made; None: the beginning. Raises ArgumentInvalid."""
        if text is None:
            return cls()
        try:
            up_to, pooled, key, number = (int(part) for part in text.split(" "))
        except ValueError as err:
            raise _no_place() from err
        if not (0 <= up_to < 1 << 63 and 0 <= pooled <= POOL and 0 <= key < 1 << 64 and 0 <= number < 1 << 63):
            raise _no_place()
        return cls(up_to, Place(key, number) if number else None, pooled)

    def __str__(self) -> str:
        behind = self.behind or Place(0, 0)  # no photo has the number 0
        return f"{self.up_to or 0} {self.pooled} {behind.key} {behind.number}"


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """A whole result: numbers int64 [n], keys uint64 [n], scores float32 [n], slots int32 [n] of the tag index."""

    numbers: NDArray[np.int64]
    keys: NDArray[np.uint64]
    scores: NDArray[np.float32]
    slots: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Row:
    """One result before the photo itself is read: its number, its score, where it stands, and who stands behind it."""

    number: int
    score: float
    place: Cursor
    collapsed: tuple[int, ...] = ()


def in_order(ranked: Ranked, cursor: Cursor, *, limit: int) -> list[Row]:
    """Return the `limit` results behind a place, in the order of their keys."""
    places = best(ranked.keys, ranked.numbers, count=limit, after=cursor.behind)
    return [_row(ranked, place, cursor.up_to, pooled=cursor.pooled) for place in places.tolist()]


def varied(
    photos: TaggedPhotos, looks: PhotoIndex, ranked: Ranked, cursor: Cursor, *, limit: int, but: Collection[int]
) -> list[Row]:
    """Return the `limit` results behind a place: those of the pool varied, and then the others in order.

    Tags in `but`, those of the query, make no photos alike: they all have them.
    """
    pool = best(ranked.keys, ranked.numbers, count=POOL)
    rows: list[Row] = []
    if cursor.behind is None and len(pool):
        rows = _pool(photos, looks, ranked, pool, cursor, limit=limit, but=but)
        if len(rows) == limit:
            return rows
        last = int(pool[-1])
        cursor = Cursor(cursor.up_to, Place(int(ranked.keys[last]), int(ranked.numbers[last])), POOL)
    return rows + in_order(ranked, cursor, limit=limit - len(rows))


def _pool(
    photos: TaggedPhotos,
    looks: PhotoIndex,
    ranked: Ranked,
    pool: NDArray[np.int64],
    cursor: Cursor,
    *,
    limit: int,
    but: Collection[int],
) -> list[Row]:
    slots = ranked.slots[pool]
    captured_us = photos.captured_us[slots]
    captured_s = np.where(captured_us == NOT_KNOWN, np.nan, captured_us / 1e6)
    stands = put_together(photos.hashes[slots], photos.author[slots], captured_s)
    behind: dict[int, list[int]] = {}
    for place, first in enumerate(stands):
        if first != place:
            behind.setdefault(first, []).append(int(ranked.numbers[pool[place]]))
    firsts = [place for place, first in enumerate(stands) if first == place]
    candidates = pool[firsts]
    rows = traits(
        _looks(looks, ranked.numbers[candidates]), _tag_scores(photos, slots[firsts], but), look=_VARIETY.look
    )
    order = diversify(ranked.scores[candidates], rows, count=cursor.pooled + limit, weight=_VARIETY.relevance)
    return [
        Row(
            int(ranked.numbers[candidates[chosen]]),
            float(ranked.scores[candidates[chosen]]),
            Cursor(cursor.up_to, pooled=at + 1),
            tuple(behind.get(firsts[chosen], ())),
        )
        for at, chosen in enumerate(order)
        if at >= cursor.pooled
    ]


def _looks(looks: PhotoIndex, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the photos' vectors [n, D], zeros where the model has not looked."""
    known, vectors = looks.vectors(numbers)
    found = np.zeros((len(numbers), vectors.shape[1]), np.float32)
    order = np.argsort(numbers)
    found[order[np.searchsorted(numbers, known, sorter=order)]] = vectors
    return found


def _tag_scores(photos: TaggedPhotos, slots: NDArray[np.int32], but: Collection[int]) -> NDArray[np.float32]:
    """Return the scores of the photos' tags, float32 [n, T]."""
    tags, scores, lengths = photos.tags_of(slots)
    photo = np.repeat(np.arange(len(slots)), lengths)
    kept = ~np.isin(tags, list(but))
    columns, column = np.unique(tags[kept], return_inverse=True)
    found = np.zeros((len(slots), max(1, len(columns))), np.float32)
    found[photo[kept], column] = np.where(scores[kept] == NO_SCORE, UNJUDGED, scores[kept])
    return found


def _row(ranked: Ranked, place: int, up_to: int | None, *, pooled: int) -> Row:
    number = int(ranked.numbers[place])
    behind = Place(int(ranked.keys[place]), number)
    return Row(number, float(ranked.scores[place]), Cursor(up_to, behind, pooled))


def _no_place() -> ArgumentInvalid:
    return ArgumentInvalid("is not a token of this list; begin again without one", field="page_token")
