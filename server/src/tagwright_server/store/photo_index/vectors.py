"""Vectors by slot, and which of them are nearest: faiss's inverted file (IndexIVF) over float16.

Measured against usearch and pgvector (`python -m tests.load.vector_indexes`, docs/speed.md): alone of the three it
takes vectors out for good, and looks at some of them only, as those that somebody may see, without losing the nearest.

Vectors [n, D] have length 1; similarity is their inner product. Up to EXACT of them lie in one list and all are looked
at. More lie in lists around centres of their own, of which the nearest are; `regrouped` makes lists for what has grown.
Not for several threads, but that any number may look at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import faiss
import numpy as np
from numpy.typing import NDArray

EXACT = 32_768  # vectors that are all looked at: it takes a few milliseconds
LOOKED_AT = 16_384  # of more, those of the nearest lists until there are about so many
_PER_FOUND = 16  # and so many for each one that is asked for
_GROWN = 4  # times as many vectors as the lists were made for: then they are made anew
_SAMPLED = 64  # vectors of each list that its centre is found by
_ROUNDS = 10  # of k-means
_BLOCK = 4096
_NONE = -1  # faiss's id of nothing

Half = NDArray[np.float16]
Slots = NDArray[np.int32]


class Vectors:
    """Float16 [D] vectors, each with a slot, in lists around centres: float32 [lists, D]."""

    def __init__(self, size: int, centres: NDArray[np.float32] | None = None) -> None:
        self.size = size
        self.centres = np.zeros((1, size), np.float32) if centres is None else np.ascontiguousarray(centres, np.float32)
        quantizer = faiss.IndexFlatIP(size)
        quantizer.add(self.centres)
        self._index = faiss.IndexIVFScalarQuantizer(
            quantizer, size, len(self.centres), faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT, False
        )
        self._index.is_trained = True  # float16 has nothing to learn, and the centres are there
        self._index.set_direct_map_type(faiss.DirectMap.Hashtable)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def outgrown(self) -> bool:
        """Whether there are so many more than the lists were made for that it is time for others."""
        return len(self) > max(EXACT, _GROWN * len(self.centres) ** 2)

    def put(self, slots: Slots, vectors: Half) -> None:
        """Put the vectors of slots that have none."""
        self._index.add_with_ids(vectors.astype(np.float32), slots.astype(np.int64))

    def remove(self, slot: int) -> None:
        """Remove the vector of a slot."""
        self._index.remove_ids(np.array([slot], np.int64))

    def of(self, slots: Slots) -> Half:
        """Return the vectors of slots, as they were put."""
        found: Half = self._index.reconstruct_batch(slots.astype(np.int64)).astype(np.float16)
        return found

    def nearest(
        self, query: NDArray[np.float32], *, limit: int, wanted: NDArray[np.bool_] | None = None, exact: bool = False
    ) -> tuple[Slots, NDArray[np.float32]]:
        """Return up to `limit` slots, the most similar to a vector float32 [D] first, and their similarities.

        `wanted` says by slot which may be found. Of at most EXACT wanted vectors, or if `exact`, none is passed over.
        """
        there = len(self) if wanted is None else int(np.count_nonzero(wanted))
        limit = min(limit, there)
        if not limit:
            return np.zeros(0, np.int32), np.zeros(0, np.float32)
        bits = None if wanted is None else faiss.IDSelectorBitmap(np.packbits(wanted, bitorder="little"))
        lists = len(self.centres)
        looked_at = lists
        if not exact and there > EXACT:
            looked_at = min(lists, math.ceil(lists * max(LOOKED_AT, _PER_FOUND * limit) / there))
        while True:
            parameters = faiss.SearchParametersIVF(nprobe=looked_at, sel=bits)
            similarities, found = self._index.search(query[None], limit, params=parameters)
            there_at = found[0] != _NONE
            if there_at.all() or looked_at == lists:
                return found[0][there_at].astype(np.int32), similarities[0][there_at]
            looked_at = min(lists, 2 * looked_at)  # what is wanted lies elsewhere

    def regrouped(self) -> Vectors:
        """Return the same vectors in as many lists as they are to have by now; others may look meanwhile."""
        centres = None
        if len(self) > EXACT:
            count = 2 ** round(math.log2(len(self)) / 2)  # about the square root: as many lists as vectors in each
            centres = self._centres(count)
        other = Vectors(self.size, centres)
        for slots, vectors in self.lists():
            for start in range(0, len(slots), _BLOCK):
                other.put(slots[start : start + _BLOCK], vectors[start : start + _BLOCK])
        return other

    def lists(self) -> Iterator[tuple[Slots, Half]]:
        """Return the slots and vectors of each list, in the order of the centres; nothing may change meanwhile."""
        inverted = self._index.invlists
        for number in range(len(self.centres)):
            length = inverted.list_size(number)
            if not length:
                yield np.zeros(0, np.int32), np.zeros((0, self.size), np.float16)
                continue
            slots = faiss.rev_swig_ptr(inverted.get_ids(number), length).astype(np.int32)
            codes = faiss.rev_swig_ptr(inverted.get_codes(number), length * 2 * self.size)
            yield slots, codes.copy().view(np.float16).reshape(length, self.size)

    @classmethod
    def of_lists(cls, centres: NDArray[np.float32], lists: Iterable[tuple[Slots, Half]]) -> Vectors:
        """Return what `lists` gave, put together again without looking for anybody's nearest centre."""
        found = cls(centres.shape[1], centres)
        index = found._index
        index.set_direct_map_type(faiss.DirectMap.NoMap)
        for number, (slots, vectors) in enumerate(lists):
            ids, codes = slots.astype(np.int64), np.ascontiguousarray(vectors).view(np.uint8)
            if len(ids):
                index.invlists.add_entries(number, len(ids), faiss.swig_ptr(ids), faiss.swig_ptr(codes))
                index.ntotal += len(ids)
        index.set_direct_map_type(faiss.DirectMap.Hashtable)
        return found

    def _centres(self, count: int) -> NDArray[np.float32]:
        share = min(1.0, count * _SAMPLED / len(self))
        rng = np.random.default_rng(1)
        sample = np.concatenate([some[rng.random(len(some)) < share] for _, some in self.lists()]).astype(np.float32)
        kmeans = faiss.Kmeans(self.size, count, niter=_ROUNDS, spherical=True, min_points_per_centroid=1)
        kmeans.train(sample)
        centres: NDArray[np.float32] = kmeans.centroids
        return centres
