"""Photos become kept: their bytes, their tags and their embedding, in one piece or not at all.

The bytes are on disk before the row that names them is, and the row is on disk before anybody hears of it; so what was
acknowledged is there after a kill and after a power cut, and no row is ever without its bytes. The same bytes of one
account are one photo, however often they come.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagwright_server.clock import Clock
from tagwright_server.domain.access import Caller
from tagwright_server.domain.decisions import Change, Refined, Seen, difference, given, refined, tagged
from tagwright_server.domain.models import full_name
from tagwright_server.domain.tag_names import MOST, usable_names
from tagwright_server.domain.tagging import ImageTags, Kept
from tagwright_server.domain.tags import Tag
from tagwright_server.errors import ArgumentInvalid, QuotaExceeded
from tagwright_server.inference.bundle import Bundle
from tagwright_server.store.blobs import Blobs
from tagwright_server.store.failpoints import AFTER_COMMIT, BEFORE_COMMIT, BLOB_SYNCED, failpoint
from tagwright_server.store.image_records import Content, Image, ImageTag, TagSource, Usage, Visibility
from tagwright_server.store.records import Scope
from tagwright_server.store.store import Store

LONGEST_AUTHOR = 256  # characters; both as the contract says (tagging_service.proto)
LONGEST_FILE_NAME = 1024
NEAR_MAX = 20
_QUOTA_AGAIN_S = 3600.0  # nothing but deleting photos makes room


@dataclass(frozen=True, slots=True)
class Submission:
    """What the sender says of a photo that is to be kept; `user_tags` are names as tag_names makes them."""

    source_sha256: bytes
    user_tags: tuple[str, ...] = ()
    user_tag_source: TagSource = TagSource.USER
    author: str = ""
    file_name: str = ""
    visibility: Visibility = Visibility.PRIVATE
    use_embedded_tags: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A photo that was looked at, with what would be kept of it; make it with `candidate`."""

    submission: Submission
    looked: ImageTags
    kept: Kept
    content: Content
    refined: Refined | None = None

    @property
    def source(self) -> bytes:
        """The SHA-256 of the bytes that came."""
        return self.submission.source_sha256

    @property
    def given(self) -> tuple[str, ...]:
        """The tags of its owner: those said and, where that is wanted, those that the photo carries."""
        if not self.submission.use_embedded_tags:
            return self.submission.user_tags
        return usable_names((*self.submission.user_tags, *self.kept.keywords), most=MOST)


@dataclass(frozen=True, slots=True)
class KeptPhoto:
    """A photo that is kept, with all its tags; `existing` where the account had it before."""

    image: Image
    tags: tuple[ImageTag, ...]
    existing: bool
    near_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Quota:
    """Most that an account keeps; administrators have none."""

    photos: int
    size_bytes: int


class Keeper:
    """Keeps photos."""

    def __init__(self, store: Store, blobs: Blobs, *, quota: Quota, clock: Clock) -> None:
        self._store = store
        self._blobs = blobs
        self._quota = quota
        self._clock = clock

    def find(self, caller: Caller, sources: Sequence[bytes]) -> dict[bytes, Image]:
        """Return those photos that the caller's account has already."""
        return self._store.images.find(caller.account.id, sources)

    def check_room(self, caller: Caller, size_bytes: int) -> None:
        """Raise QuotaExceeded where the account may not keep one more photo of that size."""
        used = self._store.images.usage(caller.account.id)
        self._check_quota(caller, Usage(used.photos + 1, used.size_bytes + size_bytes))

    @contextmanager
    def keeping(self) -> Iterator[Keeping]:
        """Keep photos in two steps, around a transaction of the caller's: `put` before it and `commit` inside it."""
        with ExitStack() as marks:
            keeping = Keeping(self._store, self._blobs, self._check_quota, self._clock, marks)
            yield keeping
            if keeping.committed:
                failpoint(AFTER_COMMIT)

    def keep(
        self, photos: Sequence[Candidate], by: Callable[[], Caller]
    ) -> list[KeptPhoto | QuotaExceeded | ArgumentInvalid]:
        """Keep several photos in one transaction; `by` tells inside it who the caller is by then.

        Raises what concerns all of them: Busy, StorageFull, TokenInvalid, ScopeMissing.
        """
        with self.keeping() as keeping:
            keeping.put(photos, by())
            with self._store.transaction():
                kept = keeping.commit(photos, by())
        return kept

    def give(
        self, image: Image, names: Sequence[str], *, source: TagSource, by: Callable[[], Caller]
    ) -> KeptPhoto | None:
        """Give a photo that is kept the tags it does not have yet; None where it has just been deleted."""
        before = self._store.tags.of([image.number]).get(image.number, ())
        resolved = self._store.tags.resolve(names)
        change = given(before, [resolved[name] for name in names], source=source)
        if not change.written:
            by()
            return KeptPhoto(image, before, existing=True)
        with self._store.transaction():
            caller = by()
            found = self._store.images.find(caller.account.id, [image.source_sha256]).get(image.source_sha256)
            if found is None:
                return None
            resolved = self._store.tags.resolve(names)  # again: from here on names stay
            before = self._store.tags.of([found.number]).get(found.number, ())
            change = given(before, [resolved[name] for name in names], source=source)
            self._store.tags.write(found.number, change.written, change.removed)
            found = self._store.images.update(found.id, updated=self._clock.now())
        return KeptPhoto(found, change.tags, existing=True)

    def near(self, content: Content, caller: Caller, *, but: str = "") -> tuple[str, ...]:
        """Return photos that look the same to the eye, of those that the caller may see; never the one with id `but`.

        It may take a while where thousands look alike: call it outside of transactions.
        """
        found = self._store.images.near(content.perceptual_hash, visible_to=visible_to(caller), limit=NEAR_MAX + 1)
        return tuple(id for id in found if id != but)[:NEAR_MAX]

    def _check_quota(self, caller: Caller, used: Usage) -> None:
        if Scope.ADMIN in caller.scopes:
            return
        for what, amount, most in (
            ("photos", used.photos, self._quota.photos),
            ("bytes of photos", used.size_bytes, self._quota.size_bytes),
        ):
            if amount > most:
                raise QuotaExceeded(f"an account keeps at most {most:,} {what}", retry_after_s=_QUOTA_AGAIN_S)


