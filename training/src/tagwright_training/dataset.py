"""The data set as `prepare` wrote it: photos, their annotations, their users' tags, and which part each belongs to.

Promises: what `save` wrote, `load` gives back, and `read_bytes` gives the very bytes that were checked.
Never: decides what is valid (that is `mirflickr`) or which part a photo belongs to (that is `prepare`).
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tempfile
import threading
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Part = Literal["train", "calibrate", "test"]
PARTS: tuple[Part, ...] = get_args(Part)

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo: where its bytes lie, what experts and its owner said about it."""

    id: int
    archive: str | None
    """The zip that holds it, relative to the data set's root; None when it is a plain file."""
    file: str
    """Its name inside the archive, or its path relative to the root."""
    split: Part
    labels: tuple[str, ...]
    strict: tuple[str, ...]
    """Labels that hold in the strict sense (MIRFlickr's `NAME_r1`), without the suffix."""
    user_tags: tuple[str, ...]
    digest: str
    """First 16 hex digits of the SHA-256 of its bytes: how `seen` knows it again in any folder."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Photos under one root, and the two vocabularies they are annotated with."""

    root: Path
    seed: int
    labels: tuple[str, ...]
    strict_labels: tuple[str, ...]
    photos: tuple[Photo, ...]

    @property
    def name(self) -> str:
        """The folder's name, for people."""
        return self.root.name

    def split(self, part: Part) -> list[Photo]:
        """The photos of one part, by id."""
        if part not in PARTS:
            raise ValueError(f"no part {part!r}: choose one of {', '.join(PARTS)}")
        return [photo for photo in self.photos if photo.split == part]

    def digest(self) -> str:
        """SHA-256 (hex) of what a model can learn from: ids, bytes, annotations, user tags and parts; not the path."""
        text = json.dumps([FORMAT, self.seed, self.labels, self.strict_labels, [asdict(p) for p in self.photos]])
        return hashlib.sha256(text.encode()).hexdigest()


def content_digest(data: bytes) -> str:
    """First 16 hex digits of SHA-256: among 25,000 photos two alike by chance have odds of 1 in 6e10."""
    return hashlib.sha256(data).hexdigest()[:16]


def save(dataset: Dataset, path: Path) -> None:
    """Write the manifest as JSON, one photo a line; whole or not at all."""
    head = {
        "format": FORMAT,
        "root": str(dataset.root),
        "seed": dataset.seed,
        "labels": dataset.labels,
        "strict_labels": dataset.strict_labels,
    }
    lines = ",\n".join("  " + json.dumps(asdict(photo), ensure_ascii=False) for photo in dataset.photos)
    body = json.dumps(head, ensure_ascii=False, indent=1).removesuffix("\n}")
    write_atomically(path, f'{body},\n "photos": [\n{lines}\n ]\n}}\n'.encode())


def load(path: Path, *, root: Path | None = None) -> Dataset:
    """Read a manifest; `root` stands in for the recorded folder if that has moved. ValueError says what is wrong."""
    try:
        manifest = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as err:
        raise ValueError(f"{path}: not a data set manifest: {err}") from err
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(
            f"{path}: not a data set manifest of format {FORMAT}; write one with `tagwright-train prepare`"
        )
    return Dataset(
        root=root or Path(manifest["root"]),
        seed=int(manifest["seed"]),
        labels=tuple(manifest["labels"]),
        strict_labels=tuple(manifest["strict_labels"]),
        photos=tuple(_photo(entry) for entry in manifest["photos"]),
    )


def read_bytes(dataset: Dataset, photo: Photo) -> bytes:
    """The photo's bytes as stored; safe from threads and forked workers. OSError or BadZipFile where they are gone."""
    return read_stored(dataset.root, photo.archive, photo.file)


def read_stored(root: Path, archive: str | None, file: str) -> bytes:
    """Bytes of one file under `root`, or inside one of its archives."""
    if archive is None:
        return (root / file).read_bytes()
    path = root / archive
    stat = path.stat()
    return _archive(path, (stat.st_mtime_ns, stat.st_size), (os.getpid(), threading.get_ident())).read(file)


def targets(photos: Sequence[Photo], names: Sequence[str], strict: bool = False) -> NDArray[np.float32]:
    """1 where the label holds (in the strict sense if `strict`), 0 elsewhere; shape [photos, names]."""
    column = {name: index for index, name in enumerate(names)}
    matrix = np.zeros((len(photos), len(names)), np.float32)
    for row, photo in enumerate(photos):
        for name in photo.strict if strict else photo.labels:
            if name in column:
                matrix[row, column[name]] = 1
    return matrix


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside `path`, then rename over it: a reader sees the old file or the new one, never half of one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp gives 0600; a manifest is no secret
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def chunks(photos: Sequence[Photo], size: int) -> Iterator[Sequence[Photo]]:
    """The photos in runs of `size`, the last one shorter."""
    for start in range(0, len(photos), size):
        yield photos[start : start + size]


def _photo(entry: dict[str, Any]) -> Photo:
    return Photo(**entry | {key: tuple(entry[key]) for key in ("labels", "strict", "user_tags")})


@functools.lru_cache(maxsize=64)
def _archive(path: Path, _state: tuple[int, int], _reader: tuple[int, int]) -> zipfile.ZipFile:
    # One handle for each process and thread: a file position shared over fork would mix up the photos. A new one when
    # the archive has changed.
    return zipfile.ZipFile(path)
