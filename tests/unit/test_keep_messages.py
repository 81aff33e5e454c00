"""What the server believes of a decoding process that a photo has taken over: nothing but what was agreed."""

from __future__ import annotations

import socket
from datetime import datetime, timezone
from typing import Any

import pytest

from tagwright_server.images.decode import DecodedPhoto, DecodeLimits
from tagwright_server.images.keep import Kept
from tagwright_server.images.messages import read_photo, read_thumbnail, receive, send
from tagwright_server.images.thumbnail import Thumbnail

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
SQUARE = bytes(16 * 16 * 3)
TRUTH: dict[str, Any] = {"width": 4, "height": 3, "perceptual_hash": 2**63, "captured": -1, "keywords": ["sea", "海"]}
LIES = (ValueError, KeyError, TypeError)  # over which a process is replaced


def photo_from(kept: object = TRUTH, data: bytes = PNG, **head: object) -> DecodedPhoto:
    said = {"width": 4, "height": 3, "format": "PNG", "kept": kept, **head}
    answer = read_photo(said, bytearray(SQUARE + data), size=16, keep=True, limits=DecodeLimits())
    assert isinstance(answer, DecodedPhoto)
    return answer


def test_the_truth_is_believed() -> None:
    photo = photo_from()
    moment = datetime(1969, 12, 31, 23, 59, 59, tzinfo=timezone.utc)
    assert photo.kept == Kept(PNG, 4, 3, 2**63, moment, ("sea", "海"))
    assert photo.pixels.shape == (16, 16, 3)
    thumbnail = read_thumbnail({"width": 384, "height": 1}, bytearray(JPEG))
    assert thumbnail == Thumbnail(JPEG, 384, 1)


@pytest.mark.parametrize("kept", [None, [], "kept", 7, {}, {**TRUTH, "width": 5}, {**TRUTH, "height": 2}])
def test_a_description_of_another_shape_is_not_believed(kept: object) -> None:
    with pytest.raises(LIES):
        photo_from(kept)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", True),
        ("perceptual_hash", 2**64),
        ("perceptual_hash", -1),
        ("perceptual_hash", "1"),
        ("perceptual_hash", 1.0),
        ("captured", -(10**11)),
        ("captured", 10**30),
        ("captured", 0.5),
        ("captured", float("nan")),
        ("keywords", ["a"] * 257),
        ("keywords", ["a" * 129]),
        ("keywords", [""]),
        ("keywords", [1]),
        ("keywords", ["\ud800"]),
        ("keywords", 7),
        ("keywords", None),
    ],
)
def test_a_value_that_nobody_may_have_is_not_believed(name: str, value: object) -> None:
    with pytest.raises(LIES):
        photo_from({**TRUTH, name: value})


@pytest.mark.parametrize("data", [b"", b"<script>", JPEG, PNG[:7]])
def test_bytes_of_another_format_than_was_said_are_not_believed(data: bytes) -> None:
    with pytest.raises(ValueError, match="another format"):
        photo_from(data=data)


@pytest.mark.parametrize("head", [{"format": "GIF"}, {"format": None}, {"width": 0}, {"height": 16_385}])
def test_a_photo_that_would_not_be_accepted_is_not_believed(head: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"format|number"):
        photo_from(**head)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ({"width": 1, "height": 1}, b"GIF89a"),
        ({"width": 385, "height": 1}, JPEG),
        ({"width": 1, "height": True}, JPEG),
        ({"width": 1}, JPEG),
    ],
)
def test_a_thumbnail_of_another_shape_is_not_believed(head: dict[str, object], body: bytes) -> None:
    with pytest.raises(LIES):
        read_thumbnail(head, bytearray(body))


def test_a_message_longer_than_was_agreed_is_not_read() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send(theirs, {}, b"1234")
        with pytest.raises(ValueError, match="longer"):
            receive(ours, body_bytes=3)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall((512 * 1024 + 1).to_bytes(4, "big") + bytes(4))
        with pytest.raises(ValueError, match="longer"):
            receive(ours, body_bytes=3)
