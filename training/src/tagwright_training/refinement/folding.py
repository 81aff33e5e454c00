"""One interface for every batch method: fit, refine what was fitted, fold in what was not, leave as a bundle.

Promises: `fold_in` is the code that the server runs, on the arrays that the bundle carries.
Never: reads a label; calibration and thresholds come from whoever writes the bundle.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tagwright_server.refinement.batch import FACTORS_FILE, MANIFEST_FILE, BatchManifest, MethodName, fold_of
from tagwright_training.dataset import write_atomically
from tagwright_training.refinement.corpus import Embedded, TagMatrix
from tagwright_training.refinement.graph import blocks

if TYPE_CHECKING:
    from tagwright_training.mirflickr import Advance
    from tagwright_training.refinement.lowrank import Checkpoint

Array = NDArray[np.float32]


class BatchMethod(Protocol):
    """A method with its settings."""

    @property
    def name(self) -> MethodName:
        """Which of the server's folds its models use."""

    def fit(self, embedded: Embedded, advance: Advance, *, checkpoint: Checkpoint | None = None) -> FittedModel:
        """Refine these photos' tags; an interrupted fit goes on at its checkpoint. Never sees a label."""


@dataclass(frozen=True, slots=True)
class FittedModel:
    """What a fit leaves: the fitted photos' scores as two factors, and the arrays that fold in a new photo."""

    method: MethodName
    names: tuple[str, ...]
    """The tags, in the order of all scores."""
    arrays: Mapping[str, Array]
    left: Array
    """`[n, r]`"""
    right: Array
    """`[c, r]`: scores are left @ right.T, in units of `arrays["scale"]`."""
    rectified: bool = False
    """Scores below 0 are 0."""

    def refined(self, rows: NDArray[np.int64]) -> Array:
        """Scores `[len(rows), c]` of photos that were fitted."""
        scores = self.left[rows] @ self.right.T
        found: Array = (np.maximum(scores, 0) if self.rectified else scores) * self.arrays["scale"]
        return found

    def fold_in(self, vectors: Array, tags: TagMatrix) -> Array:
        """Scores `[m, c]` of new photos; vectors `[m, D]`, tags of the fitted vocabulary."""
        if tags.names != self.names:
            raise ValueError("the photos' tags are not of the vocabulary that was fitted")
        fold = fold_of(self.method, self.arrays)
        found = np.empty((len(vectors), len(self.names)), np.float32)
        for start, stop in blocks(len(vectors)):
            found[start:stop] = fold.scores(vectors[start:stop], tags.rows(start, stop))
        return found

    def to_bundle(
        self, folder: Path, facts: Mapping[str, Any], *, slope: Array | None = None, offset: Array | None = None
    ) -> BatchManifest:
        """Write `folder/{factors.npz, manifest.json}` for the server; `facts` are the manifest's other fields.

        slope and offset `[c]` make scores probabilities. Raises ValueError if a tag's name has a line break in it.
        """
        if any("\n" in name for name in self.names):
            raise ValueError("a tag's name has a line break in it")
        c = len(self.names)
        file = io.BytesIO()
        np.savez(
            file,
            names=np.frombuffer("\n".join(self.names).encode(), np.uint8),
            slope=np.ones(c, np.float16) if slope is None else slope.astype(np.float32),
            offset=np.zeros(c, np.float16) if offset is None else offset.astype(np.float32),
            **{name: array.astype(np.float16) for name, array in self.arrays.items()},
        )
        manifest = {
            **facts,
            "method": self.method,
            "vocabulary_size": c,
            "embedding_size": len(self.arrays["head" if "head" in self.arrays else "first"]),
            "digest_sha256": hashlib.sha256(file.getvalue()).hexdigest(),
        }
        checked = BatchManifest.model_validate(manifest)
        write_atomically(folder / FACTORS_FILE, file.getvalue())
        write_atomically(folder / MANIFEST_FILE, (json.dumps(manifest, indent=1) + "\n").encode())
        return checked


