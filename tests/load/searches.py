"""What is searched for in a made-up library, and the same by hand: plain SQL, and the bare index library."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagwright_server.store.photo_index.vectors import Vectors

PAGE = 20
KINDS = ("one tag", "three tags", "facets", "example", "filtered example", "diverse")
_DISTINCT = 200  # requests of a kind
_SEEN = "(image.account_id = ? OR image.visibility = 'shared')"
_ONE = f"""
SELECT image.number, image.id, image_tag.score FROM image_tag JOIN image ON image.number = image_tag.image_id
WHERE image_tag.tag_id = ? AND image_tag.state IN (0, 1) AND {_SEEN}
ORDER BY image_tag.state, COALESCE(image_tag.score, .85) DESC, image_tag.position, image.number DESC LIMIT {PAGE}
"""
_THREE = f"""
SELECT image.number, image.id, MAX(COALESCE(image_tag.score, .85)) AS best
FROM image_tag JOIN image ON image.number = image_tag.image_id
WHERE image_tag.tag_id IN (?, ?) AND image_tag.state IN (0, 1) AND {_SEEN}
AND NOT EXISTS (SELECT 1 FROM image_tag AS other WHERE other.image_id = image.number AND other.tag_id = ?
AND other.state IN (0, 1))
GROUP BY image.number, image.id ORDER BY best DESC, image.number DESC LIMIT {PAGE}
"""
_FACETS = f"""
SELECT others.tag_id, COUNT(*) AS photos FROM image_tag JOIN image ON image.number = image_tag.image_id
JOIN image_tag AS others ON others.image_id = image.number
WHERE image_tag.tag_id = ? AND image_tag.state IN (0, 1) AND others.state IN (0, 1) AND {_SEEN}
GROUP BY others.tag_id ORDER BY photos DESC LIMIT {PAGE}
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """One search: what the server is asked, tags' numbers as SQL has them, and the number of the example."""

    request: dict[str, Any]
    tags: tuple[int, ...]
    example: int = 0


def asked(kind: str, tags: Sequence[tuple[int, str, int]], photos: int) -> list[Asked]:
    """Return searches of a kind; tags are numbers, names and how many photos have each.

    Tags come as often as they are used, as people search for what there is.
    """
    rng = np.random.default_rng(KINDS.index(kind))
    counts = np.array([count for _, _, count in tags], np.float64)
    found = []
    for _ in range(_DISTINCT):
        chosen = [tags[at] for at in rng.choice(len(tags), 3, replace=False, p=counts / counts.sum()).tolist()]
        one, two, three = (f'"{name}"' for _, name, _ in chosen)
        numbers = tuple(number for number, _, _ in chosen)
        example = int(rng.integers(1, photos + 1))
        request: dict[str, Any] = {"page_size": PAGE}
        if kind == "three tags":
            request["query"] = f"({one} | {two}) & !{three}"
        elif "example" not in kind or kind.startswith("filtered"):
            request["query"] = one
        if "example" in kind:
            request["example_image_id"] = f"{example:032x}"
        if kind == "facets":
            request["include_facets"] = True
        if kind == "diverse":
            request["ranking"] = "RANKING_DIVERSE"
        found.append(Asked(request, numbers, example))
    return found


Run = Callable[[str, Sequence[object]], list[Any]]


@contextmanager
def connected(url: str) -> Iterator[Run]:
    """Give a way to run SQL, with `?` for what is filled in."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite://"))
        try:
            yield lambda sql, values: connection.execute(sql, values).fetchall()
        finally:
            connection.close()
        return
    import psycopg

    with psycopg.connect(url, autocommit=True) as postgres:
        yield lambda sql, values: postgres.execute(sql.replace("?", "%s"), values).fetchall()


def by_sql(run: Run, kind: str, searches: Sequence[Asked], account: str, *, seconds: float) -> list[float] | None:
    """Return what searches took by hand in SQL, in milliseconds; None where there is no such query."""
    statement = {"one tag": _ONE, "three tags": _THREE, "facets": _FACETS}.get(kind)
    if statement is None:
        return None
    took_ms: list[float] = []
    ends_s = time.monotonic() + seconds
    for search in searches:
        begun_s = time.monotonic()
        if begun_s > ends_s:
            break
        values = [*search.tags[:2], account, search.tags[2]] if kind == "three tags" else [search.tags[0], account]
        run(statement, values)
        took_ms.append((time.monotonic() - begun_s) * 1000)
    return took_ms


class BareIndex:
    """Every photo's vector in the index library alone, and exactly by numpy."""

    def __init__(self, run: Run, size: int) -> None:
        read: list[NDArray[np.float16]] = []
        self.index = Vectors(size)
        begun_s = time.monotonic()
        last = 0
        while rows := run(
            "SELECT content_id, vector FROM embedding WHERE content_id > ? ORDER BY 1 LIMIT 20000", [last]
        ):
            vectors = np.frombuffer(b"".join(bytes(vector) for _, vector in rows), "<f2").reshape(len(rows), size)
            self.index.put(np.array([number - 1 for number, _ in rows], np.int32), vectors)
            if self.index.outgrown:
                self.index = self.index.regrouped()
            read.append(vectors)
            last = rows[-1][0]
        self.built_s = time.monotonic() - begun_s
        self.vectors = np.concatenate(read).astype(np.float32)

    def by_hand(self, searches: Sequence[Asked], wanted: Sequence[NDArray[np.bool_]]) -> list[float]:
        """Return what searches took, in milliseconds; `wanted` says by slot which photos each may find."""
        took_ms = []
        for search, mask in zip(searches, wanted, strict=False):
            query = self.vectors[search.example - 1]
            begun_s = time.monotonic()
            self.index.nearest(query, limit=PAGE, wanted=mask)
            took_ms.append((time.monotonic() - begun_s) * 1000)
        return took_ms

    def nearest(self, example: int, wanted: NDArray[np.bool_], limit: int) -> list[int]:
        """Return the numbers of the photos that are really nearest to one, but for itself."""
        similarities = self.vectors @ self.vectors[example - 1]
        similarities[~wanted] = -2
        similarities[example - 1] = -2
        return [int(slot) + 1 for slot in np.argsort(-similarities, kind="stable")[:limit]]
