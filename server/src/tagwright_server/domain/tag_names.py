"""When two tags are the same, and what may be one: names that differ in case, Unicode form or white space are equal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress

from tagwright_server.domain.quoting import quoted
from tagwright_server.errors import ArgumentInvalid

LONGEST = 128  # characters, as kept
MOST = 256  # tags that a person gives one photo; both as the contract says (tagging_service.proto)
_LONGEST_WRITTEN = 1024  # normalising takes time that grows with the square of the length
_CONTROLS = frozenset({"Cc", "Cs"})
# Marks that turn the direction of text: a tag with one of them could look like any other.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def tag_name(written: str, *, field: str) -> str:
    """Return the name under which a tag is kept: NFKC, lower case, single spaces; raise ArgumentInvalid."""
    if len(written) > _LONGEST_WRITTEN:
        raise ArgumentInvalid(f"is a tag of {len(written):,} characters; at most {LONGEST} are accepted", field=field)
    name = _folded(written)
    if not name:
        raise ArgumentInvalid("is an empty tag", field=field)
    if len(name) > LONGEST:
        raise ArgumentInvalid(f"is a tag of {len(name):,} characters; at most {LONGEST} are accepted", field=field)
    if any(unicodedata.category(character) in _CONTROLS or character in _TURNING for character in name):
        raise ArgumentInvalid(f"{quoted(written)} has control characters", field=field)
    return name


def tag_names(written: Sequence[str], *, field: str, most: int = MOST) -> tuple[str, ...]:
    """Return the names of several tags in their order, each once; raise ArgumentInvalid, which says which is wrong."""
    if len(written) > most:
        raise ArgumentInvalid(f"has {len(written):,} tags; at most {most} are accepted", field=field)
    return tuple(dict.fromkeys(tag_name(each, field=f"{field}[{at}]") for at, each in enumerate(written)))


def usable_names(written: Iterable[str], *, most: int) -> tuple[str, ...]:
    """Return the names of those that can be tags: what a photo carries is not its sender's fault."""
    names: dict[str, None] = {}
    for each in written:
        if len(names) >= most:
            break
        with suppress(ArgumentInvalid):
            names[tag_name(each, field="")] = None
    return tuple(names)


def _folded(text: str) -> str:
    while (folded := " ".join(unicodedata.normalize("NFKC", text).lower().split())) != text:
        text = folded
    return text
