"""A self-organizing map of the library: photos that look alike share a unit, units side by side are alike.

Kohonen's batch form, m_r = sum_i h(b(i), r) x_i / sum_i h(b(i), r): the same photos give the same map, in any order. A
unit's tag profile is the library's tags, smoothed over the map; a tag's score is its lift there over the whole library.

Never: sees an expert label. As a quantised form of kNN voting it is a baseline and a picture, not the best method.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagwright_training.refinement.corpus import Embedded, TagMatrix

_BLOCK = 4096
_DOUBT = 1e-3  # added to both sides of the lift: a tag on 1 of 1,000 photos is not yet a finding

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Som:
    """A trained map: prototypes `[units, D]`, the units' places on the grid `[units, 2]`."""

    prototypes: Array
    places: Array

    def units(self, vectors: Array) -> NDArray[np.int64]:
        """The nearest unit of each vector; of two equally near, the first."""
        half = (self.prototypes**2).sum(1) / 2
        blocks = [vectors[i : i + _BLOCK] @ self.prototypes.T - half for i in range(0, len(vectors), _BLOCK)]
        return np.concatenate([block.argmax(1) for block in blocks]) if blocks else np.empty(0, np.int64)

    def influence(self, sigma: float) -> Array:
        """h(b, r) = exp(-|place_b - place_r|^2 / 2 sigma^2), `[units, units]`."""
        apart = ((self.places[:, None] - self.places[None]) ** 2).sum(2)
        return np.asarray(np.exp(-apart / (2 * sigma**2)), np.float32)


@dataclass(frozen=True, slots=True)
class SelfOrganizingMap:
    """Score of a tag: lift of its smoothed profile at the photo's unit, (q + e) / (f_t/n + e)."""

    epochs: int = 15
    side: int | None = None
    """Units along each edge; None: sqrt(5 sqrt(n)), 28 for 25,000 photos (Vesanto's rule)."""
    sigma: float = 1.0
    """Reach of the smoothing at the end of training and of the tag profiles, in units."""
    name: str = "self-organizing map"

    def scores(self, library: Embedded, photos: Embedded, names: Sequence[str]) -> Array:
        """`[photos, names]`."""
        side = self.side or max(1, round(math.sqrt(5 * math.sqrt(len(library.vectors)))))
        som = train(library.vectors, side, epochs=self.epochs, sigma=self.sigma)
        tags = library.tags.only(names)
        profiles = tag_profiles(som, som.units(library.vectors), tags, self.sigma)
        share = tags.counts() / max(tags.shape[0], 1)
        lift = (profiles + _DOUBT) / (share + _DOUBT)
        return lift[som.units(photos.vectors)].astype(np.float32)


def train(vectors: Array, side: int, *, epochs: int, sigma: float) -> Som:
    """Batch training from the plane of the two widest directions; reach falls from side/2 to `sigma`, exponentially."""
    places = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), 2).reshape(-1, 2)
    som = Som(_plane(vectors, places, side), places.astype(np.float32))
    first = max(side / 2, sigma)
    for epoch in range(epochs):
        reach = first * (sigma / first) ** (epoch / max(epochs - 1, 1))
        sums, counts = _sums(vectors, som.units(vectors), side * side)
        influence = som.influence(reach)
        weight = influence @ counts
        moved = influence @ sums / np.maximum(weight, 1e-12)[:, None]
        prototypes = np.where(weight[:, None] > 1e-6, moved, som.prototypes)  # a unit far from every photo stays
        som = Som(prototypes.astype(np.float32), som.places)
    return som


def tag_profiles(som: Som, units: NDArray[np.int64], tags: TagMatrix, sigma: float) -> Array:
    """q_r(t) = sum_i h(b(i), r) Y_it / sum_i h(b(i), r), `[units, tags]`."""
    carried = np.zeros((len(som.places), tags.shape[1]), np.float32)
    np.add.at(carried, (np.repeat(units, np.diff(tags.indptr)), tags.indices), 1)
    influence = som.influence(sigma)
    counts = np.bincount(units, minlength=len(som.places)).astype(np.float32)
    return np.asarray(influence @ carried / np.maximum(influence @ counts, 1e-12)[:, None], np.float32)


def _plane(vectors: Array, places: NDArray[np.int64], side: int) -> Array:
    mean = vectors.mean(0)
    centred = vectors - mean
    values, directions = np.linalg.eigh((centred.T @ centred).astype(np.float64) / max(len(vectors), 1))
    axes = directions[:, ::-1][:, :2].T
    axes *= np.where(axes[np.arange(len(axes)), np.abs(axes).argmax(1)] < 0, -1, 1)[
        :, None
    ]  # eigenvectors have no sign
    reach = np.sqrt(np.maximum(values[::-1][:2], 0))
    grid = (places - (side - 1) / 2) / max((side - 1) / 2, 1)
    return np.asarray(mean + (grid[:, : len(axes)] * reach) @ axes, np.float32)


def _sums(vectors: Array, units: NDArray[np.int64], count: int) -> tuple[Array, Array]:
    """Sum of each unit's vectors and how many they are."""
    order = np.argsort(units, kind="stable")
    counts = np.bincount(units, minlength=count)
    sums = np.zeros((count, vectors.shape[1]), np.float32)
    filled = np.flatnonzero(counts)
    starts = (np.cumsum(counts) - counts)[filled]
    sums[filled] = np.add.reduceat(vectors[order], starts, axis=0)
    return sums, counts.astype(np.float32)
