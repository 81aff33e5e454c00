"""What the calls about kept photos return: frozen values in plain Python types, each field with its unit."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from ._errors import TagwrightError
from ._values import Tag


@dataclass(frozen=True, slots=True)
class Image:
    """One photo that the server keeps.

    `visibility` is PRIVATE or SHARED. `width` and `height` are in pixels, as people see the photo. `source_sha256` is
    the digest of the bytes that came and is empty for whoever may not know it; `content_*` are of those that are kept.
    `tags`: confirmed ones first, then suggested, then rejected. `near_duplicate_ids` is filled in by `image()` alone.
    """

    id: str
    owner: str
    author: str
    visibility: str
    file_name: str
    source_sha256: str
    content_sha256: str
    content_size_bytes: int
    width: int
    height: int
    format: str
    capture_time: datetime | None
    create_time: datetime | None
    update_time: datetime | None
    model_version: str
    tags: tuple[Tag, ...]
    near_duplicate_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ContentInfo:
    """What a photo's bytes are: media type (such as "image/jpeg"), how many, and their SHA-256 in hexadecimal."""

    media_type: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a photo, of the size and the digest that the server said."""

    media_type: str
    size_bytes: int
    sha256: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TagEntry:
    """A tag by itself: the other names that mean it, the tags that hold wherever it does, and on how many photos."""

    name: str
    aliases: tuple[str, ...]
    parents: tuple[str, ...]
    image_count: int
    confirmed_count: int


@dataclass(frozen=True, slots=True)
class ImageFilter:
    """Which photos an operation is about: those that all that is said holds for; empty or None: not said."""

    ids: tuple[str, ...] = ()
    source_sha256s: tuple[str, ...] = ()
    owner: str = ""
    create_time_from: datetime | None = None
    create_time_before: datetime | None = None
    model_version: str = ""
    except_model_version: str = ""
    untagged: bool = False
    tag: str = ""


@dataclass(frozen=True, slots=True)
class TagChange:
    """How many photos got a tag, lost it, or keep it with a score that differs by at least 0.05."""

    tag: str
    added: int
    removed: int
    moved: int


@dataclass(frozen=True, slots=True)
class ImageFailure:
    """One photo that an operation could not do, and why."""

    image_id: str
    error: TagwrightError


@dataclass(frozen=True, slots=True)
class Operation:
    """Tagging photos anew: `state` is PENDING, RUNNING, SUCCEEDED, CANCELLED or FAILED (`error` says why).

    `total` photos were meant; `done` and `failed` are over, `pending` not yet. With `dry_run` nothing is changed.
    """

    id: str
    state: str
    username: str
    create_time: datetime | None
    update_time: datetime | None
    end_time: datetime | None
    filter: ImageFilter
    model_version: str
    dry_run: bool
    total: int
    pending: int
    done: int
    failed: int
    tag_changes: tuple[TagChange, ...] = ()
    failures: tuple[ImageFailure, ...] = ()
    error: TagwrightError | None = None

    @property
    def finished(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.state in ("SUCCEEDED", "CANCELLED", "FAILED")
