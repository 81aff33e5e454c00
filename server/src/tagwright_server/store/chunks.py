"""Lists in pieces that one statement can name: SQLite before 3.32 takes 999 values, PostgreSQL 65,535."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

CHUNK = 500
_Item = TypeVar("_Item")


def chunks(items: Sequence[_Item]) -> Iterator[list[_Item]]:
    """Return the items in pieces of at most CHUNK."""
    for start in range(0, len(items), CHUNK):
        yield list(items[start : start + CHUNK])
