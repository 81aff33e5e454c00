"""What makes an asyncio method of a method of `Client`: the same work, done in a thread, awaited or gone through.

Types, signature and docstring are the method's own, so that nothing is said twice.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast
from weakref import WeakSet

from ._cancellation import Cancellation
from ._client import Client
from ._errors import ClientClosed
from ._pool import Pool, closed_error
from ._results import Results
from ._search import SearchResults
from ._search_values import Facet, SearchResult
from ._values import Timings

_Arguments = ParamSpec("_Arguments")
_Value = TypeVar("_Value")
_Answer = TypeVar("_Answer")


class Twin:
    """A client whose work is done in the threads of a pool, by a `Client` that is opened there."""

    def __init__(self, connect: Callable[[], Client]) -> None:
        self._connect: Callable[[], Client] | None = connect
        self._opening = threading.Lock()
        self._client: Client | None = None
        self._pool = Pool()
        self._streams: WeakSet[AsyncStream[Any]] = WeakSet()

    async def close(self) -> None:
        """End the connection, every call under way and every thread; calling it again does nothing."""
        streams = list(self._streams)

        def end() -> None:
            with self._opening:
                self._connect = None
            if self._client is not None:
                self._client.close()
            for stream in streams:
                stream._end()

        await self._pool.close(end)

    def _opened(self) -> Client:
        """Return the client that does the work; called in a thread, as opening it reads files."""
        with self._opening:
            if self._client is None:
                if self._connect is None:
                    raise closed_error()
                self._client = self._connect()
                self._connect = None  # it knows the token
            return self._client


class AsyncResults(AsyncIterator[_Value]):
    """What a list has: `Results` for `async for`, or page by page. Nothing is sent before its first step.

    Nothing is under way between two steps; a step that is cancelled can be made again.
    """

    def __init__(self, twin: Twin, make: Callable[[Client], Results[_Value]]) -> None:
        self._twin = twin
        self._make = make
        self._asking = threading.Lock()
        self._results: Results[_Value] | None = None

    async def __anext__(self) -> _Value:
        """Return the next value."""
        while await self._ask(Results._fill):
            if self._results is not None and self._results._ready:  # taken here, so that no cancelled step loses it
                return self._results._ready.popleft()
        raise StopAsyncIteration

    async def next_page(self) -> tuple[_Value, ...]:
        """Return the rest of the page that was begun, or else the next page; () where there is nothing more."""
        while await self._ask(Results._fill):
            if self._results is not None and self._results._ready:  # here, as above
                return self._results._take()
        return ()

    async def next_page_token(self) -> str:
        """Where to go on after the pages that were asked for so far: the `page_token` of a later call.

        Empty where there is nothing more; before any page was asked for, the token that this began with.
        """
        return await self._ask(lambda results: results.next_page_token)

    async def aclose(self) -> None:
        """Do nothing, as there is nothing to end: for `contextlib.aclosing`, like the other iterators."""

    async def _ask(self, ask: Callable[[Results[_Value]], _Answer]) -> _Answer:
        def work() -> _Answer:
            with self._asking:  # a step that was cancelled may still be ending
                if self._results is None:
                    self._results = self._make(self._twin._opened())
                return ask(self._results)

        return await self._twin._pool.run(work)


class AsyncSearchResults(AsyncResults[SearchResult]):
    """What a search found: `SearchResults` for `async for`, what it says of the whole result being awaited.

    Nothing is under way between two steps; a step that is cancelled can be made again.
    """

    def __init__(self, twin: Twin, make: Callable[[Client], SearchResults]) -> None:
        super().__init__(twin, make)

    async def total_count(self) -> int:
        """How many photos the whole result has; those that a diverse ranking put together count each."""
        return await self._tell(lambda results: results.total_count)

    async def facets(self) -> tuple[Facet, ...]:
        """The commonest tags of the whole result, the commonest first.

        Empty unless `include_facets` was said, and for results that go on from a `page_token`.
        """
        return await self._tell(lambda results: results.facets)

    async def understood_query(self) -> str:
        """The query as the server understood it: aliases as their tags, with `&`, `|`, `!` and parentheses."""
        return await self._tell(lambda results: results.understood_query)

    async def model_version(self) -> str:
        """The model whose embeddings were compared, `name@version`; empty where no look was."""
        return await self._tell(lambda results: results.model_version)

    async def timings(self) -> Timings:
        """Where the time of the first page's call went."""
        return await self._tell(lambda results: results.timings)

    async def _tell(self, tell: Callable[[SearchResults], _Answer]) -> _Answer:
        return await self._ask(lambda results: tell(cast(SearchResults, results)))  # as it was made


