"""Photos with their tags as files carry them between servers: what is read from CSV, JSON lines and sidecars."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

CONFIRMED, SUGGESTED, REJECTED = "CONFIRMED", "SUGGESTED", "REJECTED"
_DIGEST = re.compile("[0-9a-fA-F]{64}")
_STATES = (CONFIRMED, SUGGESTED, REJECTED)


@dataclass(frozen=True, slots=True)
class TagRecord:
    """One tag: its state as the SDK names it, and the probability that it is right, None where there is none."""

    name: str
    state: str
    score: float | None


@dataclass(frozen=True, slots=True)
class PhotoRecord:
    """One photo: `where` it was read, what finds it (its digest, else its id), its owner, and its tags."""

    where: str
    source_sha256: str
    image_id: str
    owner: str
    tags: tuple[TagRecord, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """What cannot be read: where, and why."""

    where: str
    text: str


def state_of(text: str) -> str:
    """Return the state that is meant; raise ValueError."""
    state = text.strip().upper()
    if state not in _STATES:
        raise ValueError(f"{text[:40]!r} is no state; it is one of {', '.join(_STATES)}")
    return state


def score_of(value: object) -> float | None:
    """Return a probability from a number or its text; None where it is empty; raise ValueError."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("a score is a number from 0 to 1")
    try:
        score = float(value)
    except (ValueError, OverflowError):
        score = math.nan
    if not 0 <= score <= 1:  # nor is NaN
        raise ValueError(f"{str(value)[:40]!r} is no score; it is a number from 0 to 1")
    return score


def score_text(score: float) -> str:
    """Return a probability as text, to the six digits that a 32-bit number carries."""
    return str(round(score, 6))


def check_names_photo(sha256: str, image_id: str) -> None:
    """Raise ValueError unless a photo can be found by its digest, or by its id."""
    if not (sha256 or image_id):
        raise ValueError("it names no photo: neither source_sha256 nor an id")
    if sha256 and not _DIGEST.fullmatch(sha256):
        raise ValueError("source_sha256 is 64 hexadecimal digits")
