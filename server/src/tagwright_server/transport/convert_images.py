"""Between the contract's photos, tags and operations and the domain's values, both ways; nothing is decided here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from tagwright.v1 import image_pb2, operation_pb2, tag_pb2
from tagwright_server.domain.library import Bytes, TaggedImage
from tagwright_server.domain.tags import Evidence
from tagwright_server.errors import ArgumentInvalid
from tagwright_server.store.image_records import (
    ImageFilter,
    ImageTag,
    Operation,
    OperationState,
    TagEntry,
    TagSource,
    TagState,
    Visibility,
)
from tagwright_server.transport.moments import from_time, moment
from tagwright_server.transport.status import of_reason

_VISIBILITIES: Mapping[Visibility, image_pb2.Visibility.ValueType] = {
    Visibility.PRIVATE: image_pb2.VISIBILITY_PRIVATE,
    Visibility.SHARED: image_pb2.VISIBILITY_SHARED,
}
_STATES: Mapping[TagState, tag_pb2.TagState.ValueType] = {
    TagState.SUGGESTED: tag_pb2.TAG_STATE_SUGGESTED,
    TagState.CONFIRMED: tag_pb2.TAG_STATE_CONFIRMED,
    TagState.REJECTED: tag_pb2.TAG_STATE_REJECTED,
}
_SOURCES: Mapping[TagSource, tag_pb2.TagSource.ValueType] = {
    TagSource.USER: tag_pb2.TAG_SOURCE_USER,
    TagSource.MODEL: tag_pb2.TAG_SOURCE_MODEL,
    TagSource.REFINEMENT: tag_pb2.TAG_SOURCE_REFINEMENT,
    TagSource.IMPORT: tag_pb2.TAG_SOURCE_IMPORT,
}
_OPERATION_STATES: Mapping[OperationState, operation_pb2.OperationState.ValueType] = {
    OperationState.PENDING: operation_pb2.OPERATION_STATE_PENDING,
    OperationState.RUNNING: operation_pb2.OPERATION_STATE_RUNNING,
    OperationState.SUCCEEDED: operation_pb2.OPERATION_STATE_SUCCEEDED,
    OperationState.CANCELLED: operation_pb2.OPERATION_STATE_CANCELLED,
    OperationState.FAILED: operation_pb2.OPERATION_STATE_FAILED,
}


def to_visibility(said: image_pb2.Visibility.ValueType, *, field: str = "visibility") -> Visibility | None:
    """Read who else sees a photo; None where it is not said. Raises ArgumentInvalid."""
    if said == image_pb2.VISIBILITY_UNSPECIFIED:
        return None
    found = next((visibility for visibility, number in _VISIBILITIES.items() if number == said), None)
    if found is None:
        raise ArgumentInvalid("must be VISIBILITY_PRIVATE or VISIBILITY_SHARED", field=field)
    return found


def to_given_source(said: tag_pb2.TagSource.ValueType, *, field: str) -> TagSource:
    """Read where the tags come from that are given with a photo. Raises ArgumentInvalid."""
    if said in (tag_pb2.TAG_SOURCE_UNSPECIFIED, tag_pb2.TAG_SOURCE_USER):
        return TagSource.USER
    if said == tag_pb2.TAG_SOURCE_IMPORT:
        return TagSource.IMPORT
    raise ArgumentInvalid("must be TAG_SOURCE_USER or TAG_SOURCE_IMPORT", field=field)


def to_digest(written: str, *, field: str) -> bytes:
    """Read a SHA-256 in hexadecimal. Raises ArgumentInvalid."""
    try:
        digest = bytes.fromhex(written) if len(written) == 64 else b""
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise ArgumentInvalid("must be a SHA-256: 64 hexadecimal digits", field=field)
    return digest


def to_filter(said: image_pb2.ImageFilter, find_account: Callable[[str], str | None]) -> ImageFilter:
    """Read a filter; `find_account` gives an account's id. An owner that there is not has no photos."""
    digests = tuple(
        to_digest(each, field=f"filter.source_sha256s[{at}]") for at, each in enumerate(said.source_sha256s)
    )
    return ImageFilter(
        ids=tuple(said.ids) or None,
        source_sha256s=digests or None,
        owner_id=(find_account(said.owner) or "") if said.owner else None,
        created_from=moment(said, "create_time_from", within="filter."),
        created_before=moment(said, "create_time_before", within="filter."),
        model_version=said.model_version,
        except_model_version=said.except_model_version,
        untagged=said.untagged,
        tag=said.tag,
    )


