"""The methods that every table of tag refinement starts with: user tags, frequency, co-occurrence, neighbours, probe.

Formulas are those of Li et al., "Socializing the Semantic Gap", ACM Computing Surveys 2016, as coded in `jingwei`.

Promises: deterministic; neighbours are exact, in blocks, and equally near ones come in the library's order.
Never: sees an expert label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagwright_training.refinement.corpus import Embedded, TagMatrix

BLOCK = 512  # photos compared with the library together: 40 MB of cosines for 20,000

Array = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class UserTags:
    """The owner's tags as they stand: the i-th of n scores 1 - i/n, i from 0 (TagPosition); all others 0."""

    name: str = "user tags"

    def scores(self, library: Embedded, photos: Embedded, names: Sequence[str]) -> Array:
        """`[photos, names]`."""
        scores = np.zeros((photos.tags.shape[0], len(names)), np.float32)
        column = {name: index for index, name in enumerate(names)}
        for row in range(len(scores)):
            typed = photos.tags.typed(row)
            for place, tag in enumerate(typed):
                if tag in column:
                    scores[row, column[tag]] = 1 - place / len(typed)
        return scores


@dataclass(frozen=True, slots=True)
class Frequency:
    """The share of the library that carries the tag, the same for every photo."""

    name: str = "frequency"

    def scores(self, library: Embedded, photos: Embedded, names: Sequence[str]) -> Array:
        """`[photos, names]`."""
        share = library.tags.only(names).counts() / max(library.tags.shape[0], 1)
        return np.tile(share.astype(np.float32), (photos.tags.shape[0], 1))


@dataclass(frozen=True, slots=True)
class TagVote:
    """Votes of the k nearest photos, less what chance would give: sum_i [t in tags_i] - k f_t / n.

    Li, Snoek and Worring, IEEE TMM 2009. An author has one vote, that of the nearest photo, where authors are known.
    """

    k: int = 1000
    name: str = "TagVote"

    def scores(self, library: Embedded, photos: Embedded, names: Sequence[str]) -> Array:
        """`[photos, names]`."""
        voting = library.tags.only(names)
        share = voting.counts() / max(voting.shape[0], 1)
        scores = np.empty((len(photos.vectors), len(names)), np.float32)
        for start, stop, near in voters(library, photos.vectors, self.k):
            votes, voices = count_votes(near, voting)
            scores[start:stop] = votes - voices[:, None] * share
        return scores


@dataclass(frozen=True, slots=True)
class Knn:
    """How many of the k nearest photos carry the tag, whoever took them."""

    k: int = 1000
    name: str = "kNN"

    def scores(self, library: Embedded, photos: Embedded, names: Sequence[str]) -> Array:
        """`[photos, names]`."""
        voting = library.tags.only(names)
        scores = np.empty((len(photos.vectors), len(names)), np.float32)
        for start, stop, near in nearest(library.vectors, photos.vectors, self.k):
            scores[start:stop] = count_votes(near, voting)[0]
        return scores


@dataclass(frozen=True, slots=True)
class TagCooccur:
    """Tags that the library has beside the photo's own tags U (Sigurbjornsson and van Zwol, WWW 2008).

    s(c) = 1/|U| sum over u in U with r_u(c) <= m of k_r / (k_r + r_u(c) - 1) * stab(u) * descr(c), where
    stab(u) = k_s / (k_s + |k_s - log2 f_u|), descr(c) likewise with k_d, and r_u(c) is c's rank in u's list of
    co-occurring tags, u itself first. With `votes`, TagCooccur+: each term times k_c / (k_c + r_x(c) - 1), r_x(c) the
    rank of c for the photo under TagVote. Tags on fewer than `min_photos` library photos are taken for unknown.
    """

    votes: TagVote | None = None
    m: int = 25
    k_r: float = 4
    k_s: float = 9
    k_d: float = 11
    k_c: float = 1
    min_photos: int = 5

    @property
    def name(self) -> str:
        """TagCooccur, or TagCooccur+ where votes weigh in."""
        return "TagCooccur+" if self.votes else "TagCooccur"

    def scores(self, library: Embedded, photos: Embedded, names: Sequence[str]) -> Array:
        """`[photos, names]`."""
        counts = library.tags.counts()
        often = np.flatnonzero(counts >= self.min_photos)
        known = [library.tags.names[i] for i in often[np.argsort(-counts[often], kind="stable")]]
        tags = library.tags.only(known)
        column = {name: index for index, name in enumerate(names)}
        targets = np.array([column.get(name, -1) for name in known], np.int64)
        promoted = self._promoted(tags, targets, len(names))
        own = photos.tags.only(known)
        scores = np.zeros((own.shape[0], len(names)), np.float32)
        for row in range(len(scores)):
            mine = own.indices[own.indptr[row] : own.indptr[row + 1]]
            if len(mine):
                scores[row] = promoted[mine].sum(0) / len(mine)
        if self.votes is not None:
            scores *= self._rank_weights(self.votes, library, photos, known, names)
        return scores

    def _promoted(self, tags: TagMatrix, targets: Rows, width: int) -> Array:
        """What each known tag alone gives to each target, `[known, width]`."""
        frequencies = tags.counts()
        stab = self.k_s / (self.k_s + np.abs(self.k_s - np.log2(np.maximum(frequencies, 1))))
        descr = self.k_d / (self.k_d + np.abs(self.k_d - np.log2(np.maximum(frequencies, 1))))
        promoted = np.zeros((len(tags.names), width), np.float32)
        carriers = _carriers(tags)
        for tag, rows in enumerate(carriers):
            beside = np.bincount(tags.take(rows).indices, minlength=len(tags.names))
            beside[tag] += 1  # first in its own list, before a tag that is on all the same photos
            listed = np.argsort(-beside, kind="stable")[: self.m]
            for rank, candidate in enumerate(listed[beside[listed] > 0]):
                if targets[candidate] >= 0:
                    promoted[tag, targets[candidate]] = self.k_r / (self.k_r + rank) * stab[tag] * descr[candidate]
        return promoted

    def _rank_weights(
        self, votes: TagVote, library: Embedded, photos: Embedded, known: Sequence[str], names: Sequence[str]
    ) -> Array:
        column = {name: index for index, name in enumerate(known)}
        weights = np.zeros((len(photos.vectors), len(names)), np.float32)
        voted = votes.scores(library, photos, known)
        for index, name in enumerate(names):
            if name in column:
                rank = (voted > voted[:, [column[name]]]).sum(1)  # 0 for the first
                weights[:, index] = self.k_c / (self.k_c + rank)
        return weights


@dataclass(frozen=True, slots=True)
class LinearProbe:
    """Ridge regression from vector to user tag, w_t = (X'X + ridge * trace(X'X)/D * I)^-1 X'y_t, both centred."""

    ridge: float = 10
    name: str = "linear probe"

    def scores(self, library: Embedded, photos: Embedded, names: Sequence[str]) -> Array:
        """`[photos, names]`."""
        targets = library.tags.only(names).rows(0, len(library.vectors))
        return fit_ridge(library.vectors, targets, self.ridge).predict(photos.vectors)


@dataclass(frozen=True, slots=True)
class Linear:
    """A fitted linear map: (x - mean) W + offset."""

    mean: Array
    weights: Array
    offset: Array

    def predict(self, vectors: Array) -> Array:
        """`[n, D]` -> `[n, targets]`."""
        return np.asarray((vectors - self.mean) @ self.weights + self.offset, np.float32)


def fit_ridge(vectors: Array, targets: Array, ridge: float) -> Linear:
    """Least squares with a penalty in units of the vectors' mean variance; `[n, D]`, `[n, targets]`."""
    mean, offset = vectors.mean(0), targets.mean(0)
    centred = vectors - mean
    gram = (centred.T @ centred).astype(np.float64)
    gram[np.diag_indices(len(gram))] += ridge * np.trace(gram) / len(gram) + 1e-9
    weights = np.linalg.solve(gram, centred.T @ (targets - offset))
    return Linear(mean, weights.astype(np.float32), offset)


def nearest(library: Array, queries: Array, k: int) -> Iterator[tuple[int, int, Rows]]:
    """Rows of the k nearest library vectors, nearest first, block after block: (start, stop, `[stop - start, k]`).

    Exact by cosine, all rows being of length 1; k is cut to the library's size.
    """
    k = min(k, len(library))
    for start in range(0, len(queries), BLOCK):
        far = -(queries[start : start + BLOCK] @ library.T)
        if k < len(library):
            edge = np.partition(far, k - 1, axis=1)[:, k - 1 : k] if k else far[:, :0]
        else:
            edge = np.full((len(far), 1), np.inf, np.float32)
        rows = np.empty((len(far), k), np.int64)
        for row in range(len(far)):
            within = np.flatnonzero(far[row] <= edge[row]) if k else np.empty(0, np.int64)
            rows[row] = within[np.argsort(far[row, within], kind="stable")[:k]]
        yield start, start + len(far), rows


def voters(library: Embedded, queries: Array, k: int) -> Iterator[tuple[int, int, Rows]]:
    """As `nearest`, with at most one photo an author, found among the max(3000, 3k) nearest; -1 where none is left."""
    if library.authors is None:
        yield from nearest(library.vectors, queries, k)
        return
    for start, stop, ranking in nearest(library.vectors, queries, max(3000, 3 * k)):
        chosen = np.full((len(ranking), min(k, len(library.vectors))), -1, np.int64)
        for row, found in enumerate(ranking):
            _, first = np.unique(library.authors[found], return_index=True)
            kept = found[np.sort(first)][:k]
            chosen[row, : len(kept)] = kept
        yield start, stop, chosen


def count_votes(near: Rows, tags: TagMatrix) -> tuple[Array, Rows]:
    """How many of the photos `near` ([m, k], -1 for none) carry each tag, `[m, tags]`; and how many vote, `[m]`."""
    voices = (near >= 0).sum(1)
    flat = near[near >= 0]
    lengths = np.diff(tags.indptr)[flat]
    voted = tags.take(flat).indices
    voter = np.repeat(np.repeat(np.arange(len(near)), voices), lengths)
    width = len(tags.names)
    votes = np.bincount(voter * width + voted, minlength=len(near) * width)
    return votes.reshape(len(near), width).astype(np.float32), voices


def _carriers(tags: TagMatrix) -> list[Rows]:
    """The photos of each tag."""
    photo = np.repeat(np.arange(tags.shape[0]), np.diff(tags.indptr))
    order = np.argsort(tags.indices, kind="stable")
    return np.split(photo[order], np.cumsum(tags.counts()))[:-1]
