"""The photos of the commonest tags as bits, so that how many photos of a result have each is counted at once."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from tagwright_server.store.tag_index.postings import Postings

MOST = 128  # tags: 16 MB for a million photos
COMMON = 32  # a tag of one photo in so many: below, its list is the quicker way
_FEWEST = 32_768  # photos; of fewer, tags are counted one by one
_WORD = 8  # bytes that are compared at once


class TagBits:
    """Bits by slot for some tags."""

    def __init__(self) -> None:
        self.tags: list[int] = []
        self._rows: dict[int, int] = {}
        self._bits = np.zeros((0, 0), np.uint8)
        self._sizes = np.zeros(0, np.int64)  # how many bits are set

    @classmethod
    def of(cls, postings: Postings, counts: NDArray[np.int64], end: int) -> TagBits:
        """Return the bits of the commonest tags, by how many photos have each."""
        found = cls()
        if end < _FEWEST:
            return found
        common = np.argsort(-counts, kind="stable")[:MOST]
        found.tags = common[counts[common] * COMMON >= end].tolist()
        found._rows = {tag: row for row, tag in enumerate(found.tags)}
        found._bits = np.zeros((len(found.tags), _bytes(end + end // 2)), np.uint8)
        found._sizes = np.zeros(len(found.tags), np.int64)
        for row, tag in enumerate(found.tags):
            slots = postings.of(tag).slots
            has = np.zeros(end, np.bool_)
            has[slots] = True
            packed = np.packbits(has, bitorder="little")
            found._bits[row, : len(packed)] = packed
            found._sizes[row] = len(slots)
        return found

    def set(self, tag: int, slot: int) -> None:
        """Have a slot, which had it not, have a tag."""
        row = self._rows.get(tag)
        if row is not None:
            if slot >= 8 * self._bits.shape[1]:
                more = np.zeros((len(self._bits), _bytes(slot + slot // 2)), np.uint8)
                more[:, : self._bits.shape[1]] = self._bits
                self._bits = more
            self._bits[row, slot >> 3] |= np.uint8(1 << (slot & 7))
            self._sizes[row] += 1

    def together(self, has: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return for each tag how many slots have it, of those that `has` says by slot."""
        if not self.tags:
            return np.zeros(0, np.int64)
        packed = np.zeros(self._bits.shape[1], np.uint8)
        has = has[: 8 * len(packed)]  # the slots behind have none of these tags
        some = np.packbits(has, bitorder="little")
        packed[: len(some)] = some
        apart = np.empty(len(self.tags), np.int32)
        pointers = faiss.swig_ptr(packed), faiss.swig_ptr(self._bits)
        faiss.hammings(*pointers, 1, len(self.tags), len(packed), faiss.swig_ptr(apart))
        both: NDArray[np.int64] = (self._sizes + np.count_nonzero(has) - apart) // 2  # |a| + |b| - |a xor b|
        return both


def _bytes(slots: int) -> int:
    return -(-slots // (8 * _WORD)) * _WORD
