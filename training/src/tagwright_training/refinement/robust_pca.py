"""RobustPCA (Zhu, Yan and Ma, ACM MM 2010): the tag matrix is a low-rank part, which is the truth, and sparse noise.

    min ||A||_* + l1 ||E||_1 + l2 [tr(A' L_v A) + tr(A L_t A')] + 1/(2 mu) ||A + E - D||_F^2

solved by accelerated proximal gradient with continuation of mu, as their published re-implementation does. D is what a
photo's neighbours say (pre-propagation), or the tags themselves. A is kept as factors and E as its non-zero cells.
Differences: both Laplacians are normalised, so that their greatest eigenvalue is at most 2 without being computed; the
loop ends when A stands still; WordNet takes no part in L_t.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tagwright_server.refinement.batch import MethodName
from tagwright_training.refinement.folding import FittedModel, ridge
from tagwright_training.refinement.graph import Graph, Votes, blocks, image_graph, neighbours, tag_graph
from tagwright_training.refinement.lowrank import Checkpoint, LowRank, Rows, cached, scale_of, shrink, soft_threshold

if TYPE_CHECKING:
    from tagwright_training.mirflickr import Advance
    from tagwright_training.refinement.corpus import Embedded

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RobustPca:
    """The method and its settings; `as_published` has those of the paper's re-implementation."""

    name: MethodName = "robust-pca"
    propagate: bool = True
    """False: D is the raw tag matrix (the ablation)."""
    voters: int | None = 100
    """Neighbours a photo's row is propagated from; None: a tenth of the mean number of photos a tag."""
    bandwidth: float = 0.25
    """sigma^2 of their weights, in medians of d^2."""
    own: float = 0.05
    """Share of a photo's own tags in its row of D; the rest is what its neighbours say."""
    sparse: float = 1.0  # l1
    """At 1 the noise has a few cells a photo at most; far below, it grows towards a dense matrix."""
    graph: float = 2.0**-10  # l2
    first_mu: float = 1.0
    last_mu: float = 1e-2
    """mu falls to 0.9 of itself an iteration, down to this share of the first."""
    iterations: int = 50
    tolerance: float = 1e-4
    rank: int = 256
    balance: float = 0.5
    """Power of a tag's frequency that its column is divided by."""
    head_ridge: float = 30.0

    @classmethod
    def as_published(cls, *, propagate: bool = True) -> RobustPca:
        """Voters, width and weights of the re-implementation; a photo's own tags only count as their neighbours'."""
        return cls(
            propagate=propagate, voters=None, bandwidth=1.0, own=0.0, last_mu=1e-9, balance=0.0,
        )  # fmt: skip

    def fit(self, embedded: Embedded, advance: Advance, *, checkpoint: Checkpoint | None = None) -> FittedModel:
        """Refine the tags of these photos. Takes minutes for 20,000 photos; memory is a few hundred numbers a photo."""
        tags, n = embedded.tags, len(embedded.vectors)
        scale = scale_of(tags.counts(), n, self.balance)
        voters = self.voters or max(1, int(0.1 * tags.counts().mean()))
        linked = max(5, min(50, n // 1000)) if self.graph else 0  # 0.001 n, as published, where that is a number to use
        near = neighbours(embedded.vectors, max(voters if self.propagate else 1, linked), advance)
        votes = Votes.of(near.first(voters), tags, self.bandwidth)
        own = self.own if self.propagate else 1.0

        voted: Rows = lambda start, stop: votes.rows(start, stop) / scale  # noqa: E731 - replaced by what is cached
        if self.propagate:
            voted = cached(voted, n, tags.shape[1])

        def given(start: int, stop: int) -> Array:
            raw = tags.rows(start, stop) / scale
            return own * raw + (1 - own) * voted(start, stop) if self.propagate else raw

        graphs = Graphs(image_graph(near.first(linked)), tag_graph(tags)) if self.graph else None
        low, _ = self.decompose(given, (n, tags.shape[1]), graphs, advance, checkpoint=checkpoint)
        source = voted if self.propagate else given
        head, bias = ridge(embedded.vectors, lambda a, b: source(a, b) @ low.basis, self.head_ridge)
        arrays = {
            "head": head, "head_bias": bias, "basis": low.basis, "gain": _kept(given, low), "scale": scale,
            "own": np.array([own], np.float32),
        }  # fmt: skip
        return FittedModel(method=self.name, names=tags.names, arrays=arrays, left=low.left, right=low.basis)

    def decompose(
        self,
        given: Rows,
        shape: tuple[int, int],
        graphs: Graphs | None = None,
        advance: Advance = lambda done, total: None,
        *,
        checkpoint: Checkpoint | None = None,
    ) -> tuple[LowRank, Sparse]:
        """A and E for a matrix D given by rows; the algorithm of the module's docstring, in units of D."""
        n, c = shape
        saved = checkpoint.load() if checkpoint else None
        done, state = saved or (0, {})
        low, before = _low(state, "a") or LowRank.zero(n, c), _low(state, "b") or LowRank.zero(n, c)
        noise, noise_before = Sparse.of(state, "e", n), Sparse.of(state, "f", n)
        momentum, momentum_before = state.get("momentum", np.ones(2)).tolist()
        while done < self.iterations:
            mu = self.first_mu * max(0.9**done, self.last_mu)
            weight = mu * self.graph if graphs else 0.0
            lipschitz = (4 * (2 * weight) ** 2 + 4 * (2 * weight) ** 2 + 6) ** 0.5
            ahead = (momentum_before - 1) / momentum
            step = _Step(given, low, before, noise, noise_before, graphs, ahead, weight, lipschitz)
            found_noise = Sparse.from_rows(
                (soft_threshold(step.noise(a, b), self.sparse * mu / lipschitz) for a, b in blocks(n)), n
            )
            found = shrink(step.rows, n, c, mu / lipschitz, self.rank)
            moved = found.distance(low)
            before, low, noise_before, noise = low, found, noise, found_noise
            momentum, momentum_before = (1 + (1 + 4 * momentum**2) ** 0.5) / 2, momentum
            done += 1
            advance(done, self.iterations)
            if checkpoint:
                state = {**_arrays(low, "a"), **_arrays(before, "b"), **noise.arrays("e"), **noise_before.arrays("f")}
                checkpoint.save(done, {**state, "momentum": np.array([momentum, momentum_before])})
            if moved <= self.tolerance * max(low.norm(), 1e-12) and mu <= self.first_mu * max(0.1, self.last_mu):
                break
        return low, noise


@dataclass(frozen=True, slots=True)
class Graphs:
    """Which photos look alike, and which tags go together `[c, c]`; the Laplacians are I minus these."""

    images: Graph
    tags: Array


@dataclass(frozen=True, slots=True)
class Sparse:
    """A matrix `[n, c]` with few non-zero cells, by rows."""

    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[np.float32]

    @classmethod
    def from_rows(cls, found: Iterable[Array], photos: int) -> Sparse:
        """The non-zero cells of blocks of rows."""
        counts, columns, values = [np.zeros(1, np.int64)], [], []
        for block in found:
            row, column = np.nonzero(block)
            counts.append(np.bincount(row, minlength=len(block)))
            columns.append(column.astype(np.int32))
            values.append(block[row, column])
        empty = np.zeros(0, np.float32)
        return cls(
            np.cumsum(np.concatenate(counts)),
            np.concatenate([empty.astype(np.int32), *columns]), np.concatenate([empty, *values]),
        )  # fmt: skip

    @classmethod
    def of(cls, state: Mapping[str, NDArray[Any]], prefix: str, photos: int) -> Sparse:
        """What `arrays` made, or zero."""
        if f"{prefix}_starts" not in state:
            return cls.from_rows([np.zeros((photos, 1), np.float32)], photos)
        return cls(state[f"{prefix}_starts"], state[f"{prefix}_columns"], state[f"{prefix}_values"])

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """For a checkpoint."""
        return {f"{prefix}_starts": self.starts, f"{prefix}_columns": self.columns, f"{prefix}_values": self.values}

    def add_to(self, rows: Array, start: int, factor: float) -> None:
        """Add factor * this matrix's rows from `start` on to `rows`, in place."""
        begin, end = int(self.starts[start]), int(self.starts[start + len(rows)])
        if begin < end and factor:
            lengths = np.diff(self.starts[start : start + len(rows) + 1])
            rows[np.repeat(np.arange(len(rows)), lengths), self.columns[begin:end]] += factor * self.values[begin:end]


@dataclass(frozen=True, slots=True)
class _Step:
    """One iteration's points before their proximal maps: G_A by `rows`, G_E by `noise`."""

    given: Rows
    low: LowRank
    before: LowRank
    sparse: Sparse
    sparse_before: Sparse
    graphs: Graphs | None
    ahead: float
    weight: float
    lipschitz: float

    def rows(self, start: int, stop: int) -> Array:
        at = self._ahead(self.low.rows(start, stop), self.before.rows(start, stop))
        noise = self._noise_ahead(start, stop, at.shape)
        gradient = at + noise - self.given(start, stop)
        if self.graphs is not None:
            around = self._ahead(
                self.graphs.images.times(start, stop, self.low.left) @ self.low.basis.T,
                self.graphs.images.times(start, stop, self.before.left) @ self.before.basis.T,
            )
            gradient += self.weight * ((at - around) + (at - at @ self.graphs.tags))
        found: Array = at - gradient / self.lipschitz
        return found

    def noise(self, start: int, stop: int) -> Array:
        at = self._ahead(self.low.rows(start, stop), self.before.rows(start, stop))
        noise = self._noise_ahead(start, stop, at.shape)
        found: Array = noise - (at + noise - self.given(start, stop)) / self.lipschitz
        return found

    def _ahead(self, now: Array, then: Array) -> Array:
        return np.asarray((1 + self.ahead) * now - self.ahead * then, np.float32)

    def _noise_ahead(self, start: int, stop: int, shape: tuple[int, ...]) -> Array:
        found = np.zeros(shape, np.float32)
        self.sparse.add_to(found, start, 1 + self.ahead)
        self.sparse_before.add_to(found, start, -self.ahead)
        return found


def _kept(given: Rows, low: LowRank) -> Array:
    """What A keeps of D in each direction, `[r]`: least squares of A's coordinates on D's. Where E is 0, s_A / s_D."""
    both, alone = np.zeros(len(low.gain)), np.zeros(len(low.gain))
    for start, stop in blocks(len(low.left)):
        coordinates = given(start, stop) @ low.basis
        both += (coordinates * low.left[start:stop]).sum(0)
        alone += (coordinates**2).sum(0)
    return np.asarray(both / np.maximum(alone, 1e-12), np.float32)


def _arrays(low: LowRank, prefix: str) -> dict[str, NDArray[Any]]:
    return {
        f"{prefix}_left": low.left, f"{prefix}_basis": low.basis, f"{prefix}_gain": low.gain,
        f"{prefix}_singular": low.singular,
    }  # fmt: skip


def _low(state: Mapping[str, NDArray[Any]], prefix: str) -> LowRank | None:
    if f"{prefix}_left" not in state:
        return None
    return LowRank(*(state[f"{prefix}_{part}"] for part in ("left", "basis", "gain", "singular")))
