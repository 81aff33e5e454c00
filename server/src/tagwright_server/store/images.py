"""Photos: one of each owner's for the same bytes that came, with what every account keeps counted along."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

import peewee

from tagwright_server.errors import NotFound
from tagwright_server.store import contents
from tagwright_server.store.changes import Changes
from tagwright_server.store.chunks import chunks
from tagwright_server.store.contents import BANDS, Contents
from tagwright_server.store.database import Database
from tagwright_server.store.image_filter import Cases, named, seen_by
from tagwright_server.store.image_records import Image, ImageFilter, Usage, Visibility
from tagwright_server.store.locks import kept
from tagwright_server.store.models import AccountRow, ContentRow, ImageRow, ModelRow, TimeField, UsageRow
from tagwright_server.store.text import need_storable, storable

_COLUMNS = (
    ImageRow.number,
    ImageRow.id,
    ImageRow.account,
    ImageRow.source_sha256,
    ImageRow.visibility,
    ImageRow.created,
    ImageRow.updated,
    ImageRow.captured,
    ImageRow.author,
    ImageRow.file_name,
    ModelRow.name,
    AccountRow.username,
    *contents.COLUMNS,
)
_ADD = """
INSERT INTO image
(id, account_id, source_sha256, content_id, visibility, created, updated, captured, model_id, author, file_name)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_COUNT_USAGE = """
INSERT INTO usage (account_id, photos, size_bytes) VALUES (?, ?, ?)
ON CONFLICT (account_id) DO UPDATE
SET photos = usage.photos + excluded.photos, size_bytes = usage.size_bytes + excluded.size_bytes
"""
_NUMBER_MAX = (1 << 63) - 1
_SAME_BAND_MAX = 2000  # hashes that are looked at for each quarter: flat pictures share theirs with thousands
_ALIKE_MAX = 1000  # contents that look the same, the newest ones: as many may be somebody else's
_DISTANCE_MAX = 3  # bits: with more, none of the four quarters need be equal


