"""What names mean: renaming, merging, aliases and parents. One transaction at a time changes any of it.

An alias has no photos, parents or aliases of its own, and no tag is its own ancestor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from tagwright_server.errors import ArgumentInvalid, NameTaken, NotFound
from tagwright_server.store.changes import Changes
from tagwright_server.store.chunks import chunks
from tagwright_server.store.database import Database
from tagwright_server.store.image_records import TagEntry
from tagwright_server.store.merging import merge_rows
from tagwright_server.store.models import ImageTagRow, TagParentRow, TagRow
from tagwright_server.store.tag_lists import TagLists
from tagwright_server.store.tag_names import make_tags
from tagwright_server.store.text import need_storable, storable

_RULES = b"tag rules"
_ADD_PARENT = "INSERT INTO tag_parent (tag_id, parent_id) VALUES (?, ?) ON CONFLICT (tag_id, parent_id) DO NOTHING"


class TagRules(TagLists):
    """The tags of a database, and their names and rules. A tag may be named by an alias of it."""

    def __init__(self, database: Database, changes: Changes) -> None:
        super().__init__(database)
        self._changes = changes

    def rename(self, name: str, new_name: str) -> TagEntry:
        """Give a tag another name and return it; the old name becomes an alias.

        Raise NotFound; NameTaken where the new name is a tag that is in use, or an alias of another one.
        """
        need_storable(new_name, field="new_name")
        with self._changing():
            number = self._need(name)
            # Made in order to be locked: nobody else can give photos a tag of that name from here on.
            make_tags(self._database, [new_name])
            rows = self._lock({number, self._known([new_name])[new_name]})
            old_name = rows[number][0]
            if new_name != old_name:
                self._take(rows, new_name, by=number)
                self._database.change(TagRow.delete().where(TagRow.name == new_name))
                self._database.change(TagRow.update(name=new_name).where(TagRow.number == number))
                self._database.change(TagRow.insert(name=old_name, alias_of=number))
                self._note([number])
            return self._entry(number)

    def merge(self, sources: Sequence[str], target: str) -> TagEntry:
        """Make several tags one, on all photos, and return it. The names of the others become its aliases.

        It gets the parents of the others, and those that had one of the others as a parent get it. Raise NotFound;
        ArgumentInvalid where a source is the target itself, or a tag would be its own ancestor.
        """
        if target in sources:
            raise ArgumentInvalid("A tag cannot be merged into itself.", field="sources")
        with self._changing():
            stays = self._need(target)
            go = list(dict.fromkeys(number for name in sources if (number := self._need(name)) != stays))
            self._lock({stays, *go})
            self._note(go)
            merge_rows(self._database, go, stays)
            for some in chunks(go):
                self._database.change(TagRow.update(alias_of=stays).where(TagRow.alias_of.in_(some)))
                self._database.change(TagRow.update(alias_of=stays).where(TagRow.number.in_(some)))
            self._merge_parents(go, stays)
            if stays in self._ancestors(stays):
                raise ArgumentInvalid("After that a tag would be its own ancestor.", field="sources")
            return self._entry(stays)

    def set_rules(self, name: str, aliases: Sequence[str], parents: Sequence[str]) -> TagEntry:
        """Replace the aliases and parents of a tag, making it where there is none, and return it.

        Raise NameTaken where an alias is a tag that is in use, or another tag's alias; ArgumentInvalid where it would
        be its own ancestor, or its own alias.
        """
        for field, names in (("name", [name]), ("aliases", aliases), ("parents", parents)):
            for each in names:
                need_storable(each, field=field)
        with self._changing():
            make_tags(self._database, [name, *aliases, *parents])
            known = self._known([name, *aliases, *parents])
            [number] = self._meant([known[name]])
            rows = self._lock({number, *known.values()})
            if rows[number][0] in aliases:
                raise ArgumentInvalid("A tag is no alias of itself.", field="aliases")
            self._database.change(TagParentRow.delete().where(TagParentRow.tag == number))
            self._database.change(TagRow.update(alias_of=None).where(TagRow.alias_of == number))
            for alias in aliases:
                self._take(rows, alias, by=number)
                self._database.change(TagRow.update(alias_of=number).where(TagRow.name == alias))
            above = self._meant([known[parent] for parent in parents])
            self._database.change_many(_ADD_PARENT, [(number, parent) for parent in above])
            if number in self._ancestors(number):
                raise ArgumentInvalid("A tag would be its own ancestor.", field="parents")
            return self._entry(number)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._database.transaction():
            self._database.lock(_RULES)
            yield

    def _lock(self, numbers: set[int]) -> dict[int, tuple[str, int | None]]:
        """Lock tags, and all the names of each, and return each row's name and what it is an alias of.

        Whoever gives photos one of these names has done so before this, or waits and then learns what it means.
        """
        some = list(numbers | set(self._meant(list(numbers))))
        query = TagRow.select(TagRow.number, TagRow.name, TagRow.alias_of)
        query = query.where(TagRow.number.in_(some) | TagRow.alias_of.in_(some)).order_by(TagRow.name)
        return {
            number: (name, alias_of) for number, name, alias_of in self._database.rows(self._database.locked(query))
        }

    def _note(self, tags: Sequence[int]) -> None:
        """Note that the photos of tags, which are locked, changed."""
        for some in chunks(tags):
            query = ImageTagRow.select(ImageTagRow.image).where(ImageTagRow.tag.in_(some))
            self._changes.photos(image for [image] in self._database.rows(query))

    def _need(self, name: str) -> int:
        """Return the number of the tag with a name or alias; raise NotFound, also where the name is left over."""
        known = self._known([name]) if storable(name) else {}
        for number in self._meant(list(known.values())):
            if self._used(number):
                return number
        raise NotFound(f"There is no tag {name!r}.")

    def _take(self, rows: dict[int, tuple[str, int | None]], name: str, *, by: int) -> None:
        """Raise NameTaken unless a name, which is locked, is free for a tag: its own alias, or nobody's at all."""
        for number, (its_name, alias_of) in rows.items():
            if its_name == name and alias_of != by and (alias_of is not None or self._used(number)):
                what = "another tag's alias" if alias_of is not None else "a tag in use; merge them instead"
                raise NameTaken(f'"{name}" is {what}.')

    def _used(self, number: int) -> bool:
        """Whether photos have a tag, suggested, confirmed or rejected, or rules name it."""
        queries = (
            ImageTagRow.select(ImageTagRow.tag).where(ImageTagRow.tag == number),
            TagRow.select(TagRow.number).where(TagRow.alias_of == number),
            TagParentRow.select(TagParentRow.tag).where(TagParentRow.tag == number),
            TagParentRow.select(TagParentRow.tag).where(TagParentRow.parent == number),
        )
        return any(self._database.row(query) for query in queries)

    def _known(self, names: Iterable[str]) -> dict[str, int]:
        """Return the number of each name's own row, of those that there are."""
        found: dict[str, int] = {}
        for some in chunks(sorted(set(names))):
            found |= dict(self._database.rows(TagRow.select(TagRow.name, TagRow.number).where(TagRow.name.in_(some))))
        return found

    def _meant(self, numbers: Sequence[int]) -> list[int]:
        """Return the tags of rows: for each alias its tag, and the others themselves."""
        found: dict[int, int] = {}
        for some in chunks(numbers):
            rows = self._database.rows(TagRow.select(TagRow.number, TagRow.alias_of).where(TagRow.number.in_(some)))
            found |= {number: alias_of or number for number, alias_of in rows}
        return [found[number] for number in numbers]

    def _merge_parents(self, go: list[int], stays: int) -> None:
        moved: set[tuple[int, int]] = set()
        for some in chunks(go):
            touched = TagParentRow.tag.in_(some) | TagParentRow.parent.in_(some)
            moved |= set(self._database.rows(TagParentRow.select(TagParentRow.tag, TagParentRow.parent).where(touched)))
            self._database.change(TagParentRow.delete().where(touched))
        becomes = dict.fromkeys(go, stays)
        pairs = {(becomes.get(tag, tag), becomes.get(parent, parent)) for tag, parent in moved}
        self._database.change_many(_ADD_PARENT, sorted((tag, parent) for tag, parent in pairs if tag != parent))

    def _ancestors(self, number: int) -> set[int]:
        found: set[int] = set()
        newest = [number]
        while newest:
            rows = [
                row
                for some in chunks(newest)
                for row in self._database.rows(
                    TagParentRow.select(TagParentRow.parent).where(TagParentRow.tag.in_(some))
                )
            ]
            newest = [parent for parent in dict.fromkeys(row[0] for row in rows) if parent not in found]
            found |= set(newest)
        return found