@dataclass(frozen=True, slots=True)
class Refining:
    """A batch method in the shape of the evaluation's methods.

    jointly: the photos are fitted along with the library, as a library's own photos are (their tags count as others'
    do); otherwise they are folded in afterwards, as a new photo is.
    """

    method: BatchMethod
    jointly: bool = False
    min_photos: int = 40
    """Photos of the library that a tag must be on to be fitted; tags that are asked for always are."""
    max_tags: int = 1000

    @property
    def name(self) -> str:
        """The method's name, and how the photos were taken."""
        return f"{self.method.name} ({'refined' if self.jointly else 'folded in'})"

    def scores(self, library: Embedded, photos: Embedded, names: Sequence[str]) -> Array:
        """Scores `[n, len(names)]` of the photos; 0 for a name that no photo of the library carries."""
        carried = set(vocabulary(library.tags, min_photos=1))
        often = vocabulary(library.tags, min_photos=self.min_photos, max_tags=self.max_tags)
        kept = tuple(dict.fromkeys([*often, *(name for name in names if name in carried)]))
        found = np.zeros((len(photos.vectors), len(names)), np.float32)
        if kept:
            scores = self._scores(_narrowed(library, kept), _narrowed(photos, kept))
            for column, name in enumerate(names):
                if name in kept:
                    found[:, column] = scores[:, kept.index(name)]
        return found

    def _scores(self, library: Embedded, photos: Embedded) -> Array:
        if not self.jointly:
            return self.method.fit(library, _silent).fold_in(photos.vectors, photos.tags)
        n = len(library.vectors)
        model = self.method.fit(joined(library, photos), _silent)
        return model.refined(np.arange(n, n + len(photos.vectors)))


def vocabulary(tags: TagMatrix, *, min_photos: int, max_tags: int | None = None) -> tuple[str, ...]:
    """The tags on at least so many photos, the commonest first; a name with a line break is left out."""
    counts = tags.counts()
    order = np.argsort(-counts, kind="stable")[:max_tags]
    return tuple(tags.names[i] for i in order if counts[i] >= min_photos and "\n" not in tags.names[i])


def _narrowed(photos: Embedded, names: Sequence[str]) -> Embedded:
    return Embedded(vectors=photos.vectors, tags=photos.tags.only(names))


def joined(first: Embedded, second: Embedded) -> Embedded:
    """Both sets of photos as one; their tags have the same vocabulary. Label scores are left out."""
    if first.tags.names != second.tags.names:
        raise ValueError("the two sets of photos have different vocabularies")
    tags = TagMatrix(
        indptr=np.concatenate([first.tags.indptr, first.tags.indptr[-1] + second.tags.indptr[1:]]),
        indices=np.concatenate([first.tags.indices, second.tags.indices]),
        names=first.tags.names,
    )
    vectors = np.concatenate([first.vectors, second.vectors])
    return Embedded(vectors=vectors, tags=tags)


def ridge(vectors: Array, targets: Callable[[int, int], Array], penalty: float) -> tuple[Array, Array]:
    """H `[D, r]` and h `[r]` of min ||X H + h - T||^2 + penalty ||H||^2, from targets T given by rows."""
    n = len(vectors)
    gram = np.zeros((vectors.shape[1], vectors.shape[1]))
    mean = vectors.mean(axis=0, dtype=np.float64)
    width = targets(0, 0).shape[1]
    right, total = np.zeros((len(gram), width)), np.zeros(width)
    for start, stop in blocks(n):
        centred = vectors[start:stop] - mean
        rows = targets(start, stop)
        gram += centred.T @ centred
        right += centred.T @ rows
        total += rows.sum(0)
    head = np.linalg.solve(gram + penalty * np.eye(len(gram)), right)
    return head.astype(np.float32), (total / n - mean @ head).astype(np.float32)


def _silent(done: int, total: int) -> None:
    """Nobody watches."""
