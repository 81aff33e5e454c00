"""Lists of tags with their counts. A tag that nobody but others' private photos have does not show: names tell.

Tags with rules (aliases or parents) show to everybody, with the counts over what the asker sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import peewee

from tagwright_server.store.chunks import chunks
from tagwright_server.store.database import Database
from tagwright_server.store.image_filter import named, seen_by
from tagwright_server.store.image_records import TagEntry, TagMeaning
from tagwright_server.store.models import ImageRow, ImageTagRow, TagParentRow, TagRow
from tagwright_server.store.tag_codes import CONFIRMED, SUITING
from tagwright_server.store.text import storable

_LAST_BEFORE_SURROGATES, _FIRST_BEHIND_SURROGATES = "\ud7ff", "\ue000"
_GREATEST = "\U0010ffff"
_Counts = dict[int, tuple[int, int]]
_MEANING = """
WITH RECURSIVE meant(number) AS (SELECT COALESCE(alias_of, number) FROM tag WHERE name = ?),
below(number) AS (
    SELECT number FROM meant
    UNION SELECT tag_parent.tag_id FROM tag_parent JOIN below ON tag_parent.parent_id = below.number
)
SELECT tag.number, tag.name, tag.number IN (SELECT number FROM meant)
FROM below JOIN tag ON tag.number = below.number ORDER BY tag.number
"""
_NAMES = "SELECT number, name FROM tag"
_ALIASES = "SELECT number, name, alias_of FROM tag WHERE alias_of IS NOT NULL ORDER BY number"
_ALL_NAMES = "SELECT number, name, COALESCE(alias_of, number) FROM tag"


class TagLists:
    """The tags of a database, by themselves."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, *, prefix: str = "", visible_to: str | None, after: str | None, limit: int) -> list[TagEntry]:
        """Return up to `limit` tags by name, those that begin with `prefix` and come after the name `after`."""
        if not storable(prefix) or not storable(after or ""):
            return []
        if visible_to is not None:  # counted from the photos they see: others' may be many more
            query = _with_counts(prefix, visible_to).order_by(TagRow.name).limit(limit)
            return self._counted_entries(query if after is None else query.where(TagRow.name > after))
        query = _tags(prefix).where(_shows(None)).order_by(TagRow.name).limit(limit)
        if after is not None:
            query = query.where(TagRow.name > after)
        with self._database.reading():
            tags: dict[int, str] = dict(self._database.rows(query))
            return self._entries(tags, self._counts(list(tags), None))

    def by_count(self, *, prefix: str = "", visible_to: str | None, offset: int, limit: int) -> list[TagEntry]:
        """Return up to `limit` tags, those of most photos first, leaving out the first `offset`."""
        if not storable(prefix):
            return []
        query = _with_counts(prefix, visible_to)
        images = query.selected_columns[2]
        return self._counted_entries(query.order_by(images.desc(), TagRow.name).offset(offset).limit(limit))

    def entry(self, name: str, visible_to: str | None) -> TagEntry | None:
        """Return the tag with that name or alias if it shows to the account, or to an administrator (None)."""
        if not storable(name):
            return None
        query = _tags("").where(TagRow.number == named(name), _shows(visible_to))
        with self._database.reading():
            tags: dict[int, str] = dict(self._database.rows(query))
            entries = self._entries(tags, self._counts(list(tags), visible_to))
        return entries[0] if entries else None

    def _counted_entries(self, query: Any) -> list[TagEntry]:
        with self._database.reading():
            rows = self._database.rows(query)
            return self._entries({row[0]: row[1] for row in rows}, {row[0]: (row[2], row[3]) for row in rows})

    def _entry(self, number: int) -> TagEntry:
        """Return a tag as administrators see it, whether or not it shows."""
        tags: dict[int, str] = dict(self._database.rows(_tags("").where(TagRow.number == number)))
        return self._entries(tags, self._counts(list(tags), None))[0]

    def _counts(self, numbers: Sequence[int], visible_to: str | None) -> _Counts:
        counts: _Counts = {}
        for some in chunks(numbers):
            query = _counted(visible_to).where(ImageTagRow.tag.in_(some)).group_by(ImageTagRow.tag)
            counts |= {tag: (images, confirmed) for tag, images, confirmed in self._database.rows(query)}
        return counts

    def aliases(self) -> dict[str, str]:
        """Return every alias, and the tag that it means."""
        tag, alias = TagRow.alias("tag"), TagRow.alias("alias")
        query = alias.select(alias.name, tag.name).join_from(alias, tag, on=alias.alias_of == tag.number)
        with self._database.reading():
            return dict(self._database.rows(query))

    def parents(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the parents of those tags that have any, and of their parents, all the way up."""
        tag, parent = TagRow.alias("its_tag"), TagRow.alias("its_parent")
        query = TagParentRow.select(tag.name, parent.name).join_from(
            TagParentRow, tag, on=TagParentRow.tag == tag.number
        )
        query = query.join_from(TagParentRow, parent, on=TagParentRow.parent == parent.number)
        found: dict[str, list[str]] = {}
        looked: set[str] = set()
        newest = {name for name in names if storable(name)}
        with self._database.reading():
            while newest := newest - looked:
                looked |= newest
                pairs = [
                    pair
                    for some in chunks(sorted(newest))
                    for pair in self._database.rows(query.where(tag.name.in_(some)))
                ]
                for name, above in pairs:
                    found.setdefault(name, []).append(above)
                newest = {above for _, above in pairs}
        return {name: tuple(sorted(above)) for name, above in found.items()}

    def meanings(self, names: Sequence[str]) -> dict[str, TagMeaning]:
        """Return what names mean to a search: a tag, or of an alias its tag, and all tags below it."""
        found: dict[str, TagMeaning] = {}
        with self._database.reading():
            for name in dict.fromkeys(names):
                rows = self._database.select(_MEANING, [name]) if storable(name) else []
                tags = {number: meant for number, meant, itself in rows if itself}
                below = {number: meant for number, meant, itself in rows if not itself}
                number, meant = next(iter(tags.items()), (None, name))
                found[name] = TagMeaning(number, meant, below)
        return found

    def names(self, numbers: Sequence[int]) -> dict[int, str]:
        """Return the names of tags by their numbers, of those that there are."""
        found: dict[int, str] = {}
        with self._database.reading():
            for some in chunks(numbers):
                found |= dict(self._database.select(f"{_NAMES} WHERE number IN ({', '.join('?' * len(some))})", some))
        return found

    def all_names(self) -> list[tuple[int, str, int]]:
        """Return every name with its number, and its tag's number: of an alias another one."""
        with self._database.reading():
            return [(number, name, meant) for number, name, meant in self._database.select(_ALL_NAMES)]

    def names_state(self) -> int:
        """Return what differs when names have come or mean something else; quick unless there are very many aliases."""
        with self._database.reading():
            [[newest]] = self._database.select("SELECT COALESCE(MAX(number), 0) FROM tag")
            return hash((newest, *self._database.select(_ALIASES)))

    def _entries(self, tags: dict[int, str], counts: _Counts) -> list[TagEntry]:
        aliases: dict[int, list[str]] = {number: [] for number in tags}
        parents: dict[int, list[str]] = {number: [] for number in tags}
        for some in chunks(list(tags)):
            self._sort_in(aliases, TagRow.select(TagRow.alias_of, TagRow.name).where(TagRow.alias_of.in_(some)))
            query = TagParentRow.select(TagParentRow.tag, TagRow.name).join(
                TagRow, on=(TagParentRow.parent == TagRow.number)
            )
            self._sort_in(parents, query.where(TagParentRow.tag.in_(some)))
        return [
            TagEntry(name, tuple(sorted(aliases[number])), tuple(sorted(parents[number])), *counts.get(number, (0, 0)))
            for number, name in tags.items()
        ]

    def _sort_in(self, lists: dict[int, list[str]], query: Any) -> None:
        for number, name in self._database.rows(query):
            lists[number].append(name)


def _tags(prefix: str, *more: Any) -> Any:
    query = TagRow.select(TagRow.number, TagRow.name, *more).where(TagRow.alias_of.is_null())
    if prefix:
        query = query.where(TagRow.name >= prefix)
    if behind := _behind(prefix):
        query = query.where(TagRow.name < behind)
    return query


def _with_counts(prefix: str, visible_to: str | None) -> Any:
    """Select the tags that show, with how many photos have them and how many confirmed."""
    counts = _counted(visible_to).group_by(ImageTagRow.tag).alias("counts")
    images = peewee.fn.COALESCE(counts.c.images, 0)
    query = _tags(prefix, images, peewee.fn.COALESCE(counts.c.confirmed, 0))
    query = query.join(counts, peewee.JOIN.LEFT_OUTER, on=(counts.c.tag_id == TagRow.number))
    return query.where((images > 0) | _has_rules())


def _behind(prefix: str) -> str:
    """Return the first text behind all that begin so; "" where nothing is."""
    prefix = prefix.rstrip(_GREATEST)
    if not prefix:
        return ""
    last = _FIRST_BEHIND_SURROGATES if prefix[-1] == _LAST_BEFORE_SURROGATES else chr(ord(prefix[-1]) + 1)
    return prefix[:-1] + last


def _counted(visible_to: str | None) -> Any:
    confirmed = peewee.fn.SUM(peewee.Case(None, [(ImageTagRow.state == CONFIRMED, 1)], 0))
    query = ImageTagRow.select(
        ImageTagRow.tag.alias("tag_id"), peewee.fn.COUNT(peewee.SQL("*")).alias("images"), confirmed.alias("confirmed")
    ).where(ImageTagRow.state.in_(SUITING))
    return _seen(query, visible_to)


def _shows(visible_to: str | None) -> Any:
    query = ImageTagRow.select(ImageTagRow.image)
    query = query.where(ImageTagRow.tag == TagRow.number, ImageTagRow.state.in_(SUITING))
    return peewee.fn.EXISTS(_seen(query, visible_to)) | _has_rules()


def _seen(query: Any, visible_to: str | None) -> Any:
    seen = seen_by(visible_to)
    return query if seen is None else query.join(ImageRow, on=(ImageTagRow.image == ImageRow.number)).where(seen)


def _has_rules() -> Any:
    alias = TagRow.alias("its_alias")
    aliases = alias.select(alias.number).where(alias.alias_of == TagRow.number)
    parents = TagParentRow.select(TagParentRow.parent).where(TagParentRow.tag == TagRow.number)
    return peewee.fn.EXISTS(aliases) | peewee.fn.EXISTS(parents)
