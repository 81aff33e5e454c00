"""The names of models, as numbers, so that rows that name a model are small. They are few, and never removed."""

from __future__ import annotations

from collections.abc import Iterable

from tagwright_server.store.database import Database
from tagwright_server.store.models import ModelRow

_ADD = "INSERT INTO model (name) VALUES (?) ON CONFLICT (name) DO NOTHING"


def model_numbers(database: Database, names: Iterable[str]) -> dict[str, int]:
    """Return the number of each name, making those that are missing; call inside transaction()."""
    wanted = set(names)
    known = _known(database)
    if missing := sorted(wanted - known.keys()):  # in one order, so that two cannot wait for each other
        database.change_many(_ADD, [(name,) for name in missing])
        known = _known(database)
    return {name: known[name] for name in wanted}


def model_names(database: Database) -> dict[int, str]:
    """Return the name of each number; call inside reading() or transaction()."""
    return {number: name for name, number in _known(database).items()}


def _known(database: Database) -> dict[str, int]:
    return dict(database.rows(ModelRow.select(ModelRow.name, ModelRow.number)))
