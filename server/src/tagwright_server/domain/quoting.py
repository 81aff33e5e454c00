"""Words of a caller inside our own sentences: short, on one line, without control characters."""

from __future__ import annotations

_LONGEST = 60  # characters; an error travels in HTTP/2 headers, of which there are 8 KiB in all


def quoted(text: str) -> str:
    """Return `text` in quotation marks, shortened, with everything unprintable escaped."""
    return ascii(text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "...")
