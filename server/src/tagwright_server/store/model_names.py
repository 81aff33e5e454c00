"""The names of models, as numbers, so that rows that name a model are small. They are few, and never removed."""

from __future__ import annotations

from collections.abc import Iterable

from tagwright_server.store.database import Database
from tagwright_server.store.models import ModelRow

_ADD = "INSERT INTO model (name) VALUES (?) ON CONFLICT (name) DO NOTHING"


class ModelNames:
    """The names of models that a database has."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._all = database.prepared(ModelRow.select(ModelRow.number, ModelRow.name))
        self._number = database.lookup(ModelRow.select(ModelRow.number).where(ModelRow.name == ""))

    def numbers(self, names: Iterable[str]) -> dict[str, int]:
        """Return the number of each name, making those that are missing; call inside transaction()."""
        wanted = sorted(set(names))  # in one order, so that two cannot wait for each other
        missing = [(name,) for name in wanted if self._number(name) is None]
        self._database.change_many(_ADD, missing)
        return {name: row[0] for name in wanted if (row := self._number(name))}

    def number(self, name: str) -> int:
        """Return the number of a name, making it if it is missing; call inside transaction()."""
        row = self._number(name)
        return int(row[0]) if row else self.numbers([name])[name]

    def names(self) -> dict[int, str]:
        """Return the name of each number; call inside reading() or transaction()."""
        return dict(self._all())
