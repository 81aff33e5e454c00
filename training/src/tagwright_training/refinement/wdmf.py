"""Weakly supervised deep matrix factorisation (after Li and Tang, IEEE TIP 2017), as reconstructed in our design notes.

    min sum_ij C_ij (Y_ij / s_j - u_i.v_j)^2 + b tr(U' L_v U) + e tr(V' L_t V) + l (||U||^2 + ||V||^2)
        + q ||U - f(X)||^2 + p ||W_1||_{2,1} ,    C_ij = 1 + a Y_ij

f is a deep transformation of the photo's features whose first layer is sparse by rows; tags' factors V are free; s_j is
small for a rare tag, so that it is fitted as well as a frequent one, and scores are s_j times u_i.v_j. The
paper's text was not to be had, nor its code: the terms are the paper's, the algorithm is ours. U- and V-steps solve
each row's least squares with the Laplacian's term replaced by its quadratic majoriser (its eigenvalues are at most 2),
so that neither ever raises the objective; the f-step keeps the better of the old network and the new one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from tagwright_server.refinement.batch import MethodName, Network
from tagwright_training.refinement.folding import FittedModel, ridge
from tagwright_training.refinement.graph import Graph, blocks, image_graph, neighbours, tag_graph
from tagwright_training.refinement.lowrank import Checkpoint, scale_of, shrink
from tagwright_training.refinement.network import PARTS, Learning, arrays_of, begin, improve

if TYPE_CHECKING:
    from tagwright_training.mirflickr import Advance
    from tagwright_training.refinement.corpus import Embedded, TagMatrix

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Wdmf:
    """The method and its settings."""

    name: MethodName = "wdmf"
    rank: int = 128
    confidence: float = 1.0  # a
    ridge: float = 0.01  # l
    pull: float = 0.3  # q
    image_graph: float = 1.0  # b
    tag_graph: float = 0.1  # e
    neighbours: int = 10
    sweeps: int = 2
    """Few on purpose: the factors begin as what photos look like, and each sweep draws them to what was typed."""
    balance: float = 0.5
    """Power of a tag's frequency that s_j grows with."""
    learning: Learning = field(default_factory=Learning)

    def fit(self, embedded: Embedded, advance: Advance, *, checkpoint: Checkpoint | None = None) -> FittedModel:
        """Refine the tags of these photos. Memory is some 4 rank + 8 neighbours numbers a photo."""
        x, tags = embedded.vectors, embedded.tags
        scale = scale_of(tags.counts(), len(x), self.balance)
        images = image_graph(neighbours(x, self.neighbours)) if self.image_graph else None
        together = tag_graph(tags)
        saved = checkpoint.load() if checkpoint else None
        if saved:
            done, state = saved
            u, v, network = state["u"], state["v"], Network(**{name: state[name] for name in PARTS})
        else:
            done = 0
            u, v = self._begin(x, tags, scale)
            network = begin(x, lambda start, stop: u[start:stop], self.learning)
        while done < self.sweeps:
            guess = guesses(network, x)
            u = self.photo_step(u, v, tags, scale, guess, images)
            v = self.tag_step(u, v, tags, scale, together)
            network = self._network_step(network, x, u, epoch=done)
            done += 1
            advance(done, self.sweeps)
            if checkpoint:
                checkpoint.save(done, {"u": u, "v": v, **arrays_of(network)})
        arrays = {
            **arrays_of(network), "tag_factors": v, "scale": scale,
            "weights": np.array([self.confidence, self.ridge, self.pull], np.float32),
        }  # fmt: skip
        u = self.photo_step(u, v, tags, scale, guesses(network, x), images)
        return FittedModel(method=self.name, names=tags.names, arrays=arrays, left=u, right=v)

    def photo_step(
        self, u: Array, v: Array, tags: TagMatrix, scale: Array, guess: Array, images: Graph | None
    ) -> Array:
        """Every photo's factor anew, `[n, r]`: (V'V + a sum_t v_t v_t' + (l + q + 2b) I) u_i = right_i.

        right_i = (1 + a) sum_t v_t / s_t + q f(x_i) + b (u_i + sum_j S_ij u_j), t over the photo's tags.
        """
        found = np.empty_like(u)
        b = self.image_graph if images is not None else 0.0
        r = v.shape[1]
        common = torch.from_numpy(v.T @ v + (self.ridge + self.pull + 2 * b) * np.eye(r, dtype=np.float32))
        size = max(32, min(1024, 8_000_000 // (r * r)))  # of 8 million numbers a block's matrices
        for start, stop in blocks(len(u), size):
            rows = torch.from_numpy(tags.rows(start, stop))
            systems = self.confidence * _outer_sums(rows, torch.from_numpy(v)) + common
            right = (1 + self.confidence) * ((rows.numpy() / scale) @ v) + self.pull * guess[start:stop]
            if images is not None:
                right = right + b * (u[start:stop] + images.times(start, stop, u))
            factor = torch.linalg.cholesky(systems)
            found[start:stop] = torch.cholesky_solve(torch.from_numpy(right)[:, :, None], factor)[:, :, 0].numpy()
        return found

    def tag_step(self, u: Array, v: Array, tags: TagMatrix, scale: Array, together: Array) -> Array:
        """Every tag's factor anew, `[c, r]`: (U'U + a sum_i u_i u_i' + (l + 2e) I) v_j = right_j.

        right_j = (1 + a) sum_i u_i / s_j + e (v_j + sum_k T_jk v_k), i over the photos that carry the tag.
        """
        owners = np.repeat(np.arange(tags.shape[0], dtype=np.int32), np.diff(tags.indptr))
        order = np.argsort(tags.indices, kind="stable")
        ends = np.cumsum(tags.counts())
        gram = np.zeros((u.shape[1], u.shape[1]))
        for start, stop in blocks(len(u), 65_536):
            gram += u[start:stop].T @ u[start:stop]
        common = gram + (self.ridge + 2 * self.tag_graph) * np.eye(u.shape[1])
        pulled = self.tag_graph * (v + together @ v)
        found = np.empty_like(v)
        for tag, end in enumerate(ends):
            mine = u[owners[order[end - tags_of(ends, tag) : end]]]
            right = (1 + self.confidence) * mine.sum(0) / scale[tag] + pulled[tag]
            found[tag] = np.linalg.solve(common + self.confidence * (mine.T @ mine), right)
        return found

    def objective(
        self, u: Array, v: Array, tags: TagMatrix, scale: Array, guess: Array, images: Graph | None, together: Array
    ) -> float:
        """What the steps never raise, the penalty of W_1 left out."""
        total = float(self.ridge * ((u.astype(np.float64) ** 2).sum() + (v.astype(np.float64) ** 2).sum()))
        total += float(self.tag_graph * (v * (v - together @ v)).sum(dtype=np.float64))
        total += float(self.pull * ((u - guess).astype(np.float64) ** 2).sum())
        for start, stop in blocks(len(u)):
            y = tags.rows(start, stop)
            total += float(((1 + self.confidence * y) * (y / scale - u[start:stop] @ v.T) ** 2).sum(dtype=np.float64))
            if images is not None:
                around = images.times(start, stop, u)
                total += float(self.image_graph * (u[start:stop] * (u[start:stop] - around)).sum(dtype=np.float64))
        return total

    def _begin(self, x: Array, tags: TagMatrix, scale: Array) -> tuple[Array, Array]:
        """Singular vectors of the tags' ridge regression on the features; the columns of U have mean square 1."""
        n, c = tags.shape
        head, bias = ridge(x, lambda start, stop: tags.rows(start, stop) / scale, self.learning.ridge)
        low = shrink(lambda start, stop: x[start:stop] @ head + bias, n, c, 0.0, self.rank)
        worth = (low.singular / n**0.5).astype(np.float32)  # u of variance 1: v, a, l and q mean the same for every n
        missing = self.rank - len(worth)
        rng = np.random.default_rng(1)
        u = np.hstack([low.left / worth, rng.normal(0, 1e-3, (n, missing)).astype(np.float32)])
        v = np.hstack([low.basis * worth, rng.normal(0, 1e-3, (c, missing)).astype(np.float32)])
        return np.ascontiguousarray(u, np.float32), np.ascontiguousarray(v, np.float32)

    def _network_step(self, network: Network, x: Array, u: Array, *, epoch: int) -> Network:
        tried = [network]
        if self.learning.epochs:
            tried.append(improve(network, x, lambda rows: u[rows], self.learning, epoch=epoch))
        tried.append(begin(x, lambda start, stop: u[start:stop], self.learning))
        return min(tried, key=lambda one: _distance(one, x, u))


def guesses(network: Network, vectors: Array) -> Array:
    """f(x) of every photo, `[n, r]`."""
    found = np.empty((len(vectors), len(network.bias)), np.float32)
    for start, stop in blocks(len(vectors)):
        found[start:stop] = network(vectors[start:stop])
    return found


def tags_of(ends: NDArray[np.int64], tag: int) -> int:
    """How many photos carry the tag, from running totals."""
    return int(ends[tag] - (ends[tag - 1] if tag else 0))


def _outer_sums(rows: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """sum_t v_t v_t' over each photo's tags, `[m, r, r]`."""
    photo, tag = rows.nonzero(as_tuple=True)
    found = torch.zeros(len(rows), v.shape[1], v.shape[1])
    mine = v[tag]
    for part in torch.arange(len(photo)).split(1024):
        found.index_add_(0, photo[part], mine[part][:, :, None] * mine[part][:, None, :])
    return found


def _distance(network: Network, x: Array, u: Array) -> float:
    return sum(float(((network(x[a:b]) - u[a:b]) ** 2).sum(dtype=np.float64)) for a, b in blocks(len(x)))
