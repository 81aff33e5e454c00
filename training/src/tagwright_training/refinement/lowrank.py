"""Low-rank matrices `[photos, tags]` as two factors, and the proximal maps the batch methods share.

Promises: a matrix comes in and goes out as blocks of rows; only its factors and tags x tags matrices stay in memory.
"""

from __future__ import annotations

import hashlib
import math
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagwright_server.refinement.batch import soft_threshold
from tagwright_training.refinement.graph import blocks

Array = NDArray[np.float32]
Rows = Callable[[int, int], Array]
"""Rows start..stop of a matrix, `[stop - start, c]`."""

CACHE_BYTES = 256 << 20
"""What a matrix may take at most to be kept whole rather than made anew in every pass."""

__all__ = ["Checkpoint", "LowRank", "Rows", "cached", "row_shrink", "scale_of", "shrink", "soft_threshold"]


@dataclass(frozen=True, slots=True)
class LowRank:
    """A = left @ basis.T: left `[n, r]`, basis `[c, r]` with orthonormal columns, ordered by singular value."""

    left: Array
    basis: Array
    gain: Array
    """`[r]`: the share of each singular value that the shrink left; 1 where nothing was shrunk."""
    singular: NDArray[np.float64]
    """`[r]`: the singular values after the shrink; their sum is the nuclear norm."""

    def rows(self, start: int, stop: int) -> Array:
        """Rows start..stop, dense."""
        found: Array = self.left[start:stop] @ self.basis.T
        return found

    def rectified(self, rows: NDArray[np.int64]) -> Array:
        """max(A, 0) of these rows."""
        found: Array = np.maximum(self.left[rows] @ self.basis.T, 0)
        return found

    @property
    def shape(self) -> tuple[int, int]:
        """Photos, tags."""
        return len(self.left), len(self.basis)

    @classmethod
    def zero(cls, photos: int, tags: int) -> LowRank:
        """The zero matrix, of rank 0."""
        return cls(
            np.zeros((photos, 0), np.float32), np.zeros((tags, 0), np.float32), np.zeros(0, np.float32), np.zeros(0)
        )

    def distance(self, other: LowRank) -> float:
        """||A - B||_F, from the factors alone."""
        cross = (self.left.T @ other.left) * (self.basis.T @ other.basis)
        own = float((self.singular**2).sum() + (other.singular**2).sum())
        return math.sqrt(max(own - 2 * float(cross.sum(dtype=np.float64)), 0.0))

    def norm(self) -> float:
        """||A||_F."""
        return math.sqrt(float((self.singular**2).sum()))


def shrink(matrix: Rows, photos: int, tags: int, threshold: float, rank: int) -> LowRank:
    """Singular value shrink U max(S - threshold, 0) V', the proximal map of threshold * nuclear norm (Cai et al. 2010).

    V and S come from the eigenvalues of the tags x tags Gram matrix, in one pass over the rows; a second pass makes the
    left factor. At most `rank` directions are kept, those of the greatest singular values.
    """
    gram = np.zeros((tags, tags))
    for start, stop in blocks(photos):
        rows = matrix(start, stop)
        gram += rows.T @ rows
    values, vectors = np.linalg.eigh(gram)
    order = np.argsort(-values, kind="stable")[:rank]
    singular = np.sqrt(np.maximum(values[order], 0))
    floor = 1e-3 * singular[0] if len(singular) else 0.0  # below it the Gram matrix of float32 rows is only rounding
    kept = (singular > threshold) & (singular > floor)
    basis = vectors[:, order[kept]].astype(np.float32)
    gain = (1 - threshold / singular[kept]).astype(np.float32)
    left = np.empty((photos, basis.shape[1]), np.float32)
    for start, stop in blocks(photos):
        left[start:stop] = matrix(start, stop) @ basis * gain
    return LowRank(left, basis, gain, singular[kept] - threshold)


def cached(matrix: Rows, photos: int, tags: int, limit_bytes: int | None = None) -> Rows:
    """The same rows, kept if all of them fit into the limit: a small library need not make them twice."""
    if photos * tags * 4 > (CACHE_BYTES if limit_bytes is None else limit_bytes):
        return matrix
    kept = np.empty((photos, tags), np.float32)
    for start, stop in blocks(photos):
        kept[start:stop] = matrix(start, stop)
    return lambda start, stop: kept[start:stop].copy()


def row_shrink(matrix: Array, threshold: float) -> Array:
    """max(0, 1 - threshold / ||row||) row: the proximal map of threshold * ||.||_{2,1}, which drops whole rows."""
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    found: Array = matrix * np.maximum(1 - threshold / np.maximum(norms, 1e-12), 0).astype(matrix.dtype)
    return found


def scale_of(counts: NDArray[np.int64], photos: int, power: float) -> Array:
    """What one unit of the factorised matrix is worth for a tag: (f_t / n)^power, made to be 1 in the mean.

    With power 0 every cell weighs the same, so that a few frequent tags make up the low-rank part; with .5 each tag's
    column has the same norm, and rare tags are fitted as well as frequent ones.
    """
    scale = (np.maximum(counts, 1) / max(photos, 1)) ** power
    return np.asarray(scale / scale.mean(), np.float32)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a fit saves its state after an iteration, and finds it again if the same fit was interrupted."""

    file: Path
    key: str
    """Says what is being fitted; the state of another fit is not taken up."""

    @classmethod
    def of(cls, file: Path, *parts: object) -> Checkpoint:
        """A checkpoint for a fit that these values describe."""
        return cls(file, hashlib.sha256(repr(parts).encode()).hexdigest())

    def save(self, done: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write the state after `done` iterations; whole or not at all."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, done=np.array(done), key=np.frombuffer(self.key.encode(), np.uint8), **arrays)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.file)

    def load(self) -> tuple[int, dict[str, NDArray[Any]]] | None:
        """Iterations done and their state; None if there is none of this fit."""
        try:
            with np.load(self.file, allow_pickle=False) as saved:
                arrays = {name: saved[name] for name in saved.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None
        if arrays.pop("key", np.zeros(0, np.uint8)).tobytes() != self.key.encode():
            return None
        return int(arrays.pop("done")), arrays

    def remove(self) -> None:
        """The fit is done."""
        self.file.unlink(missing_ok=True)
