"""The starter library: what photos of a public collection look like and which tags their owners gave them, so that
refinement works for a newcomer's first photo. It holds no photo and no name of anybody.

Embeddings lie on disk as int8, scaled so that the largest number of each is 127; that moves a cosine by some .003.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagwright_server.refinement.records import NOBODY, Neighbours
from tagwright_server.refinement.statistics import TagStatistics

_OUTWEIGHED_AT = 5_000  # own photos that halve the weight of a starter photo


@dataclass(frozen=True, slots=True)
class StarterLibrary:
    """Float32 [n, D] L2-normalised embeddings, and the tags of each photo in their owner's order."""

    vectors: NDArray[np.float32]
    tags: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.tags)

    def under(self, aliases: Mapping[str, str]) -> StarterLibrary:
        """Return the same photos with the names that tags have where `aliases` says which tags other names mean."""
        tags = (tuple(dict.fromkeys(aliases.get(tag, tag) for tag in each)) for each in self.tags)
        return StarterLibrary(self.vectors, tuple(tags)) if aliases else self

    def statistics(self) -> TagStatistics:
        """Return what it tells of its tags, for an installation's own photos to join."""
        return TagStatistics.of(self.vectors.shape[1], lambda: [(self.vectors, self.tags)])

    def neighbours(self, vector: NDArray[np.float32], limit: int, *, own_photos: int = 0) -> Neighbours:
        """Return the photos most alike; each weighs the less the more photos the installation has itself."""
        limit = min(limit, len(self.tags))
        if not limit:
            return NOBODY
        similarities = self.vectors @ vector
        best = np.argpartition(-similarities, limit - 1)[:limit]
        best = best[np.argsort(-similarities[best], kind="stable")]
        weight = _OUTWEIGHED_AT / (_OUTWEIGHED_AT + own_photos)
        nobody = ("",) * limit
        tags = tuple(self.tags[row] for row in best.tolist())
        return Neighbours(similarities[best], np.full(limit, weight, np.float32), nobody, nobody, tags)


def to_arrays(vectors: NDArray[np.float32], tags: Sequence[Sequence[str]]) -> dict[str, NDArray[Any]]:
    """Return a library as arrays that can be stored without pickle."""
    names = sorted({tag for each in tags for tag in each})
    number = {name: at for at, name in enumerate(names)}
    scaled = np.rint(vectors / np.abs(vectors).max(axis=1, keepdims=True) * 127).astype(np.int8)
    return {
        "vectors": scaled,
        "sizes": np.array([len(each) for each in tags], np.int32),
        "tags": np.array([number[tag] for each in tags for tag in each], np.int32),
        "names": np.frombuffer("\n".join(names).encode(), np.uint8),
    }


def from_arrays(arrays: dict[str, NDArray[Any]]) -> StarterLibrary:
    """Return the library of such arrays; raises KeyError and ValueError where they are none."""
    vectors = arrays["vectors"].astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    text = arrays["names"].tobytes().decode()
    names = text.split("\n") if text else []
    ends = np.cumsum(arrays["sizes"]).tolist()
    flat = [names[number] for number in arrays["tags"].tolist()]
    if vectors.ndim != 2 or len(vectors) != len(ends) or (ends and ends[-1] != len(flat)):
        raise ValueError("embeddings, sizes and tags do not belong together")
    return StarterLibrary(vectors, tuple(tuple(flat[start:end]) for start, end in zip([0, *ends], ends, strict=False)))
