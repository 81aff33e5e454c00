"""The threads in which the asyncio twin has its work done, and what becomes of work that nobody awaits any more."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from ._cancellation import Cancellation, scope
from ._errors import ClientClosed

# Each call that is awaited has a thread, of some 20 KiB, until its answer is there; what goes beyond waits for one.
THREADS_MAX = 128
THREAD_NAME = "tagwright-async"

_Value = TypeVar("_Value")


class Pool:
    """Does work in threads, begun as they are needed, and ends them all when it is closed."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix=THREAD_NAME)
        self._ended: Future[None] = Future()
        self._closer: threading.Thread | None = None

    @property
    def closed(self) -> bool:
        """Whether it takes no more work."""
        return self._closer is not None

    async def run(self, work: Callable[[], _Value], *, cancellation: Cancellation | None = None) -> _Value:
        """Do `work` in a thread, in a copy of the caller's context, and return what it returns.

        When the awaiting task is cancelled, so is `cancellation`, the scope of the work; nobody waits for its end then.
        """
        cancellation = cancellation or Cancellation()
        if self.closed:
            raise closed_error()
        try:
            return await asyncio.wrap_future(self.submit(work, cancellation))
        except asyncio.CancelledError:
            cancellation.cancel()
            raise

    def submit(self, work: Callable[[], _Value], cancellation: Cancellation) -> Future[_Value]:
        """Have `work` done in the scope of `cancellation`, also while the pool is being closed."""

        def within() -> _Value:
            try:
                with scope(cancellation):
                    return work()
            except StopIteration as err:  # of the caller's own code: an asyncio future would never end with it
                raise RuntimeError("StopIteration was raised") from err

        try:
            return self._threads.submit(copy_context().run, within)
        except RuntimeError as err:  # its threads have ended
            raise closed_error() from err

    async def close(self, last: Callable[[], object]) -> None:
        """Do `last`, which has the work under way end, and return when all threads have."""
        if self._closer is None:
            self._closer = threading.Thread(target=self._close, args=(last,), name=THREAD_NAME, daemon=True)
            self._closer.start()
        await asyncio.shield(asyncio.wrap_future(self._ended))
        self._closer.join()  # it has nothing left to do

    def _close(self, last: Callable[[], object]) -> None:
        try:
            with contextlib.suppress(ClientClosed):
                last()
            self._threads.shutdown(wait=True)
        finally:
            self._ended.set_result(None)


def closed_error() -> ClientClosed:
    """Return the error of a call of a client that is closed."""
    return ClientClosed("this client is closed; make a new one with AsyncClient.connect()")
