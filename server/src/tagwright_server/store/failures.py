"""Failed logins, as buckets that fill and drain; how fast is decided elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tagwright_server.store.database import Database
from tagwright_server.store.models import FailuresRow
from tagwright_server.store.records import Failures
from tagwright_server.store.text import made_storable


class FailedLogins:
    """The buckets of a database. A bucket's name may be any text; what cannot be stored counts as U+FFFD."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, buckets: Sequence[str]) -> dict[str, Failures]:
        """Return those of the buckets that are not empty."""
        names = {made_storable(bucket): bucket for bucket in buckets}
        query = FailuresRow.select(FailuresRow.bucket, FailuresRow.level, FailuresRow.at)
        with self._database.reading():
            rows = self._database.rows(query.where(FailuresRow.bucket.in_(list(names)))) if names else []
        return {names[bucket]: Failures(level, at) for bucket, level, at in rows}

    def claim(self, buckets: Sequence[str]) -> dict[str, Failures]:
        """Like get, and nobody else claims one of them until the transaction ends; call inside transaction()."""
        for bucket in sorted(buckets):  # in one order, so that two cannot wait for each other
            self._database.lock(f"failures {made_storable(bucket)}".encode())
        return self.get(buckets)

    def put(self, bucket: str, failures: Failures) -> None:
        """Set how full a bucket is."""
        query = FailuresRow.insert(bucket=made_storable(bucket), level=failures.level, at=failures.at)
        either = query.on_conflict(conflict_target=[FailuresRow.bucket], preserve=[FailuresRow.level, FailuresRow.at])
        with self._database.transaction():
            self._database.change(either)

    def forget(self, bucket: str) -> None:
        """Empty a bucket."""
        with self._database.transaction():
            self._database.change(FailuresRow.delete().where(FailuresRow.bucket == made_storable(bucket)))

    def prune(self, *, before: datetime) -> int:
        """Remove the buckets that were last filled before a moment and return how many."""
        with self._database.transaction():
            return self._database.change(FailuresRow.delete().where(FailuresRow.at < before))
