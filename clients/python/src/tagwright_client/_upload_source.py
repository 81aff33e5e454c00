"""From what the caller wants to upload to photos that can be offered, and to their bytes once they are needed."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sized

from ._account_convert import text, texts
from ._errors import PhotoUnreadable
from ._photos import PHOTO_LIMIT_BYTES, file_name, read, too_large
from ._security import refused
from ._upload_session import Entry
from ._upload_values import UploadPhoto

SUFFIXES = (".jpeg", ".jpg", ".png", ".webp")

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_BLOCK_BYTES = 1 << 20  # large enough to read and hash at full speed

Uploadable = str | os.PathLike[str] | Iterable[str | os.PathLike[str] | bytes | UploadPhoto]


def photos_of(given: Uploadable) -> tuple[Iterator[UploadPhoto], int | None]:
    """Return the photos, read as they are asked for, and how many there are, where that is known without looking."""
    if isinstance(given, (str, os.PathLike)):
        if os.path.isdir(given):
            return map(UploadPhoto, _walk(os.fspath(given))), None
        return iter((UploadPhoto(given),)), 1
    if isinstance(given, (bytes, bytearray, memoryview)) or not isinstance(given, Iterable):
        raise TypeError(f"upload takes a folder or several photos, not {type(given).__name__}")
    return map(_photo, given), len(given) if isinstance(given, Sized) else None


def prepare(photo: UploadPhoto) -> Entry:
    """Return what can be offered; raises an error of the tree where this photo cannot be.

    A photo whose digest is not known is read once for it, in pieces; one from a callable is called for.
    """
    texts("user_tags", photo.user_tags)
    text("author", photo.author)
    if photo.sha256 is not None and not _SHA256.fullmatch(text("sha256", photo.sha256)):
        raise refused("sha256", "it is no SHA-256 in hexadecimal")
    if photo.size_bytes is not None and photo.size_bytes < 0:
        raise refused("size_bytes", f"it is {photo.size_bytes}")
    name = file_name(photo.photo) if photo.file_name is None else text("file_name", photo.file_name)
    if photo.sha256 is not None and photo.size_bytes is not None:
        sha256, size_bytes = photo.sha256.lower(), photo.size_bytes
    else:
        sha256, size_bytes = _measured(photo)
    if size_bytes > PHOTO_LIMIT_BYTES:
        raise too_large(str(size_bytes))
    return Entry(photo=photo, sha256=sha256, size_bytes=size_bytes, file_name=name)


def content(photo: UploadPhoto) -> bytes:
    """Return the photo's bytes; raises an error of the tree where it cannot be read."""
    source = photo.photo
    if not callable(source):
        return read(source)
    try:
        data = source()
    except Exception as err:  # the caller's own code: its failure is this photo's, not the upload's
        raise PhotoUnreadable(f"cannot read the photo: {err}") from err
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise PhotoUnreadable(f"cannot read the photo: its source returned {type(data).__name__}, not bytes")
    return read(data)


def _photo(given: object) -> UploadPhoto:
    if isinstance(given, UploadPhoto):
        return given
    if isinstance(given, (str, os.PathLike, bytes)):
        return UploadPhoto(given)
    raise TypeError(f"a photo to upload is a path, bytes or an UploadPhoto, not {type(given).__name__}")


def _measured(photo: UploadPhoto) -> tuple[str, int]:
    source = photo.photo
    if not isinstance(source, (str, os.PathLike)):
        data = content(photo)
        return hashlib.sha256(data).hexdigest(), len(data)
    digest = hashlib.sha256()
    size_bytes = 0
    try:
        with open(source, "rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
                size_bytes += len(block)
                if size_bytes > PHOTO_LIMIT_BYTES:
                    raise too_large(f"more than {PHOTO_LIMIT_BYTES}")
    except (OSError, ValueError) as err:  # ValueError: a NUL in the name
        raise PhotoUnreadable(f"cannot read the photo: {getattr(err, 'strerror', None) or err}") from err
    return digest.hexdigest(), size_bytes


def _walk(folder: str) -> Iterator[str]:
    """Go through a folder's photos in the order of their names; links to folders and hidden files are passed over."""
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError:
        yield folder  # reading it as a photo fails, and its result says why: nothing is passed over in silence
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)
        elif entry.name.lower().endswith(SUFFIXES):
            yield entry.path
