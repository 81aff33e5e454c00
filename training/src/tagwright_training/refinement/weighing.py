"""Tags of photos with what speaks for them, and whether they are right: what the refiner's weights are fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagwright_server.inference.bundle import Bundle
from tagwright_server.refinement import starter
from tagwright_server.refinement.artefact import Weights
from tagwright_server.refinement.evidence import FEATURES, Evidence, gather
from tagwright_server.refinement.label_words import LabelWords
from tagwright_server.refinement.records import Photo
from tagwright_server.refinement.refiner import most_voted
from tagwright_server.refinement.starter import StarterLibrary
from tagwright_server.refinement.statistics import MIN_PHOTOS
from tagwright_training.mirflickr import Advance
from tagwright_training.refinement.corpus import Corpus
from tagwright_training.refinement.features import TaggerLook

NEIGHBOURS = 200
SWAPPED = 0.15  # of three tags a photo, that are put among its own
VISIBLE_FROM = 0.6  # of visualness; above it are sky, flower and macro, below it london, art, nikon and 2008

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Examples:
    """Tags of photos, with what speaks for them: float64 [m, FEATURES], and whether they are right, bool [m]."""

    features: Numbers
    right: NDArray[np.bool_]
    labels: NDArray[np.int64]
    """Which label says whether each is right; -1: none does."""

    def scores(self, weights: Weights, names: Sequence[str]) -> Numbers:
        """Probabilities that the tags are right, `[m]`."""
        with_label, without = (
            np.array([row[name] for name in FEATURES]) for row in (weights.with_label, weights.without_label)
        )
        offsets = np.array([*(weights.label_offsets[name] for name in names), 0.0])[self.labels]
        logits = np.where(self.labels >= 0, self.features @ with_label + offsets, self.features @ without)
        scores: Numbers = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
        return scores


@dataclass(frozen=True, slots=True)
class AllExamples:
    """What the weights are fitted on."""

    given: Examples
    """Tags that the owner gave and a label judges."""
    missing: Examples
    """Labels that the owner gave no tag for."""
    swapped: Examples
    """Visible tags without a label: the owner's, which count as right, and some of other photos, which are wrong."""
    typed: Examples
    """Visible tags without a label that the neighbours have; right: the owner typed it, and it was hidden."""


def library_arrays(corpus: Corpus, look: TaggerLook, rows: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
    """Return the starter library of some photos, with the tags that many of them have: rare ones often name people."""
    tags = corpus.tags.take(rows)
    often = frozenset(tags.names[column] for column in np.flatnonzero(tags.counts() >= MIN_PHOTOS).tolist())
    kept = [[tag for tag in corpus.tags.typed(row) if tag in often] for row in rows.tolist()]
    return dict(starter.to_arrays(look.embedding[rows], kept))


def library_of(corpus: Corpus, look: TaggerLook, rows: NDArray[np.int64]) -> StarterLibrary:
    """Return photos as a library that votes, as the server reads it."""
    return starter.from_arrays(library_arrays(corpus, look, rows))


class Weighing:
    """Photos whose tags are weighed, and the library that votes on them."""

    def __init__(
        self,
        bundle: Bundle,
        corpus: Corpus,
        look: TaggerLook,
        library: NDArray[np.int64],
        concepts: frozenset[str],
        words: LabelWords,
    ) -> None:
        self._corpus = corpus
        self._look = look
        self._library = library_of(corpus, look, library)
        self._statistics = self._library.statistics()
        self._names = [label.name for label in bundle.labels]
        self._words = words
        self._label_of = words.label_of
        self._concepts = concepts
        self._column = {name: at for at, name in enumerate(corpus.label_names)}

    def examples(
        self, rows: NDArray[np.int64], advance: Advance = lambda done, total: None, *, seed: int = 1
    ) -> AllExamples:
        """Return the tags of photos, and others, as they are to be weighed."""
        rng = np.random.default_rng(seed)
        given, missing, swapped, typed = [], [], [], []
        pool = [tag for row in rows.tolist() for tag in self._corpus.tags.typed(row) if self._open(tag)]
        for done, row in enumerate(rows.tolist(), start=1):
            tags = self._corpus.tags.typed(row)
            mine = [tag for tag in tags if tag in self._label_of]
            said = {self._label_of[tag] for tag in mine}
            others = [name for name in self._names if name not in said]
            found = self._gather(row, tags, [*mine, *others])
            right = np.array([self._holds(row, tag) for tag in (*mine, *others)], np.bool_)
            labels = np.array([self._names.index(self._label_of[tag]) for tag in (*mine, *others)])
            here = found.place > 0
            given.append(Examples(found.features()[here], right[here], labels[here]))
            missing.append(Examples(found.features()[~here], right[~here], labels[~here]))
            drawn = rng.choice(pool, rng.binomial(3, SWAPPED)).tolist() if pool else []
            strangers = [tag for tag in drawn if tag not in tags]
            seen = dict.fromkeys([*(tag for tag in tags if self._open(tag)), *strangers])
            swapped.append(self._unlabelled(row, (*tags, *strangers), list(seen), right=[tag in tags for tag in seen]))
            offered = [tag for tag in self._offered(row) if self._open(tag)]
            typed.append(self._unlabelled(row, tags, [tag for tag in offered if tag not in tags], right=False))
            for tag in offered:
                if tag in tags:  # as if the owner had not
                    rest = tuple(each for each in tags if each != tag)
                    typed.append(self._unlabelled(row, rest, [tag], right=True))
            advance(done, len(rows))
        return AllExamples(_together(given), _together(missing), _together(swapped), _together(typed))

    def _unlabelled(self, row: int, tags: Sequence[str], names: Sequence[str], *, right: bool | list[bool]) -> Examples:
        features = self._gather(row, tags, names).features()
        return Examples(features, np.broadcast_to(np.array(right, np.bool_), len(names)), np.full(len(names), -1))

    def _offered(self, row: int) -> list[str]:
        """What the refiner would weigh for a photo that comes with no tags, by its neighbours alone."""
        photo = Photo(self._look.embedding[row], {})
        neighbours = self._library.neighbours(photo.embedding, NEIGHBOURS)
        return most_voted(neighbours)

    def _gather(self, row: int, tags: Sequence[str], names: Sequence[str]) -> Evidence:
        scores = dict(zip(self._names, self._look.scores[row].tolist(), strict=True))
        photo = Photo(self._look.embedding[row], scores, tuple(tags))
        neighbours = self._library.neighbours(photo.embedding, NEIGHBOURS)
        return gather(photo, neighbours, self._statistics, names, self._words)

    def _holds(self, row: int, tag: str) -> bool:
        return bool(self._corpus.labels[row, self._column[self._label_of[tag]]])

    def _open(self, tag: str) -> bool:
        return tag not in self._label_of and tag in self._concepts and self._statistics.visualness(tag) >= VISIBLE_FROM


def _together(parts: Sequence[Examples]) -> Examples:
    return Examples(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.right for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )
