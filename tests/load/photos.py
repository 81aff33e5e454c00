"""The photos that are sent: a folder of somebody's own, or full-size ones made from the demo's.

Generated photos are the same on every machine with the same Pillow: a fixed seed, 500 x 375, about as many bytes as a
photograph of that size has.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image, ImageOps

COUNT = 24
SIZE = (500, 375)
SIZE_BYTES = 100_000
_GRAIN = 5.0  # what a sensor adds, in levels of 255; without it enlarged photos are too easy to decode
_CORNER, _COLOUR_STEP = 16, 7  # pixels, and levels of 256: enough to be other pixels when encoded anew
_SUFFIXES = (".jpg", ".jpeg")


@dataclass(frozen=True, slots=True)
class Photos:
    """Encoded photos as files, and a line that says which they are."""

    files: tuple[Path, ...]
    description: str


def from_folder(folder: Path) -> Photos:
    """Take every JPEG of `folder`, by name; raises FileNotFoundError where there is none."""
    files = (
        tuple(sorted(file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES)) if folder.is_dir() else ()
    )
    if not files:
        raise FileNotFoundError(f"{folder}: no JPEG there")
    return Photos(files, f"{len(files)} photos of the folder {folder.name!r}, {_kilobytes(files)}")


def largest(folder: Path, most_bytes: int) -> Path:
    """Take the largest JPEG of `folder` up to a size, the smallest where all are larger; raises FileNotFoundError."""
    files = sorted(from_folder(folder).files, key=lambda file: file.stat().st_size)
    return next((file for file in reversed(files) if file.stat().st_size <= most_bytes), files[0])


def generate(sources: Path, folder: Path, *, count: int = COUNT) -> Photos:
    """Write `count` photos made from those of `sources` into `folder`: cut, enlarged, mirrored, with some grain."""
    originals = [Image.open(file).convert("RGB") for file in from_folder(sources).files]
    chance = np.random.default_rng(0)
    files = []
    for index in range(count):
        photo = _variant(originals[index % len(originals)], chance)
        file = folder / f"photo-{index:02}.jpg"
        file.write_bytes(_encode(photo))
        files.append(file)
    width, height = SIZE
    return Photos(tuple(files), f"{count} photos of {width} x {height} made from the demo's, {_kilobytes(files)}")


def versions(file: Path, folder: Path) -> Iterator[Path]:
    """Write a photo into `folder` again and again, each time with another corner: no server has had it before."""
    for number in itertools.count():
        with Image.open(file) as photo:
            corner = [side - _CORNER for side in photo.size]
            patch = Image.new("L", (_CORNER, _CORNER), number * _COLOUR_STEP % 256)
            photo.paste(patch.convert(photo.mode), (corner[0], corner[1]))
            path = folder / f"{file.stem}-{number}.jpg"
            photo.save(path, "JPEG", quality="keep")
        yield path


def _variant(original: Image.Image, chance: np.random.Generator) -> Image.Image:
    part = chance.uniform(0.7, 1.0)
    cut = tuple(round(side * part) for side in original.size)
    left, top = (int(chance.integers(0, whole - piece + 1)) for whole, piece in zip(original.size, cut, strict=True))
    photo = ImageOps.fit(original.crop((left, top, left + cut[0], top + cut[1])), SIZE, Image.Resampling.BICUBIC)
    if chance.random() < 0.5:
        photo = ImageOps.mirror(photo)
    levels = np.asarray(photo, dtype=np.float32)
    levels = levels + chance.normal(0.0, _GRAIN, (*levels.shape[:2], 1)).astype(np.float32)
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def _encode(photo: Image.Image) -> bytes:
    """Return the JPEG whose size comes nearest to SIZE_BYTES."""
    encoded = []
    for quality in range(60, 98, 3):
        file = BytesIO()
        photo.save(file, "JPEG", quality=quality)
        encoded.append(file.getvalue())
    return min(encoded, key=lambda data: abs(len(data) - SIZE_BYTES))


def _kilobytes(files: list[Path] | tuple[Path, ...]) -> str:
    return f"median {median(file.stat().st_size for file in files) / 1000:.0f} KB"
