"""Facts about a store that are settled once, such as a check value of the secret that its hashes were made with."""

from __future__ import annotations

from tagwright_server.store.database import Database
from tagwright_server.store.models import FactRow


class Facts:
    """The facts of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> str | None:
        """Return a fact."""
        with self._database.reading():
            row = self._database.row(FactRow.select(FactRow.value).where(FactRow.name == name))
        return row[0] if row else None

    def set_once(self, name: str, value: str) -> str:
        """Settle a fact and return it: the value that came first, also where several come at once."""
        query = FactRow.insert(name=name, value=value).on_conflict(action="nothing", conflict_target=[FactRow.name])
        with self._database.transaction():
            self._database.change(query)
            stored = self.get(name)
        if stored is None:
            raise RuntimeError("a fact was taken back")  # nothing does
        return stored
