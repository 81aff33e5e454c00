"""A library of any size, made up: what a server would keep of so many photos, written straight into its database.

Each photo is one of the starter library's, moved a little: its embedding with noise, most of its tags, and a few that
are rare. So the look of photos and the use of tags have the clusters and the long tail of real ones. There are no bytes
of photos: `check` would complain, and nobody may ask for a thumbnail.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tagwright_server.store.image_records import TagSource
from tagwright_server.store.store import open_store
from tagwright_server.store.tag_codes import SOURCES, SUGGESTED

_BLOCK = 10_000
_NOISE = 0.6  # length of what is added to an embedding of length 1: cosine .86 to where it comes from
_KEPT = 0.7  # of the tags of the photo it comes from
_RARE = 0.2  # photos that have a tag from the long tail
_CREATED_US = 1_700_000_000_000_000
_IMAGE = (
    "INSERT INTO image (number, id, account_id, source_sha256, content_id, visibility, created, updated, model_id,"
    " author, file_name) VALUES (?, ?, ?, ?, ?, 'private', ?, ?, ?, ?, '')"
)
_CONTENT = (
    "INSERT INTO content (number, sha256, size_bytes, format, width, height, perceptual_hash, band_0, band_1, band_2,"
    " band_3) VALUES (?, ?, 6000, 'JPEG', 128, 128, ?, ?, ?, ?, ?)"
)
_EMBEDDING = "INSERT INTO embedding (content_id, model_id, vector) VALUES (?, ?, ?)"
_TAG = "INSERT INTO image_tag (image_id, tag_id, state, source, position) VALUES (?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Seed:
    """Photos to begin from: float32 [n, D] embeddings, L2-normalised, and their tags."""

    vectors: NDArray[np.float32]
    tags: Sequence[Sequence[str]]


def fill(
    database: Path,
    seed: Seed,
    *,
    photos: int,
    account: str,
    model_version: str,
    advance: Callable[[int], None] = lambda done: None,
) -> None:
    """Write so many photos of an account into a server's database, while no server runs on it."""
    store = open_store(f"sqlite://{database}")
    try:
        owner = store.accounts.find(account)
        assert owner is not None
    finally:
        store.close()
    names = sorted({tag for tags in seed.tags for tag in tags} | {f"rare{at}" for at in range(photos // 50)})
    connection = sqlite3.connect(database)
    try:
        connection.execute("PRAGMA synchronous = OFF")  # it is made up; a crash makes it anew
        tags = _numbers(connection, "tag", names)
        [model] = _numbers(connection, "model", [model_version]).values()
        for done, rows in _blocks(seed, photos, owner.id, model, tags, np.random.default_rng(1)):
            for statement, some in rows.items():
                connection.executemany(statement, some)
            connection.commit()
            advance(done)
        connection.execute("INSERT INTO usage (account_id, photos, size_bytes) VALUES (?, ?, 0)", (owner.id, photos))
        connection.commit()
        connection.execute("ANALYZE")
    finally:
        connection.close()


def queries(seed: Seed, count: int) -> Iterator[tuple[NDArray[np.float32], Sequence[str]]]:
    """Return photos to ask about: embeddings and tags like those of the library, and not of it."""
    rng = np.random.default_rng(2)
    for row in rng.integers(len(seed.tags), size=count):
        yield moved(seed.vectors[row : row + 1], rng)[0], seed.tags[row]


Rows = dict[str, list[tuple[object, ...]]]


def _blocks(
    seed: Seed, photos: int, owner: str, model: int, tags: dict[str, int], rng: np.random.Generator
) -> Iterator[tuple[int, Rows]]:
    known = [np.array([tags[tag] for tag in dict.fromkeys(each)], np.int64) for each in seed.tags]
    rare = np.array([number for name, number in tags.items() if name.startswith("rare")], np.int64)
    for start in range(0, photos, _BLOCK):
        numbers = range(start + 1, min(start + _BLOCK, photos) + 1)
        sources = rng.integers(len(seed.tags), size=len(numbers))
        vectors = moved(seed.vectors[sources], rng).astype("<f2")
        hashes = rng.integers(0, 2**16, size=(len(numbers), 4)).tolist()
        rows: Rows = {_CONTENT: [], _EMBEDDING: [], _IMAGE: [], _TAG: []}
        for number, source, vector, bands in zip(numbers, sources, vectors, hashes, strict=True):
            digest = number.to_bytes(32, "big")
            whole = sum(band << (16 * at) for at, band in enumerate(bands))
            rows[_CONTENT].append((number, digest, whole - (whole >> 63 << 64), *bands))
            rows[_EMBEDDING].append((number, model, vector.tobytes()))
            moment = _CREATED_US + number * 1_000_000
            rows[_IMAGE].append((number, f"{number:032x}", owner, digest, number, moment, moment, model, ""))
            mine = known[source][rng.random(len(known[source])) < _KEPT].tolist()
            if len(rare) and rng.random() < _RARE:
                mine.append(int(rare[rng.integers(len(rare))]))
            rows[_TAG] += [(number, tag, SUGGESTED, SOURCES[TagSource.USER], place) for place, tag in enumerate(mine)]
        yield numbers[-1], rows


def moved(vectors: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return vectors [n, D] of length 1, moved a little."""
    noise = rng.standard_normal(vectors.shape, np.float32)
    moved = vectors + _NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    normalised: NDArray[np.float32] = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return normalised


def _numbers(connection: sqlite3.Connection, table: str, names: Sequence[str]) -> dict[str, int]:
    connection.executemany(f"INSERT INTO {table} (name) VALUES (?) ON CONFLICT DO NOTHING", [(name,) for name in names])
    connection.commit()
    there = dict(connection.execute(f"SELECT name, number FROM {table}").fetchall())
    return {name: there[name] for name in names}
