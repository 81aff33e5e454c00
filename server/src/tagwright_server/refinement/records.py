"""What refinement is asked and what it answers, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray


class Decision(Enum):
    """What to do with a tag; UNSURE is for people to decide, and also what cannot be judged by looking."""

    KEEP = "keep"
    REMOVE = "remove"
    ADD = "add"
    UNSURE = "unsure"


class ReasonKind(Enum):
    """What a reason rests on; what its number means is said with the kinds of the contract (tag.proto)."""

    MODEL_SCORE = "model score"
    NEIGHBOURS = "neighbours"
    PROBE = "probe"
    COOCCURRENCE = "co-occurrence"
    USER_TAG = "user tag"
    RULE = "rule"
    NOT_VISIBLE = "not visible"
    REVIEW = "review"
    BATCH_SCORE = "batch score"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason for a decision, in words and as a number."""

    kind: ReasonKind
    text: str
    value: float
    threshold: float | None = None
    image_ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TagDecision:
    """What to do with one tag, and why; `score` is the probability that it is right, None where it cannot be judged."""

    name: str
    score: float | None
    decision: Decision
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo: float32 [D] L2-normalised embedding, the network's calibrated scores by tag, its owner's tags.

    `confirmed` and `rejected` are what people decided about its tags.
    """

    embedding: NDArray[np.float32]
    label_scores: Mapping[str, float]
    user_tags: tuple[str, ...] = ()
    confirmed: frozenset[str] = frozenset()
    rejected: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Photos that look alike, the most alike first: float32 [k] cosine similarities and weights, with their tags.

    `ids` is "" for photos that nobody may open, those of the starter library; `authors` "" where nobody knows.
    """

    similarities: NDArray[np.float32]
    weights: NDArray[np.float32]
    ids: tuple[str, ...]
    authors: tuple[str, ...]
    tags: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.ids)

    def without(self, id: str) -> Neighbours:
        """Return the others: a stored photo does not vote for itself."""
        return self if id not in self.ids else self._rows([at for at, each in enumerate(self.ids) if each != id])

    def merged(self, others: Neighbours, limit: int) -> Neighbours:
        """Return the `limit` most alike of both, of each known author the most alike one (Li, Snoek, Worring 2009)."""
        both = Neighbours(
            np.concatenate([self.similarities, others.similarities]),
            np.concatenate([self.weights, others.weights]),
            self.ids + others.ids,
            self.authors + others.authors,
            self.tags + others.tags,
        )
        rows, authors = [], set[str]()
        for row in np.argsort(-both.similarities, kind="stable").tolist():
            author = both.authors[row]
            if author and author in authors:
                continue
            authors.add(author)
            rows.append(row)
            if len(rows) == limit:
                break
        return both._rows(rows)

    def _rows(self, rows: list[int]) -> Neighbours:
        return Neighbours(
            self.similarities[rows],
            self.weights[rows],
            tuple(self.ids[row] for row in rows),
            tuple(self.authors[row] for row in rows),
            tuple(self.tags[row] for row in rows),
        )


NOBODY = Neighbours(np.empty(0, np.float32), np.empty(0, np.float32), (), (), ())


@dataclass(frozen=True, slots=True)
class RefineOptions:
    """What is wanted: thresholds, how many additions, and which tags; `parents` are the rules of those in play."""

    target_precision: float | None = None
    min_score: float | None = None
    max_tags: int = 0
    include: tuple[str, ...] = ()
    exclude: frozenset[str] = frozenset()
    parents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