class Images(Contents):
    """The photos of a database. Inside transaction(), `find` and `get` also lock what they return until the end."""

    def __init__(self, database: Database, changes: Changes) -> None:
        super().__init__(database, changes)
        twin = (ImageRow.source_sha256 == b"") & (ImageRow.account == "")
        self._twin = database.lookup(ImageRow.select(ImageRow.number).where(twin))
        self._owner = database.lookup(_owners(""))
        self._found = database.lookup(_joined(ImageRow.select(*_COLUMNS).where(twin)))
        self._with_numbers = database.prepared_for_many(
            lambda numbers: _joined(ImageRow.select(*_COLUMNS).where(ImageRow.number.in_(numbers)))
        )
        alike = ImageRow.select(ImageRow.id, ImageRow.number, ImageRow.account, ImageRow.visibility)
        alike = alike.join(ContentRow).where(ContentRow.perceptual_hash == 0).order_by(ContentRow.number.desc())
        self._alike = database.prepared(alike.limit(_ALIKE_MAX))
        self._with_band = [
            database.prepared(
                ContentRow.select(ContentRow.perceptual_hash).distinct().where(column == 0).limit(_SAME_BAND_MAX)
            )
            for column in BANDS
        ]
        self._number = database.lookup(ImageRow.select(ImageRow.number).where(ImageRow.id == ""))

    def find(self, owner_id: str, source_sha256s: Sequence[bytes]) -> dict[bytes, Image]:
        """Return the photos of an account that came with these SHA-256."""
        with self._database.reading():
            if not self._database.locks_rows:  # one by one: each is quicker than a query is built for all
                rows = [self._found(sha256, owner_id) for sha256 in source_sha256s]
                return {image.source_sha256: image for row in rows if row for image in [_image(row)]}
            return {
                image.source_sha256: image
                for some in chunks(source_sha256s)
                for image in self._those((ImageRow.account == owner_id) & ImageRow.source_sha256.in_(some), lock=True)
            }

    def get(self, id: str, *, visible_to: str | None) -> Image | None:
        """Return the photo with that id if that account, or an administrator (None), sees it."""
        return self._visible([id], visible_to, lock=True).get(id)

    def many(self, ids: Sequence[str], *, visible_to: str | None) -> dict[str, Image]:
        """Return those of the photos that the account sees, by id."""
        return self._visible(ids, visible_to, lock=False)

    def numbered(self, numbers: Sequence[int], *, visible_to: str | None) -> dict[int, Image]:
        """Return those of the photos with some numbers that the account sees, by number."""
        with self._database.reading():
            found = map(_image, self._with_numbers(numbers))
        return {
            image.number: image
            for image in found
            if visible_to in (None, image.owner_id) or image.visibility is Visibility.SHARED
        }

    def hold_owner(self, owner_id: str) -> None:
        """Let no other transaction add photos of this account until this one ends; call inside transaction()."""
        self._database.lock(b"photos of " + owner_id.encode())

    def add(self, image: Image) -> Image | None:
        """Add a photo and return it as stored; None, and nothing is done, where the account has those bytes already.

        Hold its content. On PostgreSQL the photos of an account are added by one transaction at a time. Raises NotFound
        where the account is gone, ArgumentInvalid for a NUL in a text.
        """
        need_storable(image.author, field="author")
        need_storable(image.file_name, field="file_name")
        time = TimeField().db_value
        with self._database.transaction():
            self.hold_owner(image.owner_id)
            if self._twin(image.source_sha256, image.owner_id):
                return None
            owner = self._owner_of(image.owner_id)
            if owner is None:
                raise NotFound("There is no such account.")
            number, content = self._add_content(image.content)
            row = (
                image.id,
                image.owner_id,
                image.source_sha256,
                number,
                image.visibility.value,
                time(image.created),
                time(image.updated),
                time(image.captured),
                self._models.number(image.model_version),
                image.author,
                image.file_name,
            )
            self._database.change_many(_ADD, [row])
            self._count(image.owner_id, 1, content.size_bytes)
            [number] = self._number(image.id) or (0,)
            self._changes.photos([number])
        return replace(image, number=number, owner=owner[0], content=content)

    def update(
        self,
        id: str,
        *,
        visibility: Visibility | None = None,
        author: str | None = None,
        model_version: str | None = None,
        updated: datetime,
    ) -> Image:
        """Change what is given and return the photo as it is then; raise NotFound, ArgumentInvalid for a NUL."""
        with self._database.transaction():
            changes: dict[str, Any] = {"updated": updated}
            if visibility is not None:
                changes["visibility"] = visibility.value
            if author is not None:
                changes["author"] = need_storable(author, field="author")
            if model_version is not None:
                changes["model"] = self._models.number(model_version)
            if storable(id):
                self._database.change(ImageRow.update(**changes).where(ImageRow.id == id))
            image = self._need(id)
            if visibility is not None or author is not None:
                self._changes.photos([image.number])
        return image

    def delete(self, id: str) -> Image:
        """Delete a photo with its tags and return it; its content stays until it is dropped. Raise NotFound."""
        with self._database.transaction():
            image = self._need(id)
            self._database.change(ImageRow.delete().where(ImageRow.number == image.number))
            self._changes.photos([image.number])
            self._count(image.owner_id, -1, -image.content.size_bytes)
        return image

    def delete_of(self, owner_id: str, *, limit: int) -> int:
        """Delete up to `limit` photos of an account and return how many; their contents stay until they are dropped."""
        query = ImageRow.select(ImageRow.number, ContentRow.size_bytes).join(ContentRow)
        with self._database.transaction():
            self.hold_owner(owner_id)
            rows = self._database.rows(query.where(ImageRow.account == owner_id).limit(limit))
            for some in chunks([number for number, _ in rows]):
                self._database.change(ImageRow.delete().where(ImageRow.number.in_(some)))
                self._changes.photos(some)
            self._count(owner_id, -len(rows), -sum(size_bytes for _, size_bytes in rows))
        return len(rows)

    def page(self, filter: ImageFilter, *, before: int | None, limit: int) -> list[Image]:
        """Return up to `limit` photos, the last stored first, those with numbers below `before`."""
        below = _NUMBER_MAX if before is None else max(0, min(before, _NUMBER_MAX))
        with self._database.reading():
            cases = self._cases(filter)
            pages = [
                self._images(query.where(cases.number < below).order_by(cases.number.desc()).limit(limit))
                for query in cases.queries(*_COLUMNS)
            ]
        return _best(pages, limit, reverse=True)

    def following(self, filter: ImageFilter, *, after: int, last: int, limit: int) -> list[Image]:
        """Return up to `limit` photos, the first stored first, those with numbers above `after` and up to `last`."""
        with self._database.reading():
            cases = self._cases(filter)
            pages = [
                self._images(
                    query.where(cases.number > after, cases.number <= last).order_by(cases.number).limit(limit)
                )
                for query in cases.queries(*_COLUMNS)
            ]
        return _best(pages, limit, reverse=False)

    def count(self, filter: ImageFilter) -> int:
        """Return how many photos there are."""
        with self._database.reading():
            queries = self._cases(filter).queries(peewee.fn.COUNT(peewee.SQL("*")))
            return sum(self._database.rows(query)[0][0] for query in queries)

    def last_number(self) -> int:
        """Return the greatest number of a photo, 0 where there is none."""
        with self._database.reading():
            row = self._database.row(ImageRow.select(ImageRow.number).order_by(ImageRow.number.desc()))
        return row[0] if row else 0

    def near(
        self, perceptual_hash: int, *, distance: int = _DISTANCE_MAX, visible_to: str | None, limit: int = 20
    ) -> list[str]:
        """Return the ids of photos that look the same, the most alike first, then the last stored.

        Their hashes differ in at most `distance` bits, 3 at most. Of pictures that thousands look like, as flat ones
        do, it may miss some; it never takes long.
        """
        if not 0 <= distance <= _DISTANCE_MAX:
            raise ValueError("equal quarters find what differs in at most three bits")
        found: list[tuple[int, int, str]] = []
        with self._database.reading():
            for bits, stored in self._hashes_near(perceptual_hash, distance):
                for id, number, owner_id, visibility in self._alike(stored, _ALIKE_MAX):
                    if visible_to in (None, owner_id) or visibility == Visibility.SHARED.value:
                        found.append((bits, -number, id))
                if len(found) >= _ALIKE_MAX:
                    break
        return [id for _, _, id in sorted(found)[:limit]]

    def usage(self, owner_id: str) -> Usage:
        """Return what an account keeps."""
        query = UsageRow.select(UsageRow.photos, UsageRow.size_bytes).where(UsageRow.account == owner_id)
        with self._database.reading():
            row = self._database.row(query)
        return Usage(*row) if row else Usage(0, 0)

    def _cases(self, filter: ImageFilter) -> Cases:
        tag = self._database.row(named(filter.tag)) if filter.tag and storable(filter.tag) else None
        return Cases(filter, tag=tag[0] if tag else None)

    def _visible(self, ids: Sequence[str], visible_to: str | None, *, lock: bool) -> dict[str, Image]:
        usable = [id for id in ids if storable(id)]
        seen = seen_by(visible_to)
        with self._database.reading():
            return {
                image.id: image
                for some in chunks(usable)
                for image in self._those(
                    ImageRow.id.in_(some) if seen is None else ImageRow.id.in_(some) & seen, lock=lock
                )
            }

    def _those(self, which: Any, *, lock: bool) -> list[Image]:
        query = ImageRow.select(ImageRow.number).where(which).order_by(ImageRow.number)
        locked = self._database.locked(query)
        if lock and locked is not query:  # the photos alone: with a join it would lock their accounts and contents too
            numbers = [row[0] for row in self._database.rows(locked)]
            which = which & ImageRow.number.in_(numbers)
        return self._images(ImageRow.select(*_COLUMNS).where(which))

    def _images(self, query: Any) -> list[Image]:
        return [_image(row) for row in self._database.rows(_joined(query))]

    def _need(self, id: str) -> Image:
        image = self.get(id, visible_to=None)
        if image is None:
            raise NotFound("There is no such photo.")
        return image

    def _owner_of(self, id: str) -> Sequence[Any] | None:
        """Return the row of an account's name; it is not deleted until the transaction ends."""
        query = _owners(id)
        locked = kept(self._database, query)
        return self._owner(id) if locked is query else self._database.row(locked)

    def _count(self, owner_id: str, photos: int, size_bytes: int) -> None:
        self._database.change_many(_COUNT_USAGE, [(owner_id, photos, size_bytes)])

    def _hashes_near(self, perceptual_hash: int, distance: int) -> list[tuple[int, int]]:
        """Return the hashes, as stored, that differ in so many bits at most; in how many they do comes first."""
        found = {contents.signed(perceptual_hash)}  # looked for even where there are too many with an equal quarter
        for look, band in zip(self._with_band, contents.bands(perceptual_hash), strict=True):
            found |= {stored for [stored] in look(band, _SAME_BAND_MAX)}
        distances = (((contents.unsigned(stored) ^ perceptual_hash).bit_count(), stored) for stored in found)
        return sorted(near for near in distances if near[0] <= distance)


