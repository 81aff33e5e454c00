"""Pages of a list (AIP-158): page sizes, and tokens that mean nothing to anyone else and nothing for any other list."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import TypeVar

from tagwright_server.errors import ArgumentInvalid

DEFAULT_SIZE = 50  # both as the contract says (tagging_service.proto)
LARGEST_SIZE = 500
_MARK_BYTES = 8

T = TypeVar("T")


def page(things: Sequence[T], *, page_size: int, page_token: str, bound_to: str) -> tuple[Sequence[T], str]:
    """Return one page of a list that is all there, and the token of the next, "" after the last.

    `bound_to` says which list this is: the call, its other arguments and what the list's order depends on. A token made
    for anything else is refused. It carries no authority: whoever forges one sees a page of what they may see anyway.
    """
    positions = range(len(things))

    def following(after: str | None, limit: int) -> Sequence[int]:
        start = 0 if after is None else to_number(after) + 1
        return positions[start : start + limit]

    found, token = page_after(following, place=str, page_size=page_size, page_token=page_token, bound_to=bound_to)
    return [things[position] for position in found], token


def page_after(
    following: Callable[[str | None, int], Sequence[T]],
    *,
    place: Callable[[T], str],
    page_size: int,
    page_token: str,
    bound_to: str,
) -> tuple[Sequence[T], str]:
    """Return one page of a list that the store has, and the token of the next, "" after the last.

    `following(after, limit)` gives the things behind a place, from the first on where it is None; `place` tells a
    thing's own. What is added meanwhile moves nothing.
    """
    size, after = begin(page_size=page_size, page_token=page_token, bound_to=bound_to)
    found = following(after, size + 1)
    shown = found[:size]
    return shown, token_behind(place(shown[-1]), bound_to) if len(found) > size else ""


def begin(*, page_size: int, page_token: str, bound_to: str) -> tuple[int, str | None]:
    """Return how many things a page holds, and the place that it begins behind, None for the first. ArgumentInvalid."""
    if page_size < 0:
        raise ArgumentInvalid(f"must not be negative, not {page_size}", field="page_size")
    return min(page_size or DEFAULT_SIZE, LARGEST_SIZE), _read(page_token, bound_to) if page_token else None


def token_behind(place: str, bound_to: str) -> str:
    """Return the token of the page behind a place."""
    raw = place.encode("utf-8")
    return base64.urlsafe_b64encode(_mark(raw, bound_to) + raw).decode("ascii")


def to_number(place: str) -> int:
    """Read a place that is a number. Raises ArgumentInvalid."""
    if not (place.isascii() and place.isdigit() and len(place) < 19):  # forged: the mark is no secret
        raise no_such_page()
    return int(place)


def to_moment_and_id(place: str) -> tuple[datetime, str]:
    """Read a place that is a moment and an id. Raises ArgumentInvalid."""
    made, _, id = place.partition(" ")
    try:
        moment = datetime.fromisoformat(made).astimezone(timezone.utc)
    except (ValueError, OverflowError) as err:
        raise no_such_page() from err
    if not id.isalnum():
        raise no_such_page()
    return moment, id


def no_such_page() -> ArgumentInvalid:
    """Return the error for a token of another list, or of none."""
    return ArgumentInvalid("is not a token of this list; begin again without one", field="page_token")


def _read(token: str, bound_to: str) -> str:
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        mark, place = raw[:_MARK_BYTES], raw[_MARK_BYTES:]
        if mark == _mark(place, bound_to):
            return place.decode("utf-8")
    except (binascii.Error, UnicodeError, ValueError):
        pass
    raise no_such_page()


def _mark(place: bytes, bound_to: str) -> bytes:
    return hashlib.blake2b(place + b"\0" + bound_to.encode("utf-8"), digest_size=_MARK_BYTES).digest()
