"""What text a database can keep: PostgreSQL refuses NUL, and half a surrogate pair is no text at all."""

from __future__ import annotations

import re

from tagwright_server.errors import ArgumentInvalid

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def storable(text: str) -> bool:
    """Whether it can be kept as it is."""
    return _UNSTORABLE.search(text) is None


def need_storable(text: str, *, field: str) -> str:
    """Return the text; raise ArgumentInvalid where it cannot be kept as it is."""
    if not storable(text):
        raise ArgumentInvalid(f"{field} must be text without the character NUL.", field=field)
    return text


def made_storable(text: str) -> str:
    """Return the text with U+FFFD for what cannot be kept: for a record that must not fail on what it is about."""
    return _UNSTORABLE.sub("\ufffd", text)
