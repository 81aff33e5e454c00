"""Passwords: which are taken, how they are kept, and that hashing them starves nobody.

Kept is bcrypt of base64(HMAC-SHA384(pepper, password)): bcrypt reads no more than 72 bytes and stops at a NUL, the 64
characters of the HMAC have neither problem, and without the pepper, which is not in the database, a stolen hash cannot
be tried (OWASP Password Storage). Passwords are compared in Unicode form NFC; every character counts, NUL and blanks
included.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import hmac
import itertools
import threading
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import bcrypt

from tagwright_server.domain.capacity import Capacity
from tagwright_server.domain.deadline import Deadline
from tagwright_server.errors import ArgumentInvalid

SHORTEST, LONGEST = 8, 128  # characters (ASVS 5.0, 6.2.1 and 6.2.9)
_LONGEST_TYPED = 1024  # characters; as many may become 128 in form NFC
_WAITING = 16  # with some 0.3 s a hash, the last one waits 5 s

T = TypeVar("T")


class Passwords:
    """Hashes and checks passwords, one at a time, whoever asks: bcrypt takes a whole core for a third of a second.

    `cost` is bcrypt's, the logarithm of its rounds.
    """

    def __init__(self, pepper: bytes, *, cost: int) -> None:
        self._pepper = pepper
        self._cost = cost
        self._turn = threading.Condition()
        self._line: list[tuple[bool, int]] = []
        self._tickets = itertools.count()
        self._busy = False
        self._waiting = Capacity(_WAITING, "passwords to check")
        # A well-formed hash that no password has: who has no account costs as much as who has one.
        self._nobodys = (bcrypt.gensalt(cost) + b"." * 31).decode("ascii")

    def in_turn(self, work: Callable[[], T], deadline: Deadline, *, first: bool = False) -> T:
        """Do `work` once everyone who came before is through, or who came `first`.

        What has not begun when the deadline passes or the caller hangs up is not done. Raises Overloaded where too
        many wait.
        """
        with self._waiting.hold():
            self._await(deadline, (not first, next(self._tickets)))
            try:
                return work()
            finally:
                with self._turn:
                    self._busy = False
                    self._turn.notify_all()

    def _await(self, deadline: Deadline, place: tuple[bool, int]) -> None:
        deadline.when_gone(self._look)
        with self._turn:
            heapq.heappush(self._line, place)
            try:
                while self._busy or self._line[0] != place:
                    deadline.check("the password was checked")
                    self._turn.wait(deadline.remaining_s())
                deadline.check("the password was checked")
                self._busy = True
            finally:
                self._line.remove(place)
                heapq.heapify(self._line)
                self._turn.notify_all()
                deadline.forget()

    def _look(self) -> None:
        with self._turn:
            self._turn.notify_all()

    def hash(self, password: str) -> str:
        """Return what is kept of a password; call it in turn."""
        return bcrypt.hashpw(self._prehashed(password), bcrypt.gensalt(self._cost)).decode("ascii")

    def matches(self, password: str, kept: str | None) -> bool:
        """Return whether it is the password that was kept; takes as long where none was. Call it in turn."""
        right = bcrypt.checkpw(self._prehashed(password), (kept or self._nobodys).encode("ascii"))
        return right and kept is not None

    def outdated(self, kept: str) -> bool:
        """Return whether it was hashed at a lower cost than today's."""
        return int(kept.split("$")[2]) < self._cost

    def _prehashed(self, password: str) -> bytes:
        message = _normalised(password).encode("utf-8")
        return base64.b64encode(hmac.digest(self._pepper, message, hashlib.sha384))


def check_new(password: str, *, username: str, field: str) -> None:
    """Refuse a password that should not be anyone's; raises ArgumentInvalid, whose text does not show it."""
    password = _normalised(password)
    if not SHORTEST <= len(password) <= LONGEST:
        raise ArgumentInvalid(
            f"must have {SHORTEST} to {LONGEST} characters, this one has {len(password):,}", field=field
        )
    if password.casefold() in _common() or password.casefold() == username.casefold():
        raise ArgumentInvalid("is one of the first that anybody would try; choose another", field=field)


def _normalised(password: str) -> str:
    # What is longer than any password stays as it is: normalising takes time that grows with the square of the length.
    return unicodedata.normalize("NFC", password) if len(password) <= _LONGEST_TYPED else password


@cache
def _common() -> frozenset[str]:
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # late: 30,000 words that only new passwords need

    return frozenset(word for word in FREQUENCY_LISTS["passwords"] if len(word) >= SHORTEST)
