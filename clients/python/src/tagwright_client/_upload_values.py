"""What goes into an upload and what comes out."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from ._errors import TagwrightError
from ._values import PhotoTags

UploadSource: TypeAlias = str | os.PathLike[str] | bytes | Callable[[], bytes]
"""A path, the encoded bytes, or something that returns them whenever it is called."""


@dataclass(frozen=True, slots=True)
class UploadPhoto:
    """One photo to upload, with what is known of it beside its bytes.

    `user_tags` are in their order. Without `file_name`, a path's own name. With `sha256` (of the bytes, in
    hexadecimal) and `size_bytes` the photo is not read unless the server needs it. `key` is anything of the caller's:
    it comes back in the result.
    """

    photo: UploadSource = field(repr=False)
    user_tags: tuple[str, ...] = ()
    author: str = ""
    file_name: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    key: object = None


@dataclass(frozen=True, slots=True)
class UploadResult:
    """What became of one photo of an upload: either `tags` or `error` is set, never both.

    `photo` is the very object that was given, or was made of the path that was given. `sent_bytes` is how much of it
    went over the wire: 0 for a photo that the account had stored before.
    """

    photo: UploadPhoto
    tags: PhotoTags | None
    error: TagwrightError | None
    sent_bytes: int
