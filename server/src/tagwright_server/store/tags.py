"""Tags of photos, and tags by themselves. Names come lower case, and one form of each; aliases mean their tag."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from tagwright_server.store.changes import Changes
from tagwright_server.store.chunks import chunks
from tagwright_server.store.database import Database, Row
from tagwright_server.store.image_records import ImageTag
from tagwright_server.store.model_names import ModelNames
from tagwright_server.store.models import ImageTagRow, TagRow
from tagwright_server.store.tag_codes import SOURCE_OF, SOURCES, STATE_OF, STATES
from tagwright_server.store.tag_names import known_numbers, resolved, tag_numbers
from tagwright_server.store.tag_rules import TagRules
from tagwright_server.store.text import storable

_COLUMNS = (
    ImageTagRow.image,
    ImageTagRow.state,
    ImageTagRow.score,
    ImageTagRow.position,
    TagRow.name,
    ImageTagRow.source,
    ImageTagRow.model,
)
_PUT = """
INSERT INTO image_tag (image_id, tag_id, state, source, score, model_id, position) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (image_id, tag_id) DO UPDATE SET state = excluded.state, source = excluded.source,
score = excluded.score, model_id = excluded.model_id, position = excluded.position
"""
_SOME = """
SELECT image_tag.image_id, image_tag.state, image_tag.score, image_tag.position, tag.name, image_tag.source,
image_tag.model_id FROM image_tag JOIN tag ON tag.number = image_tag.tag_id
"""
_REMOVE = "DELETE FROM image_tag WHERE image_id = ? AND tag_id = ?"

Change = tuple[int, Sequence[ImageTag], Sequence[str]]


class Tags(TagRules):
    """The tags of a database."""

    def __init__(self, database: Database, changes: Changes) -> None:
        super().__init__(database, changes)
        self._models = ModelNames(database)
        self._of = database.prepared_for_many(
            lambda images: (
                ImageTagRow.select(*_COLUMNS)
                .join(TagRow, on=(ImageTagRow.tag == TagRow.number))
                .where(ImageTagRow.image.in_(images))
            )
        )

    def of(self, images: Sequence[int], *, only: Sequence[int] | None = None) -> dict[int, tuple[ImageTag, ...]]:
        """Return the tags of photos, by the photos' numbers; those without any are left out.

        `only` are the numbers of the tags that are wanted, None: all. Confirmed ones come first, then suggested, then
        rejected; the best score first, none last; then as typed.
        """
        found: dict[int, list[Sequence[Any]]] = {}
        with self._database.reading():
            models = self._models.names()
            for row in self._of(images) if only is None else self._some_of(images, only):
                found.setdefault(row[0], []).append(row)
        return {
            image: tuple(
                ImageTag(name, STATE_OF[state], SOURCE_OF[source], score, models.get(model, ""), position)
                for _, state, score, position, name, source, model in sorted(rows, key=_order)
            )
            for image, rows in found.items()
        }

    def _some_of(self, images: Sequence[int], tags: Sequence[int]) -> Iterator[Row]:
        marks = ", ".join("?" * len(tags))
        for some in chunks(images):
            both = f"image_tag.image_id IN ({', '.join('?' * len(some))}) AND image_tag.tag_id IN ({marks})"
            yield from self._database.select(f"{_SOME} WHERE {both}", [*some, *tags])

    def resolve(self, names: Sequence[str]) -> dict[str, str]:
        """Return the name of the tag that each name means: its own, unless it is an alias.

        Inside transaction() it stays so until that ends.
        """
        with self._database.reading():
            found = resolved(self._database, [name for name in names if storable(name)])
        return {name: found.get(name, name) for name in names}

    def write(self, image: int, changed: Sequence[ImageTag], removed: Sequence[str]) -> None:
        """Set tags of a photo and take others away, those first."""
        self.write_many([(image, changed, removed)])

    def write_many(self, changes: Sequence[Change]) -> None:
        """Do the same for many photos: for each its number, the tags that are set and the names that go.

        Names may be aliases; a tag that is missing is made. Raise ArgumentInvalid for a NUL in a name.
        """
        names = {tag.name for _, changed, _ in changes for tag in changed}
        models = {tag.model_version for _, changed, _ in changes for tag in changed} - {""}
        removed = [(image, name) for image, _, removed in changes for name in removed if storable(name)]
        with self._database.transaction():
            numbers = tag_numbers(self._database, names)
            model = self._models.numbers(models)
            rows = [
                (
                    image,
                    numbers[tag.name],
                    STATES[tag.state],
                    SOURCES[tag.source],
                    tag.score,
                    model.get(tag.model_version),
                    tag.position,
                )
                for image, changed, _ in changes
                for tag in changed
            ]
            if removed:
                gone = known_numbers(self._database, {name for _, name in removed})
                pairs = [(image, gone[name]) for image, name in removed if name in gone]
                self._database.change_many(_REMOVE, pairs)
            self._database.change_many(_PUT, rows)
            self._changes.photos(image for image, changed, removed in changes if changed or removed)


def _order(row: Sequence[Any]) -> tuple[Any, ...]:
    _, state, score, position, name, *_ = row
    return (state, math.inf if score is None else -score, math.inf if position is None else position, name)
