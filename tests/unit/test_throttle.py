"""The arithmetic of failed logins; what the store makes of it is in tests/service/test_login.py."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tagwright_server.domain.throttle import Pace
from tagwright_server.store.records import Failures

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
PACE = Pace(free=5, window_s=900, longest_s=300)


def after(failures: int, *, every_s: float = 0.0) -> tuple[Failures, datetime]:
    bucket, at = None, NOON
    for _ in range(failures):
        at += timedelta(seconds=every_s)
        bucket = PACE.add(bucket, at)
    assert bucket is not None
    return bucket, at


def test_the_first_failures_cost_nothing() -> None:
    for failures in range(1, 5):
        assert PACE.wait_s(*after(failures)) == 0
    assert PACE.wait_s(None, NOON) == 0


def test_then_the_wait_doubles_up_to_the_longest() -> None:
    waits = [PACE.wait_s(*after(failures)) for failures in range(5, 16)]
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_the_wait_passes() -> None:
    bucket, at = after(8)
    assert PACE.wait_s(bucket, at + timedelta(seconds=3)) == 5
    assert PACE.wait_s(bucket, at + timedelta(seconds=8)) == 0


def test_rare_failures_never_cost_anything() -> None:
    bucket, at = after(1000, every_s=181)
    assert PACE.wait_s(bucket, at) == 0


def test_the_bucket_is_empty_again_after_a_while_however_many_failed() -> None:
    bucket, at = after(10_000)
    later = at + timedelta(seconds=900 * 15 / 5)
    assert PACE.now(bucket, later) == 0
    assert PACE.wait_s(PACE.add(bucket, later), later) == 0


@pytest.mark.parametrize("hours", [-2, -87_600])
def test_a_clock_that_went_back_locks_nobody_out_and_forgets_nothing(hours: int) -> None:
    bucket, at = after(12)
    earlier = at + timedelta(hours=hours)
    assert PACE.wait_s(bucket, earlier) == 0
    again = PACE.add(bucket, earlier)
    assert PACE.wait_s(again, earlier) == 256
