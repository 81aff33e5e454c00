"""Days that were filled in, as moments. All times of these pages are in UTC."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone

from tagwright_web.failures import Failure


def begin_of(text: str) -> datetime | None:
    """Return the first moment of a day; None where none is filled in."""
    return datetime.combine(_day(text), time(), timezone.utc) if text else None


def end_of(text: str) -> datetime | None:
    """Return the first moment after a day; None where none is filled in."""
    if not text:
        return None
    try:
        return datetime.combine(_day(text) + timedelta(days=1), time(), timezone.utc)
    except OverflowError:
        return None  # no day comes after the last one, so nothing is left out


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Failure(400, "That is no date", f"{text!r} is no date. Write one as in 2027-01-31.") from None
