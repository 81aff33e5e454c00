"""Pages of a list (AIP-158): page sizes, and tokens that mean nothing to anyone else and nothing for any other list."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import TypeVar

from tagwright_server.errors import ArgumentInvalid

DEFAULT_SIZE = 50  # both as the contract says (tagging_service.proto)
LARGEST_SIZE = 500
_OFFSET_BYTES = 4
_MARK_BYTES = 8

T = TypeVar("T")


def page(things: Sequence[T], *, page_size: int, page_token: str, bound_to: str) -> tuple[Sequence[T], str]:
    """Return one page and the token of the next, "" after the last.

    `bound_to` says which list this is: the call, its other arguments and what the list's order depends on. A token made
    for anything else is refused. It carries no authority: whoever forges one sees a page of what they may see anyway.
    """
    if page_size < 0:
        raise ArgumentInvalid(f"must not be negative, not {page_size}", field="page_size")
    size = min(page_size or DEFAULT_SIZE, LARGEST_SIZE)
    start = _read(page_token, bound_to) if page_token else 0
    end = start + size
    return things[start:end], _write(end, bound_to) if end < len(things) else ""


def _write(offset: int, bound_to: str) -> str:
    place = offset.to_bytes(_OFFSET_BYTES, "big")
    return base64.urlsafe_b64encode(place + _mark(place, bound_to)).decode("ascii")


def _read(token: str, bound_to: str) -> int:
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError, ValueError):
        raw = b""
    place = raw[:_OFFSET_BYTES]
    if len(raw) != _OFFSET_BYTES + _MARK_BYTES or raw[_OFFSET_BYTES:] != _mark(place, bound_to):
        raise ArgumentInvalid("is not a token of this list; begin again without one", field="page_token")
    return int.from_bytes(place, "big")


def _mark(place: bytes, bound_to: str) -> bytes:
    return hashlib.blake2b(place + bound_to.encode("utf-8"), digest_size=_MARK_BYTES).digest()