def image(found: TaggedImage) -> image_pb2.Image:
    """Write one photo with its tags."""
    photo, kept = found.image, found.image.content
    return image_pb2.Image(
        id=photo.id,
        owner=photo.owner,
        author=photo.author,
        visibility=_VISIBILITIES[photo.visibility],
        file_name=photo.file_name,
        source_sha256=photo.source_sha256.hex(),
        content_sha256=kept.sha256.hex(),
        content_size_bytes=kept.size_bytes,
        info=tag_pb2.ImageInfo(width=kept.width, height=kept.height, format=kept.format),
        capture_time=from_time(photo.captured),
        create_time=from_time(photo.created),
        update_time=from_time(photo.updated),
        model_version=photo.model_version,
        tags=[tag(each) for each in found.tags],
        near_duplicate_ids=found.near_ids,
    )


def content_info(content: Bytes) -> image_pb2.ContentInfo:
    """Write what bytes are."""
    return image_pb2.ContentInfo(
        media_type=content.media_type, size_bytes=content.size_bytes, sha256=content.sha256.hex()
    )


def shown(tags: Sequence[ImageTag]) -> list[ImageTag]:
    """Return the tags of an ImageTags in their order: but for rejected ones, best score first, without score last."""
    there = [each for each in tags if each.state is not TagState.REJECTED]

    def place(each: ImageTag) -> tuple[float, float, str]:
        return (math.inf if each.score is None else -each.score, each.position or 0, each.name)

    return sorted(there, key=place)


def tag(one: ImageTag, evidence: Sequence[Evidence] = ()) -> tag_pb2.Tag:
    """Write one tag of a photo."""
    return tag_pb2.Tag(
        name=one.name,
        score=one.score,
        state=_STATES[one.state],
        source=_SOURCES[one.source],
        model_version=one.model_version,
        evidence=[
            tag_pb2.Evidence(
                kind=tag_pb2.EVIDENCE_KIND_MODEL_SCORE, text=reason.text, value=reason.value, threshold=reason.threshold
            )
            for reason in evidence
        ],
    )


def tag_entry(entry: TagEntry) -> tag_pb2.TagEntry:
    """Write one tag by itself."""
    return tag_pb2.TagEntry(
        name=entry.name,
        aliases=entry.aliases,
        parents=entry.parents,
        image_count=entry.images,
        confirmed_count=entry.confirmed,
    )


def operation(one: Operation, *, failures: bool = True) -> operation_pb2.Operation:
    """Write one operation."""
    changes = sorted(
        one.changes.items(), key=lambda item: (-(item[1].added + item[1].removed + item[1].moved), item[0])
    )
    return operation_pb2.Operation(
        id=one.id,
        state=_OPERATION_STATES[one.state],
        username=one.username,
        create_time=from_time(one.created),
        update_time=from_time(one.updated),
        end_time=from_time(one.ended),
        filter=image_pb2.ImageFilter.FromString(one.filter_text),
        model_version=one.model_version,
        validate_only=one.validate_only,
        total=one.total,
        pending=0 if one.state.ended else max(0, one.total - one.done - one.failed),
        done=one.done,
        failed=one.failed,
        tag_changes=[
            operation_pb2.TagChange(tag=name, added=each.added, removed=each.removed, moved=each.moved)
            for name, each in changes
        ],
        failures=[
            operation_pb2.ImageFailure(image_id=each.image_id, error=of_reason(each.reason, each.text))
            for each in (one.failures if failures else ())
        ],
        error=of_reason(one.error_reason, one.error_text) if one.error_reason else None,
    )
