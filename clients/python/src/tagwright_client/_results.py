"""Lists that come in pages: gone through value by value, or page by page, also on from where another process was."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from . import _account_convert as arguments

_Value = TypeVar("_Value")


class _Page(Protocol):
    @property
    def next_page_token(self) -> str: ...


_Response = TypeVar("_Response", bound=_Page)


class Results(Iterator[_Value]):
    """What a list has, in order: an iterator that asks for a page when its turn comes.

    A page that could not be had is asked for again by the next step. Not to be shared between threads.
    """

    def __init__(
        self,
        page: Callable[[str], _Response],
        values: Callable[[_Response], Iterable[_Value]],
        *,
        page_token: str = "",
    ) -> None:
        self._page: Callable[[str], Any] = page
        self._values: Callable[[Any], Iterable[_Value]] = values
        self._ready: deque[_Value] = deque()
        self._following: str | None = arguments.text("page_token", page_token)  # None: nothing more

    def __next__(self) -> _Value:
        """Return the next value."""
        if not self._fill():
            raise StopIteration
        return self._ready.popleft()

    def next_page(self) -> tuple[_Value, ...]:
        """Return the rest of the page that was begun, or else the next page; () where there is nothing more."""
        self._fill()
        return self._take()

    @property
    def next_page_token(self) -> str:
        """Where to go on after the pages that were asked for so far: the `page_token` of a later call.

        Empty where there is nothing more; before any page was asked for, the token that this began with.
        """
        return self._following or ""

    def _fill(self) -> bool:
        """Have the next value ready; False where there is none."""
        while not self._ready:
            if self._following is None:
                return False
            self._ask()
        return True

    def _take(self) -> tuple[_Value, ...]:
        """Return what is ready, and have it no more."""
        return tuple(self._ready.popleft() for _ in range(len(self._ready)))

    def _ask(self) -> Any:
        """Ask for the page whose turn it is, and return the answer."""
        response = self._page(self._following or "")
        self._ready.extend(tuple(self._values(response)))  # all or, where one makes no sense, none of them
        self._following = response.next_page_token or None
        return response
