"""Which photos a model has seen: a list beside `model.pt`, so that no one measures a model on what it learnt from.

`seen.txt` has a line for each photo of the training and calibration parts: 16 hex digits of the SHA-256 of its bytes,
and its MIRFlickr id. A photo counts as seen when its bytes are known, in whatever folder and under whatever name, or
its id: the same photo in another size has other bytes.

Promises: in doubt a photo is left out of an evaluation.
Never: holds anything of a photo but those two numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tagwright_training.dataset import Photo, write_atomically

FILE = "seen.txt"


@dataclass(frozen=True, slots=True)
class Seen:
    """Digests and ids of the photos that one or more models have seen."""

    digests: frozenset[str] = frozenset()
    ids: frozenset[int] = frozenset()

    def __contains__(self, photo: Photo) -> bool:
        """Whether a model has seen this photo, by bytes or by id."""
        return photo.digest in self.digests or photo.id in self.ids

    def __or__(self, other: Seen) -> Seen:
        """What either has seen."""
        return Seen(self.digests | other.digests, self.ids | other.ids)


def write_seen(path: Path, photos: Iterable[Photo]) -> None:
    """Write the list of the photos a model was trained or calibrated on."""
    lines = sorted(f"{photo.digest} {photo.id}\n" for photo in photos)
    write_atomically(path, "".join(lines).encode("ascii"))


def read_seen(path: Path) -> Seen:
    """Read such a list. FileNotFoundError if there is none, ValueError with file and line if it is no such list."""
    digests, ids = set(), set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        digest, _, photo_id = line.partition(" ")
        if len(digest) != 16 or not set(digest) <= set("0123456789abcdef") or not photo_id.isdecimal():
            raise ValueError(f"{path}:{number}: not a digest of 16 hex digits and a photo id: {line[:40]!r}")
        digests.add(digest)
        ids.add(int(photo_id))
    return Seen(frozenset(digests), frozenset(ids))
