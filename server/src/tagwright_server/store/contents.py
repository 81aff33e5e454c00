"""The bytes of photos, by their SHA-256: what they are, what models made of them, and which no photo uses any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import peewee

from tagwright_server.errors import NotFound
from tagwright_server.store.changes import Changes
from tagwright_server.store.chunks import chunks
from tagwright_server.store.database import Database
from tagwright_server.store.image_records import Content
from tagwright_server.store.model_names import ModelNames
from tagwright_server.store.models import ContentRow, EmbeddingRow, ImageRow, ModelRow

COLUMNS = (
    ContentRow.sha256,
    ContentRow.size_bytes,
    ContentRow.format,
    ContentRow.width,
    ContentRow.height,
    ContentRow.perceptual_hash,
)
BANDS = (ContentRow.band_0, ContentRow.band_1, ContentRow.band_2, ContentRow.band_3)
_BITS = 64
_ADD = """
INSERT INTO content
(sha256, size_bytes, format, width, height, perceptual_hash, band_0, band_1, band_2, band_3)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (sha256) DO NOTHING
"""
_PUT_EMBEDDING = """
INSERT INTO embedding (content_id, model_id, vector) VALUES (?, ?, ?)
ON CONFLICT (content_id, model_id) DO UPDATE SET vector = excluded.vector
"""


def signed(perceptual_hash: int) -> int:
    """Return the number with the same 64 bits that a database can keep; raise ValueError where it has more."""
    if not 0 <= perceptual_hash < 1 << _BITS:
        raise ValueError("a perceptual hash has 64 bits, unsigned")
    return perceptual_hash - (1 << _BITS if perceptual_hash >> (_BITS - 1) else 0)


def unsigned(stored: int) -> int:
    """Return the perceptual hash that `signed` made into a number."""
    return stored % (1 << _BITS)


def bands(perceptual_hash: int) -> tuple[int, int, int, int]:
    """Return its four quarters, the lowest first: two hashes that differ in three bits at most have one in common."""
    a, b, c, d = ((perceptual_hash >> shift) & 0xFFFF for shift in (0, 16, 32, 48))
    return a, b, c, d


def content(row: Sequence[Any]) -> Content:
    """Make a content of COLUMNS."""
    return Content(bytes(row[0]), row[1], row[2], row[3], row[4], unsigned(row[5]))


class Contents:
    """The contents of a database."""

    def __init__(self, database: Database, changes: Changes) -> None:
        self._database = database
        self._changes = changes
        self._models = ModelNames(database)
        same = ContentRow.sha256 == b""
        self._content_by_sha256 = database.lookup(ContentRow.select(*COLUMNS, ContentRow.number).where(same))

    def hold_content(self, sha256: bytes) -> None:
        """Let no other transaction hold this content until this one ends; call inside transaction().

        Who adds a photo, and who removes what no photo uses, holds its content first. Those who hold several do so in
        one order, and before anything else, so that two cannot wait for each other.
        """
        self._database.lock(b"content " + sha256)

    def content(self, sha256: bytes) -> Content | None:
        """Return the content with that SHA-256."""
        with self._database.reading():
            row = self._content_by_sha256(sha256)
        return content(row) if row else None

    def contents(self, *, after: bytes | None, limit: int) -> list[Content]:
        """Return up to `limit` contents in the order of their SHA-256, those after `after`."""
        query = ContentRow.select(*COLUMNS).order_by(ContentRow.sha256).limit(limit)
        if after is not None:
            query = query.where(ContentRow.sha256 > after)
        with self._database.reading():
            return [content(row) for row in self._database.rows(query)]

    def contents_known(self, sha256s: Sequence[bytes]) -> set[bytes]:
        """Return those for which there is a content."""
        with self._database.reading():
            return {
                bytes(row[0])
                for some in chunks(sha256s)
                for row in self._database.rows(ContentRow.select(ContentRow.sha256).where(ContentRow.sha256.in_(some)))
            }

    def unused_contents(self, *, limit: int) -> list[bytes]:
        """Return up to `limit` contents that no photo uses."""
        query = ContentRow.select(ContentRow.sha256).where(_unused()).limit(limit)
        with self._database.reading():
            return [bytes(row[0]) for row in self._database.rows(query)]

    def drop_content(self, sha256: bytes) -> bool:
        """Remove a content unless a photo uses it; return whether it is gone. Call inside transaction(), holding it."""
        self._database.change(ContentRow.delete().where(ContentRow.sha256 == sha256, _unused()))
        return self._content_by_sha256(sha256) is None

    def put_embedding(self, sha256: bytes, model_version: str, vector: bytes) -> None:
        """Keep what a model made of a content, in place of what it had made; raise NotFound."""
        with self._database.transaction():
            row = self._content_by_sha256(sha256)
            if row is None:
                raise NotFound("There is no such content.")
            self._database.change_many(_PUT_EMBEDDING, [(row[-1], self._models.number(model_version), vector)])
            self._changes.content(row[-1])

    def embeddings(self, sha256s: Sequence[bytes], model_version: str) -> dict[bytes, bytes]:
        """Return what a model made of those of the contents that it has seen."""
        query = EmbeddingRow.select(ContentRow.sha256, EmbeddingRow.vector).join(ContentRow)
        query = query.join(ModelRow, on=(EmbeddingRow.model == ModelRow.number)).where(ModelRow.name == model_version)
        with self._database.reading():
            return {
                bytes(sha256): bytes(vector)
                for some in chunks(sha256s)
                for sha256, vector in self._database.rows(query.where(ContentRow.sha256.in_(some)))
            }

    def _add_content(self, new: Content) -> tuple[int, Content]:
        # One that is there stays as it is: the same bytes look the same.
        described = (new.sha256, new.size_bytes, new.format, new.width, new.height, signed(new.perceptual_hash))
        self._database.change_many(_ADD, [(*described, *bands(new.perceptual_hash))])
        row = self._content_by_sha256(new.sha256)
        if row is None:
            raise RuntimeError("a content was dropped by somebody who did not hold it")
        return row[-1], content(row)


def _unused() -> Any:
    return ~peewee.fn.EXISTS(ImageRow.select(ImageRow.number).where(ImageRow.content == ContentRow.number))
