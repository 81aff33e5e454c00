"""What the pool and its processes say to each other: lengths, JSON and raw bytes, never a pickle.

Promises: a decoder taken over by a photo still cannot run code in the server, nor fill its memory, nor hand it a value
of another shape than was agreed: every field is looked at here, and ValueError is raised over a wrong one.
Must never: import numpy at the top; a process would have to load it.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from tagwright_server.errors import ImageRejected
from tagwright_server.images.decode import DecodedPhoto, DecodeLimits, Picture
from tagwright_server.images.keep import Kept
from tagwright_server.images.metadata import KEYWORD_CHARACTERS_MAX, KEYWORDS_MAX, YEARS
from tagwright_server.images.thumbnail import SIDE_MAX, Thumbnail

_LENGTHS = struct.Struct("!II")  # of the JSON head and of the body that follow
_HEAD_BYTES = 512 * 1024  # ours have about 100, and 256 keywords of 128 characters with 12 bytes of JSON each
_SIGNATURES = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n", "WEBP": b"RIFF"}
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
THUMBNAIL_BYTES_MAX = SIDE_MAX * SIDE_MAX * 3  # without any compression


def send(peer: socket.socket, head: Mapping[str, object], body: bytes = b"") -> None:
    """Write one message; the socket's timeout covers all of it."""
    text = json.dumps(head).encode()
    peer.sendall(_LENGTHS.pack(len(text), len(body)) + text)
    if body:
        peer.sendall(body)


def receive(peer: socket.socket, *, body_bytes: int, deadline: float | None = None) -> tuple[dict[str, Any], bytearray]:
    """Read a message, its body at most `body_bytes`; EOFError at the end, TimeoutError at the monotonic `deadline`."""
    head_length, body_length = _LENGTHS.unpack(_exactly(peer, _LENGTHS.size, deadline))
    if head_length > _HEAD_BYTES or body_length > body_bytes:
        raise ValueError("a message longer than was agreed")
    head = json.loads(_exactly(peer, head_length, deadline))
    if not isinstance(head, dict):
        raise ValueError("a message without a head")
    return head, _exactly(peer, body_length, deadline)


def _exactly(peer: socket.socket, length: int, deadline: float | None) -> bytearray:
    data = bytearray(length)
    view = memoryview(data)
    while view:
        if deadline is not None:
            peer.settimeout(max(deadline - time.monotonic(), 0.001))  # 0 would mean: do not wait
        count = peer.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return data


def rejection_message(err: ImageRejected) -> tuple[dict[str, object], bytes]:
    """Put a rejection into words for the pool."""
    return {"rejected": str(err), "limit": err.limit, "allowed": err.allowed, "actual": err.actual}, b""


def picture_message(picture: Picture) -> tuple[dict[str, object], bytes]:
    """Put a decoded photo into a head and a body: the square, then what is kept."""
    head: dict[str, object] = {"width": picture.width, "height": picture.height, "format": picture.format}
    body, kept = picture.square.tobytes(), picture.kept
    if kept is None:
        return head, body
    head["kept"] = {
        "width": kept.width,
        "height": kept.height,
        "perceptual_hash": kept.perceptual_hash,
        "captured": None if kept.captured is None else (kept.captured - _EPOCH) // timedelta(seconds=1),
        "keywords": kept.keywords,
    }
    return head, body + kept.data


def thumbnail_message(thumbnail: Thumbnail) -> tuple[dict[str, object], bytes]:
    """Put a thumbnail into a head and a body."""
    return {"width": thumbnail.width, "height": thumbnail.height}, thumbnail.data


def read_photo(
    head: dict[str, Any], body: bytearray, *, size: int, keep: bool, limits: DecodeLimits
) -> DecodedPhoto | ImageRejected:
    """Read `picture_message` or a rejection; raises ValueError, KeyError or TypeError over anything else."""
    import numpy as np  # see above

    if "rejected" in head:
        return _rejection(head)
    width, height = _side(head["width"], limits.side), _side(head["height"], limits.side)
    kind, kept = str(head["format"]), None
    if kind not in _SIGNATURES:
        raise ValueError("a format that is not accepted")
    if keep:
        square_bytes = size * size * 3
        data = bytes(memoryview(body)[square_bytes:])
        kept = _kept(head["kept"], data, kind)
        if (kept.width, kept.height) != (width, height):
            raise ValueError("two sizes of one photo")
        del body[square_bytes:]
    square = np.frombuffer(body, np.uint8).reshape(size, size, 3)  # ValueError where the length is another
    return DecodedPhoto(square, width, height, kind, kept)


def read_thumbnail(head: dict[str, Any], body: bytearray) -> Thumbnail | ImageRejected:
    """Read `thumbnail_message` or a rejection; raises as above."""
    if "rejected" in head:
        return _rejection(head)
    _check_signature(body, "JPEG")
    return Thumbnail(bytes(body), _side(head["width"], SIDE_MAX), _side(head["height"], SIDE_MAX))


def _rejection(head: dict[str, Any]) -> ImageRejected:
    named = {name: str(head[name]) for name in ("limit", "allowed", "actual")}
    return ImageRejected(str(head["rejected"]), **named)


def _kept(head: dict[str, Any], data: bytes, kind: str) -> Kept:
    _check_signature(data, kind)
    keywords = tuple(head["keywords"])
    if len(keywords) > KEYWORDS_MAX or not all(map(_is_keyword, keywords)):
        raise ValueError("keywords that nobody may have")
    captured = None
    if head["captured"] is not None:
        last = int((datetime(YEARS[-1] + 1, 1, 2, tzinfo=timezone.utc) - _EPOCH).total_seconds())
        first = int((datetime(YEARS[0] - 1, 12, 31, tzinfo=timezone.utc) - _EPOCH).total_seconds())
        captured = _EPOCH + timedelta(seconds=_number(head["captured"], first, last))
    return Kept(
        data,
        _number(head["width"], 1, 2**31),
        _number(head["height"], 1, 2**31),
        _number(head["perceptual_hash"], 0, 2**64 - 1),
        captured,
        keywords,
    )


def _is_keyword(word: object) -> bool:
    if not isinstance(word, str) or not 0 < len(word) <= KEYWORD_CHARACTERS_MAX:
        return False
    return word.encode("utf-8") != b""  # UnicodeEncodeError, a ValueError, over half a surrogate pair


def _side(value: object, most: int) -> int:
    return _number(value, 1, most)


def _number(value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:  # True is no number here
        raise ValueError("a number that cannot be")
    return value


def _check_signature(data: bytes | bytearray, kind: str) -> None:
    if not data.startswith(_SIGNATURES[kind]):
        raise ValueError("bytes of another format than was said")