class Keeping:
    """Photos on their way to be kept; see `Keeper.keeping`."""

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        check_quota: Callable[[Caller, Usage], None],
        clock: Clock,
        marks: ExitStack,
    ) -> None:
        self.committed: set[bytes] = set()
        self._store = store
        self._blobs = blobs
        self._check_quota = check_quota
        self._clock = clock
        self._marks = marks
        self._put_already: set[bytes] = set()

    def put(self, photos: Sequence[Candidate], caller: Caller) -> None:
        """Bring the bytes to disk, of those that the account does not have yet and may keep; raises StorageFull."""
        owner_id = caller.account.id
        found = self._store.images.find(owner_id, [photo.source for photo in photos])
        used = self._store.images.usage(owner_id)
        for photo in photos:
            if photo.source in found or photo.content.sha256 in self._put_already:
                continue
            used = _with(used, photo)
            with suppress(QuotaExceeded):  # `commit` says so, where it still is so
                self._check_quota(caller, used)
                self._put(photo)

    def commit(self, photos: Sequence[Candidate], caller: Caller) -> list[KeptPhoto | QuotaExceeded | ArgumentInvalid]:
        """Write the rows of photos that were `put`; call inside transaction(). A photo's own fault is its result."""
        images, tags, owner = self._store.images, self._store.tags, caller.account
        images.hold_owner(owner.id)  # so that what is found, or counted, stays so
        found = images.find(owner.id, [photo.source for photo in photos])
        resolved = tags.resolve(sorted({name for photo in photos for name in _names(photo)}))  # first: then names stay
        had = tags.of([image.number for image in found.values()])
        for sha256 in sorted({photo.content.sha256 for photo in photos}):  # in order: two never wait for each other
            images.hold_content(sha256)
        used = images.usage(owner.id)
        results: list[KeptPhoto | QuotaExceeded | ArgumentInvalid] = []
        changes: list[tuple[int, Sequence[ImageTag], Sequence[str]]] = []
        for photo in photos:
            image = found.get(photo.source)
            existing = image is not None
            try:
                change = _change(had.get(image.number, ()) if image is not None else (), photo, resolved)
                if image is None:
                    self._check_quota(caller, _with(used, photo))
            except (QuotaExceeded, ArgumentInvalid) as err:
                results.append(err)
                continue
            if image is None:
                image, used = self._add(photo, caller), _with(used, photo)
                found[photo.source] = image
            had[image.number] = change.tags
            if existing and (change.written or change.removed or image.model_version != photo.looked.model_version):
                image = images.update(image.id, model_version=photo.looked.model_version, updated=self._clock.now())
            changes.append((image.number, change.written, change.removed))
            images.put_embedding(image.content.sha256, photo.looked.model_version, packed(photo.looked.look.embedding))
            results.append(KeptPhoto(image, change.tags, existing))
        tags.write_many(changes)
        failpoint(BEFORE_COMMIT)
        self.committed |= {each.image.content.sha256 for each in results if isinstance(each, KeptPhoto)}
        return results

    def _add(self, photo: Candidate, caller: Caller) -> Image:
        sha256 = photo.content.sha256
        if sha256 not in self._put_already or not self._blobs.exists(sha256):
            self._put(photo)  # again: it may have been swept. Now that it is held, it stays
        now = self._clock.now()
        added = self._store.images.add(
            Image(
                id=uuid.uuid4().hex,
                owner_id=caller.account.id,
                source_sha256=photo.source,
                content=photo.content,
                visibility=photo.submission.visibility,
                created=now,
                updated=now,
                model_version=photo.looked.model_version,
                author=photo.submission.author,
                file_name=photo.submission.file_name,
                captured=photo.kept.captured,
            )
        )
        if added is None:  # nobody else adds to an account that is held
            raise RuntimeError("a photo was stored twice at once")
        return added

    def _put(self, photo: Candidate) -> None:
        self._marks.enter_context(_until_committed(self._blobs, photo, self.committed))
        self._put_already.add(photo.content.sha256)
        failpoint(BLOB_SYNCED)


