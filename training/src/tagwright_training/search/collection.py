"""Photos that are searched, as the server would keep them: which tags each has, with which score, and what is relevant.

Promises: a photo's tags are those that tagging and refining leave (`domain/decisions.py`): what the network says from
its thresholds on, what the owner typed with what refinement thinks of it, and what refinement adds.
Never: lets a photo vote on its own tags.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from tagwright_server.inference.bundle import Bundle
from tagwright_server.refinement import refiner
from tagwright_server.refinement.artefact import Artefact
from tagwright_server.refinement.records import Decision, Neighbours, Photo, RefineOptions
from tagwright_server.refinement.refiner import Refiner
from tagwright_server.refinement.starter import StarterLibrary
from tagwright_training.dataset import write_atomically
from tagwright_training.mirflickr import Advance
from tagwright_training.refinement.corpus import CONCEPTS_14, CONCEPTS_24, Corpus, normalised
from tagwright_training.refinement.features import TaggerLook

UNJUDGED = 0.85  # what a tag counts that somebody gave and nothing has judged (search.proto)
ALIASES: Mapping[str, str] = MappingProxyType({tag: label for tag, label in CONCEPTS_24.items() if tag != label})
"""Queries whose tag is not the label's own word: the vocabulary has the one as an alias of the other."""

Array = NDArray[np.float32]
Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StoredTag:
    """A tag that a photo has: what it counts, 0 to 1, and where its owner typed it, None: nobody did."""

    score: float
    position: int | None


@dataclass(frozen=True, slots=True)
class Query:
    """A tag that is looked for, the label that says which photos are relevant, and in which sense."""

    tag: str
    label: str
    strict: bool


@dataclass(frozen=True, slots=True)
class Collection:
    """Photos that are searched, by number, in the order of their ids."""

    vectors: Array
    """[n, D] of length 1."""
    scores: Array
    """What the network says, calibrated, [n, labels]."""
    label_names: tuple[str, ...]
    """Of `scores`."""
    typed: tuple[tuple[str, ...], ...]
    tags: tuple[Mapping[str, StoredTag], ...]
    """By the tags' own names (`ALIASES`)."""
    truth: Bools
    """Plain labels that hold, [n, plain labels]."""
    plain_names: tuple[str, ...]
    strict: Bools
    strict_names: tuple[str, ...]

    def relevant(self, query: Query) -> Bools:
        """Which photos are relevant, [n]."""
        if query.strict:
            return self.strict[:, self.strict_names.index(query.label)]
        return self.truth[:, self.plain_names.index(query.label)]

    def others(self, query: Query) -> Bools:
        """The plain labels but the query's, [n, plain labels - 1]."""
        return np.delete(self.truth, self.plain_names.index(query.label), axis=1)

    def take(self, rows: Rows) -> Collection:
        """These photos alone."""
        return Collection(
            self.vectors[rows],
            self.scores[rows],
            self.label_names,
            tuple(self.typed[row] for row in rows.tolist()),
            tuple(self.tags[row] for row in rows.tolist()),
            self.truth[rows],
            self.plain_names,
            self.strict[rows],
            self.strict_names,
        )


def queries(corpus: Corpus, *, strict: bool) -> list[Query]:
    """The 14 tags in the strict sense, or the 24 in the plain one, as far as the folder has their labels."""
    tags, known = (CONCEPTS_14, corpus.strict_names) if strict else (CONCEPTS_24, corpus.label_names)
    return [Query(tag, label, strict) for tag, label in tags.items() if label in known]


