"""What refinement methods are measured on: a library that votes, photos that nothing has seen, and a stress test.

Promises: all methods get the same photos, tags and truth; the same seed gives the same stress test. A photo to measure
on is neither in the library nor seen by the tagger, by the bytes or by its annotations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tagwright_training.refinement.corpus import (
    CONCEPTS_14,
    CONCEPTS_24,
    TAGS_OF_LABEL,
    Corpus,
    Embedded,
    TagMatrix,
    normalised,
)
from tagwright_training.refinement.weak import side_by_side
from tagwright_training.seen import Seen

Column = Literal["without", "with"]
"""Without expert labels: ImageNet features and user tags alone. With: the tagger's embedding and scores."""
COLUMNS: tuple[Column, ...] = get_args(Column)

DROPPED, SWAPPED = 0.5, 0.3  # of each photo's tags; the second of those that are left

Array = NDArray[np.float32]
Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Looks:
    """What networks make of all photos of one folder, row by row."""

    imagenet: tuple[Array, ...]
    embedding: Array
    scores: Array
    strict: Array | None = None


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder's photos, and what networks make of them."""

    corpus: Corpus
    looks: Looks


@dataclass(frozen=True, slots=True)
class Stressed:
    """Photos' tags after half were dropped and, of the rest, three in ten swapped for somebody else's."""

    lists: tuple[tuple[str, ...], ...]
    strangers: tuple[frozenset[str], ...]
    """The tags of each photo that were put in."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Tags of photos that one of the labels says are right or wrong, all arrays `[tags]`."""

    photo: Rows
    name: Rows
    """Which of the case's names it is."""
    wrong: Bools


@dataclass(frozen=True, slots=True)
class Concepts:
    """Tags to score, and which of them hold for each photo, bool [photos, tags]."""

    tags: tuple[str, ...]
    truth: Bools


@dataclass(frozen=True, slots=True)
class Case:
    """Everything to measure on."""

    library: Mapping[Column, Embedded]
    photos: Mapping[Column, Embedded]
    stressed: Stressed
    names: tuple[str, ...]
    """All tags that methods score, the labels' own names among them."""
    concepts_14: Concepts
    concepts_24: Concepts
    labels: tuple[str, ...]
    truth: Bools
    """[photos, labels]"""
    given: Bools
    """Which labels the owner gave, by any word for them, [photos, labels]."""
    typed: Judged
    """The tags that owners gave and a label judges."""
    stress: Judged
    """Of the stressed tags, strangers that do not hold (wrong), and the owners' that do."""
    strict: Array | None
    """The tagger's scores for the strict labels, `[photos, strict labels]`, in the order of `strict_names`."""
    strict_names: tuple[str, ...]
    rows: Rows
    """The photos' rows in their folder."""

    @property
    def size(self) -> int:
        """How many photos are measured on."""
        return len(self.rows)

    def both(self, column: Column) -> Embedded:
        """The photos with their owners' tags, then the same with the stressed ones."""
        photos = self.photos[column]
        lists = [photos.tags.typed(row) for row in range(self.size)]
        return Embedded(
            vectors=np.concatenate([photos.vectors, photos.vectors]),
            tags=TagMatrix.from_lists([*lists, *self.stressed.lists], names=photos.tags.names),
            label_scores=None if photos.label_scores is None else np.tile(photos.label_scores, (2, 1)),
            label_names=photos.label_names,
        )


def split(library: Corpus, test: Corpus | None, seen: Seen) -> tuple[Rows, Rows]:
    """Rows of the library and of the photos to measure on; without `test`, both are parts of the one folder."""
    if test is None:
        parts = library.part("test")
        return library.part("train", "calibrate"), _unseen(library, parts, seen, frozenset())
    there = frozenset(photo.digest for photo in library.photos)
    return np.arange(len(library.photos)), _unseen(test, np.arange(len(test.photos)), seen, there)


