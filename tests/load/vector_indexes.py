"""Which index finds photos that look alike: `python -m tests.load.vector_indexes [--photos N] [--callers N]`.

Measures what the photo index uses (faiss's inverted file over float16, store/photo_index/vectors.py) beside looking at
every vector (numpy), usearch (HNSW, float16; `pip install usearch`) and pgvector (HNSW, halfvec, in the PostgreSQL 18
of the tests): the time to build it from nothing, the memory it takes, and for questions about photos like those of the
library the median and 99th percentile of a question's time and the share of the 10 and the 200 nearest that it finds;
of all photos, of half of them, and of one in a hundred, as of those that one account sees. Every question is asked by
one caller. A library that is not installed, or cannot do a thing, is shown as such.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from tagwright_server.inference.bundle import load_bundle
from tagwright_server.refinement import artefact
from tagwright_server.store.photo_index.vectors import Vectors

from .machine import cores, cpu_model
from .synthetic import Seed, moved, queries

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # as pytest has it
from postgres import Postgres

NEAREST = 200  # what refinement asks for
QUESTIONS = 200
SHARES = (1.0, 0.5, 0.01)
_BLOCK = 2000  # as the index reads the database

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Search = Callable[[Floats, "Mask | None"], "Sequence[int] | None"]  # None: it cannot do that


@dataclass(frozen=True)
class Built:
    """An index and what it took to build it."""

    search: Search
    seconds: float
    mebibytes: float | None


def numpy_exact(vectors: Floats) -> Iterator[Built]:
    def search(query: Floats, wanted: Mask | None) -> Sequence[int]:
        similarities = vectors @ query
        if wanted is not None:
            similarities[~wanted] = -2
        best = np.argpartition(-similarities, NEAREST)[:NEAREST]
        found: list[int] = best[np.argsort(-similarities[best])].tolist()
        return found

    yield Built(search, 0.0, vectors.nbytes / 2**20)


def ours(vectors: Floats) -> Iterator[Built]:
    before, begun_s = _memory(), perf_counter()
    held = Vectors(vectors.shape[1])
    for start in range(0, len(vectors), _BLOCK):
        some = vectors[start : start + _BLOCK]
        held.put(np.arange(start, start + len(some), dtype=np.int32), some.astype(np.float16))
        if held.outgrown:
            held = held.regrouped()
    seconds = perf_counter() - begun_s

    def search(query: Floats, wanted: Mask | None) -> Sequence[int]:
        found: list[int] = held.nearest(query, limit=NEAREST, wanted=wanted)[0].tolist()
        return found

    yield Built(search, seconds, _memory() - before)


def usearch_hnsw(vectors: Floats) -> Iterator[Built]:
    from usearch.index import Index

    before, begun_s = _memory(), perf_counter()
    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f16", connectivity=16, expansion_search=256)
    for start in range(0, len(vectors), _BLOCK):
        some = vectors[start : start + _BLOCK]
        index.add(np.arange(start, start + len(some)), some)
    seconds = perf_counter() - begun_s

    def search(query: Floats, wanted: Mask | None) -> Sequence[int] | None:
        if wanted is not None:
            return None  # its Python binding takes no filter
        found: list[int] = index.search(query, NEAREST).keys.tolist()
        return found

    yield Built(search, seconds, _memory() - before)


def pgvector_hnsw(vectors: Floats) -> Iterator[Built]:
    import psycopg

    postgres = Postgres()
    try:
        with psycopg.connect(postgres.url(), autocommit=True) as connection:
            begun_s = perf_counter()
            connection.execute("CREATE EXTENSION vector")
            connection.execute(f"CREATE TABLE photo (slot int PRIMARY KEY, vector halfvec({vectors.shape[1]}))")
            connection.execute("SET maintenance_work_mem = '2GB'")
            _copy(connection, "photo", ((slot, _text(vector)) for slot, vector in enumerate(vectors)))
            connection.execute("CREATE INDEX ON photo USING hnsw (vector halfvec_ip_ops)")
            seconds = perf_counter() - begun_s
            [[size]] = connection.execute("SELECT pg_total_relation_size('photo')").fetchall()
            connection.execute("CREATE TABLE seen (slot int PRIMARY KEY)")
            connection.execute(f"SET hnsw.ef_search = {NEAREST}")
            connection.execute("SET hnsw.iterative_scan = relaxed_order")
            shown: list[Mask] = []

            def search(query: Floats, wanted: Mask | None) -> Sequence[int]:
                if wanted is not None and not (shown and shown[-1] is wanted):
                    connection.execute("TRUNCATE seen")
                    _copy(connection, "seen", ((slot,) for slot in np.flatnonzero(wanted).tolist()))
                    connection.execute("ANALYZE seen")
                    shown.append(wanted)
                joined = "" if wanted is None else "JOIN seen USING (slot)"
                nearest = f"SELECT slot FROM photo {joined} ORDER BY vector <#> %s::halfvec LIMIT {NEAREST}"
                return [slot for (slot,) in connection.execute(nearest, [_text(query)]).fetchall()]

            yield Built(search, seconds, size / 2**20)
    finally:
        postgres.remove()


def _copy(connection: Any, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


ENGINES: dict[str, Callable[[Floats], Iterator[Built]]] = {
    "numpy, every vector": numpy_exact,
    "faiss IVF (ours)": ours,
    "usearch HNSW": usearch_hnsw,
    "pgvector HNSW": pgvector_hnsw,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=200_000)
    parser.add_argument("--model", type=Path, default=Path("model_repository/tagger/1"))
    parser.add_argument("--only", help="part of an engine's name")
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.model)
    read = artefact.load(
        arguments.model / artefact.FOLDER,
        model=f"{bundle.name}@{bundle.version}",
        model_digest=bundle.digest,
        embedding_size=bundle.embedding_size,
    )
    seed = Seed(read.starter.vectors, read.starter.tags)
    vectors = _vectors(seed, arguments.photos)
    asked = [vector for vector, _ in queries(seed, QUESTIONS)]
    rng = np.random.default_rng(3)
    masks = [None if share == 1 else rng.random(len(vectors)) < share for share in SHARES]
    truth = [_truth(vectors, asked, mask) for mask in masks]
    table = Table(title=f"{len(vectors):,} vectors of {vectors.shape[1]} numbers, {cores()} cores of {cpu_model()}")
    for name in ("index", "built, s", "MiB", "of", "p50, ms", "p99, ms", "recall@10", "recall@200"):
        table.add_column(name, justify="left" if name in ("index", "of") else "right")
    console = Console()
    for name, build in ENGINES.items():
        if arguments.only and arguments.only not in name:
            continue
        try:
            with contextmanager(build)(vectors) as built:
                for share, mask, right in zip(SHARES, masks, truth, strict=True):
                    first = share == SHARES[0]
                    size = "" if built.mebibytes is None else f"{built.mebibytes:,.0f}"
                    heads = [name, f"{built.seconds:,.1f}", size] if first else ["", "", ""]
                    table.add_row(*heads, f"{share:.0%}", *_measured(built.search, asked, mask, right))
        except ImportError as err:
            table.add_row(name, f"not installed: {err.name}")
    console.print(table)


def _measured(search: Search, asked: Sequence[Floats], mask: Mask | None, right: Sequence[Sequence[int]]) -> list[str]:
    times, ten, all_of = [], 0, 0
    search(asked[0], mask)
    for query, nearest in zip(asked, right, strict=True):
        begun_s = perf_counter()
        found = search(query, mask)
        times.append((perf_counter() - begun_s) * 1000)
        if found is None:
            return ["no filter", "", "", ""]
        ten += len(set(found[:10]) & set(nearest[:10]))
        all_of += len(set(found) & set(nearest))
    return [
        f"{statistics.median(times):.2f}",
        f"{float(np.quantile(times, 0.99)):.2f}",
        f"{ten / (10 * len(asked)):.3f}",
        f"{all_of / sum(map(len, right)):.3f}",
    ]


def _truth(vectors: Floats, asked: Sequence[Floats], mask: Mask | None) -> list[list[int]]:
    [exact] = numpy_exact(vectors)
    return [list(exact.search(query, mask) or ()) for query in asked]


def _vectors(seed: Seed, count: int) -> Floats:
    rng = np.random.default_rng(1)
    blocks = range(0, count, 50_000)
    parts = [seed.vectors[rng.integers(len(seed.tags), size=min(50_000, count - start))] for start in blocks]
    return np.concatenate([moved(part, rng) for part in parts])


def _memory() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20


def _text(vector: NDArray[Any]) -> str:
    return "[" + ",".join(f"{each:.4g}" for each in vector.tolist()) + "]"


if __name__ == "__main__":
    main()
