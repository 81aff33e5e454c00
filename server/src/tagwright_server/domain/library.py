"""The photos that are kept: who sees them, who changes them, and what people say about their tags.

A photo that a caller may not see does not exist for them: the same error, whatever they try.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import BinaryIO

from tagwright_server.clock import Clock
from tagwright_server.domain.access import Caller
from tagwright_server.domain.deadline import Deadline
from tagwright_server.domain.decisions import Review, reviewed
from tagwright_server.domain.keeping import Keeper, check_said, visible_to
from tagwright_server.domain.quoting import quoted
from tagwright_server.domain.tag_names import tag_name, tag_names
from tagwright_server.domain.tagging import Decoder
from tagwright_server.errors import ArgumentInvalid, NotFound, ScopeMissing
from tagwright_server.store.blobs import BlobMissing, Blobs
from tagwright_server.store.image_records import Image, ImageFilter, ImageTag, Visibility
from tagwright_server.store.records import Scope
from tagwright_server.store.store import Store

MOST_NAMED = 500  # ids and digests of a filter; the contract says so (image.proto)
_MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}


@dataclass(frozen=True, slots=True)
class TaggedImage:
    """A photo with its tags, as one caller sees it."""

    image: Image
    tags: tuple[ImageTag, ...]
    near_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes of a photo."""

    media_type: str
    size_bytes: int
    sha256: bytes
    file: BinaryIO

    def pieces(self, size_bytes: int) -> Iterator[bytes]:
        """Read them to the end, and close."""
        with self.file as file:
            while piece := file.read(size_bytes):
                yield piece


class Library:
    """What is done to photos that are kept."""

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        *,
        keeper: Keeper,
        decoder: Decoder,
        sweep: Callable[[], object],
        clock: Clock,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._keeper = keeper
        self._decoder = decoder
        self._sweep = sweep
        self._clock = clock

    def get(self, image_id: str, *, by: Caller) -> TaggedImage:
        """Return one photo, with those that look the same; raises NotFound."""
        found = self._see(image_id, by)
        return replace(self.tagged([found], by)[0], near_ids=self._keeper.near(found.content, by, but=found.id))

    def page(self, wanted: ImageFilter, *, before: int | None, limit: int, by: Caller) -> list[TaggedImage]:
        """Return photos that the caller may see, the last stored first."""
        seen = replace(wanted, visible_to=visible_to(by))
        if wanted.source_sha256s is not None and seen.visible_to is not None:
            # Digests of what came are the owner's: others must not find out whose photo is which file.
            if wanted.owner_id not in (None, by.account.id):
                return []
            seen = replace(seen, owner_id=by.account.id)
        return self.tagged(self._store.images.page(seen, before=before, limit=limit), by)

    def update(self, image_id: str, *, visibility: Visibility | None, author: str | None, by: Caller) -> TaggedImage:
        """Change what is given; raises NotFound and ScopeMissing. Call inside transaction()."""
        check_said(author=author or "")
        image = self._change(image_id, by)
        now = self._clock.now()
        updated = self._store.images.update(image.id, visibility=visibility, author=author, updated=now)
        if updated.visibility is not image.visibility or updated.author != image.author:
            details = {"visibility": updated.visibility.value, "author": updated.author, "owner": updated.owner}
            self._store.audit.add(by.actor.did("image.update", image.id, at=now, details=details))
        return self.tagged([updated], by)[0]

    def delete(self, image_id: str, *, by: Caller) -> None:
        """Delete a photo; raises NotFound and ScopeMissing. Call inside transaction(), and `sweep` behind it."""
        image = self._change(image_id, by)
        self._store.images.delete(image.id)
        details = {"owner": image.owner, "source_sha256": image.source_sha256.hex()}
        self._store.audit.add(by.actor.did("image.delete", image.id, at=self._clock.now(), details=details))

    def sweep(self) -> None:
        """Have the bytes removed that no photo uses any more."""
        self._sweep()

    def review(self, image_id: str, review: Review, *, by: Caller) -> TaggedImage:
        """Record what a person says about tags; raises NotFound, ScopeMissing, ArgumentInvalid.

        Call inside transaction().
        """
        image = self._change(image_id, by)
        resolved = self._resolved(review)  # first: from here on names stay
        change = reviewed(self._store.tags.of([image.number]).get(image.number, ()), resolved)
        if change.written or change.removed:
            self._store.tags.write(image.number, change.written, change.removed)
            image = self._store.images.update(image.id, updated=self._clock.now())
        return self.tagged([image], by)[0]

    def content(self, image_id: str, *, by: Caller) -> Bytes:
        """Return what is kept of a photo; raises NotFound."""
        image = self._see(image_id, by)
        kept = image.content
        return Bytes(_MEDIA_TYPES[kept.format], kept.size_bytes, kept.sha256, self._open(image, by))

    def thumbnail(self, image_id: str, deadline: Deadline, *, by: Caller) -> Bytes:
        """Return a small picture of a photo; raises NotFound and Overloaded."""
        image = self._see(image_id, by)
        with self._open(image, by) as file:
            data = self._decoder.thumbnail(file.read(), timeout_s=deadline.remaining_s()).data
        return Bytes(_MEDIA_TYPES["JPEG"], len(data), hashlib.sha256(data).digest(), BytesIO(data))

    def _open(self, image: Image, by: Caller) -> BinaryIO:
        try:
            return self._blobs.open(image.content.sha256)
        except BlobMissing:
            self._see(image.id, by)  # deleted meanwhile: then that is what there is to say
            raise

    def _see(self, image_id: str, by: Caller) -> Image:
        image = self._store.images.get(image_id, visible_to=visible_to(by))
        if image is None:
            raise NotFound("there is no such photo")
        return image

    def _change(self, image_id: str, by: Caller) -> Image:
        image = self._see(image_id, by)
        if image.owner_id != by.account.id and Scope.ADMIN not in by.scopes:
            raise ScopeMissing("Only its owner and administrators change a photo.")
        return image

    def tagged(self, images: Sequence[Image], by: Caller, *, tags: bool = True) -> list[TaggedImage]:
        """Return photos with their tags, or without, as a caller who sees them sees them."""
        found = self._store.tags.of([image.number for image in images]) if tags else {}
        return [TaggedImage(_seen_by(image, by), found.get(image.number, ())) for image in images]

    def _resolved(self, review: Review) -> Review:
        names = {*review.confirm, *review.reject, *review.add, *review.suggest, *review.reset}
        known = self._store.tags.resolve(sorted(names))
        suggest = {known[name]: score for name, score in review.suggest.items()}
        if len(suggest) < len(review.suggest):
            raise ArgumentInvalid("names a tag twice, once by an alias of it", field="suggest")
        return Review(
            confirm=tuple(known[name] for name in review.confirm),
            reject=tuple(known[name] for name in review.reject),
            add=tuple(known[name] for name in review.add),
            suggest=suggest,
            reset=tuple(known[name] for name in review.reset),
        )


