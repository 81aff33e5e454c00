"""Noting that something was used or has expired: worth a write, but neither a wait nor an error of the call."""

from __future__ import annotations

import logging

import peewee

from tagwright_server.errors import ComeBack
from tagwright_server.store.database import Database

_log = logging.getLogger(__name__)


def touch(database: Database, query: peewee.Query) -> None:
    """Run an UPDATE if that can be done at once. Inside transaction() it is a part of that like any other."""
    if database.in_transaction:
        database.change(query)
        return
    try:
        with database.transaction(wait=False):
            database.change(query)
    except ComeBack:
        pass  # the next use is noted
    except database.errors as err:
        # A disk that has become read-only, for one: what is there can be read on.
        _log.warning("a time of use or expiry was not kept: %s", type(err).__name__)
