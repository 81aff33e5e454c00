"""Accounts for servers in processes of their own, put straight into the data folder before they start.

No test waits for a process or a hash at full cost to have one.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

from servers import ADMIN, PASSWORD

from tagwright_server.clock import SystemClock
from tagwright_server.data import Data, open_data
from tagwright_server.domain import tokens
from tagwright_server.domain.passwords import Passwords
from tagwright_server.settings import Settings
from tagwright_server.store.records import Account, Role, Session

_CHEAPEST = 4  # the least that bcrypt takes


def signed_in(
    folder: Path,
    username: str = ADMIN,
    *,
    role: Role = Role.ADMIN,
    password: str = PASSWORD,
    lasts: timedelta = timedelta(hours=1),
    **settings: Any,
) -> str:
    """Return the token of a new session of an account, which is made in the data folder where there is none.

    A session that `lasts` less than nothing has expired.
    """
    with open_data(Settings(data_folder=folder, **settings)) as data:
        account = data.store.accounts.find(username) or _made(data, username, role=role, password=password)
        return add_session(data, account, lasts=lasts)


def add_session(data: Data, account: Account, *, lasts: timedelta = timedelta(hours=1)) -> str:
    """Return the token of a new session, for which no password was asked."""
    token, now = tokens.make(tokens.SESSION), SystemClock().now()
    data.store.sessions.add(Session(uuid.uuid4().hex, account.id, tokens.digest(token), now, now, now + lasts))
    return token


def _made(data: Data, username: str, *, role: Role, password: str) -> Account:
    passwords = Passwords(data.pepper, cost=_CHEAPEST)
    now = SystemClock().now()
    account = Account(uuid.uuid4().hex, username, role, disabled=False, created=now, updated=now)
    data.store.accounts.add(account, password_hash=passwords.hash(password))
    return account
