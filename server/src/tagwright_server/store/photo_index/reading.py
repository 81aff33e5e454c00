"""Photos as the database has them, for an index to take in; no more is read of them than it needs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagwright_server.store.chunks import chunks
from tagwright_server.store.database import Database, Row
from tagwright_server.store.image_records import TagSource, Visibility
from tagwright_server.store.tag_codes import CONFIRMED, REJECTED, SOURCES

_log = logging.getLogger(__name__)

_SHORTEST = 1e-12  # a vector of zeros stays one
_NEXT = "SELECT MAX(number) FROM (SELECT number FROM image WHERE number > ? ORDER BY number LIMIT ?) AS following"
_COUNT = """
SELECT COUNT(*) FROM image JOIN embedding ON embedding.content_id = image.content_id AND embedding.model_id = ?
"""
_PHOTOS = """
SELECT image.number, image.id, image.account_id, image.visibility, image.author, embedding.vector
FROM image JOIN embedding ON embedding.content_id = image.content_id AND embedding.model_id = ?
"""
_TAGS = f"""
SELECT image_tag.image_id, image_tag.position, tag.name FROM image_tag JOIN tag ON tag.number = image_tag.tag_id
WHERE image_tag.state <> {REJECTED} AND
(image_tag.state = {CONFIRMED} OR image_tag.source = {SOURCES[TagSource.USER]}
OR (image_tag.source = {SOURCES[TagSource.IMPORT]} AND image_tag.position IS NOT NULL))
"""


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """A photo of the database; `vector` is float16 [D], of length 1."""

    number: int
    id: str
    owner_id: str
    shared: bool
    author: str
    tags: tuple[str, ...]
    vector: NDArray[np.float16]


class Reading:
    """Reads photos that a model has looked at, `name@version`; its embeddings have `size` numbers."""

    def __init__(self, database: Database, model_version: str, size: int) -> None:
        self._database = database
        self._model_version = model_version
        self._size = size
        self._model: int | None = None

    def photos(self, numbers: Sequence[int]) -> list[State]:
        """Return those of the photos that are there and that the model has looked at."""
        found: list[State] = []
        with self._database.reading():
            if (model := self._model_number()) is None:
                return []
            for some in chunks(numbers):
                marks = ", ".join("?" * len(some))
                rows = self._database.select(f"{_PHOTOS} WHERE image.number IN ({marks})", [model, *some])
                tags = self._database.select(f"{_TAGS} AND image_tag.image_id IN ({marks})", some)
                found += self._states(rows, tags)
        return found

    def all(self, *, at_a_time: int) -> Iterator[list[State]]:
        """Return all photos that the model has looked at, in the order of their numbers, some at a time."""
        last = 0
        while True:
            with self._database.reading():
                [[following]] = self._database.select(_NEXT, [last, at_a_time])
                if following is None or (model := self._model_number()) is None:
                    return
                between = [last, following]
                rows = self._database.select(
                    f"{_PHOTOS} WHERE image.number > ? AND image.number <= ?", [model, *between]
                )
                tags = self._database.select(f"{_TAGS} AND image_tag.image_id > ? AND image_tag.image_id <= ?", between)
                last = following
            yield self._states(rows, tags)

    def count(self) -> int:
        """Return how many photos the model has looked at."""
        with self._database.reading():
            model = self._model_number()
            return 0 if model is None else int(self._database.select(_COUNT, [model])[0][0])

    def _model_number(self) -> int | None:
        if self._model is None:
            rows = self._database.select("SELECT number FROM model WHERE name = ?", [self._model_version])
            self._model = rows[0][0] if rows else None
        return self._model

    def _states(self, rows: Sequence[Row], tags: Sequence[Row]) -> list[State]:
        names: dict[int, list[tuple[bool, int, str]]] = {}
        for image, position, name in tags:
            names.setdefault(image, []).append((position is None, position or 0, name))
        vectors = [bytes(row[-1]) for row in rows]
        usable = [len(vector) == 2 * self._size for vector in vectors]
        if not all(usable):
            _log.warning("embeddings of %s that do not have %d numbers are left out", self._model_version, self._size)
            rows = [row for row, fits in zip(rows, usable, strict=True) if fits]
            vectors = [vector for vector, fits in zip(vectors, usable, strict=True) if fits]
        units = unit(np.frombuffer(b"".join(vectors), "<f2").reshape(len(rows), self._size))
        return [
            State(
                number=number,
                id=id,
                owner_id=owner,
                shared=visibility == Visibility.SHARED.value,
                author=author,
                tags=tuple(name for _, _, name in sorted(names.get(number, ()))),
                vector=vector,
            )
            for (number, id, owner, visibility, author, _), vector in zip(rows, units, strict=True)
        ]


def unit(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float16]:
    """Return vectors [n, D] as float16 of length 1; what is no number counts as 0."""
    finite = np.nan_to_num(vectors.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    lengths = np.linalg.norm(finite, axis=1, keepdims=True)
    found: NDArray[np.float16] = (finite / np.maximum(lengths, _SHORTEST)).astype(np.float16)
    return found
