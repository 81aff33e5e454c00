"""From evidence to decisions: which of a photo's tags to keep, to remove, to add, and which a person has to look at.

Promises: the same evidence gives the same decisions, in the same order. A tag that cannot be seen is never removed and
never added; nor is anything added that a person rejected, or removed that a person confirmed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from tagwright_server.errors import ArgumentInvalid
from tagwright_server.refinement import words
from tagwright_server.refinement.artefact import Artefact, Thresholds, Weights
from tagwright_server.refinement.batch import BatchThresholds
from tagwright_server.refinement.evidence import FEATURES, Evidence, gather
from tagwright_server.refinement.records import (
    Decision,
    Neighbours,
    Photo,
    Reason,
    ReasonKind,
    RefineOptions,
    TagDecision,
)
from tagwright_server.refinement.statistics import Statistics

_CANDIDATES = 64  # of the neighbours' tags, those with most votes
_SAME_PRECISION = 1e-6  # requests carry float32, manifests decimal text


class Refiner:
    """Decides with what was fitted for one model; `aliases` are other names of tags, and the tags that they mean."""

    def __init__(self, artefact: Artefact, aliases: Mapping[str, str] = MappingProxyType({})) -> None:
        manifest = artefact.manifest
        self.neighbours = manifest.neighbours
        self._manifest = manifest
        self._aliases = aliases
        self._concepts = artefact.concepts | {aliases[name] for name in artefact.concepts & aliases.keys()}
        self._label_words = artefact.label_words.under(aliases)
        self._label_of = self._label_words.label_of
        self._given, self._missing = _Weights(manifest.given), _Weights(manifest.missing)

    @property
    def precisions(self) -> list[str]:
        """The target precisions there are thresholds for, ascending."""
        return sorted(self._manifest.thresholds, key=float)

    def refine(
        self,
        photo: Photo,
        neighbours: Neighbours,
        statistics: Statistics,
        options: RefineOptions = RefineOptions(),  # noqa: B008  (frozen)
    ) -> list[TagDecision]:
        """Return decisions: the owner's tags in their order, then those to add, the best first.

        `statistics` are of all photos that could vote, `neighbours` those of them that look most alike.
        """
        thresholds = self.thresholds(options)
        found = gather(photo, neighbours, statistics, self.candidates(photo, neighbours, options), self._label_words)
        scores = dict(zip(found.names, self.scores(found).tolist(), strict=True))
        rules = self._raise_parents(scores, photo, statistics, options.parents)
        why = words.Words(photo, found, neighbours, statistics, rules)
        judged = frozenset(name for name in scores if name in rules or self.visible(name, statistics))
        given = [
            self._judge(name, scores[name], photo, judged, statistics, thresholds, why) for name in photo.user_tags
        ]
        return given + self._additions(photo, scores, judged, rules, statistics, thresholds, options, why)

    def decide(
        self,
        photo: Photo,
        scores: Mapping[str, float],
        statistics: Statistics,
        thresholds: BatchThresholds,
        parents: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    ) -> list[TagDecision]:
        """Return decisions by somebody else's scores: a batch refiner's, with its thresholds by "add" and "remove".

        What can be seen, what people decided and what follows by rule (`parents`) is looked at as ever.
        """
        scores = dict(scores)
        rules = self._raise_parents(scores, photo, statistics, parents)
        default = self._manifest.default_precision
        add, remove = thresholds.get("add", {}).get(default), thresholds.get("remove", {}).get(default)
        found: list[TagDecision] = []
        for name in photo.user_tags:
            score = scores.get(name)
            if name in photo.confirmed or name in photo.rejected or score is None:
                continue
            wrong = remove is not None and score <= remove
            if self.visible(name, statistics) or (name in rules and not wrong):
                decision = Decision.REMOVE if wrong else Decision.KEEP
                found.append(TagDecision(name, score, decision, self._by_batch(name, score, remove, rules)))
        there = {*photo.user_tags, *photo.rejected}
        taken = {self._label_of[tag] for tag in photo.user_tags if tag in self._label_of}
        for name in sorted(scores, key=lambda name: (-scores[name], name)):
            if add is None or scores[name] < add:
                break
            judged = name in rules or self.visible(name, statistics)
            if name not in there and name not in photo.confirmed and judged and self._stands(name, taken):
                reasons = self._by_batch(name, scores[name], add, rules)
                found.append(TagDecision(name, scores[name], Decision.ADD, reasons))
        return found

    def _by_batch(
        self, name: str, score: float, threshold: float | None, rules: Mapping[str, str]
    ) -> tuple[Reason, ...]:
        if name in rules:
            return (words.by_rule(rules[name]),)
        return (Reason(ReasonKind.BATCH_SCORE, f"the batch refiner gives {score:.3f}", score, threshold),)

    def candidates(self, photo: Photo, neighbours: Neighbours, options: RefineOptions) -> list[str]:
        """Return the tags that are weighed: the owner's, the labels, those of the neighbours, those asked for."""
        parents = [parent for above in options.parents.values() for parent in above]
        labels = [self._aliases.get(label, label) for label in photo.label_scores]
        return list(dict.fromkeys((*photo.user_tags, *labels, *options.include, *parents, *most_voted(neighbours))))

    def scores(self, found: Evidence) -> NDArray[np.float64]:
        """Return the probability that each tag is right, float64 [m]."""
        labels = [self._label_of.get(name, "") for name in found.names]
        logits = np.where(found.place > 0, self._given.logits(found, labels), self._missing.logits(found, labels))
        scores: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
        return scores

    def visible(self, tag: str, statistics: Statistics) -> bool:
        """Whether a tag can be judged by looking: the word of a thing, that photos with it show to be one."""
        return tag in self._label_of or (
            tag in self._concepts and statistics.visualness(tag) >= self._manifest.visible_from
        )

    def _raise_parents(
        self,
        scores: dict[str, float],
        photo: Photo,
        statistics: Statistics,
        parents: Mapping[str, tuple[str, ...]],
    ) -> dict[str, str]:
        """Give each parent at least the score of its children, and return by parent the child that did so.

        What holds for a tag holds for its parents; what cannot be judged by looking says nothing, unless confirmed.
        """
        scores.update(dict.fromkeys(photo.confirmed, 1.0) | dict.fromkeys(photo.rejected & scores.keys(), 0.0))
        raised: dict[str, str] = {}
        open_ = [name for name in scores if name in photo.confirmed or self.visible(name, statistics)]
        while open_:
            child = open_.pop()
            for parent in parents.get(child, ()):
                if scores.get(parent, 0.0) < scores[child] and parent not in photo.rejected:
                    scores[parent], raised[parent] = scores[child], child
                    open_.append(parent)
        return raised

    def _judge(
        self,
        name: str,
        score: float,
        photo: Photo,
        judged: Collection[str],
        statistics: Statistics,
        thresholds: Thresholds,
        why: words.Words,
    ) -> TagDecision:
        if name in photo.confirmed or name in photo.rejected:
            confirmed = name in photo.confirmed
            said = Reason(ReasonKind.REVIEW, f"a person has said that it is {'right' if confirmed else 'wrong'}", 1.0)
            return TagDecision(name, score, Decision.KEEP if confirmed else Decision.REMOVE, (said, *why.reasons(name)))
        if name not in judged:
            return TagDecision(name, None, Decision.UNSURE, (self._not_visible(name, statistics),))
        if score >= self._keep(name, photo):
            decision = Decision.KEEP
        elif not self.visible(name, statistics):  # a rule may speak for it, and nothing against it
            return TagDecision(name, None, Decision.UNSURE, (self._not_visible(name, statistics),))
        elif self._wrong(name, score, photo, thresholds):
            decision = Decision.REMOVE
        else:
            decision = Decision.UNSURE
        return TagDecision(name, score, decision, why.reasons(name))

    def _keep(self, name: str, photo: Photo) -> float:
        manifest = self._manifest
        return manifest.keep_with_label if self._labelled(name, photo) else manifest.keep_without_label

    def _wrong(self, name: str, score: float, photo: Photo, thresholds: Thresholds) -> bool:
        most = thresholds.remove if self._labelled(name, photo) else thresholds.remove_without_label
        return most is not None and score <= most

    def _labelled(self, name: str, photo: Photo) -> bool:
        return self._label_of.get(name) in photo.label_scores

    def _additions(
        self,
        photo: Photo,
        scores: Mapping[str, float],
        judged: Collection[str],
        rules: Mapping[str, str],
        statistics: Statistics,
        thresholds: Thresholds,
        options: RefineOptions,
        why: words.Words,
    ) -> list[TagDecision]:
        there = {*photo.user_tags, *photo.confirmed, *photo.rejected, *options.exclude}
        taken = {self._label_of[tag] for tag in photo.user_tags if tag in self._label_of}
        asked, added = frozenset(options.include), list[TagDecision]()
        for name in sorted(scores.keys() - there, key=lambda name: (name not in asked, -scores[name], name)):
            least = self._least(name, photo, rules, thresholds, options)
            enough = least is not None and scores[name] >= least and name in judged
            if name in asked and name not in judged:
                added.append(TagDecision(name, None, Decision.UNSURE, (self._not_visible(name, statistics),)))
            elif name in asked or (enough and self._stands(name, taken)):
                decision = Decision.ADD if enough else Decision.UNSURE
                added.append(TagDecision(name, scores[name], decision, why.reasons(name)))
        most = added[: options.max_tags] if options.max_tags else added
        return sorted(most, key=lambda each: (each.score is None, -(each.score or 0.0), each.name))

    def _least(
        self, name: str, photo: Photo, rules: Mapping[str, str], thresholds: Thresholds, options: RefineOptions
    ) -> float | None:
        """Return the score from which on a tag is added, None: never."""
        if options.min_score is not None:
            return options.min_score
        while name in rules:  # its score is that of the tag it follows from
            name = rules[name]
        labelled = name in photo.confirmed or self._labelled(name, photo)
        return thresholds.add if labelled else thresholds.add_without_label

    def _stands(self, name: str, taken: Collection[str]) -> bool:
        """Whether to add a tag, one for what it means: no `cloud` beside `clouds`; `taken` labels are given."""
        label = self._label_of.get(name)
        return label is None or (name == self._aliases.get(label, label) and label not in taken)

    def _not_visible(self, name: str, statistics: Statistics) -> Reason:
        visualness, least = statistics.visualness(name), self._manifest.visible_from
        if math.isnan(visualness):
            text = "too few photos have it to say how it looks"
            return Reason(ReasonKind.NOT_VISIBLE, text, 0.0, least)
        if name not in self._concepts:
            text = "it is not the word of a thing that can be seen, as far as is known; names, places and years are not"
        else:
            text = f"photos with it look too different to tell ({visualness:.2f}, {least:.2f} would do)"
        return Reason(ReasonKind.NOT_VISIBLE, text, visualness, least)

    def thresholds(self, options: RefineOptions) -> Thresholds:
        """Return the thresholds that options mean; raises ArgumentInvalid."""
        wanted = options.target_precision
        if wanted is None:
            return self._manifest.thresholds[self._manifest.default_precision]
        for precision, thresholds in self._manifest.thresholds.items():
            if abs(float(precision) - wanted) < _SAME_PRECISION:
                return thresholds
        there = ", ".join(self.precisions)
        text = f"the refiner of {self._manifest.model} has no thresholds for {wanted:g}; it has them for: {there}"
        raise ArgumentInvalid(text, field="options.target_precision")


def most_voted(neighbours: Neighbours) -> list[str]:
    """Return the tags that most of the neighbours have, each of more than one."""
    votes: dict[str, float] = {}
    for weight, tags in zip(neighbours.weights.tolist(), neighbours.tags, strict=True):
        for tag in tags:
            votes[tag] = votes.get(tag, 0.0) + weight
    most = sorted((tag for tag, weight in votes.items() if weight > 1.0), key=lambda tag: (-votes[tag], tag))
    return most[:_CANDIDATES]


class _Weights:
    def __init__(self, weights: Weights) -> None:
        self._with_label = np.array([weights.with_label[name] for name in FEATURES])
        self._without_label = np.array([weights.without_label[name] for name in FEATURES])
        self._offsets = weights.label_offsets

    def logits(self, found: Evidence, labels: Sequence[str]) -> NDArray[np.float64]:
        features = found.features()
        offsets = np.array([self._offsets.get(label, 0.0) for label in labels])
        logits: NDArray[np.float64] = np.where(
            np.isfinite(found.network), features @ self._with_label + offsets, features @ self._without_label
        )
        return logits
