"""Which photos have a tag: a list for each tag, in the order of their slots, that only ever grows at its end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagwright_server.store.columns import grown

NO_SCORE = -1.0  # nothing has judged the tag
NO_POSITION = (1 << 15) - 1  # no person typed it; the last in every order
UNJUDGED = 0.85  # what a tag counts that somebody gave and nothing judged: in MIRFlickr 14 % of those are wrong
_CONFIRMED = 1 << 15
_BELOW_ONE = float(np.nextafter(np.float32(1), np.float32(0)))


@dataclass(frozen=True, slots=True, eq=False)
class Posting:
    """The photos with a tag, some of them gone: slots int32 [n] ascending, and what it counts for each, float32 [n].

    It counts its calibrated score, UNJUDGED where it has none, 1 where a person confirmed it and less otherwise.
    `marks` uint16 [n] hold whether a person did, and its place among the owner's tags.
    """

    slots: NDArray[np.int32]
    weights: NDArray[np.float32]
    marks: NDArray[np.uint16]

    @property
    def confirmed(self) -> NDArray[np.bool_]:
        """Whether a person said that it is right, bool [n]."""
        return self.marks >= _CONFIRMED

    @property
    def positions(self) -> NDArray[np.uint16]:
        """The places among the tags that owners typed, from 0, uint16 [n]; NO_POSITION for none."""
        found: NDArray[np.uint16] = self.marks & np.uint16(NO_POSITION)
        return found

    def kept(self, slots: NDArray[np.int32]) -> Posting:
        """Return it with other slots, without those that have -1."""
        there = slots[self.slots] >= 0
        return Posting(slots[self.slots[there]], self.weights[there], self.marks[there])


EMPTY = Posting(np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0, np.uint16))


def mark(*, confirmed: bool, position: int) -> int:
    """Return what `marks` hold."""
    return (_CONFIRMED if confirmed else 0) | position


def weights(scores: NDArray[np.float32], marks: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return what tags count, float32 [n], by their scores, NO_SCORE for none, and marks."""
    suggested = np.where(scores < 0, np.float32(UNJUDGED), np.minimum(scores, np.float32(_BELOW_ONE)))
    return np.where(marks >= _CONFIRMED, np.float32(1), suggested)


def weight(score: float | None, *, confirmed: bool) -> float:
    """Return the same of one tag."""
    if confirmed:
        return 1.0
    return min(float(np.float32(UNJUDGED if score is None else score)), _BELOW_ONE)


class Postings:
    """The lists of all tags, by the tags' numbers."""

    def __init__(self) -> None:
        self._lists: dict[int, Posting] = {}
        self._lengths: dict[int, int] = {}

    def of(self, tag: int) -> Posting:
        """Return the list of a tag, empty where there is none."""
        found, length = self._lists.get(tag, EMPTY), self._lengths.get(tag, 0)
        return Posting(found.slots[:length], found.weights[:length], found.marks[:length])

    def append(self, tag: int, slot: int, weight: float, mark: int) -> None:
        """Add a photo, whose slot is behind all others."""
        length = self._lengths.get(tag, 0)
        found = self._lists.get(tag, EMPTY)
        if length == len(found.slots):
            found = self._lists[tag] = Posting(
                grown(found.slots, length + 1, least=4),
                grown(found.weights, length + 1, least=4),
                grown(found.marks, length + 1, least=4),
            )
        found.slots[length], found.weights[length], found.marks[length] = slot, weight, mark
        self._lengths[tag] = length + 1

    def fill(self, tags: NDArray[np.int64], posting: Posting) -> None:
        """Set all lists: entries with the tag of each, in the order of their slots."""
        order = np.argsort(tags, kind="stable")
        ordered = tags[order]
        begins = np.flatnonzero(np.diff(ordered, prepend=-1))
        whole = Posting(posting.slots[order], posting.weights[order], posting.marks[order])
        ends = np.append(begins[1:], len(order))
        for tag, begin, end in zip(
            ordered[begins].tolist(), begins.tolist(), ends[: len(begins)].tolist(), strict=True
        ):
            part = slice(begin, end)  # of one array: it is copied when the list grows
            self._lists[tag] = Posting(whole.slots[part], whole.weights[part], whole.marks[part])
            self._lengths[tag] = end - begin

    def moved(self, slots: NDArray[np.int32]) -> Postings:
        """Return the same lists with other slots, -1 for those that go."""
        other = Postings()
        for tag in self._lists:
            kept = self.of(tag).kept(slots)
            if len(kept.slots):
                other._lists[tag], other._lengths[tag] = kept, len(kept.slots)
        return other
