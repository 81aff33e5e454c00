"""Tags that go with a tag: those that come with it, and those of photos that look like its photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagwright_server.search.facets import tag_counts, together
from tagwright_server.store.tag_index import TaggedPhotos

SAMPLED = 20_000  # photos of a tag by which candidates are found; what is said of them is of all photos
CANDIDATES = 200  # tags by each of the two

Slots = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Related:
    """A tag by its number, and how close it is: by co-occurrence and by look, each 0 to 1."""

    tag: int
    cooccurrence: float
    look: float
    both: int

    @property
    def score(self) -> float:
        """How close it is, 0 to 1."""
        return (self.cooccurrence + self.look) / 2


def related(
    photos: TaggedPhotos, tag: int, slots: Slots, alike: Slots, totals: NDArray[np.int64], seen: int, *, count: int
) -> list[Related]:
    """Return the `count` tags that are closest to a tag, of the photos that somebody sees.

    `slots` are the photos with the tag, `alike` those that look like them; `totals` by tag and `seen` are how many
    photos have each, and how many there are. Co-occurrence is n(a, b) / sqrt(n(a) n(b)), Salton's cosine; look is
    (p - c) / (1 - c) for the share p of `alike` that has a tag and the share c of all: how far it is above chance, as
    in Cohen's kappa.
    """
    sample = slots[:: -(-len(slots) // SAMPLED)] if len(slots) else slots
    counts = tag_counts(photos, sample)
    near = tag_counts(photos, alike)
    size = max(len(counts), len(near))
    counts, near = (np.pad(each, (0, size - len(each))) for each in (counts, near))
    all_counts = np.maximum(totals[:size], 1).astype(np.float64)
    by_tags = counts / np.sqrt(all_counts * max(1, len(sample)))
    chance = np.minimum(all_counts / max(1, seen), 0.999)
    by_look = np.maximum(0.0, (near / max(1, len(alike)) - chance) / (1 - chance))
    candidates = np.unique(np.concatenate([_greatest(by_tags), _greatest(by_look)]))
    has = np.zeros(photos.end, np.bool_)
    has[slots] = True
    found = []
    for each in candidates[candidates != tag].tolist():
        both = together(photos, has, each)
        cooccurrence = both / float(np.sqrt(all_counts[each] * max(1, len(slots))))
        found.append(Related(each, min(1.0, cooccurrence), float(by_look[each]), both))
    return sorted(found, key=lambda one: (-one.score, one.tag))[:count]


def _greatest(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    best = np.argsort(-scores, kind="stable")[:CANDIDATES]
    found: NDArray[np.int64] = best[scores[best] > 0]
    return found
