"""Photos, their tags and the work on them, as plain values. All times are in UTC, to the microsecond."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum


class Visibility(Enum):
    """Who else sees a photo, beside its owner and administrators."""

    PRIVATE = "private"
    SHARED = "shared"


class TagState(Enum):
    """What people have made of a tag of a photo. The order is that of lists."""

    CONFIRMED = "confirmed"
    SUGGESTED = "suggested"
    REJECTED = "rejected"


class TagSource(Enum):
    """Where a tag of a photo comes from."""

    USER = "user"
    MODEL = "model"
    REFINEMENT = "refinement"
    IMPORT = "import"


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes that are kept of a photo. `sha256` is theirs; `perceptual_hash` has 64 bits, unsigned."""

    sha256: bytes
    size_bytes: int
    format: str
    width: int
    height: int
    perceptual_hash: int


@dataclass(frozen=True, slots=True)
class Image:
    """One photo of one owner. `number` grows with every photo and is this installation's own; `id` is for others.

    `number` is 0 until it is stored. `owner` is the account's name, as it is written; "" until it is stored.
    """

    id: str
    owner_id: str
    source_sha256: bytes
    content: Content
    visibility: Visibility
    created: datetime
    updated: datetime
    model_version: str
    author: str = ""
    file_name: str = ""
    captured: datetime | None = None
    owner: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class ImageTag:
    """One tag of one photo.

    `score` is the calibrated probability that it is right, None where nothing has judged it; `position` counts from 0
    in the order in which the owner typed tags, None for the others.
    """

    name: str
    state: TagState
    source: TagSource
    score: float | None = None
    model_version: str = ""
    position: int | None = None


@dataclass(frozen=True, slots=True)
class ImageFilter:
    """The photos that every field that is set holds for. `ids` and `source_sha256s`: None does not filter, () is none.

    `visible_to` is an account's id: its own photos and the shared ones; None for administrators. It is no part of what
    callers write.
    """

    ids: tuple[str, ...] | None = None
    source_sha256s: tuple[bytes, ...] | None = None
    owner_id: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    model_version: str = ""
    except_model_version: str = ""
    untagged: bool = False
    tag: str = ""
    visible_to: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What an account keeps. The bytes of a photo count for each of its owners."""

    photos: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class TagEntry:
    """A tag by itself, with its counts over the photos that the asker may see."""

    name: str
    aliases: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    images: int = 0
    confirmed: int = 0


@dataclass(frozen=True, slots=True)
class TagMeaning:
    """What a name means to a search: the tag, None where there is none, its name, and the tags below it by number."""

    number: int | None
    name: str
    below: dict[int, str]


class OperationState(Enum):
    """How far an operation is."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing happens any more."""
        return self not in (OperationState.PENDING, OperationState.RUNNING)


@dataclass(frozen=True, slots=True)
class TagChange:
    """On how many photos a tag came, went, or kept with a clearly different score."""

    added: int = 0
    removed: int = 0
    moved: int = 0


@dataclass(frozen=True, slots=True)
class ImageFailure:
    """One photo that could not be done; `reason` is an error's reason, `text` its safe text."""

    image_id: str
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Operation:
    """Tagging photos anew. `cursor` is the number of the last photo that is behind it, `last` that of the last one
    that was meant. `filter_text` is the filter as its caller wrote it; transport alone can read it.
    """

    id: str
    state: OperationState
    account_id: str
    username: str
    created: datetime
    updated: datetime
    filter: ImageFilter
    filter_text: bytes
    model_version: str
    validate_only: bool
    total: int
    last: int
    cursor: int = 0
    done: int = 0
    failed: int = 0
    ended: datetime | None = None
    cancelling: bool = False
    error_reason: str = ""
    error_text: str = ""
    changes: dict[str, TagChange] = field(default_factory=dict)
    failures: tuple[ImageFailure, ...] = ()