class Keeping:
    """What the server would keep of photos, with the photos of a library voting."""

    def __init__(self, bundle: Bundle, artefact: Artefact, library: Array, lists: Sequence[Sequence[str]]) -> None:
        self._refiner = Refiner(artefact, ALIASES)
        self._artefact = artefact
        self._library = StarterLibrary(library, tuple(tuple(tags) for tags in lists)).under(ALIASES)
        self._statistics = self._library.statistics()
        self.label_names = tuple(label.name for label in bundle.labels)
        self._thresholds = np.array([label.default_threshold for label in bundle.labels])

    def tags(self, vector: Array, scores: Array, typed: Sequence[str], *, own_row: int | None) -> dict[str, StoredTag]:
        """Return a photo's tags; `own_row` is its place in the library, where it is in it."""
        names = tuple(dict.fromkeys(ALIASES.get(tag, tag) for tag in typed))
        said = dict(zip(self.label_names, scores.tolist(), strict=True))
        found = {
            name: StoredTag(said[name], None)
            for name, enough in zip(self.label_names, scores >= self._thresholds, strict=True)
            if enough
        }
        for position, name in enumerate(names):
            found[name] = StoredTag(said.get(name, UNJUDGED), position)
        if not names:  # nothing is refined that nobody gave a tag
            return found
        photo = Photo(vector, said, names)
        voters = self._neighbours(vector, own_row)
        for each in self._refiner.refine(photo, voters, self._statistics, RefineOptions()):
            if each.score is not None and (each.decision is Decision.ADD or each.name in found):
                had = found.get(each.name)
                found[each.name] = StoredTag(each.score, had.position if had is not None else None)
        return found

    def key(self, vectors: Array, scores: Array, typed: Sequence[Sequence[str]], voters: Rows) -> str:
        """Return a digest of everything that the tags of these photos rest on, the code among it."""
        found = hashlib.sha256(self._artefact.manifest.model_dump_json().encode())
        for array in (vectors, scores, self._library.vectors, self._thresholds, voters):
            found.update(np.ascontiguousarray(array).tobytes())
        found.update(repr((typed, self._library.tags)).encode())
        for source in (*sorted(Path(refiner.__file__).parent.glob("*.py")), Path(__file__)):
            found.update(source.read_bytes())
        return found.hexdigest()[:16]

    def _neighbours(self, vector: Array, own_row: int | None) -> Neighbours:
        found = self._library.neighbours(vector, self._refiner.neighbours + 1)
        if own_row is None:
            return _rows(found, list(range(len(found) - 1)))
        # the library's order is not told: the photo itself is the one with its own tags that is most alike
        own = self._library.tags[own_row]
        place = next((at for at, tags in enumerate(found.tags) if tags == own), len(found) - 1)
        return _rows(found, [at for at in range(len(found)) if at != place])


def collect(
    corpus: Corpus,
    rows: Rows,
    look: TaggerLook,
    keeping: Keeping,
    library_rows: Rows,
    advance: Advance,
    cache: Path | None = None,
) -> Collection:
    """The photos `rows` of a folder as the server would keep them; `library_rows` are those of the folder that vote.

    20,000 photos take minutes, so their tags are kept in the `cache` folder until anything that they rest on changes.
    """
    typed = tuple(corpus.tags.typed(row) for row in rows.tolist())
    vectors, scores = normalised(look.embedding[rows]), look.scores[rows]
    file = None if cache is None else cache / f"tags-{keeping.key(vectors, scores, typed, library_rows)}.json"
    if file is not None and file.exists():
        kept = json.loads(file.read_bytes())
        tags = [{name: StoredTag(*tag) for name, tag in each.items()} for each in kept]
    else:
        place = {row: at for at, row in enumerate(library_rows.tolist())}
        tags = []
        for at, row in enumerate(rows.tolist()):
            if at % 100 == 0:
                advance(at, len(rows))
            tags.append(keeping.tags(vectors[at], scores[at], typed[at], own_row=place.get(row)))
        if file is not None:
            kept = [{name: (tag.score, tag.position) for name, tag in each.items()} for each in tags]
            write_atomically(file, json.dumps(kept).encode())
    advance(len(rows), len(rows))
    return Collection(
        vectors,
        scores,
        keeping.label_names,
        typed,
        tuple(tags),
        corpus.labels[rows],
        corpus.label_names,
        corpus.strict[rows],
        corpus.strict_names,
    )


def _rows(found: Neighbours, rows: list[int]) -> Neighbours:
    return Neighbours(
        found.similarities[rows],
        found.weights[rows],
        tuple(found.ids[row] for row in rows),
        tuple(found.authors[row] for row in rows),
        tuple(found.tags[row] for row in rows),
    )
