"""Photos as the database has them, for the tag index: in columns, since there are many tags of many photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagwright_server.store.chunks import chunks
from tagwright_server.store.database import Database, Row
from tagwright_server.store.image_records import Visibility
from tagwright_server.store.tag_codes import CONFIRMED, REJECTED
from tagwright_server.store.tag_index.postings import NO_POSITION, NO_SCORE, mark

NOT_KNOWN = -(1 << 63) + 1  # of moments; PostgreSQL reads the least number as the minus of one that is too great
_NEXT = "SELECT MAX(number) FROM (SELECT number FROM image WHERE number > ? ORDER BY number LIMIT ?) AS following"
_PHOTOS = f"""
SELECT image.number, image.account_id, image.visibility, image.author, image.created,
COALESCE(image.captured, {NOT_KNOWN}),
CASE WHEN content.width > content.height THEN content.width ELSE content.height END, content.perceptual_hash
FROM image JOIN content ON content.number = image.content_id
"""
_TAGS = f"""
SELECT image_tag.image_id, image_tag.tag_id, image_tag.state, COALESCE(image_tag.position, {NO_POSITION}),
COALESCE(image_tag.score, {NO_SCORE}) FROM image_tag
"""


@dataclass(frozen=True, slots=True, eq=False)
class PhotoFacts:
    """What searches ask of photos beside their tags, in columns [n]. Times are microseconds since 1970.

    `captured_us` is NOT_KNOWN where it is not; `sides` are the longer ones of what is kept, in pixels; `hashes` are
    perceptual.
    """

    numbers: NDArray[np.int64]
    owner_ids: Sequence[str]
    shared: NDArray[np.bool_]
    authors: Sequence[str]
    created_us: NDArray[np.int64]
    captured_us: NDArray[np.int64]
    sides: NDArray[np.int32]
    hashes: NDArray[np.uint64]

    def of(self, numbers: Sequence[int]) -> PhotoFacts:
        """Return those of some photos."""
        some = np.flatnonzero(np.isin(self.numbers, np.array(numbers, np.int64)))
        return PhotoFacts(
            self.numbers[some],
            [self.owner_ids[at] for at in some.tolist()],
            self.shared[some],
            [self.authors[at] for at in some.tolist()],
            self.created_us[some],
            self.captured_us[some],
            self.sides[some],
            self.hashes[some],
        )


@dataclass(frozen=True, slots=True, eq=False)
class PhotoTags:
    """Tags of photos, all of them in columns [m]: which photo's, which tag, score or NO_SCORE, what `mark` says.

    `rejected` are those of which a person said that they are wrong.
    """

    images: NDArray[np.int64]
    tags: NDArray[np.int64]
    scores: NDArray[np.float32]
    marks: NDArray[np.uint16]
    rejected: NDArray[np.bool_]

    def of(self, images: Sequence[int]) -> PhotoTags:
        """Return those of some photos."""
        some = np.isin(self.images, np.array(images, np.int64))
        return PhotoTags(self.images[some], self.tags[some], self.scores[some], self.marks[some], self.rejected[some])


class Reading:
    """Reads photos."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def photos(self, numbers: Sequence[int]) -> tuple[PhotoFacts, PhotoTags]:
        """Return those of the photos that are there, and their tags."""
        photos: list[Row] = []
        tags: list[Row] = []
        with self._database.reading():
            for some in chunks(numbers):
                marks = ", ".join("?" * len(some))
                photos += self._database.select(f"{_PHOTOS} WHERE image.number IN ({marks})", some)
                tags += self._database.select(f"{_TAGS} WHERE image_tag.image_id IN ({marks})", some)
        return _facts(photos), _tags(tags)

    def all(self, *, at_a_time: int) -> Iterator[tuple[PhotoFacts, PhotoTags]]:
        """Return all photos in the order of their numbers, some at a time, with their tags."""
        last = 0
        while True:
            with self._database.reading():
                [[following]] = self._database.select(_NEXT, [last, at_a_time])
                if following is None:
                    return
                between = [last, following]
                photos = self._database.select(
                    f"{_PHOTOS} WHERE image.number > ? AND image.number <= ? ORDER BY image.number", between
                )
                tags = self._database.select(
                    f"{_TAGS} WHERE image_tag.image_id > ? AND image_tag.image_id <= ?", between
                )
                last = following
            yield _facts(photos), _tags(tags)


def _facts(rows: Sequence[Row]) -> PhotoFacts:
    columns = zip(*rows, strict=True) if rows else [()] * 8
    numbers, owner_ids, visibilities, authors, created, captured, sides, hashes = columns
    return PhotoFacts(
        np.array(numbers, np.int64),
        owner_ids,
        np.array([each == Visibility.SHARED.value for each in visibilities], np.bool_),
        authors,
        np.array(created, np.int64),
        np.array(captured, np.int64),
        np.array(sides, np.int32),
        np.array(hashes, np.int64).view(np.uint64),  # signed as they are stored
    )


def _tags(rows: Sequence[Row]) -> PhotoTags:
    images, tags, states, positions, scores = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    confirmed = np.array(states, np.int64) == CONFIRMED
    marks = np.array(positions, np.uint16) | np.where(confirmed, mark(confirmed=True, position=0), 0).astype(np.uint16)
    return PhotoTags(
        np.array(images, np.int64),
        np.array(tags, np.int64),
        np.array(scores, np.float32),
        marks,
        np.array(states, np.int64) == REJECTED,
    )
