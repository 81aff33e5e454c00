"""Which photos look alike and which tags go together, as sparse graphs that a million photos fit in.

Promises: memory grows by a few bytes a neighbour and photo; nothing `[photos, photos]` and nothing `[photos, tags]` is
ever whole in memory. Up to `EXACT` photos neighbours are exact, beyond it they are looked for in the nearest cells.
Never: reads a label. Vectors are L2-normalised, similarity is their cosine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as nnf
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tagwright_training.mirflickr import Advance
    from tagwright_training.refinement.corpus import TagMatrix

EXACT = 50_000
"""Photos up to which every pair is compared: 25e8 pairs of 256 numbers are about half a minute on two cores."""

BLOCK = 1024  # rows that are worked on together: with 1,000 tags 4 MB a temporary
_PROBES = 24  # cells a photo is looked for in, its own among them: recall@10 of about .95 on photos' embeddings
_PAIRS = 1 << 22  # compared together: 16 MB of cosines, 32 MB of their order
_CELL = 512  # photos a cell, on average

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Each photo's nearest others, nearest first: rows int32 `[n, k]` and cosines float16 `[n, k]`.

    A photo for which fewer were found repeats row 0 with a cosine of -1, which weighs nothing.
    """

    rows: NDArray[np.int32]
    cosines: NDArray[np.float16]

    def first(self, count: int) -> Neighbours:
        """The nearest `count` of them."""
        return Neighbours(self.rows[:, :count], self.cosines[:, :count])


@dataclass(frozen=True, slots=True)
class Graph:
    """A weighted graph as compressed sparse rows; `times` is what all methods need of it."""

    starts: NDArray[np.int64]  # [n + 1]
    rows: NDArray[np.int32]  # [entries]
    weights: NDArray[np.float32]  # [entries]

    def times(self, start: int, stop: int, values: Array) -> Array:
        """Rows start..stop of (graph @ values), `[stop - start, r]`; values is `[n, r]`."""
        begin, end = int(self.starts[start]), int(self.starts[stop])
        return weighted_sums(self.rows[begin:end], self.starts[start:stop] - begin, self.weights[begin:end], values)

    def block(self, start: int, stop: int) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float32]]:
        """Neighbours, offsets and weights of rows start..stop."""
        begin, end = int(self.starts[start]), int(self.starts[stop])
        return self.rows[begin:end], self.starts[start:stop] - begin, self.weights[begin:end]


def weighted_sums(rows: NDArray[np.int32], offsets: NDArray[np.int64], weights: Array, values: Array) -> Array:
    """For each run of `rows` that begins at `offsets`, the weighted sum of those rows of `values`."""
    if not len(offsets):
        return np.zeros((0, values.shape[1]), np.float32)
    found: Array = nnf.embedding_bag(
        torch.from_numpy(rows.astype(np.int64)), torch.from_numpy(values), torch.from_numpy(offsets),
        mode="sum", per_sample_weights=torch.from_numpy(np.ascontiguousarray(weights)),
    ).numpy()  # fmt: skip
    return found


def blocks(total: int, size: int = BLOCK) -> Iterator[tuple[int, int]]:
    """The ranges start..stop that cover `total` rows."""
    for start in range(0, total, size):
        yield start, min(start + size, total)


