"""The file of an index, so that a start need not read every photo: put in place whole, and used only if it is right.

A line that says what it is, the length of the header, the header in JSON, arrays behind each other, the SHA-256 of all
that. It holds tags and names, so nobody else can read it. To lose it costs the time of reading the database.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from tagwright_server.store.changes import Mark
from tagwright_server.store.photo_index.library import Coder, Library
from tagwright_server.store.photo_index.vectors import Vectors

SUFFIX = ".photos"
_MAGIC = b"Tagwright photo index 1\n"
_LENGTH_BYTES = 8
_DIGEST_BYTES = 32
_AT_A_TIME = 1 << 24  # bytes
_TYPES: dict[str, np.dtype[Any]] = {
    "numbers": np.dtype("<i8"),
    "ids": np.dtype("u1"),
    "owners": np.dtype("<i4"),
    "shared": np.dtype("?"),
    "author": np.dtype("<i4"),
    "tags": np.dtype("<i4"),
    "tag_counts": np.dtype("<i4"),
    "odd_ids": np.dtype("<i4"),
    "lists": np.dtype("<i4"),
    "centres": np.dtype("<f4"),
    "vectors": np.dtype("<f2"),
}


def file_of(folder: Path, model_version: str) -> Path:
    """Return the file of a model's index in a folder."""
    return folder / f"{quote(model_version, safe='@')}{SUFFIX}"


def save(file: Path, library: Library, model_version: str, mark: Mark) -> None:
    """Write a library as it was at a mark; not where another process is just writing the same. Raises OSError."""
    slots = [some for some, _ in library.vectors.lists()]
    arrays, texts = library.photos.packed(np.concatenate(slots))
    arrays["lists"] = np.array([len(some) for some in slots], np.int32)
    arrays["centres"] = library.vectors.centres
    shapes = {name: list(array.shape) for name, array in arrays.items()}
    shapes["vectors"] = [library.photos.size, library.size]  # the last: they are written list by list
    header = json.dumps(
        {"model": model_version, "size": library.size, "mark": mark.to_text(), "texts": texts, "arrays": shapes}
    ).encode()

    def parts() -> Iterator[bytes | memoryview]:
        yield _MAGIC + len(header).to_bytes(_LENGTH_BYTES, "little") + header
        for name, array in arrays.items():
            yield _bytes(array, _TYPES[name])
        for _, vectors in library.vectors.lists():
            yield _bytes(vectors, _TYPES["vectors"])

    _write(file, parts())


def load(file: Path, model_version: str, size: int, coder: Coder | None = None) -> tuple[Library, Mark]:
    """Return what `save` wrote of that model; raise ValueError where it is anything else, OSError where it is not."""
    header, arrays = _read(file)
    if header["model"] != model_version or header["size"] != size:
        raise ValueError("it is another model's")
    library = Library(size, coder)
    lists, centres, vectors = arrays.pop("lists"), arrays.pop("centres"), arrays.pop("vectors")
    library.photos.fill(arrays, header["texts"])
    ends = np.cumsum(lists).tolist()
    if vectors.shape != (library.photos.size, size) or centres.shape != (len(lists), size) or ends[-1] != len(vectors):
        raise ValueError("its vectors do not fit together")
    slots = np.arange(len(vectors), dtype=np.int32)
    spans = [slice(end - count, end) for end, count in zip(ends, lists.tolist(), strict=True)]
    library.fill(Vectors.of_lists(centres, ((slots[span], vectors[span]) for span in spans)))
    return library, Mark.from_text(header["mark"])


def model_of(file: Path) -> str:
    """Return the model, `name@version`, whose file that is."""
    return unquote(file.name.removesuffix(SUFFIX))


def _write(file: Path, parts: Iterable[bytes | memoryview]) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".partial")
    with os.fdopen(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        if not partial.exists() or partial.stat().st_ino != os.fstat(stream.fileno()).st_ino:
            return  # another one has just put it in place
        stream.truncate()
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part)
            stream.write(part)
        stream.write(digest.digest())
        stream.flush()
        os.fsync(stream.fileno())
        partial.replace(file)
    descriptor = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(file: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    with file.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        header, digest = _header(stream, size)
        left = size - stream.tell() - _DIGEST_BYTES
        arrays: dict[str, NDArray[Any]] = {}
        for name, kind in _TYPES.items():
            shape = tuple(int(length) for length in header["arrays"][name])
            left -= int(np.prod(shape, dtype=np.int64)) * kind.itemsize
            if min(shape) < 0 or left < 0:
                raise ValueError("it is too short")
            arrays[name] = _array(stream, shape, kind, digest)
        if left or stream.read() != digest.digest():
            raise ValueError("it is damaged")
    return header, arrays


def _header(stream: IO[bytes], size: int) -> tuple[dict[str, Any], Any]:
    start = stream.read(len(_MAGIC) + _LENGTH_BYTES)
    if not start.startswith(_MAGIC):
        raise ValueError("it is not of this version")
    length = int.from_bytes(start[len(_MAGIC) :], "little")
    if length > size:
        raise ValueError("it is too short")
    text = stream.read(length)
    header = json.loads(text)
    if not isinstance(header, dict) or not {"model", "size", "mark", "texts", "arrays"} <= header.keys():
        raise ValueError("its header is not ours")
    digest = hashlib.sha256(start)
    digest.update(text)
    return header, digest


def _array(stream: IO[bytes], shape: tuple[int, ...], kind: np.dtype[Any], digest: Any) -> NDArray[Any]:
    array = np.empty(shape, kind)
    whole = memoryview(array.reshape(-1).view(np.uint8).data)
    for start in range(0, len(whole), _AT_A_TIME):
        some = whole[start : start + _AT_A_TIME]
        if stream.readinto(some) != len(some):  # type: ignore[attr-defined]  # a buffered file has it
            raise ValueError("it is too short")
        digest.update(some)
    return array


def _bytes(array: NDArray[Any], kind: np.dtype[Any]) -> memoryview:
    return np.ascontiguousarray(array, kind).reshape(-1).view(np.uint8).data
