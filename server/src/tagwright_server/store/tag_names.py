"""The names of tags, as numbers: an alias has the number of its tag, and a name that is new is made.

Who writes tags of photos keeps their names from being renamed or merged until the transaction ends, beside others who
do the same; who changes names and rules (tag_rules.py) locks the names for himself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tagwright_server.store.chunks import chunks
from tagwright_server.store.database import Database, Row
from tagwright_server.store.engine import busy
from tagwright_server.store.locks import kept
from tagwright_server.store.models import TagRow
from tagwright_server.store.text import need_storable

_ADD = "INSERT INTO tag (name) VALUES (?) ON CONFLICT (name) DO NOTHING"
_TRIES = 3  # a name that is renamed at the moment is found at the second try


def tag_numbers(database: Database, names: Iterable[str]) -> dict[str, int]:
    """Return the number of each name's tag, making names that are missing; call inside transaction()."""
    wanted = {need_storable(name, field="tag") for name in names}
    found: dict[str, int] = {}
    for _ in range(_TRIES):
        found |= known_numbers(database, wanted - found.keys())
        if missing := wanted - found.keys():
            make_tags(database, missing)
        else:
            return found
    raise busy()


def known_numbers(database: Database, names: Iterable[str]) -> dict[str, int]:
    """Return the number of each name's tag, of those that there are; call inside reading() or transaction()."""
    return {name: alias_of or number for name, number, alias_of in _rows(database, names)}


def make_tags(database: Database, names: Iterable[str]) -> None:
    """Make the names that are missing, as tags; call inside transaction()."""
    database.change_many(_ADD, [(need_storable(name, field="tag"),) for name in sorted(set(names))])


def resolved(database: Database, names: Iterable[str]) -> dict[str, str]:
    """Return the name of the tag of each alias among the names; call inside reading() or transaction()."""
    tags = {name: alias_of for name, _, alias_of in _rows(database, names) if alias_of}
    found: dict[int, str] = {}
    for some in chunks(sorted(set(tags.values()))):
        found |= dict(database.rows(TagRow.select(TagRow.number, TagRow.name).where(TagRow.number.in_(some))))
    return {name: found[number] for name, number in tags.items()}


def _rows(database: Database, names: Iterable[str]) -> Iterator[Row]:
    for some in chunks(sorted(set(names))):  # in order, so that two who change names never wait for each other
        query = TagRow.select(TagRow.name, TagRow.number, TagRow.alias_of).where(TagRow.name.in_(some))
        yield from database.rows(kept(database, query.order_by(TagRow.name)))
