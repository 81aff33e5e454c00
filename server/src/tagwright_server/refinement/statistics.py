"""What a library tells of its tags: how many photos have one, which come together, what their photos look like.

Kept up as photos come and go, so that a new photo counts at once and nothing is ever trained anew. A tag that
`min_photos` photos have gets a column: a row of co-occurrences, and the sum of its photos' embeddings, from which
the ridge probe is solved in closed form.

Promises: the same photos give the same numbers whether they come one by one or all at once, but for tags that get their
column in between: those know of photos from then on, until the next start.
Never: knows a photo by itself, or who may see it. It is not locked: who changes it keeps others out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_PHOTOS = 10  # fewer say nothing; measured in docs/refinement.md
MOST_COLUMNS = 4_096  # 64 MiB of co-occurrences; the tags that reach MIN_PHOTOS first
_RIDGE = 0.03  # of the mean variance of a dimension
_STALE = 0.01  # of the library that came, went or changed: then probes are solved anew
_BLOCK = 4_096

Vector = NDArray[np.float32]


@dataclass(slots=True)
class _Probes:
    """Ridge solutions for every column, of so many photos and after so many changes."""

    photos: int
    changes: int
    columns: int
    mean: NDArray[np.float32]
    weights: NDArray[np.float32]  # [columns, D], scaled to scores of variance 1 over the library
    separation: NDArray[np.float64]  # [columns], of photos with the tag, in deviations, as if each had been left out


class TagStatistics:
    """Counts of tags over a set of photos; a photo is its embedding, float32 [D], and its tags."""

    def __init__(self, embedding_size: int, *, min_photos: int = MIN_PHOTOS, most_columns: int = MOST_COLUMNS) -> None:
        self.embedding_size = embedding_size
        self.photos = 0
        self._changes = 0  # photos that came or went
        self._min_photos = min_photos
        self._most_columns = most_columns
        self._counts: dict[str, int] = {}
        self._columns: dict[str, int] = {}
        self._sum = np.zeros(embedding_size)
        self._gram = np.zeros((embedding_size, embedding_size))
        self._sums = np.zeros((0, embedding_size))  # of the embeddings of each column's photos
        self._members = np.zeros(0, np.int64)  # photos that each column knows of
        self._together = np.zeros((0, 0), np.int32)
        self._probes: _Probes | None = None

    def add(self, vector: Vector, tags: Iterable[str]) -> None:
        """Take a photo in."""
        self._change(vector, tags, 1)

    def remove(self, vector: Vector, tags: Iterable[str]) -> None:
        """Take a photo out that was taken in with the same embedding and tags."""
        self._change(vector, tags, -1)

    def add_many(self, vectors: Vector, tags: Sequence[Iterable[str]]) -> None:
        """Take photos in, float32 [n, D]: the same as one by one, but that new columns know of all of them."""
        mine = [dict.fromkeys(each) for each in tags]
        for each in mine:
            self._count(each, 1)
        self._admit({tag for each in mine for tag in each})
        for start in range(0, len(mine), _BLOCK):
            block = vectors[start : start + _BLOCK].astype(np.float64)
            self.photos += len(block)
            self._changes += len(block)
            self._sum += block.sum(axis=0)
            self._gram += block.T @ block
            columns = [
                [self._columns[tag] for tag in each if tag in self._columns] for each in mine[start : start + _BLOCK]
            ]
            self._add_columns(block, columns)

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
        known = [(place, column) for place, column in self._known(tags) if column < probes.columns]
        if known:
            weights = probes.weights[[column for _, column in known]]
            found[:, [place for place, _ in known]] = (vectors - probes.mean) @ weights.T
        return found

    def visualness(self, tag: str) -> float:
        """Return how far a tag can be told by looking, 0 to 1, NaN where too few photos have it.

        2 AUC - 1 of the probe on photos with the tag against all: its separation z in deviations as if each photo had
        been left out (first order: less the mean leverage), and AUC = Phi(z / sqrt 2), of two normal distributions.
        """
        probes, column = self._solved(), self._columns.get(tag)
        if column is None or column >= probes.columns:
            return math.nan
        return max(0.0, math.erf(float(probes.separation[column]) / 2.0))

    def copy(self) -> TagStatistics:
        """Return another one of the same photos."""
        other = TagStatistics(self.embedding_size, min_photos=self._min_photos, most_columns=self._most_columns)
        other.photos, other._changes = self.photos, self._changes
        other._counts, other._columns = dict(self._counts), dict(self._columns)
        other._sum, other._gram, other._sums = self._sum.copy(), self._gram.copy(), self._sums.copy()
        other._members, other._together = self._members.copy(), self._together.copy()
        return other

    def _change(self, vector: Vector, tags: Iterable[str], sign: int) -> None:
        mine = dict.fromkeys(tags)
        self._count(mine, sign)
        if sign > 0:
            self._admit(mine)
        wide = vector.astype(np.float64)
        self.photos += sign
        self._changes += 1
        self._sum += sign * wide
        self._gram += sign * np.outer(wide, wide)
        columns = [self._columns[tag] for tag in mine if tag in self._columns]
        if columns:
            self._sums[columns] += sign * wide
            self._members[columns] += sign
            self._together[np.ix_(columns, columns)] += sign

    def _count(self, tags: Iterable[str], sign: int) -> None:
        for tag in tags:
            left = self._counts.get(tag, 0) + sign
            if left > 0:
                self._counts[tag] = left
            else:
                self._counts.pop(tag, None)

    def _admit(self, tags: Iterable[str]) -> None:
        for tag in sorted(tag for tag in tags if tag not in self._columns):
            if self._counts.get(tag, 0) >= self._min_photos and len(self._columns) < self._most_columns:
                self._columns[tag] = len(self._columns)
        if (missing := len(self._columns) - len(self._members)) > 0:
            more = min(self._most_columns, max(64, 2 * len(self._columns))) - len(self._members)
            more = max(missing, more)
            self._sums = np.vstack([self._sums, np.zeros((more, self.embedding_size))])
            self._members = np.concatenate([self._members, np.zeros(more, np.int64)])
            self._together = np.pad(self._together, (0, more))

    def _add_columns(self, block: NDArray[np.float64], columns: Sequence[Sequence[int]]) -> None:
        sizes = np.array([len(each) for each in columns])
        if not sizes.sum():
            return
        flat = np.concatenate([np.array(each, np.int64) for each in columns])
        rows = np.repeat(np.arange(len(columns)), sizes)
        order = np.argsort(flat, kind="stable")
        used, starts = np.unique(flat[order], return_index=True)
        self._sums[used] += np.add.reduceat(block[rows[order]], starts, axis=0)
        self._members[used] += np.diff(np.append(starts, len(flat)))
        pairs = [
            np.repeat(np.array(each), len(each)) * len(self._members) + np.tile(each, len(each)) for each in columns
        ]
        where, times = np.unique(np.concatenate(pairs).astype(np.int64), return_counts=True)
        self._together.reshape(-1)[where] += times.astype(np.int32)

    def _known(self, tags: Sequence[str]) -> list[tuple[int, int]]:
        return [(place, self._columns[tag]) for place, tag in enumerate(tags) if tag in self._columns]

    def _solved(self) -> _Probes:
        probes = self._probes
        if (
            probes is None
            or self._changes - probes.changes > _STALE * probes.photos
            or len(self._columns) > probes.columns * (1 + _STALE) + 1
        ):
            probes = self._probes = self._solve()
        return probes

    def _solve(self) -> _Probes:
        columns, size = len(self._columns), self.embedding_size
        if self.photos < 2 or not columns:
            nothing = np.zeros(size, np.float32)
            no_weights = np.zeros((columns, size), np.float32)
            return _Probes(self.photos, self._changes, columns, nothing, no_weights, np.zeros(columns))
        mean = self._sum / self.photos
        covariance = self._gram / self.photos - np.outer(mean, mean)
        ridge = covariance + np.eye(size) * (_RIDGE * max(np.trace(covariance), 1e-12) / size)
        inverse = np.linalg.inv(ridge)
        members = np.maximum(self._members[:columns], 1)[:, None]
        centred = np.where(self._members[:columns, None] > 0, self._sums[:columns] / members - mean, 0.0)
        weights = centred @ inverse
        deviation = np.sqrt(np.maximum(np.einsum("cd,de,ce->c", weights, covariance, weights, optimize=True), 1e-18))
        leverage = float(np.einsum("de,ed->", inverse, covariance))  # n times the mean one: each of m photos gives 1/m
        separation = (np.einsum("cd,cd->c", weights, centred) - leverage / members[:, 0]) / deviation
        scaled = (weights / deviation[:, None]).astype(np.float32)
        return _Probes(self.photos, self._changes, columns, mean.astype(np.float32), scaled, separation)
