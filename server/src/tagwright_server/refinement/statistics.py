"""What a library tells of its tags: how many photos have one, which come together, what their photos look like.

Kept up as photos come and go, so that a new photo counts at once and nothing is ever trained anew. A tag that
`min_photos` photos have gets a column: a row of co-occurrences, and the sum of its photos' embeddings, from which
the ridge probe is solved in closed form. A column knows of all photos that have its tag: tags that become frequent wait
for theirs (`wanted`) until whoever has the photos brings those (`admit`).

Promises: the same photos give the same numbers, in whatever order they came, for all tags that have a column.
Never: knows a photo by itself, or who may see it (`seen`). It is not locked: who changes it keeps others out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

MIN_PHOTOS = 10  # fewer say nothing
MOST_COLUMNS = 4_096  # 64 MiB of co-occurrences; those of the commonest tags
_RIDGE = 0.03  # of the mean variance of a dimension
_STALE = 0.01  # of the library that came, went or changed: then probes are solved anew
_BLOCK = 4_096
_RARER = 2  # a tag that so many times as many photos have takes the column of another

Vector = NDArray[np.float32]
Photos = Iterable[tuple[Vector, Sequence[Iterable[str]]]]  # some at a time: embeddings float32 [n, D] and n times tags


class Statistics(Protocol):
    """What is asked of statistics, by whoever weighs evidence."""

    @property
    def photos(self) -> int:
        """How many photos there are."""

    def count(self, tag: str) -> int:
        """Return how many photos have a tag."""

    def counts(self, tags: Sequence[str]) -> NDArray[np.int64]:
        """Return how many photos have each tag, int64 [m]."""

    def known(self, tag: str) -> bool:
        """Whether enough photos have a tag to say anything about it."""

    def cooccurrences(self, tags: Sequence[str], others: Sequence[str]) -> NDArray[np.int64]:
        """Return how many photos have both, int64 [m, o]; 0 where one of the two is not known."""

    def probe(self, vectors: Vector, tags: Sequence[str]) -> NDArray[np.float32]:
        """Return how well photos [n, D] look like those that have a tag: float32 [n, m], 0 for an unknown one."""

    def visualness(self, tag: str) -> float:
        """Return how far a tag can be told by looking, 0 to 1, NaN where it is not known."""


@dataclass(slots=True)
class _Probes:
    """Ridge solutions for every column, of so many photos and after so many changes."""

    photos: int
    changes: int
    mean: NDArray[np.float32]
    weights: NDArray[np.float32]  # [columns, D], scaled to scores of variance 1 over the library
    separation: NDArray[np.float64]  # [columns], of photos with the tag, in deviations, as if each had been left out


class TagStatistics:
    """Statistics of tags over a set of photos; a photo is its embedding, float32 [D], and its tags."""

    def __init__(self, embedding_size: int, *, min_photos: int = MIN_PHOTOS, most_columns: int = MOST_COLUMNS) -> None:
        self.embedding_size = embedding_size
        self._photos = 0
        self._changes = 0  # photos that came or went
        self.min_photos = min_photos
        self._most_columns = most_columns
        self._counts: dict[str, int] = {}
        self._ripe: set[str] = set()  # frequent enough, without a column
        self._columns: dict[str, int] = {}
        self._free: list[int] = []
        self._used = 0  # columns that ever were
        self._sum = np.zeros(embedding_size)
        self._gram = np.zeros((embedding_size, embedding_size))
        self._sums = np.zeros((0, embedding_size))  # of the embeddings of each column's photos
        self._together = np.zeros((0, 0), np.int32)
        self._probes: _Probes | None = None

    @classmethod
    def of(
        cls,
        embedding_size: int,
        photos: Callable[[], Photos],
        *,
        min_photos: int = MIN_PHOTOS,
        most_columns: int = MOST_COLUMNS,
    ) -> TagStatistics:
        """Return those of photos that can be gone over twice; columns go to the commonest tags."""
        found = cls(embedding_size, min_photos=min_photos, most_columns=most_columns)
        for vectors, tags in photos():
            for mine in tags:
                found._count(dict.fromkeys(mine), 1)
            for start in range(0, len(vectors), _BLOCK):
                found._add_vectors(vectors[start : start + _BLOCK].astype(np.float64))
        found.admit(found.wanted(), photos())
        return found

    @property
    def photos(self) -> int:
        """How many photos there are."""
        return self._photos

    @property
    def ripe(self) -> bool:
        """Whether any tag has become frequent that has no column."""
        return bool(self._ripe)

    def add(self, vector: Vector, tags: Iterable[str]) -> None:
        """Take a photo in."""
        self._change(vector, tags, 1)

    def remove(self, vector: Vector, tags: Iterable[str]) -> None:
        """Take a photo out that was taken in with the same embedding and tags."""
        self._change(vector, tags, -1)

    def wanted(self) -> list[str]:
        """Return the tags that are to get a column, the commonest first; those of fewer photos make room."""
        for tag in [tag for tag in self._columns if self.count(tag) < self.min_photos]:
            self._release(tag)
        ripe = sorted(self._ripe, key=lambda tag: (-self._counts[tag], tag))
        room = self._most_columns - len(self._columns)
        if len(ripe) <= room:
            return ripe
        rarest = sorted(self._columns, key=lambda tag: (self._counts[tag], tag))
        taken = ripe[:room]
        for tag, other in zip(ripe[room:], rarest, strict=False):
            if self._counts[tag] < _RARER * self._counts[other]:
                break
            self._release(other)
            taken.append(tag)
        return taken

    def admit(self, tags: Sequence[str], photos: Photos) -> None:
        """Give tags their columns; `photos` are all that have any of them, others do no harm."""
        fresh = [self._new_column(tag) for tag in tags if tag not in self._columns]
        if not fresh:
            return
        is_new = np.zeros(self._used, np.bool_)
        is_new[fresh] = True
        for vectors, mine in photos:
            for start in range(0, len(vectors), _BLOCK):
                stop = start + _BLOCK
                columns = [
                    [self._columns[tag] for tag in dict.fromkeys(each) if tag in self._columns]
                    for each in mine[start:stop]
                ]
                self._add_columns(vectors[start:stop].astype(np.float64), columns, is_new)
        self._probes = None

    def count(self, tag: str) -> int:
        """Return how many photos have a tag."""
        return self._counts.get(tag, 0)

    def counts(self, tags: Sequence[str]) -> NDArray[np.int64]:
        """Return how many photos have each tag, int64 [m]."""
        return np.array([self._counts.get(tag, 0) for tag in tags], np.int64)

    def known(self, tag: str) -> bool:
        """Whether enough photos have a tag to say anything about it."""
        return tag in self._columns

    def cooccurrences(self, tags: Sequence[str], others: Sequence[str]) -> NDArray[np.int64]:
        """Return how many photos have both, int64 [m, o]; 0 where one of the two has no column."""
        found = np.zeros((len(tags), len(others)), np.int64)
        rows, columns = self._known(tags), self._known(others)
        if rows and columns:
            at = np.ix_([column for _, column in rows], [column for _, column in columns])
            found[np.ix_([place for place, _ in rows], [place for place, _ in columns])] = self._together[at]
        return found

    def probe(self, vectors: Vector, tags: Sequence[str]) -> NDArray[np.float32]:
        """Return how well photos [n, D] look like those that have a tag: float32 [n, m], 0 for one without a column.

        Scores of a ridge regression on the library's own tags, in deviations from the mean over the library:
        w_t = (S + l I)^-1 (x_t - x), S the covariance of embeddings, x_t and x their means over t's and all photos.
        """
        probes = self._solved()
        found = np.zeros((len(vectors), len(tags)), np.float32)
        if known := self._known(tags):
            weights = probes.weights[[column for _, column in known]]
            found[:, [place for place, _ in known]] = (vectors - probes.mean) @ weights.T
        return found

    def visualness(self, tag: str) -> float:
        """Return how far a tag can be told by looking, 0 to 1, NaN where too few photos have it.

        2 AUC - 1 of the probe on photos with the tag against all: its separation z in deviations as if each photo had
        been left out (first order: less the mean leverage), and AUC = Phi(z / sqrt 2), of two normal distributions.
        """
        column = self._columns.get(tag)
        if column is None:
            return math.nan
        return max(0.0, math.erf(float(self._solved().separation[column]) / 2.0))

    def _change(self, vector: Vector, tags: Iterable[str], sign: int) -> None:
        mine = dict.fromkeys(tags)
        self._count(mine, sign)
        wide = vector.astype(np.float64)
        self._photos += sign
        self._changes += 1
        self._sum += sign * wide
        self._gram += sign * np.outer(wide, wide)
        columns = [self._columns[tag] for tag in mine if tag in self._columns]
        if columns:
            self._sums[columns] += sign * wide
            self._together[np.ix_(columns, columns)] += sign

    def _count(self, tags: Iterable[str], sign: int) -> None:
        for tag in tags:
            left = self._counts.get(tag, 0) + sign
            if left > 0:
                self._counts[tag] = left
            else:
                self._counts.pop(tag, None)
            if left >= self.min_photos and tag not in self._columns:
                self._ripe.add(tag)
            else:
                self._ripe.discard(tag)

    def _add_vectors(self, block: NDArray[np.float64]) -> None:
        self._photos += len(block)
        self._changes += len(block)
        self._sum += block.sum(axis=0)
        self._gram += block.T @ block

    def _new_column(self, tag: str) -> int:
        if self._free:
            column = self._free.pop()
        else:
            column = self._used
            self._used += 1
            if (more := min(self._most_columns, max(64, 2 * self._used)) - len(self._sums)) > 0 and (
                self._used > len(self._sums)
            ):
                self._sums = np.vstack([self._sums, np.zeros((more, self.embedding_size))])
                self._together = np.pad(self._together, (0, more))
        self._columns[tag] = column
        self._ripe.discard(tag)
        return column

    def _release(self, tag: str) -> None:
        column = self._columns.pop(tag)
        self._sums[column] = 0.0
        self._together[column] = 0
        self._together[:, column] = 0
        self._free.append(column)
        if self.count(tag) >= self.min_photos:
            self._ripe.add(tag)

    def _add_columns(
        self, block: NDArray[np.float64], columns: Sequence[Sequence[int]], is_new: NDArray[np.bool_]
    ) -> None:
        """Add photos to the new columns, given the columns of all their tags."""
        sizes = np.array([len(each) for each in columns])
        if not sizes.sum():
            return
        flat = np.concatenate([np.array(each, np.int64) for each in columns])
        rows = np.repeat(np.arange(len(columns)), sizes)
        rows, flat_new = rows[is_new[flat]], flat[is_new[flat]]
        order = np.argsort(flat_new, kind="stable")
        used, starts = np.unique(flat_new[order], return_index=True)
        if len(used):
            self._sums[used] += np.add.reduceat(block[rows[order]], starts, axis=0)
        width = len(self._sums)
        pairs = np.concatenate(
            [np.repeat(np.array(each, np.int64), len(each)) * width + np.tile(each, len(each)) for each in columns]
        ).astype(np.int64)
        pairs = pairs[is_new[pairs // width] | is_new[pairs % width]]
        where, times = np.unique(pairs, return_counts=True)
        self._together.reshape(-1)[where] += times.astype(np.int32)

    def _known(self, tags: Sequence[str]) -> list[tuple[int, int]]:
        return [(place, self._columns[tag]) for place, tag in enumerate(tags) if tag in self._columns]

    def _solved(self) -> _Probes:
        probes = self._probes
        if probes is None or self._changes - probes.changes > _STALE * probes.photos:
            probes = self._probes = self._solve()
        return probes

    def _solve(self) -> _Probes:
        columns, size = self._used, self.embedding_size
        if self._photos < 2 or not columns:
            nothing, no_weights = np.zeros(size, np.float32), np.zeros((columns, size), np.float32)
            return _Probes(self._photos, self._changes, nothing, no_weights, np.zeros(columns))
        mean = self._sum / self._photos
        covariance = self._gram / self._photos - np.outer(mean, mean)
        ridge = covariance + np.eye(size) * (_RIDGE * max(np.trace(covariance), 1e-12) / size)
        inverse = np.linalg.inv(ridge)
        members = np.ones(columns)
        for tag, column in self._columns.items():
            members[column] = max(1, self.count(tag))
        centred = self._sums[:columns] / members[:, None] - mean
        weights = centred @ inverse
        deviation = np.sqrt(np.maximum(np.einsum("cd,cd->c", weights @ covariance, weights), 1e-18))
        leverage = float(np.einsum("de,ed->", inverse, covariance))  # n times the mean one: each of m photos gives 1/m
        separation = (np.einsum("cd,cd->c", weights, centred) - leverage / members) / deviation
        scaled = (weights / deviation[:, None]).astype(np.float32)
        return _Probes(self._photos, self._changes, mean.astype(np.float32), scaled, separation)


class Seen:
    """Statistics as one asker may be told of them: tags that they see too few photos with are not known to them.

    What is told of the others is of all photos, whoever may see those: how two tags go together, and how one looks.
    """

    def __init__(self, statistics: TagStatistics, seen: Callable[[str], int]) -> None:
        """`seen` returns how many photos with a tag the asker sees."""
        self._statistics = statistics
        self._seen = seen

    @property
    def photos(self) -> int:
        """How many photos there are."""
        return self._statistics.photos

    def count(self, tag: str) -> int:
        """Return how many photos that the asker sees have a tag."""
        return self._seen(tag)

    def counts(self, tags: Sequence[str]) -> NDArray[np.int64]:
        """Return how many photos have each tag, int64 [m]; of those that are not known only what the asker sees."""
        return np.array([self._statistics.count(tag) if self.known(tag) else self._seen(tag) for tag in tags], np.int64)

    def known(self, tag: str) -> bool:
        """Whether the asker sees enough photos with a tag to be told anything about it."""
        return self._statistics.known(tag) and self._seen(tag) >= self._statistics.min_photos

    def cooccurrences(self, tags: Sequence[str], others: Sequence[str]) -> NDArray[np.int64]:
        """Return how many photos have both, int64 [m, o]; 0 where one of the two is not known."""
        return self._statistics.cooccurrences(self._hidden(tags), self._hidden(others))

    def probe(self, vectors: Vector, tags: Sequence[str]) -> NDArray[np.float32]:
        """Return how well photos [n, D] look like those that have a tag: float32 [n, m], 0 for an unknown one."""
        return self._statistics.probe(vectors, self._hidden(tags))

    def visualness(self, tag: str) -> float:
        """Return how far a tag can be told by looking, 0 to 1, NaN where it is not known."""
        return self._statistics.visualness(tag) if self.known(tag) else math.nan

    def _hidden(self, tags: Sequence[str]) -> list[str]:
        return [tag if self.known(tag) else "" for tag in tags]
