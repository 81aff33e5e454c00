"""Completing what somebody types: names that begin so, then those that do but for a typing error or two.

Distances are Damerau-Levenshtein's with adjacent transpositions (optimal string alignment), by rapidfuzz.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import OSA

_SHORTEST = 3  # letters in which an error is allowed for
_LONG = 7  # and two
_SHOWN_WORDS = 6  # of a name, by which it is found


@dataclass(frozen=True, slots=True)
class Name:
    """A name of a tag, and the tag's number; of an alias, the tag's that it means."""

    number: int
    name: str
    tag: int

    @property
    def alias(self) -> str:
        """The name, where it is an alias."""
        return self.name if self.number != self.tag else ""


@dataclass(frozen=True, slots=True)
class Completion:
    """A name that completes what was typed, and how many letters of that were wrong."""

    name: Name
    errors: int


class Completions:
    """Names that can be completed to; made once and used by any number of threads."""

    def __init__(self, names: Sequence[Name]) -> None:
        entries = [
            (word, place) for place, name in enumerate(names) for word in _beginnings(name.name)
        ]  # a name begins at each of its words
        entries.sort()
        self._names = names
        self._words = [word for word, _ in entries]
        self._places = [place for _, place in entries]

    def of(self, prefix: str, counts: NDArray[np.int64], *, count: int) -> list[Completion]:
        """Return the `count` best completions, those with fewer errors first, then the tags of more photos.

        `counts` by tag; a tag of no photo is left out, and each tag comes once. An empty prefix: the commonest tags.
        """
        if not prefix:
            return self._commonest(counts, count)
        begin, end = bisect_left(self._words, prefix), bisect_left(self._words, prefix + "\U0010ffff")
        found = self._best(dict.fromkeys(self._places[begin:end], 0), counts, count)
        allowed = 0 if len(prefix) < _SHORTEST else 1 if len(prefix) < _LONG else 2
        if len(found) < count and allowed:
            errors = self._errors(prefix, allowed)
            exact = {each.name.tag for each in found}
            more = self._best(errors, counts, count + len(exact))
            found += [each for each in more if each.name.tag not in exact][: count - len(found)]
        return found

    def _errors(self, prefix: str, allowed: int) -> dict[int, int]:
        """Return the places of names that begin nearly so, with how many letters of the prefix are wrong."""
        found: dict[int, int] = {}
        for length in range(len(prefix) - allowed, len(prefix) + allowed + 1):
            begun = [word[:length] for word in self._words]
            distances = process.cdist(
                [prefix], begun, scorer=OSA.distance, score_cutoff=allowed, dtype=np.int32, workers=1
            )[0]
            for entry in np.flatnonzero(distances <= allowed).tolist():
                place, errors = self._places[entry], int(distances[entry])
                found[place] = min(errors, found.get(place, errors))
        return found

    def _best(self, errors: dict[int, int], counts: NDArray[np.int64], count: int) -> list[Completion]:
        best: dict[int, Completion] = {}
        for place, wrong in errors.items():
            name = self._names[place]
            if name.tag < len(counts) and counts[name.tag]:
                other = best.get(name.tag)
                if other is None or (wrong, bool(name.alias)) < (other.errors, bool(other.name.alias)):
                    best[name.tag] = Completion(name, wrong)
        return sorted(best.values(), key=lambda one: (one.errors, -int(counts[one.name.tag]), one.name.name))[:count]

    def _commonest(self, counts: NDArray[np.int64], count: int) -> list[Completion]:
        by_tag = {name.tag: name for name in self._names if not name.alias}
        order = np.lexsort((np.arange(len(counts)), -counts))
        there = (by_tag[tag] for tag in order[counts[order] > 0].tolist() if tag in by_tag)
        return [Completion(name, 0) for name, _ in zip(there, range(count), strict=False)]


def _beginnings(name: str) -> list[str]:
    """Return a name from each of its words on."""
    begins = [0] + [at + 1 for at, letter in enumerate(name[:-1]) if letter in " _-"]
    return [name[at:] for at in begins[:_SHOWN_WORDS]]
