"""Tiny folders of MIRFlickr for tests, in both layouts: as published, and with zips and tables."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

LISTS: Mapping[str, Sequence[int]] = {"dog": (1, 2), "dog_r1": (2,), "sky": (2, 3, 5)}
TAGS: Mapping[int, Sequence[str]] = {1: ("rex", "dog"), 2: ("dog",), 3: (), 5: ("blue", "sky")}
IDS = (1, 2, 3, 5)


def jpeg(photo_id: int, *, size: tuple[int, int] = (32, 32)) -> bytes:
    """A JPEG that is different for every id, with some detail in it."""
    photo = Image.new("RGB", (8, 8))
    photo.putdata([((photo_id * 37 + i * 11) % 256, (photo_id * 91 + i * 5) % 256, i * 4) for i in range(64)])
    file = io.BytesIO()
    photo.resize(size, Image.Resampling.NEAREST).save(file, "JPEG", quality=90)
    return file.getvalue()


def with_tables(
    root: Path,
    *,
    ids: Sequence[int] = IDS,
    lists: Mapping[str, Sequence[int]] = LISTS,
    tags: Mapping[int, Sequence[str]] = TAGS,
) -> Path:
    """The layout with two zips, `user_tags.tsv`, `labels.tsv` and `annotations/`."""
    root.mkdir(parents=True, exist_ok=True)
    half = (len(ids) + 1) // 2
    for number, part in enumerate((ids[:half], ids[half:]), start=1):
        with zipfile.ZipFile(root / f"images_{number}.zip", "w") as archive:
            for photo_id in part:
                archive.writestr(f"im{photo_id}.jpg", jpeg(photo_id))
    _write_lists(root / "annotations", lists)
    rows = (f"{i}\t{' '.join(name for name in sorted(lists) if i in lists[name])}\n" for i in ids)
    (root / "labels.tsv").write_text("".join(rows), encoding="utf-8")
    rows = ("\t".join((str(i), *tags.get(i, ()))) + "\n" for i in ids)
    (root / "user_tags.tsv").write_text("".join(rows), encoding="utf-8")
    return root


def as_published(root: Path, *, ids: Sequence[int] = IDS, annotations: str = "annotations") -> Path:
    """MIRFlickr's own layout: `mirflickr/imN.jpg`, `mirflickr/meta/tags/tagsN.txt`, annotation lists beside it."""
    tags = root / "mirflickr" / "meta" / "tags"
    tags.mkdir(parents=True)
    for photo_id in ids:
        (root / "mirflickr" / f"im{photo_id}.jpg").write_bytes(jpeg(photo_id))
        text = "".join(f"{tag}\r\n" for tag in TAGS.get(photo_id, ()))
        (tags / f"tags{photo_id}.txt").write_text(text, encoding="utf-8")
    _write_lists(root / annotations, LISTS, end="\r\n")
    (root / annotations / "README.txt").write_text("These are annotations.\n", encoding="utf-8")
    return root


def _write_lists(home: Path, lists: Mapping[str, Sequence[int]], end: str = "\n") -> None:
    home.mkdir(parents=True, exist_ok=True)
    for name, ids in lists.items():
        (home / f"{name}.txt").write_text("".join(f"{i}{end}" for i in ids), encoding="utf-8", newline="")
