"""Vectors in cells, each around a centre of its own: who looks for near ones looks into the nearest cells only.

An inverted file (Jegou, Douze, Schmid: Product Quantization for Nearest Neighbor Search, 2011, section 4), of which
the cells split in two when they are full (as in Xu et al.: SPFresh, 2023), so that it never has to be trained anew.
Vectors are int16 [D], SCALE times those of length 1: near ones have a great inner product. Not for several threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from tagwright_server.store.photo_index.names import grown
from tagwright_server.store.photo_index.reading import SCALE

CELL = 1024  # vectors at most: small enough for a processor's own cache as float32, large enough for its best pace
_SLAB_CELLS = 64
_ROUNDS = 6  # of 2-means
_SMALLEST_SHARE = 16  # a part of a split has at least one in so many
_GATHERED_SHARE = 4  # where fewer than one in so many of a cell are wanted, those alone are looked at
_NONE = -1

Wanted = Callable[[NDArray[np.int32]], NDArray[np.bool_]]  # of slots, which of them


class Cells:
    """Vectors by slot."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._slabs: list[NDArray[np.int16]] = []  # [_SLAB_CELLS * CELL, D] each; a cell is CELL rows of one
        self._slots = np.zeros(0, np.int32)  # by row
        self._rows = np.zeros(0, np.int32)  # by slot
        self._counts = np.zeros(0, np.int32)  # by cell
        self._centres = np.zeros((0, size), np.float32)  # by cell
        self._cells = 0  # that were ever used
        self._free: list[int] = []
        self._here = _Buffers()

    @property
    def cells(self) -> int:
        """How many cells hold vectors."""
        return self._cells - len(self._free)

    def vectors(self, slots: NDArray[np.int32]) -> NDArray[np.int16]:
        """Return the vectors of slots: int16 [n, D]."""
        rows = self._rows[slots]
        found = np.empty((len(rows), self._size), np.int16)
        slabs = rows // (_SLAB_CELLS * CELL)
        for slab in np.unique(slabs).tolist():
            here = np.flatnonzero(slabs == slab)
            found[here] = self._slabs[slab][rows[here] - slab * _SLAB_CELLS * CELL]
        return found

    def put(self, slots: NDArray[np.int32], vectors: NDArray[np.int16]) -> None:
        """Put vectors [n, D] of slots that have none."""
        if len(slots):
            self._rows = grown(self._rows, int(slots.max()) + 1)
        pending = np.arange(len(slots))
        while len(pending):
            left = []
            for cell, some in self._nearest(vectors, pending):
                fit = some[: CELL - int(self._counts[cell])]
                self._append(cell, slots[fit], vectors[fit])
                if len(fit) < len(some):
                    left.append(some[len(fit) :])
                    self._split(cell)
            pending = np.concatenate(left) if left else pending[:0]

    def remove(self, slot: int) -> None:
        """Remove the vector of a slot; the last of its cell takes its place."""
        row = int(self._rows[slot])
        cell = row // CELL
        last = cell * CELL + int(self._counts[cell]) - 1
        if row != last:
            self._row(row)[:] = self._row(last)
            self._slots[row] = self._slots[last]
            self._rows[self._slots[row]] = row
        self._counts[cell] -= 1
        if self._counts[cell] == 0:
            self._centres[cell] = 0
            self._free.append(cell)

    def score(self, query: NDArray[np.float32], slots: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return the similarities of a vector float32 [D] of length 1 and those of slots."""
        order = np.argsort(self._rows[slots])  # memory is read in its own order
        sims = np.empty(len(slots), np.float32)
        for start in range(0, len(slots), CELL):
            some = order[start : start + CELL]
            sims[some] = self._products(self.vectors(slots[some]), query)
        return sims

    def nearest(
        self, query: NDArray[np.float32], *, wanted: Wanted | None, enough: int | None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return slots, in no order, and their similarities: those of the cells that are nearest to a vector.

        It looks at cells until it has seen `enough` vectors that are wanted; None: at all of them.
        """
        found_slots: list[NDArray[np.int32]] = [self._slots[:0]]
        found: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
        seen = 0
        for cell in self._order(query, enough):
            start, count = cell * CELL, int(self._counts[cell])
            slots = self._slots[start : start + count]
            vectors = self._block(cell)[:count]
            if wanted is not None:
                places = np.flatnonzero(wanted(slots))
                if len(places) < count:
                    slots = slots[places]
                if len(places) * _GATHERED_SHARE < count:
                    sims = self._products(vectors[places], query)
                else:
                    sims = self._products(vectors, query)[places]
            else:
                sims = self._products(vectors, query)
            found_slots.append(slots)
            found.append(sims)
            seen += len(slots)
            if enough is not None and seen >= enough:
                break
        return np.concatenate(found_slots), np.concatenate(found)

    def slots(self) -> Iterator[NDArray[np.int32]]:
        """Return the slots of each cell."""
        for cell in np.flatnonzero(self._counts[: self._cells]).tolist():
            yield self._slots[cell * CELL : cell * CELL + int(self._counts[cell])].copy()

    def centres(self) -> NDArray[np.float32]:
        """Return the centres of the cells that hold vectors, in the order of `slots`: float32 [n, D]."""
        centres: NDArray[np.float32] = self._centres[: self._cells][self._counts[: self._cells] > 0]
        return centres

    def fill(self, slots: NDArray[np.int32], vectors: NDArray[np.int16], centre: NDArray[np.float32]) -> None:
        """Make a cell of at most CELL vectors of slots that have none."""
        self._rows = grown(self._rows, int(slots.max()) + 1)
        self._append(self._new_cell(centre), slots, vectors)

    def _order(self, query: NDArray[np.float32], enough: int | None) -> Iterable[int]:
        cells = np.flatnonzero(self._counts[: self._cells])
        if enough is not None:
            cells = cells[np.argsort(-(self._centres[: self._cells] @ query)[cells])]
        listed: list[int] = cells.tolist()
        return listed

    def _nearest(self, vectors: NDArray[np.int16], some: NDArray[np.int64]) -> list[tuple[int, NDArray[np.int64]]]:
        """Return the cells that are nearest to some of the vectors, with those of each."""
        if not self.cells:
            self._new_cell(_unit(vectors[some[0]].astype(np.float32)))
        cells = np.empty(len(some), np.int64)
        for start in range(0, len(some), CELL):
            block = vectors[some[start : start + CELL]].astype(np.float32)
            near = block @ self._centres[: self._cells].T
            near[:, self._free] = -np.inf
            cells[start : start + CELL] = near.argmax(axis=1)
        return [(cell, some[cells == cell]) for cell in np.unique(cells).tolist()]

    def _append(self, cell: int, slots: NDArray[np.int32], vectors: NDArray[np.int16]) -> None:
        count = int(self._counts[cell])
        start = cell * CELL + count
        self._block(cell)[count : count + len(slots)] = vectors
        self._slots[start : start + len(slots)] = slots
        self._rows[slots] = np.arange(start, start + len(slots), dtype=np.int32)
        self._counts[cell] += len(slots)

    def _split(self, cell: int) -> None:
        """Give a cell that is full to two."""
        start, count = cell * CELL, int(self._counts[cell])
        vectors = self._block(cell)[:count].copy()
        slots = self._slots[start : start + count].copy()
        second = _halves(vectors.astype(np.float32))
        self._counts[cell] = 0
        for target, part in ((cell, ~second), (self._new_cell(self._centres[cell]), second)):
            self._centres[target] = _unit(vectors[part].astype(np.float32).mean(axis=0))
            self._append(target, slots[part], vectors[part])

    def _new_cell(self, centre: NDArray[np.float32]) -> int:
        if self._free:
            cell = self._free.pop()
        else:
            cell = self._cells
            self._cells += 1
            self._counts = grown(self._counts, self._cells)
            self._centres = grown(self._centres, self._cells)
            if cell % _SLAB_CELLS == 0:
                self._slabs.append(np.empty((_SLAB_CELLS * CELL, self._size), np.int16))
                self._slots = grown(self._slots, len(self._slabs) * _SLAB_CELLS * CELL)
        self._centres[cell] = centre
        return cell

    def _block(self, cell: int) -> NDArray[np.int16]:
        start = cell % _SLAB_CELLS * CELL
        return self._slabs[cell // _SLAB_CELLS][start : start + CELL]

    def _row(self, row: int) -> NDArray[np.int16]:
        vector: NDArray[np.int16] = self._block(row // CELL)[row % CELL]
        return vector

    def _products(self, vectors: NDArray[np.int16], query: NDArray[np.float32]) -> NDArray[np.float32]:
        buffer = self._here.of(self._size)[: len(vectors)]
        np.copyto(buffer, vectors)
        products: NDArray[np.float32] = buffer @ query
        products /= SCALE
        return products


class _Buffers(threading.local):
    """Memory of each thread for one cell in float32: getting it anew would take longer than filling it."""

    def __init__(self) -> None:
        self._buffer = np.empty((0, 0), np.float32)

    def of(self, size: int) -> NDArray[np.float32]:
        if self._buffer.shape != (CELL, size):
            self._buffer = np.empty((CELL, size), np.float32)
        return self._buffer


def _halves(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which of the vectors [n, D] belong to the second of two groups, by spherical 2-means."""
    middle = vectors.mean(axis=0)
    first = vectors[int(np.argmin(vectors @ middle))]  # the one that is farthest out, and the one farthest from that
    centres = np.stack([first, vectors[int(np.argmin(vectors @ first))]])
    second = np.zeros(len(vectors), np.bool_)
    for _ in range(_ROUNDS):
        near = vectors @ (_unit(centres[1]) - _unit(centres[0]))
        second = near > 0
        if not _SMALLEST_SHARE * min(second.sum(), (~second).sum()) >= len(second):
            second = np.zeros(len(vectors), np.bool_)
            second[np.argsort(near, kind="stable")[len(near) // 2 :]] = True
        centres = np.stack([vectors[~second].mean(axis=0), vectors[second].mean(axis=0)])
    return second


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector
