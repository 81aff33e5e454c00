"""The commonest tags of a large result: exact, whatever tags there are, and given up when nobody waits."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tagwright_server.search import facets as module
from tagwright_server.search.facets import facets
from tagwright_server.store.tag_index import NO_POSITION, NOT_KNOWN, TaggedPhotos
from tagwright_server.store.tag_index.reading import PhotoFacts, PhotoTags

PHOTOS = 4_000


def library(tags_of: list[list[int]]) -> TaggedPhotos:
    """Photos with these tags."""
    count = len(tags_of)
    numbers = np.arange(1, count + 1)
    facts = PhotoFacts(
        numbers,
        ["ada"] * count,
        np.ones(count, np.bool_),
        [""] * count,
        np.zeros(count, np.int64),
        np.full(count, NOT_KNOWN),
        np.full(count, 100, np.int32),
        np.zeros(count, np.uint64),
    )
    tags = np.array([tag for mine in tags_of for tag in mine], np.int64)
    return TaggedPhotos.of(
        [
            (
                facts,
                PhotoTags(
                    np.repeat(numbers, [len(mine) for mine in tags_of]),
                    tags,
                    np.full(len(tags), 0.5, np.float32),
                    np.full(len(tags), NO_POSITION, np.uint16),
                    np.zeros(len(tags), np.bool_),
                ),
            )
        ]
    )


def commonest(tags_of: list[list[int]], slots: range, count: int) -> list[tuple[int, int]]:
    found = Counter(tag for slot in slots for tag in tags_of[slot])
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))[:count]


@pytest.fixture
def long_tail() -> list[list[int]]:
    """Every photo has a tag that no other has, and some of thirty that many have."""
    rng = np.random.default_rng(1)
    often = 1 / np.arange(2, 32)
    return [[1_000 + at, *(np.flatnonzero(rng.random(30) < often) + 1).tolist()] for at in range(PHOTOS)]


@pytest.mark.parametrize("count", [1, 7, 30, 100])
def test_a_result_counts_right_however_long_its_tail_is(
    monkeypatch: pytest.MonkeyPatch, long_tail: list[list[int]], count: int
) -> None:
    photos = library(long_tail)
    for few in (0, PHOTOS):  # by tags, and by photos
        monkeypatch.setattr(module, "_FEW", few)
        for slots in (range(PHOTOS), range(0, PHOTOS, 3), range(5)):
            some = np.array(slots, np.int32)
            assert facets(photos, some, photos.counts(None), count=count) == commonest(long_tail, slots, count)


def test_counting_ends_when_nobody_waits(monkeypatch: pytest.MonkeyPatch, long_tail: list[list[int]]) -> None:
    monkeypatch.setattr(module, "_FEW", 0)
    photos = library(long_tail)

    def hang_up() -> None:
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        facets(photos, np.arange(PHOTOS, dtype=np.int32), photos.counts(None), count=100, go_on=hang_up)