def build(library: Folder, library_rows: Rows, test: Folder, rows: Rows, labels: Sequence[str], *, seed: int) -> Case:
    """The case of these rows; `labels` are those of the tagger's scores. Raises ValueError without a known label."""
    corpus = test.corpus
    lists = [corpus.tags.typed(row) for row in rows.tolist()]
    stressed = stress(lists, seed=seed)
    known = tuple(name for name in corpus.label_names if name in TAGS_OF_LABEL)
    if not known:
        raise ValueError("none of its annotations is a label that tags are known for")
    fourteen = {tag: label for tag, label in CONCEPTS_14.items() if label in corpus.strict_names}
    of_labels = {tag: label for tag, label in CONCEPTS_24.items() if label in known}
    judging = {tag: label for label in known for tag in TAGS_OF_LABEL[label]}
    names = tuple(dict.fromkeys([*fourteen, *of_labels, *judging, *known]))
    truth = corpus.labels[rows][:, [corpus.label_names.index(name) for name in known]]
    given = np.array([[any(tag in TAGS_OF_LABEL[label] for tag in tags) for label in known] for tags in lists], bool)
    library_lists = [library.corpus.tags.typed(row) for row in library_rows.tolist()]
    spoken = list(dict.fromkeys(tag for tags in (*library_lists, *lists) for tag in tags))

    def judge(tags: Sequence[Sequence[str]], only: Sequence[frozenset[str]] | None = None) -> Judged:
        found = [
            (row, names.index(tag), not truth[row, known.index(judging[tag])])
            for row, each in enumerate(tags)
            for tag in each
            if tag in judging
        ]
        if only is not None:  # a stranger that happens to hold is nobody's mistake, nor an owner's that does not
            found = [(row, name, wrong) for row, name, wrong in found if wrong == (names[name] in only[row])]
        table = np.array(found, np.int64).reshape(-1, 3)
        return Judged(table[:, 0], table[:, 1], table[:, 2] > 0)

    return Case(
        library=_sides(library, library_rows, TagMatrix.from_lists(library_lists, names=spoken), labels),
        photos=_sides(test, rows, TagMatrix.from_lists(lists, names=spoken), labels),
        stressed=stressed,
        names=names,
        concepts_14=Concepts(tuple(fourteen), corpus.truth(fourteen, strict=True)[rows]),
        concepts_24=Concepts(tuple(of_labels), corpus.truth(of_labels, strict=False)[rows]),
        labels=known,
        truth=truth,
        given=given.reshape(len(rows), len(known)),
        typed=judge(lists),
        stress=judge(stressed.lists, stressed.strangers),
        strict=None if test.looks.strict is None else test.looks.strict[rows],
        strict_names=tuple(fourteen.values()),
        rows=rows,
    )


def stress(lists: Sequence[Sequence[str]], *, seed: int) -> Stressed:
    """Drop half of each photo's tags, then swap three in ten of those left, each by itself, for tags of all photos.

    A stranger is drawn as often as people type it, never one that the photo's owner typed; it takes the place of the
    tag that it is put in for.
    """
    rng = np.random.default_rng(seed)
    pool = [tag for tags in lists for tag in tags]
    outcome, strangers = [], []
    for tags in lists:
        left = [tag for tag in tags if rng.random() >= DROPPED]
        put_in: list[str] = []
        for place, _ in enumerate(left):
            if rng.random() >= SWAPPED:
                continue
            drawn = pool[int(rng.integers(len(pool)))]
            if drawn not in tags and drawn not in put_in:
                left[place] = drawn
                put_in.append(drawn)
        outcome.append(tuple(left))
        strangers.append(frozenset(put_in))
    return Stressed(tuple(outcome), tuple(strangers))


def _sides(folder: Folder, rows: Rows, tags: TagMatrix, labels: Sequence[str]) -> dict[Column, Embedded]:
    looks = folder.looks
    without = Embedded(side_by_side(*(part[rows] for part in looks.imagenet)), tags)
    embedded = Embedded(normalised(looks.embedding[rows]), tags)
    return {"without": without, "with": replace(embedded, label_scores=looks.scores[rows], label_names=tuple(labels))}


def _unseen(corpus: Corpus, rows: Rows, seen: Seen, there: frozenset[str]) -> Rows:
    kept = [row for row in rows.tolist() if corpus.photos[row] not in seen and corpus.photos[row].digest not in there]
    return np.array(kept, np.int64)
