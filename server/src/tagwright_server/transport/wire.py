"""How much of a request is photos, read off its encoded bytes before anything is made of them.

Two bytes on the wire can become an object of a hundred in memory, so a message's size says little: 4 MiB of empty
sub-messages are two million objects. Walking the outermost fields costs two steps for each photo, and what is wrong
with a request's sizes is known before it is parsed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tagwright.v1 import tagging_service_pb2 as pb
from tagwright_server.errors import ArgumentInvalid, ImageRejected

MOST_REQUESTS = 64  # photos of a TagImages; the contract says so (tagging_service.proto)
MOST_CHUNK_BYTES = 64 * 1024  # the contract says so (upload.proto)
# 256 tags of 1,024 bytes are the most; a piece of a photo is less.
MOST_UPLOAD_BYTES = 512 * 1024
_MOST_FIELDS = 1000  # of a message's outermost; ours have at most 64, newer clients' a few more
_IMAGE = pb.TagImageRequest.IMAGE_FIELD_NUMBER
_REQUESTS = pb.TagImagesRequest.REQUESTS_FIELD_NUMBER
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """What is refused unparsed."""

    photo_bytes: int
    overhead_bytes: int


def check_small(message: bytes, limits: SizeLimits) -> None:
    """Refuse a request without photos that is larger than any that makes sense."""
    _check_overhead(len(message), "request", limits)


def check_upload(message: bytes, limits: SizeLimits) -> None:
    """Refuse a message of an upload that is larger than a piece of a photo, or what is said of one, can be."""
    if len(message) > MOST_UPLOAD_BYTES:
        raise ArgumentInvalid(
            f"has {len(message):,} bytes; at most {MOST_UPLOAD_BYTES:,} are accepted", field="message"
        )


def check_photo(message: bytes, limits: SizeLimits, *, field: int = _IMAGE) -> None:
    """Refuse a request with a photo, in a field of that number, by its sizes.

    An oversized photo is refused as a photo, not as a message.
    """
    photo_bytes = _photo_bytes(message, 0, len(message), field)
    if photo_bytes > limits.photo_bytes:
        raise ImageRejected(
            f"The photo has {photo_bytes:,} bytes; at most {limits.photo_bytes:,} are accepted.",
            limit="bytes",
            allowed=str(limits.photo_bytes),
            actual=str(photo_bytes),
        )
    _check_overhead(len(message) - photo_bytes, "options", limits)


def check_photos(message: bytes, limits: SizeLimits) -> None:
    """Refuse a TagImagesRequest by its sizes; a single oversized photo is left to fail alone."""
    requests = photo_bytes = 0
    for number, start, end in _fields(message, 0, len(message)):
        if number == _REQUESTS:
            requests += 1
            if requests > MOST_REQUESTS:
                raise ArgumentInvalid(f"has more than {MOST_REQUESTS} photos", field="requests")
            photo_bytes += _photo_bytes(message, start, end, _IMAGE)
    if not requests:
        raise ArgumentInvalid("has no photo", field="requests")
    _check_overhead(len(message) - photo_bytes, "requests", limits)


def _check_overhead(overhead_bytes: int, field: str, limits: SizeLimits) -> None:
    if overhead_bytes > limits.overhead_bytes:
        raise ArgumentInvalid(
            f"has {overhead_bytes:,} bytes beside photos; at most {limits.overhead_bytes:,} are accepted", field=field
        )


def _photo_bytes(message: bytes, start: int, end: int, field: int) -> int:
    return sum(last - first for number, first, last in _fields(message, start, end) if number == field)


def _fields(message: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of each field with a length between `at` and `end`; the others are stepped over."""
    for _ in range(_MOST_FIELDS):
        if at >= end:
            return
        key, at = _varint(message, at, end)
        number, wire_type = key >> 3, key & 7
        if wire_type == _BYTES:
            length, at = _varint(message, at, end)
            if length > end - at:
                raise malformed()
            yield number, at, at + length
            at += length
        elif wire_type == _VARINT:
            _, at = _varint(message, at, end)
        elif wire_type in (_FIXED64, _FIXED32):
            at += 8 if wire_type == _FIXED64 else 4
        else:  # groups, which proto3 does not have
            raise malformed()
    raise ArgumentInvalid(f"has more than {_MOST_FIELDS} fields", field="request")


def _varint(message: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):  # ten bytes at most
        if at >= end:
            raise malformed()
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise malformed()


def malformed() -> ArgumentInvalid:
    """Return the error for bytes that are not the message they should be."""
    return ArgumentInvalid("is not a valid message of its kind", field="request")
