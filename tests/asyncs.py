"""Asyncio in tests: a test that is a coroutine, events that other threads set, and the threads that a client has."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

WAIT_S = 10
_CLIENTS = ("tagwright-async", "tagwright-upload", "tagwright-tag-many")

_Fixtures = ParamSpec("_Fixtures")


def asynchronous(test: Callable[_Fixtures, Coroutine[Any, Any, None]]) -> Callable[_Fixtures, None]:
    """Run a test in an event loop of its own; afterwards no thread of the client's is left."""

    @functools.wraps(test)
    def run(*args: _Fixtures.args, **kwargs: _Fixtures.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))
        assert client_threads() == []

    return run


class Signal:
    """An event that any thread may set and the loop waits for; make it in the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def set(self) -> None:
        self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        await asyncio.wait_for(self._event.wait(), WAIT_S)


def client_threads() -> list[str]:
    """Return the names of those that the client has started and that still run; the server's have other names."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(_CLIENTS)]