def neighbours(
    vectors: Array,
    count: int,
    advance: Advance = lambda done, total: None,
    *,
    exact: int = EXACT,
    cell: int = _CELL,
    probes: int = _PROBES,
) -> Neighbours:
    """The `count` nearest others of every photo; vectors `[n, D]`, L2-normalised.

    Every pair is compared up to `exact` photos. Beyond it each photo is compared with those of the `probes` cells
    nearest to its own; cells of about `cell` photos are those of spherical k-means.
    """
    count = min(count, len(vectors) - 1)
    found = Neighbours(np.zeros((len(vectors), count), np.int32), np.full((len(vectors), count), -1, np.float16))
    if count == 0:
        return found
    if len(vectors) <= exact:
        everyone = np.arange(len(vectors), dtype=np.int32)
        for start, stop in blocks(len(vectors), max(32, _PAIRS // len(vectors))):
            _nearest(vectors, everyone[start:stop], everyone, found)
            advance(stop, len(vectors))
        return found
    cells, centres = _cells(vectors, max(probes, len(vectors) // cell))
    order = np.argsort(cells, kind="stable").astype(np.int32)
    ends = np.cumsum(np.bincount(cells, minlength=len(centres)))
    members = np.split(order, ends[:-1])
    near = np.argsort(-(centres @ centres.T), axis=1)[:, :probes]
    for number, mine in enumerate(members):
        if not len(mine):
            continue
        pool = np.concatenate([members[i] for i in near[number]])
        if len(pool) <= count:  # rare: a far cell among nearly empty ones
            pool = order
        for start, stop in blocks(len(mine), max(32, _PAIRS // len(pool))):
            _nearest(vectors, mine[start:stop], pool, found)
        advance(int(ends[number]), len(vectors))
    return found


def _nearest(vectors: Array, queries: NDArray[np.int32], pool: NDArray[np.int32], found: Neighbours) -> None:
    """Fill the queries' rows of `found` from the photos of `pool`, themselves left out."""
    count = found.rows.shape[1]
    cosines = vectors[queries] @ vectors[pool].T
    cosines[queries[:, None] == pool[None, :]] = -2
    best = np.argpartition(-cosines, min(count, len(pool) - 1), axis=1)[:, :count]
    values = np.take_along_axis(cosines, best, 1)
    order = np.argsort(-values, axis=1, kind="stable")
    best, values = np.take_along_axis(best, order, 1), np.take_along_axis(values, order, 1)
    known = values > -2
    found.rows[queries, : best.shape[1]] = np.where(known, pool[best], 0)
    found.cosines[queries, : best.shape[1]] = np.where(known, values, -1)


def _cells(vectors: Array, count: int, rounds: int = 4) -> tuple[NDArray[np.int32], Array]:
    """Each photo's cell and the cells' centres: spherical k-means on a sample, then everyone to the nearest centre."""
    rng = np.random.default_rng(1)
    sample = vectors[np.sort(rng.choice(len(vectors), min(len(vectors), 40 * count), replace=False))]
    centres = sample[rng.choice(len(sample), count, replace=False)]
    for _ in range(rounds):
        cells = _assign(sample, centres)
        order = np.argsort(cells, kind="stable")
        sizes = np.bincount(cells, minlength=count)
        filled = sizes > 0
        offsets = (np.cumsum(sizes) - sizes)[filled]
        centres = centres.copy()
        centres[filled] = np.add.reduceat(sample[order], offsets, axis=0)
        centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
    return _assign(vectors, centres), centres


def _assign(vectors: Array, centres: Array) -> NDArray[np.int32]:
    found = np.empty(len(vectors), np.int32)
    for start, stop in blocks(len(vectors), 4096):
        found[start:stop] = (vectors[start:stop] @ centres.T).argmax(1)
    return found


@dataclass(frozen=True, slots=True)
class Votes:
    """What a photo's neighbours say, `[n, c]`, made block by block: sum_j w_ij Y_j with w_ij ~ exp(-d_ij^2 / sigma^2).

    Each photo's weights sum to 1; d^2 = 2 - 2 cosine. The kernel of RobustPCA's pre-propagation (Zhu, Yan and Ma 2010).
    """

    near: Neighbours
    tags: TagMatrix
    width: float
    """sigma^2"""

    @classmethod
    def of(cls, near: Neighbours, tags: TagMatrix, bandwidth: float = 1.0) -> Votes:
        """sigma^2 = bandwidth * median of d^2."""
        return cls(near, tags, bandwidth * median_distance(near))

    def rows(self, start: int, stop: int) -> Array:
        """Rows start..stop, `[stop - start, c]`."""
        cosines = self.near.cosines[start:stop].astype(np.float32)
        kernel = np.where(cosines > -1, np.exp((2 * cosines - 2) / self.width), 0)
        kernel /= np.maximum(kernel.sum(1, keepdims=True), 1e-12)
        return tag_sums(self.tags, self.near.rows[start:stop], kernel)


def tag_sums(tags: TagMatrix, rows: NDArray[np.int32], weights: Array) -> Array:
    """sum_j weights_ij * (tags of photo rows_ij), `[m, c]`; rows and weights are `[m, k]`."""
    m, c = len(rows), tags.shape[1]
    starts = tags.indptr[rows.ravel()]
    lengths = tags.indptr[rows.ravel() + 1] - starts
    ends = np.cumsum(lengths)
    places = np.repeat(starts - (ends - lengths), lengths) + np.arange(int(ends[-1]) if len(ends) else 0)
    cells = np.repeat(np.repeat(np.arange(m) * c, rows.shape[1]), lengths) + tags.indices[places]
    sums = np.bincount(cells, weights=np.repeat(weights.ravel(), lengths), minlength=m * c)
    return sums.reshape(m, c).astype(np.float32)


def image_graph(near: Neighbours) -> Graph:
    """S = D^-1/2 ((W + W') / 2) D^-1/2 with W = exp(-d^2 / median d^2) on the neighbours; its Laplacian is I - S.

    Eigenvalues of S lie in [-1, 1], so those of the Laplacian lie in [0, 2], whatever the photos.
    """
    n, k = near.rows.shape
    width = median_distance(near)
    cosines = near.cosines.astype(np.float32)
    half = np.where(cosines > -1, np.exp((2 * cosines - 2) / width), 0).astype(np.float32).ravel() / 2
    targets = near.rows.ravel()
    turned = np.argsort(targets, kind="stable")
    inward = np.bincount(targets, minlength=n)
    starts = np.zeros(n + 1, np.int64)
    starts[1:] = np.cumsum(k + inward)
    rows, weights = np.empty(int(starts[-1]), np.int32), np.empty(int(starts[-1]), np.float32)
    out = (starts[:-1, None] + np.arange(k)).ravel()
    rows[out], weights[out] = targets, half
    taken = np.ones(len(rows), bool)
    taken[out] = False
    back = np.flatnonzero(taken)  # the places behind each row's own neighbours, in order
    rows[back], weights[back] = turned // max(k, 1), half[turned]
    degrees = np.maximum(np.add.reduceat(np.append(weights, 0), starts[:-1])[:n], 1e-12) if k else np.ones(n)
    scale = (1 / np.sqrt(degrees)).astype(np.float32)
    weights *= np.repeat(scale, k + inward) * scale[rows]
    return Graph(starts, rows, weights)


def tag_graph(tags: TagMatrix) -> Array:
    """T = D^-1/2 C D^-1/2, `[c, c]`, with C_ab = n_ab / (f_a + f_b) and no loops; its Laplacian is I - T.

    The co-occurrence part of RobustPCA's tag graph (section 6.1 of its code adds WordNet similarity with weight 0.1).
    """
    together = cooccurrences(tags)
    counts = np.diag(together)
    graph = together / np.maximum(counts[:, None] + counts[None, :], 1)
    np.fill_diagonal(graph, 0)
    scale = 1 / np.sqrt(np.maximum(graph.sum(1), 1e-12))
    return np.asarray(graph * scale[:, None] * scale[None, :], np.float32)


def cooccurrences(tags: TagMatrix) -> NDArray[np.float64]:
    """How many photos carry both tags, `[c, c]`; the diagonal counts each tag's photos."""
    found = np.zeros((tags.shape[1], tags.shape[1]))
    for start, stop in blocks(tags.shape[0]):
        rows = tags.rows(start, stop)
        found += rows.T @ rows
    return found


def median_distance(near: Neighbours) -> float:
    """Median of d^2 = 2 - 2 cosine over a sample of neighbours; 1 where there are none."""
    sample = near.cosines[:: max(1, len(near.cosines) // 10_000)].astype(np.float32)
    known = sample[sample > -1]
    return max(float(np.median(2 - 2 * known)), 1e-6) if len(known) else 1.0
