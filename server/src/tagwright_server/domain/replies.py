"""The same request, sent again, gets its first answer again: `request_id` (AIP-155), for every call that changes
something.

The answer is stored in the transaction of the change: there is one if and only if the change happened. It is sealed
with a key made of the request's id and the pepper, because an answer may hold a secret (a new API key): who has the
database has neither of the two. That also is why the id itself is stored as a keyed hash only.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tagwright_server.clock import Clock
from tagwright_server.errors import ArgumentInvalid, RequestIdReused, TagwrightError
from tagwright_server.store.records import Reply
from tagwright_server.store.store import Store

KEPT_FOR = timedelta(hours=24)
_NONCE_BYTES = 12  # AES-GCM's own

P = TypeVar("P")


class Replies:
    """Remembers answers, for a day at least."""

    def __init__(self, store: Store, *, pepper: bytes, clock: Clock) -> None:
        self._store = store
        self._pepper = pepper
        self._clock = clock

    def once(
        self,
        request_id: str,
        *,
        account_id: str,
        content: bytes,
        prepare: Callable[[], P],
        work: Callable[[P], bytes],
    ) -> bytes:
        """Return the answer of `work`, or the first answer to the same request.

        `content` is the call and everything it says but its id. `prepare` is what takes long and changes nothing; its
        result goes to `work`, which is done in a transaction. Without an id nothing is remembered.
        Raises ArgumentInvalid for an id that is no UUID4, and RequestIdReused.
        """
        if not request_id:
            prepared = prepare()
            with self._store.transaction():
                return work(prepared)
        seal = _Seal(self._pepper, account_id, _parsed(request_id), content)
        answer = self._answer(seal)
        if answer is not None:
            return answer
        try:
            prepared = prepare()
        except TagwrightError:
            answer = self._answer(seal)  # a twin may have changed what is prepared for
            if answer is not None:
                return answer
            raise
        with self._store.transaction():
            self._store.replies.claim(seal.id)
            answer = self._answer(seal)  # again: a twin may have come first
            if answer is None:
                answer = work(prepared)
                self._store.replies.add(Reply(seal.id, seal.content, seal.close(answer), self._clock.now()))
        return answer

    def _answer(self, seal: _Seal) -> bytes | None:
        reply = self._store.replies.find(seal.id)
        if reply is None:
            return None
        if not hmac.compare_digest(reply.content, seal.content):
            raise RequestIdReused("The request_id was used before, with other content. Make up a new one.")
        return seal.open(reply.sealed)


class _Seal:
    """What is derived from one request; each derivation has a purpose of its own."""

    def __init__(self, pepper: bytes, account_id: str, request_id: uuid.UUID, content: bytes) -> None:
        whose = bytes.fromhex(account_id) + request_id.bytes
        self.id = _derived(pepper, b"reply id", whose)
        self.content = _derived(pepper, b"reply content", whose + content)
        self._key = _derived(pepper, b"reply key", whose)

    def close(self, answer: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self._key).encrypt(nonce, answer, self.id)

    def open(self, sealed: bytes) -> bytes:
        return AESGCM(self._key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self.id)


def _derived(pepper: bytes, purpose: bytes, message: bytes) -> bytes:
    return hmac.digest(pepper, purpose + b"\0" + message, hashlib.sha256)


def _parsed(request_id: str) -> uuid.UUID:
    try:
        parsed = uuid.UUID(request_id)
    except ValueError:
        parsed = uuid.UUID(int=0)
    if parsed.version != 4 or str(parsed) != request_id.lower():
        raise ArgumentInvalid("must be a UUID4, such as 6f1c1d0e-8c5e-4c39-9c51-3f1f0a3b7c11", field="request_id")
    return parsed