class _NotCommitted(Exception):
    """No row of ours came to use what was put; sweeping finds out whether another one does."""


@contextmanager
def _until_committed(blobs: Blobs, photo: Candidate, committed: set[bytes]) -> Iterator[None]:
    with suppress(_NotCommitted), blobs.put(photo.content.sha256, photo.kept.data):
        yield
        if photo.content.sha256 not in committed:
            raise _NotCommitted


def _with(used: Usage, photo: Candidate) -> Usage:
    return Usage(used.photos + 1, used.size_bytes + photo.content.size_bytes)


def visible_to(caller: Caller) -> str | None:
    """Return whose eyes the store has to use: the caller's account, or None for one who sees everything."""
    return None if Scope.ADMIN in caller.scopes else caller.account.id


def check_said(*, author: str = "", file_name: str = "") -> None:
    """Raise ArgumentInvalid where a text is too long or cannot be stored."""
    for name, text, longest in (("author", author, LONGEST_AUTHOR), ("file_name", file_name, LONGEST_FILE_NAME)):
        if len(text) > longest:
            raise ArgumentInvalid(f"has {len(text):,} characters; at most {longest:,} are accepted", field=name)
        if "\0" in text:
            raise ArgumentInvalid("holds a NUL character", field=name)


def candidate(submission: Submission, looked: ImageTags, refined: Refined | None = None) -> Candidate:
    """Return a photo that was looked at with `keep`, ready to be kept; `refined` is what its tags came to."""
    kept = looked.look.kept
    if kept is None:
        raise RuntimeError("the photo was looked at, but not to be kept")
    new = Content(
        sha256=hashlib.sha256(kept.data).digest(),
        size_bytes=len(kept.data),
        format=looked.format,
        width=kept.width,
        height=kept.height,
        perceptual_hash=kept.perceptual_hash,
    )
    return Candidate(submission, looked, kept, new, refined)


def seen(model: Bundle, scores: NDArray[np.float32], tags: Iterable[Tag], resolved: dict[str, str]) -> Seen:
    """Return what a model saw under the names that tags have: a label may have become an alias."""
    by_name: dict[str, float] = {}
    for label, score in zip(model.labels, scores.tolist(), strict=True):
        name = resolved[label.name]
        by_name[name] = max(score, by_name.get(name, 0.0))
    return Seen(full_name(model), by_name, frozenset(resolved[tag.name] for tag in tags if tag.reached))


def packed(embedding: NDArray[np.float32]) -> bytes:
    """Return an embedding as it is stored: float16, little-endian. Its numbers are below 1, so 11 bits do."""
    return embedding.astype("<f2").tobytes()


def _names(photo: Candidate) -> Iterator[str]:
    yield from (label.name for label in photo.looked.look.model.labels)
    yield from photo.given
    yield from photo.refined.scores if photo.refined is not None else ()


def _change(before: Sequence[ImageTag], photo: Candidate, resolved: dict[str, str]) -> Change:
    look = photo.looked.look
    saw = seen(look.model, look.scores, photo.looked.tags, resolved)
    by_model = tagged(before, saw)
    names = [resolved[name] for name in photo.given]
    tags = given(by_model.tags, names, source=photo.submission.user_tag_source, seen=saw).tags
    if photo.refined is not None:
        tags = refined(tags, photo.refined.under(resolved)).tags
    return difference(before, tags)
