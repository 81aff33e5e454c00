"""Which photos a model has seen: a list beside `model.pt`, so that no one measures a model on what it learnt from.

`seen.txt` has a line for each photo of the training and calibration parts: 16 hex digits of the SHA-256 of its bytes,
and of its id and annotations. A photo counts as seen when its bytes are known, in whatever folder and under whatever
name, or its id together with its annotations: the same photo in another size has other bytes, and another folder's
photo of the same number has other annotations.

Promises: in doubt a photo is left out of an evaluation.
Never: holds anything of a photo but those two digests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tagwright_training.dataset import Photo, content_digest, write_atomically

FILE = "seen.txt"
_LINE = re.compile(r"[0-9a-f]{16} [0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Seen:
    """Digests of the photos that one or more models have seen."""

    contents: frozenset[str] = frozenset()
    annotations: frozenset[str] = frozenset()

    def __contains__(self, photo: Photo) -> bool:
        """Whether a model has seen this photo, by its bytes or by its annotations."""
        return photo.digest in self.contents or _annotations(photo) in self.annotations

    def __or__(self, other: Seen) -> Seen:
        """What either has seen."""
        return Seen(self.contents | other.contents, self.annotations | other.annotations)


def write_seen(path: Path, photos: Iterable[Photo]) -> None:
    """Write the list of the photos a model was trained or calibrated on."""
    lines = sorted(f"{photo.digest} {_annotations(photo)}\n" for photo in photos)
    write_atomically(path, "".join(lines).encode("ascii"))


def read_seen(path: Path) -> Seen:
    """Read such a list. FileNotFoundError if there is none, ValueError with file and line if it is no such list."""
    contents, annotations = set(), set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not _LINE.fullmatch(line):
            raise ValueError(f"{path}:{number}: not two digests of 16 hex digits: {line[:40]!r}")
        contents.add(line[:16])
        annotations.add(line[17:])
    return Seen(frozenset(contents), frozenset(annotations))


def _annotations(photo: Photo) -> str:
    """First 16 hex digits of the SHA-256 of a photo's id and labels; not the strict ones, which a folder may lack."""
    return content_digest(f"{photo.id}:{' '.join(sorted(photo.labels))}".encode())