def _joined(query: Any) -> Any:
    # Outer joins, though each row is there: SQLite keeps their order, and so that of the photos without sorting.
    for table, joined in (
        (ModelRow, ImageRow.model == ModelRow.number),
        (AccountRow, ImageRow.account == AccountRow.id),
        (ContentRow, ImageRow.content == ContentRow.number),
    ):
        query = query.join_from(ImageRow, table, peewee.JOIN.LEFT_OUTER, on=joined)
    return query


def _owners(id: str) -> Any:
    return AccountRow.select(AccountRow.username).where(AccountRow.id == id)


def _image(row: Sequence[Any]) -> Image:
    return Image(
        number=row[0],
        id=row[1],
        owner_id=row[2],
        source_sha256=bytes(row[3]),
        visibility=Visibility(row[4]),
        created=row[5],
        updated=row[6],
        captured=row[7],
        author=row[8],
        file_name=row[9],
        model_version=row[10],
        owner=row[11],
        content=contents.content(row[12:]),
    )


def _best(pages: Iterable[list[Image]], limit: int, *, reverse: bool) -> list[Image]:
    merged = heapq.merge(*pages, key=lambda image: image.number, reverse=reverse)
    once = {image.number: image for image in merged}  # one that was shared between two queries is in two cases
    return list(islice(once.values(), limit))
