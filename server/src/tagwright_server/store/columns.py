"""Columns that grow: texts as small numbers, lists of numbers as slices of one array, and photos' slots by number.

A million photos' tags take a few megabytes. Not for several threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_POOL_MIN = 1024
_BLOCK = 1 << 12  # numbers of photos that share a table of slots
_NONE = -1


class Names:
    """Texts, each with a number from 0 on."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = list(names)
        self._numbers = {name: number for number, name in enumerate(self._names)}

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, number: int) -> str:
        return self._names[number]

    def number(self, name: str) -> int:
        """Return the number of a text, which is new if it is."""
        number = self._numbers.setdefault(name, len(self._names))
        if number == len(self._names):
            self._names.append(name)
        return number

    def find(self, name: str) -> int | None:
        """Return the number of a text that is known."""
        return self._numbers.get(name)

    def all(self) -> list[str]:
        """Return the texts in the order of their numbers."""
        return list(self._names)


class Lists:
    """A list of small numbers for each slot."""

    def __init__(self) -> None:
        self._pool = np.empty(_POOL_MIN, np.int32)
        self._end = 0  # of what is used of the pool
        self._starts = np.zeros(0, np.int64)
        self._lengths = np.zeros(0, np.int32)

    def grow(self, slots: int) -> None:
        """Have room for so many slots."""
        self._starts = grown(self._starts, slots)
        self._lengths = grown(self._lengths, slots)

    def of(self, slot: int) -> list[int]:
        """Return the list of a slot."""
        start = int(self._starts[slot])
        found: list[int] = self._pool[start : start + int(self._lengths[slot])].tolist()
        return found

    def put(self, slot: int, numbers: Sequence[int]) -> None:
        """Set the list of a slot."""
        if self._end + len(numbers) > len(self._pool):
            self._lengths[slot] = 0
            self._make_room(len(numbers))
        self._pool[self._end : self._end + len(numbers)] = numbers
        self._starts[slot], self._lengths[slot] = self._end, len(numbers)
        self._end += len(numbers)

    def packed(self, slots: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the lists of some slots behind each other, and how long each is."""
        starts, lengths = self._starts[slots], self._lengths[slots]
        ends = np.cumsum(lengths, dtype=np.int64)
        places = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)
        return self._pool[places], lengths

    def fill(self, numbers: NDArray[np.int32], lengths: NDArray[np.int32]) -> None:
        """Set the lists of the first slots to what `packed` made."""
        self.grow(len(lengths))
        self._pool = numbers.copy()
        self._end = len(numbers)
        self._lengths[: len(lengths)] = lengths
        self._starts[: len(lengths)] = np.cumsum(lengths, dtype=np.int64) - lengths

    def _make_room(self, more: int) -> None:
        # What changed or went left holes; they go when the array would have to grow.
        slots = np.flatnonzero(self._lengths).astype(np.int32)
        pool, lengths = self.packed(slots)
        self._starts[slots] = np.cumsum(lengths, dtype=np.int64) - lengths
        self._pool = np.empty(max(_POOL_MIN, 2 * (len(pool) + more)), np.int32)
        self._pool[: len(pool)] = pool
        self._end = len(pool)


class Slots:
    """The slot of each photo's number: a table, in blocks, as numbers of photos that are gone never come back."""

    def __init__(self) -> None:
        self._tables: dict[int, NDArray[np.int32]] = {}

    def get(self, number: int) -> int | None:
        """Return the slot of a photo."""
        table = self._tables.get(number // _BLOCK)
        slot = _NONE if table is None else int(table[number % _BLOCK])
        return None if slot == _NONE else slot

    def many(self, numbers: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the slots of those of the photos that are here, each once, in the order of their numbers."""
        if not len(numbers):
            return np.zeros(0, np.int32)
        ordered = np.unique(numbers)
        blocks = ordered // _BLOCK
        begins = np.flatnonzero(np.diff(blocks, prepend=blocks[0] - 1))
        found = [
            table[some % _BLOCK]
            for block, some in zip(blocks[begins].tolist(), np.split(ordered, begins[1:]), strict=True)
            if (table := self._tables.get(block)) is not None
        ]
        slots = np.concatenate(found) if found else np.zeros(0, np.int32)
        here: NDArray[np.int32] = slots[slots != _NONE]
        return here

    def put(self, number: int, slot: int) -> None:
        """Set the slot of a photo."""
        self._table(number // _BLOCK)[number % _BLOCK] = slot

    def remove(self, number: int) -> None:
        """Forget a photo."""
        self._table(number // _BLOCK)[number % _BLOCK] = _NONE

    def fill(self, numbers: NDArray[np.int64]) -> None:
        """Set the slots of photos to 0, 1, 2..."""
        blocks = numbers // _BLOCK
        order = np.argsort(blocks, kind="stable")
        begins = np.flatnonzero(np.diff(blocks[order], prepend=-1))
        for some in np.split(order, begins[1:]) if len(order) else ():
            self._table(int(blocks[some[0]]))[numbers[some] % _BLOCK] = some

    def _table(self, block: int) -> NDArray[np.int32]:
        table = self._tables.get(block)
        if table is None:
            table = self._tables[block] = np.full(_BLOCK, _NONE, np.int32)
        return table


def grown(array: NDArray[np.generic], length: int, *, least: int = 64) -> NDArray:  # type: ignore[type-arg]
    """Return an array with room for `length`, zeros behind what it holds; by halves, so that it is seldom copied."""
    if length <= len(array):
        return array
    larger = np.zeros((max(length, len(array) * 3 // 2, least), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
