"""Waits for an overloaded server as long as it asks, within the caller's time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from ._cancellation import Cancellation
from ._errors import Overloaded

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 2.0  # where the server said "overloaded" but not for how long

_Answer = TypeVar("_Answer")


def patiently(attempt: Callable[[float], _Answer], cancellation: Cancellation, *, timeout_s: float) -> _Answer:
    """Make `attempt(time left)` until the server is no longer overloaded, pausing as long as it asks.

    Raises the Overloaded itself when the pause would not fit into what is left of `timeout_s`.
    """
    give_up_at = time.monotonic() + timeout_s
    unasked_pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return attempt(give_up_at - time.monotonic())
        except Overloaded as err:
            if err.retry_after_s is not None:
                pause_s = err.retry_after_s
            else:
                pause_s, unasked_pause_s = unasked_pause_s, min(unasked_pause_s * 2, _LONGEST_PAUSE_S)
            # Never sooner than asked, and not all workers at once.
            pause_s *= random.uniform(1.0, 1.25)
            if time.monotonic() + pause_s >= give_up_at or not cancellation.pause(pause_s):
                raise
