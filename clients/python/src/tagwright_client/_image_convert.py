"""Between the contract's messages about kept photos, tags and operations and this client's values."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone

from google.protobuf.timestamp_pb2 import Timestamp

from tagwright.v1 import image_pb2, operation_pb2, tag_pb2
from tagwright.v1 import tagging_service_pb2 as pb

from . import _image_values as values
from ._account_convert import text, texts, timestamp
from ._convert import enum_name, tag
from ._errors import InternalError
from ._security import refused
from ._translate import from_status

_VISIBILITIES = {
    None: image_pb2.VISIBILITY_UNSPECIFIED,
    "PRIVATE": image_pb2.VISIBILITY_PRIVATE,
    "SHARED": image_pb2.VISIBILITY_SHARED,
}
_VARIANTS = {"KEPT": image_pb2.CONTENT_VARIANT_KEPT, "THUMBNAIL": image_pb2.CONTENT_VARIANT_THUMBNAIL}
_ORDERS = {"NAME": pb.TAG_ORDER_NAME, "COUNT": pb.TAG_ORDER_COUNT}
_USER_TAG_SOURCES = {"USER": tag_pb2.TAG_SOURCE_USER, "IMPORT": tag_pb2.TAG_SOURCE_IMPORT}


def visibility(value: str | None) -> image_pb2.Visibility.ValueType:
    """Return the contract's number of "PRIVATE" or "SHARED"; None: not said."""
    if value not in _VISIBILITIES:
        raise refused("visibility", f"it is PRIVATE or SHARED, not {value!r}")
    return _VISIBILITIES[value]


def variant(value: str) -> image_pb2.ContentVariant.ValueType:
    """Return the contract's number of "KEPT" or "THUMBNAIL"."""
    if value not in _VARIANTS:
        raise refused("variant", f"it is KEPT or THUMBNAIL, not {value!r}")
    return _VARIANTS[value]


def order(value: str) -> pb.TagOrder.ValueType:
    """Return the contract's number of "NAME" or "COUNT"."""
    if value not in _ORDERS:
        raise refused("order", f"it is NAME or COUNT, not {value!r}")
    return _ORDERS[value]


def user_tag_source(value: str) -> tag_pb2.TagSource.ValueType:
    """Return the contract's number of "USER" or "IMPORT"."""
    if value not in _USER_TAG_SOURCES:
        raise refused("user_tag_source", f"it is USER or IMPORT, not {value!r}")
    return _USER_TAG_SOURCES[value]


def image_filter(
    *,
    ids: Iterable[str] | None,
    source_sha256s: Iterable[str] | None,
    owner: str | None,
    create_time_from: datetime | None,
    create_time_before: datetime | None,
    model_version: str | None,
    except_model_version: str | None,
    untagged: bool,
    tag: str | None,
) -> image_pb2.ImageFilter:
    """Build a filter of what is not None. What is given but empty would mean every photo there is, and is refused."""
    return image_pb2.ImageFilter(
        ids=_several("ids", ids),
        source_sha256s=_several("source_sha256s", source_sha256s),
        owner=_one("owner", owner),
        create_time_from=timestamp("create_time_from", create_time_from),
        create_time_before=timestamp("create_time_before", create_time_before),
        model_version=_one("model_version", model_version),
        except_model_version=_one("except_model_version", except_model_version),
        untagged=untagged,
        tag=_one("tag", tag),
    )


def suggested_tag(given: str | tuple[str, float | None]) -> pb.SuggestedTag:
    """Return a tag that is proposed: its name, or its name and score."""
    if isinstance(given, str):
        return pb.SuggestedTag(name=text("suggest", given))
    try:
        name, score = given
    except (TypeError, ValueError):
        raise TypeError(f"suggest takes names and pairs of a name and a score, not {given!r}") from None
    return pb.SuggestedTag(name=text("suggest", name), score=score)


def image(message: image_pb2.Image) -> values.Image:
    """Return one photo."""
    return values.Image(
        id=message.id,
        owner=message.owner,
        author=message.author,
        visibility=enum_name(image_pb2.Visibility.Name, message.visibility, "VISIBILITY_"),
        file_name=message.file_name,
        source_sha256=message.source_sha256,
        content_sha256=message.content_sha256,
        content_size_bytes=message.content_size_bytes,
        width=message.info.width,
        height=message.info.height,
        format=message.info.format,
        capture_time=_moment(message, "capture_time"),
        create_time=_moment(message, "create_time"),
        update_time=_moment(message, "update_time"),
        model_version=message.model_version,
        tags=tuple(tag(each) for each in message.tags),
        near_duplicate_ids=tuple(message.near_duplicate_ids),
    )


def content_info(message: image_pb2.ContentInfo) -> values.ContentInfo:
    """Return what bytes follow."""
    return values.ContentInfo(media_type=message.media_type, size_bytes=message.size_bytes, sha256=message.sha256)


def tag_entry(message: tag_pb2.TagEntry) -> values.TagEntry:
    """Return a tag by itself."""
    return values.TagEntry(
        name=message.name,
        aliases=tuple(message.aliases),
        parents=tuple(message.parents),
        image_count=message.image_count,
        confirmed_count=message.confirmed_count,
    )


def operation(message: operation_pb2.Operation) -> values.Operation:
    """Return how far an operation is."""
    return values.Operation(
        id=message.id,
        state=enum_name(operation_pb2.OperationState.Name, message.state, "OPERATION_STATE_"),
        username=message.username,
        create_time=_moment(message, "create_time"),
        update_time=_moment(message, "update_time"),
        end_time=_moment(message, "end_time"),
        filter=_filter(message.filter),
        model_version=message.model_version,
        dry_run=message.validate_only,
        total=message.total,
        pending=message.pending,
        done=message.done,
        failed=message.failed,
        tag_changes=tuple(
            values.TagChange(tag=each.tag, added=each.added, removed=each.removed, moved=each.moved)
            for each in message.tag_changes
        ),
        failures=tuple(
            values.ImageFailure(image_id=each.image_id, error=from_status(each.error)) for each in message.failures
        ),
        error=from_status(message.error) if message.HasField("error") else None,
    )


def _filter(message: image_pb2.ImageFilter) -> values.ImageFilter:
    return values.ImageFilter(
        ids=tuple(message.ids),
        source_sha256s=tuple(message.source_sha256s),
        owner=message.owner,
        create_time_from=_moment(message, "create_time_from"),
        create_time_before=_moment(message, "create_time_before"),
        model_version=message.model_version,
        except_model_version=message.except_model_version,
        untagged=message.untagged,
        tag=message.tag,
    )


def _one(field: str, value: str | None) -> str:
    if value == "":
        raise refused(field, "it is empty; leave it out for any")
    return text(field, value)


def _several(field: str, given: Iterable[str] | None) -> list[str]:
    if given is None:
        return []
    found = texts(field, given)
    if not found:
        raise refused(field, "there is none in it; leave it out for any")
    return found


def _moment(message: image_pb2.Image | image_pb2.ImageFilter | operation_pb2.Operation, field: str) -> datetime | None:
    if not any(present.name == field for present, _ in message.ListFields()):
        return None
    moment: Timestamp = getattr(message, field)
    try:
        return moment.ToDatetime(tzinfo=timezone.utc)
    except (ValueError, OverflowError) as err:
        raise InternalError(f"the server's answer makes no sense: its {field} is no moment in time") from err
