"""Clients of the server, one for each token and address that asks: kept while they are used, closed afterwards."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tagwright_client import ArgumentInvalid, Client, TokenInvalid

_IDLE_S = 900.0  # then a client is closed, and its token forgotten
_MOST = 512  # kept open; grpc gives those to one server one connection

_Key = tuple[str, str | None]  # token, address of the browser


@dataclass(slots=True)
class _Kept:
    client: Client
    users: int = 0
    used_s: float = 0.0
    unwanted: bool = False


class Clients:
    """Opens and keeps clients by `connect(token, address)`; safe to share between threads."""

    def __init__(self, connect: Callable[[str | None, str | None], Client], most: int = _MOST) -> None:
        self._connect = connect
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()  # the one that was used last comes last

    @contextmanager
    def lend(self, token: str | None, address: str | None) -> Iterator[Client]:
        """Lend the client with this token; raises TokenInvalid where it cannot be any.

        One without a token is for this visitor alone: when it signs in, it is somebody.
        """
        if token is None:
            with self._connect(None, address) as client:
                yield client
            return
        key = (token, address)
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                try:
                    client = self._connect(token, address)  # reaches for the server with its first call only
                except ArgumentInvalid as err:  # somebody wrote the cookie themselves
                    raise TokenInvalid("The session is none of this server's.") from err
                kept = self._kept[key] = _Kept(client)
            kept.users += 1
            self._kept.move_to_end(key)
        try:
            yield kept.client
        finally:
            with self._lock:
                kept.users -= 1
                kept.used_s = time.monotonic()
                closing = [kept] if kept.unwanted and not kept.users else []
                closing += self._pruned()
            for each in closing:
                each.client.close()

    def forget(self, token: str | None) -> None:
        """Close the clients with this token once nobody uses them."""
        with self._lock:
            gone = [self._kept.pop(key) for key in list(self._kept) if key[0] == token]
            for each in gone:
                each.unwanted = True
        for each in gone:
            if not each.users:
                each.client.close()

    def close(self) -> None:
        """Close all of them, whoever uses them."""
        with self._lock:
            gone = list(self._kept.values())
            self._kept.clear()
        for each in gone:
            each.client.close()

    def _pruned(self) -> list[_Kept]:
        idle = [(key, each.used_s) for key, each in self._kept.items() if not each.users]
        many, old_s = max(0, len(self._kept) - self._most), time.monotonic() - _IDLE_S
        return [self._kept.pop(key) for number, (key, used_s) in enumerate(idle) if number < many or used_s < old_s]
