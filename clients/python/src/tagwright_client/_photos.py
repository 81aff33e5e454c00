"""From what the caller calls a photo to its bytes, unread: whether they are a photo at all, the server says."""

from __future__ import annotations

import os
from typing import BinaryIO, TypeAlias

from ._channel import MESSAGE_LIMIT_BYTES
from ._errors import ImageRejected, PhotoUnreadable

Photo: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""A path, the encoded bytes, or a file opened in binary mode."""

# Up to here a photo is sent and the server decides (it takes 20 MiB); what lies above would not fit into a message.
PHOTO_LIMIT_BYTES = MESSAGE_LIMIT_BYTES - 64 * 1024  # 64 KiB: room for the options beside the photo


def read(photo: Photo) -> bytes:
    """Return the photo's bytes, or raise PhotoUnreadable, or ImageRejected if they would not fit into a message.

    Of a file that is too large at most the limit is read into memory.
    """
    if isinstance(photo, (bytes, bytearray, memoryview)):
        data = photo if isinstance(photo, bytes) else bytes(photo)
    elif isinstance(photo, (str, os.PathLike)):
        data = _read_path(photo)
    elif hasattr(photo, "read"):
        data = _read_file(photo)
    else:
        raise TypeError(f"a photo is a path, bytes or a binary file, not {type(photo).__name__}")
    if len(data) > PHOTO_LIMIT_BYTES:
        raise too_large(f"more than {PHOTO_LIMIT_BYTES}")
    return data


def file_name(photo: object) -> str:
    """Return the name of a path's file, for people; empty where the photo is no path. What is no Unicode is `?`."""
    if not isinstance(photo, (str, os.PathLike)):
        return ""
    return os.path.basename(os.fsdecode(photo)).encode(errors="replace").decode()


def _read_path(path: str | os.PathLike[str]) -> bytes:
    try:
        with open(path, "rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes > PHOTO_LIMIT_BYTES:
                raise too_large(str(size_bytes))
            return file.read(PHOTO_LIMIT_BYTES + 1)  # a file may grow, and a pipe has no size
    except (OSError, ValueError) as err:  # ValueError: a NUL in the name
        raise PhotoUnreadable(f"cannot read the photo: {getattr(err, 'strerror', None) or err}") from err


def _read_file(file: BinaryIO) -> bytes:
    try:
        data = file.read(PHOTO_LIMIT_BYTES + 1)
    except (OSError, ValueError) as err:  # ValueError: the file is closed
        raise PhotoUnreadable(f"cannot read the photo: {getattr(err, 'strerror', None) or err}") from err
    if not isinstance(data, bytes):
        raise TypeError("a photo's file must be opened in binary mode")
    return data


def too_large(actual: str) -> ImageRejected:
    """Return the error of a photo that no message could hold."""
    return ImageRejected(
        f"the photo is larger than a message can be ({PHOTO_LIMIT_BYTES} bytes); nothing was sent",
        metadata={"limit": "bytes", "allowed": str(PHOTO_LIMIT_BYTES), "actual": actual},
    )