def read_review(
    *,
    confirm: Sequence[str],
    reject: Sequence[str],
    add: Sequence[str],
    suggest: Sequence[tuple[str, float | None]],
    reset: Sequence[str],
) -> Review:
    """Return a review under the names that tags have; raises ArgumentInvalid, which says which is wrong."""
    names = tag_names([name for name, _ in suggest], field="suggest")
    if len(names) < len(suggest):
        raise ArgumentInvalid("names a tag twice", field="suggest")
    return Review(
        confirm=tag_names(confirm, field="confirm"),
        reject=tag_names(reject, field="reject"),
        add=tag_names(add, field="add"),
        suggest=dict(zip(names, (score for _, score in suggest), strict=True)),
        reset=tag_names(reset, field="reset"),
    )


def check_filter(wanted: ImageFilter) -> ImageFilter:
    """Return a filter with its tag under the name that tags have; raises ArgumentInvalid."""
    for field, named in (("filter.ids", wanted.ids), ("filter.source_sha256s", wanted.source_sha256s)):
        if named is not None and len(named) > MOST_NAMED:
            raise ArgumentInvalid(f"names {len(named):,}; at most {MOST_NAMED} are accepted", field=field)
    for field, moment in (("create_time_from", wanted.created_from), ("create_time_before", wanted.created_before)):
        if moment is not None and moment.tzinfo is None:
            raise ArgumentInvalid("is no moment", field=f"filter.{field}")
    for field, model in (
        ("model_version", wanted.model_version),
        ("except_model_version", wanted.except_model_version),
    ):
        if model and not all(model.partition("@")):
            raise ArgumentInvalid(f"must be NAME@VERSION, not {quoted(model)}", field=f"filter.{field}")
    return replace(wanted, tag=tag_name(wanted.tag, field="filter.tag")) if wanted.tag else wanted


def _seen_by(image: Image, by: Caller) -> Image:
    """Hide from others what came before it was kept: a digest tells who has the file that it is that file."""
    if image.owner_id == by.account.id or Scope.ADMIN in by.scopes:
        return image
    return replace(image, source_sha256=b"")
