"""One upload from end to end: prepares each photo, follows what becomes of it, and counts. Shows and asks nothing."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field

from tagwright_admin import sidecars, tag_names
from tagwright_admin.failures import Failure
from tagwright_admin.journal import Journal
from tagwright_admin.local_photos import LocalPhoto, Unreadable
from tagwright_client import Client, PhotoTags, TagwrightError, UploadPhoto

UNREADABLE = "PHOTO_UNREADABLE"

TagsOf = Callable[[LocalPhoto], sidecars.Beside]


@dataclass(frozen=True, slots=True)
class Options:
    """What holds for all photos of an upload. `visibility` is "PRIVATE" or "SHARED"."""

    author: str = ""
    visibility: str = "PRIVATE"
    model: str = ""
    min_score: float | None = None
    target_precision: float | None = None
    use_embedded_tags: bool = True


@dataclass(frozen=True, slots=True)
class Prepared:
    """A photo that is ready to be offered; `sha256` is empty where it could not be read."""

    photo: LocalPhoto
    user_tags: tuple[str, ...] = ()
    left_out: int = 0
    sha256: str = ""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one photo: either `tags` is set or `failure`. `error` is the server's, or the client's."""

    path: str
    prepared: Prepared | None = None
    tags: PhotoTags | None = None
    failure: Failure | None = None
    error: TagwrightError | None = None
    sent_bytes: int = 0


@dataclass(slots=True)
class Tally:
    """What has happened so far."""

    stored: int = 0
    existing: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    sent_bytes: int = 0
    user_tags: int = 0
    tags_left_out: int = 0
    sidecar_problems: list[tuple[str, str]] = field(default_factory=list)

    @property
    def photos(self) -> int:
        """How many photos have a result."""
        return self.stored + self.existing + self.failed.total()

    @property
    def all_stored(self) -> bool:
        """Whether nothing that was asked for was left undone."""
        return not self.failed and not self.sidecar_problems

    def count(self, outcome: Outcome) -> None:
        """Add one photo."""
        self.sent_bytes += outcome.sent_bytes
        if outcome.failure is not None:
            self.failed[outcome.failure.reason] += 1
        elif outcome.tags is not None and outcome.tags.existing:
            self.existing += 1
        else:
            self.stored += 1
        if outcome.prepared is not None:
            self.user_tags += len(outcome.prepared.user_tags)
            self.tags_left_out += outcome.prepared.left_out
            self.sidecar_problems += [(outcome.path, text) for text in outcome.prepared.problems]


def from_sidecars(photo: LocalPhoto) -> sidecars.Beside:
    """Return the tags that lie beside a photo."""
    return sidecars.read(photo.folder, photo.file_name)


def no_tags(_: LocalPhoto) -> sidecars.Beside:
    """Return no tags, whatever lies there."""
    return sidecars.Beside()


def prepare(photo: LocalPhoto, *, tags_of: TagsOf) -> Prepared:
    """Return a photo with its user tags, without opening it."""
    beside = tags_of(photo)
    names = tag_names.usable(beside.tags)
    return Prepared(photo, user_tags=names.names, left_out=names.left_out, problems=beside.problems)


def upload(
    client: Client,
    photos: Iterator[LocalPhoto | Unreadable],
    options: Options,
    *,
    journal: Journal,
    tags_of: TagsOf,
) -> Iterator[Outcome]:
    """Store photos and yield what became of each, as it happens. Raises what ends the whole upload.

    `photos` is read as fast as the server takes them; a photo that is hashed already is not opened until it is needed.
    """
    unreadable: deque[Unreadable] = deque()  # the client may read `photos` in a thread of its own

    def offers() -> Iterator[UploadPhoto]:
        for photo in photos:
            if isinstance(photo, Unreadable):
                unreadable.append(photo)
                continue
            prepared = prepare(photo, tags_of=tags_of)
            sha256 = journal.sha256(photo)
            if sha256 is None:
                with suppress(OSError):  # the client says why when it tries
                    sha256 = photo.sha256()
            ready = Prepared(photo, prepared.user_tags, prepared.left_out, sha256 or "", prepared.problems)
            yield UploadPhoto(
                photo.content,
                user_tags=ready.user_tags,
                author=options.author,
                file_name=_text(photo.file_name),
                sha256=sha256,
                size_bytes=photo.size_bytes if sha256 is not None else None,
                key=ready,
            )

    results = client.upload(
        offers(),
        model=options.model or None,
        min_score=options.min_score,
        target_precision=options.target_precision,
        visibility=options.visibility,
        use_embedded_tags=options.use_embedded_tags,
        user_tag_source="USER",
    )
    with closing(results):
        for result in results:
            ready = result.photo.key
            assert isinstance(ready, Prepared)
            if ready.sha256:
                journal.note(
                    ready.photo, sha256=ready.sha256, image_id=(result.tags.image_id or "") if result.tags else ""
                )
            yield _outcome(ready, result.tags, result.error, result.sent_bytes)
            yield from _drained(unreadable)
    yield from _drained(unreadable)


def failed(each: Unreadable) -> Outcome:
    """Return the outcome of what could not be read."""
    failure = Failure(each.path, sha256="", reason=UNREADABLE, text=each.text, archive=each.archive, member=each.member)
    return Outcome(each.path, failure=failure)


def _drained(unreadable: deque[Unreadable]) -> Iterator[Outcome]:
    while unreadable:
        yield failed(unreadable.popleft())


def _outcome(ready: Prepared, tags: PhotoTags | None, error: TagwrightError | None, sent_bytes: int) -> Outcome:
    path = ready.photo.path
    if error is None and tags is not None:
        return Outcome(path, prepared=ready, tags=tags, sent_bytes=sent_bytes)
    failure = Failure(
        path=path,
        sha256=ready.sha256,
        reason=error.reason if error is not None else "UNSPECIFIED",
        text=str(error) if error is not None else "the server gave neither tags nor a reason",
        archive=ready.photo.archive,
        member=ready.photo.member,
    )
    return Outcome(path, prepared=ready, failure=failure, error=error, sent_bytes=sent_bytes)


def _text(name: str) -> str:
    # Bytes of a file name that are no UTF-8 cannot be sent as text; 1,024 characters is what the server keeps.
    return name.encode(errors="replace").decode()[-1024:]
