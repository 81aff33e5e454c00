"""What goes to and fro in an upload, and how much of it may be under way."""

from __future__ import annotations

from dataclasses import dataclass

from tagwright_server.domain.keeping import KeptPhoto, Submission
from tagwright_server.domain.tagging import ImageTags
from tagwright_server.errors import TagwrightError


@dataclass(frozen=True, slots=True)
class Pace:
    """How much may be under way: photos without a result, and bytes sent of them, one photo beyond it included."""

    photos: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What an upload may be."""

    pace: Pace
    photo_bytes: int
    idle_s: float
    age_s: float


@dataclass(frozen=True, slots=True)
class Offer:
    """One photo that is offered; `id` is its number in the stream."""

    id: int
    size_bytes: int
    submission: Submission


@dataclass(frozen=True, slots=True)
class Slower:
    """Answer: keep to this pace, and send nothing for `wait_s`."""

    pace: Pace
    wait_s: float


@dataclass(frozen=True, slots=True)
class Needed:
    """Answer: the bytes of these offers are needed."""

    offer_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """Answer: what became of an offer; with `looked` where its photo was looked at."""

    offer_id: int
    kept: KeptPhoto | TagwrightError
    looked: ImageTags | None = None


@dataclass(frozen=True, slots=True)
class MoveOn:
    """Answer: offer nothing more in this stream; open a new one after `wait_s`."""

    wait_s: float


Answer = Slower | Needed | Result | MoveOn
