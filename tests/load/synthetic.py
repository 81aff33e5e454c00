"""A library of any size, made up: what a server would keep of so many photos, written straight into its database.

Each photo is one of the starter library's, moved a little: its embedding with noise, most of its tags, a few that are
rare, and labels that the model found. So the look of photos and the use of tags have the clusters and the long tail of
real ones. The bytes of photos are those of a few `pictures`, which `lay` puts there under all their names; without,
there are none and nobody may ask for a thumbnail. `check` would complain of both.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tagwright_server.store.image_records import TagSource
from tagwright_server.store.records import Account, Role
from tagwright_server.store.store import open_store
from tagwright_server.store.tag_codes import CONFIRMED, SOURCES, SUGGESTED

_BLOCK = 10_000
_NOISE = 0.6  # length of what is added to an embedding of length 1: cosine .86 to where it comes from
_KEPT = 0.7  # of the tags of the photo it comes from
_RARE = 0.2  # photos that have a tag from the long tail
_CREATED_US = 1_700_000_000_000_000
_SHARED = 0.3  # photos that everybody sees
_CHECKED = 0.1  # tags that a person has confirmed
_JUDGED = 0.5  # tags that owners typed and refinement has judged
_SEEN = 0.42  # photos with the commonest label; in MIRFlickr it is people
_OWNERS = 20  # accounts
_IMAGE = (
    "image (number, id, account_id, source_sha256, content_id, visibility, created, updated, model_id, author,"
    " file_name)"
)
_CONTENT = (
    "content (number, sha256, size_bytes, format, width, height, perceptual_hash, band_0, band_1, band_2, band_3)"
)
_EMBEDDING = "embedding (content_id, model_id, vector)"
_TAG = "image_tag (image_id, tag_id, state, source, score, model_id, position)"


@dataclass(frozen=True, slots=True)
class Seed:
    """Photos to begin from: float32 [n, D] embeddings, L2-normalised, and their tags."""

    vectors: NDArray[np.float32]
    tags: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Picture:
    """What a JPEG of the library is like; without a file nobody may look at it."""

    size_bytes: int
    width: int
    height: int
    file: Path | None = None

    @classmethod
    def of(cls, file: Path) -> Picture:
        """Look at a file."""
        with Image.open(file) as photo:
            width, height = photo.size
        return cls(file.stat().st_size, width, height, file)


_NO_PICTURES = (Picture(6000, 128, 128),)


def lay(folder: Path, pictures: Sequence[Picture], photos: int) -> None:
    """Put the bytes of so many photos where a server keeps them, the same bytes under many names."""
    for number in range(1, photos + 1):
        at, first = (_blob(folder, each) for each in (number, (number - 1) % len(pictures) + 1))
        if at != first:
            os.link(first, at)
        elif (file := pictures[number - 1].file) is not None:
            at.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, at)


def _digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _blob(folder: Path, number: int) -> Path:
    name = _digest(number).hex()
    return folder / name[:2] / name


def owners() -> list[str]:
    """Return the names of the accounts that made-up photos belong to."""
    return [f"owner{at}" for at in range(_OWNERS)]


def fill(
    url: str,
    seed: Seed,
    *,
    photos: int,
    labels: Sequence[str],
    model_version: str,
    pictures: Sequence[Picture] = _NO_PICTURES,
    advance: Callable[[int], None] = lambda done: None,
) -> None:
    """Write so many photos into a server's database, `sqlite:///PATH` or `postgresql://...`, while none runs on it.

    They belong to accounts of their own, which nobody can sign in to until somebody sets a password.
    """
    store = open_store(url)
    try:
        now = datetime.now(timezone.utc)
        accounts = [
            Account(uuid.uuid4().hex, name, Role.USER, disabled=False, created=now, updated=now) for name in owners()
        ]
        for account in accounts:
            store.accounts.add(account, password_hash="")
    finally:
        store.close()
    names = sorted(
        {tag for tags in seed.tags for tag in tags} | {f"rare{at}" for at in range(photos // 50)} | set(labels)
    )
    with _sqlite(url) if url.startswith("sqlite") else _postgres(url) as write:
        write("tag (number, name)", list(enumerate(names, 1)))
        write("model (number, name)", [(1, model_version)])
        numbers = {name: number for number, name in enumerate(names, 1)}
        made = _Made([account.id for account in accounts], numbers, [numbers[label] for label in labels], pictures)
        for done, rows in _blocks(seed, photos, made, np.random.default_rng(1)):
            for table, some in rows.items():
                write(table, some)
            advance(done)
        write("usage (account_id, photos, size_bytes)", [(account.id, photos // _OWNERS, 0) for account in accounts])


Row = tuple[object, ...]
Write = Callable[[str, Sequence[Row]], None]


@contextmanager
def _sqlite(url: str) -> Iterator[Write]:
    connection = sqlite3.connect(url.removeprefix("sqlite://"))

    def write(table: str, rows: Sequence[Row]) -> None:
        marks = ", ".join("?" * (table.count(",") + 1))
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        connection.commit()

    try:
        connection.execute("PRAGMA synchronous = OFF")  # it is made up; a crash makes it anew
        yield write
        connection.execute("ANALYZE")
    finally:
        connection.close()


@contextmanager
def _postgres(url: str) -> Iterator[Write]:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")

        def write(table: str, rows: Sequence[Row]) -> None:
            with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)

        yield write
        for table in ("image", "content", "tag", "model"):
            connection.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'number'), MAX(number)) FROM {table}")
        connection.execute("ANALYZE")


def queries(seed: Seed, count: int) -> Iterator[tuple[NDArray[np.float32], Sequence[str]]]:
    """Return photos to ask about: embeddings and tags like those of the library, and not of it."""
    rng = np.random.default_rng(2)
    for row in rng.integers(len(seed.tags), size=count):
        yield moved(seed.vectors[row : row + 1], rng)[0], seed.tags[row]


Rows = dict[str, list[Row]]


@dataclass(frozen=True, slots=True)
class _Made:
    """What photos are made of: ids of accounts, numbers of tags by name, those of labels, commonest first, bytes."""

    accounts: Sequence[str]
    tags: dict[str, int]
    labels: Sequence[int]
    pictures: Sequence[Picture]


def _blocks(seed: Seed, photos: int, made: _Made, rng: np.random.Generator) -> Iterator[tuple[int, Rows]]:
    known = [np.array([made.tags[tag] for tag in dict.fromkeys(each)], np.int64) for each in seed.tags]
    rare = np.array([number for name, number in made.tags.items() if name.startswith("rare")], np.int64)
    likely = _SEEN * 4 / np.arange(4, len(made.labels) + 4)  # 3.5 labels a photo
    for start in range(0, photos, _BLOCK):
        numbers = range(start + 1, min(start + _BLOCK, photos) + 1)
        sources = rng.integers(len(seed.tags), size=len(numbers))
        vectors = moved(seed.vectors[sources], rng).astype("<f2")
        hashes = rng.integers(0, 2**16, size=(len(numbers), 4)).tolist()
        rows: Rows = {_CONTENT: [], _EMBEDDING: [], _IMAGE: [], _TAG: []}
        for number, source, vector, bands in zip(numbers, sources.tolist(), vectors, hashes, strict=True):
            digest, picture = _digest(number), made.pictures[(number - 1) % len(made.pictures)]
            size = (picture.size_bytes, "JPEG", picture.width, picture.height)
            whole = sum(band << (16 * at) for at, band in enumerate(bands))
            rows[_CONTENT].append((number, digest, *size, whole - (whole >> 63 << 64), *bands))
            rows[_EMBEDDING].append((number, 1, vector.tobytes()))
            moment = _CREATED_US + number * 1_000_000
            owner, seen = made.accounts[number % _OWNERS], "shared" if rng.random() < _SHARED else "private"
            rows[_IMAGE].append((number, f"{number:032x}", owner, digest, number, seen, moment, moment, 1, "", ""))
            mine = known[source][rng.random(len(known[source])) < _KEPT].tolist()
            if len(rare) and rng.random() < _RARE:
                mine.append(int(rare[rng.integers(len(rare))]))
            rows[_TAG] += _tags(number, source, mine, made, likely, rng)
        yield numbers[-1], rows


def _tags(
    number: int, source: int, mine: Sequence[int], made: _Made, likely: NDArray[np.float64], rng: np.random.Generator
) -> Iterator[Row]:
    """Return the rows of a photo's tags: what its owner typed, half of it judged, and what the model found."""
    for place, tag in enumerate(mine):
        state = CONFIRMED if rng.random() < _CHECKED else SUGGESTED
        score = round(float(rng.random()), 4) if rng.random() < _JUDGED else None
        yield (number, tag, state, SOURCES[TagSource.USER], score, None if score is None else 1, place)
    found = np.random.default_rng(source).random(len(likely)) < likely  # photos that look alike show the same
    for at in np.flatnonzero(found).tolist():
        if made.labels[at] not in mine:
            score = round(float(0.5 + rng.random() / 2), 4)
            yield (number, made.labels[at], SUGGESTED, SOURCES[TagSource.MODEL], score, 1, None)


def moved(vectors: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return vectors [n, D] of length 1, moved a little."""
    noise = rng.standard_normal(vectors.shape, np.float32)
    moved = vectors + _NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    normalised: NDArray[np.float32] = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return normalised
