"""What lies in store-0003.sqlite3 and store-0003.sql: what the second schema keeps, and the feed of its changes.

Frozen, like those files: every later version has to find all of it.
"""

from __future__ import annotations

from data import store_0002
from data.store_0002 import CONTENTS, NOW

from tagwright_server.store.store import Store

__all__ = ["NOW", "check", "fill"]


def fill(store: Store) -> None:
    """Put all of it into an empty store."""
    store.changes.mark()
    store_0002.fill(store)


def check(store: Store) -> None:
    """Find all of it, and that new things can be added to it."""
    mark = store.changes.mark()
    store.images.put_embedding(CONTENTS[0].sha256, "tagger@2026.11", bytes(range(256)) * 10)
    assert store.changes.since(mark)[0] == [1, 2]
    store_0002.check(store)