class AsyncStream(AsyncIterator[_Value]):
    """What comes of work that goes on between two steps, for `async for`. Nothing is sent before its first step.

    Leaving the loop early ends it, as do `aclose()`, the cancellation of a step, and closing the client.
    """

    def __init__(self, twin: Twin, make: Callable[[Client], Generator[_Value, None, None]]) -> None:
        self._begun = self._over = False
        self._pool = twin._pool
        self._cancellation = Cancellation()
        self._steps = _Steps(lambda: make(twin._opened()))
        twin._streams.add(self)

    async def __anext__(self) -> _Value:
        """Return the next value."""
        if self._over and not self._pool.closed:
            raise StopAsyncIteration
        self._begun = True
        try:
            found = await self._pool.run(self._steps.step, cancellation=self._cancellation)
        except asyncio.CancelledError:
            self._end()
            raise
        if not found:
            self._over = True
            raise StopAsyncIteration
        return found[0]

    async def aclose(self) -> None:
        """End it, and return when what it had under way is over."""
        ended = self._end()
        if ended is not None:
            await asyncio.shield(asyncio.wrap_future(ended))

    def __del__(self) -> None:
        """End it: whoever left the loop has forgotten it."""
        self._end()

    def _end(self) -> Future[None] | None:
        under_way, self._over = self._begun and not self._over, True
        if not under_way:
            return None
        self._cancellation.cancel()
        try:
            return self._pool.submit(self._steps.close, self._cancellation)
        except ClientClosed:
            return None


def awaited(
    method: Callable[Concatenate[Client, _Arguments], _Value],
) -> Callable[Concatenate[Twin, _Arguments], Coroutine[Any, Any, _Value]]:
    """Return the twin of a method that returns one thing."""

    @functools.wraps(method)
    async def twin(self: Twin, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Value:
        return await self._pool.run(lambda: method(self._opened(), *args, **kwargs))

    twin.__qualname__ = f"AsyncClient.{method.__name__}"
    return twin


def paged(
    method: Callable[Concatenate[Client, _Arguments], Results[_Value]],
) -> Callable[Concatenate[Twin, _Arguments], AsyncResults[_Value]]:
    """Return the twin of a method that returns a list in pages."""

    @functools.wraps(method)
    def twin(self: Twin, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> AsyncResults[_Value]:
        return AsyncResults(self, lambda client: method(client, *args, **kwargs))

    return _named(twin, method, returns=f"AsyncResults[{_value_of(method)}]")


def searched(
    method: Callable[Concatenate[Client, _Arguments], SearchResults],
) -> Callable[Concatenate[Twin, _Arguments], AsyncSearchResults]:
    """Return the twin of a method that returns the results of a search."""

    @functools.wraps(method)
    def twin(self: Twin, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> AsyncSearchResults:
        return AsyncSearchResults(self, lambda client: method(client, *args, **kwargs))

    return _named(twin, method, returns="AsyncSearchResults")


def streamed(
    method: Callable[Concatenate[Client, _Arguments], Generator[_Value, None, None]],
) -> Callable[Concatenate[Twin, _Arguments], AsyncStream[_Value]]:
    """Return the twin of a method that returns a generator."""

    @functools.wraps(method)
    def twin(self: Twin, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> AsyncStream[_Value]:
        return AsyncStream(self, lambda client: method(client, *args, **kwargs))

    return _named(twin, method, returns=f"AsyncStream[{_value_of(method)}]")


class _Steps(Generic[_Value]):
    """An iterator that is made by its first step. It knows nothing of who goes through it, who may forget it."""

    def __init__(self, make: Callable[[], Iterator[_Value]]) -> None:
        self._make = make
        self._stepping = threading.Lock()
        self._iterator: Iterator[_Value] | None = None
        self._over = False

    def step(self) -> tuple[()] | tuple[_Value]:
        """Return the next value, or nothing where there is none."""
        with self._stepping:
            if self._over:
                return ()
            if self._iterator is None:
                self._iterator = self._make()
            return _next(self._iterator)

    def close(self) -> None:
        """End it, after the step that is under way."""
        with self._stepping:
            self._over = True
            iterator, self._iterator = self._iterator, None
            close = getattr(iterator, "close", None)
            if close is not None:
                close()


def _next(iterator: Iterator[_Value]) -> tuple[()] | tuple[_Value]:
    for value in iterator:  # no StopIteration: a future takes none
        return (value,)
    return ()


_Function = TypeVar("_Function", bound=Callable[..., Any])


def _value_of(method: Callable[..., Any]) -> str:
    return str(method.__annotations__["return"]).partition("[")[2].rstrip("]").partition(",")[0]


def _named(twin: _Function, method: Callable[..., Any], *, returns: str) -> _Function:
    twin.__qualname__ = f"AsyncClient.{method.__name__}"
    # mypy knows no such attribute of a function; inspect does (PEP 362)
    twin.__signature__ = inspect.signature(method).replace(return_annotation=returns)  # type: ignore[attr-defined]
    return twin
