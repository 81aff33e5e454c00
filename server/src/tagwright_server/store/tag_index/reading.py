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

_NEXT = "SELECT MAX(number) FROM (SELECT number FROM image WHERE number > ? ORDER BY number LIMIT ?) AS following"
_PHOTOS = """
SELECT image.number, image.account_id, image.visibility, image.author, image.created, COALESCE(image.captured, -1),
CASE WHEN content.width > content.height THEN content.width ELSE content.height END, content.perceptual_hash,
CASE WHEN image.captured IS NULL THEN 0 ELSE 1 END
FROM image JOIN content ON content.number = image.content_id
"""
_TAGS = f"""
SELECT image_tag.image_id, image_tag.tag_id, image_tag.state, COALESCE(image_tag.position, {NO_POSITION}),
COALESCE(image_tag.score, {NO_SCORE}) FROM image_tag
"""
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """What searches ask of a photo beside its tags. Times are microseconds since 1970; `captured_us` None: not known.

    `side` is the longer side of what is kept, in pixels; `perceptual_hash` has 64 bits.
    """

    number: int
    owner_id: str
    shared: bool
    author: str
    created_us: int
    captured_us: int | None
    side: int
    perceptual_hash: int


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

    def photos(self, numbers: Sequence[int]) -> tuple[list[Photo], PhotoTags]:
        """Return those of the photos that are there, and their tags."""
        photos: list[Photo] = []
        tags: list[Row] = []
        with self._database.reading():
            for some in chunks(numbers):
                marks = ", ".join("?" * len(some))
                photos += map(_photo, self._database.select(f"{_PHOTOS} WHERE image.number IN ({marks})", some))
                tags += self._database.select(f"{_TAGS} WHERE image_tag.image_id IN ({marks})", some)
        return photos, _tags(tags)

    def all(self, *, at_a_time: int) -> Iterator[tuple[list[Photo], PhotoTags]]:
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
            yield list(map(_photo, photos)), _tags(tags)


def _photo(row: Row) -> Photo:
    number, owner_id, visibility, author, created, captured, side, perceptual_hash, known = row
    return Photo(
        number=number,
        owner_id=owner_id,
        shared=visibility == Visibility.SHARED.value,
        author=author,
        created_us=created,
        captured_us=captured if known else None,
        side=side,
        perceptual_hash=perceptual_hash & _MASK,  # signed as it is stored
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
