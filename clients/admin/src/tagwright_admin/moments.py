"""From what people write for a moment in time to the moment."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from tagwright_admin.connection import USAGE, Refused

_SPAN = re.compile(r"(\d{1,9})([hdw])", re.ASCII)
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def after(now: datetime, text: str, *, option: str) -> datetime:
    """Return the moment meant: a span such as 90d counts from `now` on. Raises Refused."""
    return _moment(now, text, option=option, sign=1)


def before(now: datetime, text: str, *, option: str) -> datetime:
    """Return the moment meant: a span such as 7d counts back from `now`. Raises Refused."""
    return _moment(now, text, option=option, sign=-1)


def now() -> datetime:
    """Return the time by this machine's clock."""
    return datetime.now(timezone.utc)


def _moment(now: datetime, text: str, *, option: str, sign: int) -> datetime:
    span = _SPAN.fullmatch(text)
    try:
        if span:
            return now + sign * int(span[1]) * _UNITS[span[2]]
        # Python 3.10 does not know Z. A date alone is its first moment; without a zone it is this machine's.
        return datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", text)).astimezone(timezone.utc)
    except (ValueError, OverflowError) as err:
        raise Refused(
            f"{option}: {text!r} is no moment; write a span such as 12h, 7d or 8w, or a date such as 2027-01-31",
            exit_code=USAGE,
        ) from err
