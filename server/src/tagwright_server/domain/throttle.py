"""Failed logins slow down those that follow: for the account, and for the peer.

Each failure fills a bucket that empties slowly. From a full bucket on, the next try has to wait, twice as long with
each further failure. The bucket is the typed name's, whether there is such an account or not. Whoever signed in to an
account before from the same peer has a bucket of their own for it, so that strangers who guess cannot lock out its
owner (OWASP, "Slow Down Online Guessing Attacks with Device Cookies"; here the peer stands for the cookie).
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tagwright_server.errors import RateLimited
from tagwright_server.store.accounts import fold
from tagwright_server.store.failures import FailedLogins
from tagwright_server.store.records import Failures

FORGOTTEN_AFTER = timedelta(days=30)  # for how long a peer that signed in to an account is known to it


@dataclass(frozen=True, slots=True)
class Pace:
    """`free` failures within `window_s` cost nothing; then the wait doubles from a second up to `longest_s`."""

    free: int
    window_s: float
    longest_s: float

    def now(self, before: Failures | None, at: datetime) -> float:
        """Return how full the bucket is by now. A clock that went back empties nothing."""
        if before is None:
            return 0.0
        passed_s = max(0.0, (at - before.at).total_seconds())
        return max(0.0, before.level - passed_s * self.free / self.window_s)

    def add(self, before: Failures | None, at: datetime) -> Failures:
        """Return the bucket after one more failure. Beyond the longest wait it grows no fuller."""
        fullest = self.free + math.ceil(math.log2(self.longest_s)) if self.longest_s > 1 else self.free
        return Failures(min(self.now(before, at) + 1, fullest), at)

    def wait_s(self, before: Failures | None, at: datetime) -> float:
        """Return how long the next try has to wait; 0 where it need not.

        After a clock that went back: nobody waits until it is as late again as it seemed to be.
        """
        if before is None or at < before.at:
            return 0.0
        beyond = round(before.level - self.free)  # what ran out between two tries does not count
        if beyond < 0:
            return 0.0
        wait_s = min(2.0**beyond, self.longest_s)
        return max(0.0, wait_s - (at - before.at).total_seconds())


class Throttle:
    """The buckets of the store, at the pace of the settings."""

    def __init__(self, failures: FailedLogins, *, pepper: bytes, per_account: Pace, per_peer: Pace) -> None:
        self._failures = failures
        self._pepper = pepper
        self._per_account = per_account
        self._per_peer = per_peer

    def check(self, username: str, peer: str, *, at: datetime) -> bool:
        """Raise RateLimited where the next try has to wait, with one text for every name.

        Returns whether that peer signed in with that name before.
        """
        buckets = self._buckets(username, peer)
        found = self._failures.get(buckets.all)
        wait_s = max(
            self._per_account.wait_s(found.get(buckets.counting(found)), at),
            self._per_peer.wait_s(found.get(buckets.peer), at),
        )
        if wait_s > 0:
            raise RateLimited("Too many failed logins. Wait before you try again.", retry_after_s=math.ceil(wait_s))
        return buckets.known in found

    def fail(self, username: str, peer: str, *, at: datetime) -> None:
        """Count a failure; call inside transaction()."""
        buckets = self._buckets(username, peer)
        found = self._failures.claim(buckets.all)
        counting = buckets.counting(found)
        self._failures.put(counting, self._per_account.add(found.get(counting), at))
        self._failures.put(buckets.peer, self._per_peer.add(found.get(buckets.peer), at))

    def succeed(self, username: str, peer: str, *, at: datetime) -> None:
        """Forget the failures that led here and know the peer from now on; call inside transaction()."""
        buckets = self._buckets(username, peer)
        self._failures.forget(buckets.counting(self._failures.claim(buckets.all)))
        self._failures.put(buckets.known, Failures(0.0, at))

    def _buckets(self, username: str, peer: str) -> _Buckets:
        name = bucket_of_name(username, self._pepper)
        return _Buckets(name, f"known:{name}:{peer}", f"peer:{peer}")


@dataclass(frozen=True, slots=True)
class _Buckets:
    """Those that a try may fill: the name's, the name's with a peer that is known to it, and the peer's."""

    name: str
    known: str
    peer: str

    @property
    def all(self) -> list[str]:
        return [self.name, self.known, self.peer]

    def counting(self, found: Mapping[str, Failures]) -> str:
        """Return the one that counts for this name and peer."""
        return self.known if self.known in found else self.name


def bucket_of_name(username: str, pepper: bytes) -> str:
    """Return the bucket of a typed name: a keyed hash, since people type passwords where the name belongs."""
    return "name:" + hmac.digest(pepper, fold(username).encode("utf-8", "surrogatepass"), hashlib.sha256).hex()
