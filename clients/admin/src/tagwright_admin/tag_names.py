"""What the server takes as a tag, so that one bad tag does not cost a photo: the rules of tagging_service.proto."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

LONGEST = 128  # characters, as kept
MOST = 256  # tags a photo
_LONGEST_WRITTEN = 1024
_CONTROLS = frozenset({"Cc", "Cs"})
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # marks that turn the direction of text


@dataclass(frozen=True, slots=True)
class Usable:
    """Tags that can be sent, in their order and each once, and how many were left out because they cannot."""

    names: tuple[str, ...] = ()
    left_out: int = 0


def usable(written: Iterable[str]) -> Usable:
    """Keep what the server takes. A tag that is there twice counts as one, and as nothing left out."""
    names: dict[str, str] = {}
    left_out = 0
    for text in written:
        name = folded(text) if len(text) <= _LONGEST_WRITTEN else ""
        if name in names:
            continue
        if not _may_be(name) or len(names) == MOST:
            left_out += 1
            continue
        names[name] = " ".join(text.split())
    return Usable(tuple(names.values()), left_out)


def folded(text: str) -> str:
    """Return the name under which a tag is kept: two tags are equal where theirs are."""
    while (again := " ".join(unicodedata.normalize("NFKC", text).lower().split())) != text:
        text = again
    return text


def _may_be(name: str) -> bool:
    if not 0 < len(name) <= LONGEST:
        return False
    return not any(unicodedata.category(char) in _CONTROLS or char in _TURNING for char in name)
