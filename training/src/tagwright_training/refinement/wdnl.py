"""Weakly supervised deep non-negative low-rank model (after Li and Tang, AAAI 2017), as reconstructed in our notes.

    min_{F >= 0, W} 1/2 ||F - f(X)||^2 + a ||F||_* + g ||F - Y||_{1,w}
        + b/2 tr(F' L_v F) + e/2 tr(F L_t F') + l ||W_1||_{2,1}

f is a rectified network with a sparse first layer; w weighs tags that were given more than those that were not, most of
which are only missing. The paper's text was not to be had, nor its code: the terms are the paper's, the algorithm is
ours. Proximal maps are applied one after the other, which is a splitting and not exact where a > 0. F is kept as two
factors whose product is rectified, so that it is never whole in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tagwright_server.refinement.batch import MethodName, Network
from tagwright_training.refinement.folding import FittedModel
from tagwright_training.refinement.graph import Graph, image_graph, neighbours, tag_graph, weighted_sums
from tagwright_training.refinement.lowrank import Checkpoint, LowRank, Rows, cached, scale_of, shrink, soft_threshold
from tagwright_training.refinement.network import PARTS, Learning, arrays_of, begin, improve

if TYPE_CHECKING:
    from tagwright_training.mirflickr import Advance
    from tagwright_training.refinement.corpus import Embedded

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Wdnl:
    """The method and its settings."""

    name: MethodName = "wdnl"
    nuclear: float = 0.05
    """a for 10,000 photos; it grows with the root of their number, as singular values do."""
    given: float = 0.05  # g w_1: how hard a tag that was given pulls to 1
    absent: float = 0.0005  # g w_0: how hard one that was not pulls to 0
    image_graph: float = 0.1  # b
    tag_graph: float = 0.01  # e
    neighbours: int = 5
    rank: int = 256
    rounds: int = 2
    steps: int = 2
    """F-steps a round."""
    fold_steps: int = 10
    balance: float = 0.5
    """Power of a tag's frequency that its column is divided by."""
    learning: Learning = field(default_factory=lambda: Learning(epochs=2, rate=1e-3))

    @property
    def step(self) -> float:
        """1 / the smooth part's Lipschitz constant; both Laplacians' eigenvalues are at most 2."""
        return 1 / (1 + 2 * self.image_graph + 2 * self.tag_graph)

    def fit(self, embedded: Embedded, advance: Advance, *, checkpoint: Checkpoint | None = None) -> FittedModel:
        """Refine the tags of these photos. Memory is some 3 rank + 8 neighbours numbers a photo."""
        x, tags = embedded.vectors, embedded.tags
        n, c = tags.shape
        scale = scale_of(tags.counts(), n, self.balance)
        images = image_graph(neighbours(x, self.neighbours)) if self.image_graph else None
        together = tag_graph(tags)

        def given(start: int, stop: int) -> Array:
            return tags.rows(start, stop) / scale

        saved = checkpoint.load() if checkpoint else None
        if saved:
            done, state = saved
            low = LowRank(*(state[part] for part in ("left", "basis", "gain", "singular")))
            network = Network(**{name: state[name] for name in PARTS})
        else:
            done, network = 0, begin(x, given, self.learning)
            low = shrink(lambda start, stop: network(x[start:stop]), n, c, 0.0, self.rank)
        while done < self.rounds:
            low = self._truth_steps(low, network, x, given, images, together)
            network = improve(network, x, low.rectified, self.learning, epoch=done)
            done += 1
            advance(done, self.rounds)
            if checkpoint:
                state = {"left": low.left, "basis": low.basis, "gain": low.gain, "singular": low.singular}
                checkpoint.save(done, {**state, **arrays_of(network)})
        low = self._truth_steps(low, network, x, given, images, together)
        weights = [self.step, self.tag_graph, self.given, self.absent, self.fold_steps]
        arrays = {
            **arrays_of(network), "basis": low.basis, "gain": low.gain, "tag_graph": together,
            "weights": np.array(weights, np.float32), "scale": scale,
        }  # fmt: skip
        return FittedModel(
            method=self.name, names=tags.names, arrays=arrays, left=low.left, right=low.basis, rectified=True
        )

    def _truth_steps(
        self, low: LowRank, network: Network, x: Array, given: Rows, images: Graph | None, together: Array
    ) -> LowRank:
        guess = cached(lambda start, stop: network(x[start:stop]), *low.shape)
        for _ in range(self.steps):
            low = self.truth_step(low, guess, given, images, together)
        return low

    def truth_step(self, low: LowRank, guess: Rows, given: Rows, images: Graph | None, together: Array) -> LowRank:
        """One proximal gradient step for F = max(low, 0); the last map, max(., 0), is left to whoever reads rows."""
        n, c = low.shape

        def moved(start: int, stop: int) -> Array:
            f = np.maximum(low.rows(start, stop), 0)
            y = given(start, stop)
            gradient = f - guess(start, stop)
            if images is not None:
                gradient += self.image_graph * (f - _around(images, start, stop, low))
            if self.tag_graph:
                gradient += self.tag_graph * (f - f @ together)
            threshold = self.step * np.where(y > 0, np.float32(self.given), np.float32(self.absent))
            return y + soft_threshold(f - self.step * gradient - y, threshold)

        return shrink(cached(moved, n, c), n, c, self.step * self.nuclear * (n / 10_000) ** 0.5, self.rank)


def _around(images: Graph, start: int, stop: int, low: LowRank, size: int = 256) -> Array:
    """Rows start..stop of S F, whose neighbours' rows of F = max(low, 0) are made as they are needed."""
    found = np.empty((stop - start, len(low.basis)), np.float32)
    for begin_, end in ((a, min(a + size, stop)) for a in range(start, stop, size)):
        rows, offsets, weights = images.block(begin_, end)
        needed, places = np.unique(rows, return_inverse=True)
        values = np.maximum(low.left[needed] @ low.basis.T, 0)
        found[begin_ - start : end - start] = weighted_sums(places.astype(np.int32), offsets, weights, values)
    return found
