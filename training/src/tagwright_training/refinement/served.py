"""What the server's refiner decides about photos, and what is right and wrong about it.

Promises: decisions are those of the served code with the served thresholds; the library of the evaluation votes in
place of the starter library.
Never: lets a photo to be judged vote.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tagwright_server.refinement.artefact import Artefact
from tagwright_server.refinement.records import Decision, Photo, RefineOptions, TagDecision
from tagwright_server.refinement.refiner import Refiner
from tagwright_training.metrics import Decisions
from tagwright_training.mirflickr import Advance
from tagwright_training.refinement.cases import Case
from tagwright_training.refinement.corpus import TAGS_OF_LABEL
from tagwright_training.refinement.online import library_of


@dataclass(frozen=True, slots=True)
class Removals:
    """What becomes of tags of one kind."""

    tags: int
    removed: int
    unsure: int

    @property
    def removed_share(self) -> float:
        """Share that is removed; NaN where there are no such tags."""
        return self.removed / self.tags if self.tags else float("nan")

    @property
    def touched_share(self) -> float:
        """Share that is removed or left to a person."""
        return (self.removed + self.unsure) / self.tags if self.tags else float("nan")


@dataclass(frozen=True, slots=True)
class Target:
    """What the thresholds for one target precision give."""

    precision: str
    removed: Decisions
    """Said: user tags that a label judges and that are removed; holds: those that are wrong."""
    added: Decisions
    """Said: labels added; holds: labels that hold and that the owner did not give."""
    right: Removals
    """User tags that a label judges and finds right."""
    invisible: Removals
    """User tags that cannot be judged by looking."""


@dataclass(frozen=True, slots=True)
class StressOutcome:
    """What becomes of visible tags under stress; without a label, strangers count as wrong, the others as right."""

    strangers_with_label: Removals
    strangers_without: Removals
    right_with_label: Removals
    right_without: Removals

    @property
    def strangers(self) -> Removals:
        """All visible tags that were put in."""
        return _sum(self.strangers_with_label, self.strangers_without)

    @property
    def right(self) -> Removals:
        """All visible tags that were not."""
        return _sum(self.right_with_label, self.right_without)


@dataclass(frozen=True, slots=True)
class Served:
    """The served refiner on one case."""

    default_precision: str
    targets: tuple[Target, ...]
    stress: StressOutcome
    decisions: tuple[tuple[TagDecision, ...], ...]
    """Of each photo, at the default precision."""


class _Bench:
    """One case's library and photos as the server's refiner takes them."""

    def __init__(self, artefact: Artefact, case: Case) -> None:
        self.refiner = Refiner(artefact)
        library, self.photos = library_of(case.library["with"]), case.photos["with"]
        self.statistics = library.statistics()
        vectors = self.photos.vectors
        self.neighbours = [library.neighbours(vector, self.refiner.neighbours) for vector in vectors]
        self.label_of = {tag: label for label, tags in artefact.manifest.tags_of_label.items() for tag in tags}
        self.label_of = {tag: label for tag, label in self.label_of.items() if label in case.labels}
        self.case = case

    def photo(self, row: int, tags: Sequence[str]) -> Photo:
        assert self.photos.label_scores is not None
        scores = dict(zip(self.photos.label_names, self.photos.label_scores[row].tolist(), strict=True))
        return Photo(self.photos.vectors[row], scores, tuple(tags))

    def decide(self, lists: Sequence[Sequence[str]], precision: str) -> list[tuple[TagDecision, ...]]:
        options = RefineOptions(target_precision=float(precision))
        return [
            tuple(self.refiner.refine(self.photo(row, tags), voters, self.statistics, options))
            for row, (tags, voters) in enumerate(zip(lists, self.neighbours, strict=True))
        ]

    def holds(self, row: int, tag: str) -> bool | None:
        label = self.label_of.get(tag)
        return None if label is None else bool(self.case.truth[row, self.case.labels.index(label)])


def measure(artefact: Artefact, case: Case, advance: Advance = lambda done, total: None) -> Served:
    """All decisions at every target precision, and the stress test at the default one."""
    bench = _Bench(artefact, case)
    lists = [bench.photos.tags.typed(row) for row in range(case.size)]
    default = artefact.manifest.default_precision
    targets, kept = [], []
    precisions = bench.refiner.precisions
    for done, precision in enumerate(precisions):
        advance(done, len(precisions) + 1)
        decisions = bench.decide(lists, precision)
        targets.append(_target(bench, precision, decisions))
        if precision == default:
            kept = decisions
    advance(len(precisions), len(precisions) + 1)
    stress = _stress(bench, bench.decide(case.stressed.lists, default))
    advance(len(precisions) + 1, len(precisions) + 1)
    return Served(default, tuple(targets), stress, tuple(kept))


def truth_of(artefact: Artefact, case: Case, row: int) -> Mapping[str, bool]:
    """Which tags the experts judge, and whether they hold for a photo."""
    held = dict(zip(case.labels, case.truth[row].tolist(), strict=True))
    words = {**TAGS_OF_LABEL, **artefact.manifest.tags_of_label}
    return {tag: held[label] for label, tags in words.items() if label in held for tag in (label, *tags)}


def _target(bench: _Bench, precision: str, decisions: Sequence[Sequence[TagDecision]]) -> Target:
    case = bench.case
    judged = [
        (bench.holds(row, each.name), each.decision)
        for row, found in enumerate(decisions)
        for each in found
        if each.decision is not Decision.ADD and each.name in bench.label_of
    ]
    wrong = sum(holds is False for holds, _ in judged)
    removed = [holds for holds, decision in judged if decision is Decision.REMOVE]
    added = [
        bench.holds(row, each.name)
        for row, found in enumerate(decisions)
        for each in found
        if each.decision is Decision.ADD and each.name in bench.label_of
    ]
    unseen = [
        each.decision
        for found in decisions
        for each in found
        if each.decision is not Decision.ADD and not bench.refiner.visible(each.name, bench.statistics)
    ]
    return Target(
        precision=precision,
        removed=Decisions(len(removed), wrong, sum(holds is False for holds in removed)),
        added=Decisions(len(added), int((case.truth & ~case.given).sum()), sum(holds is True for holds in added)),
        right=_count(decision for holds, decision in judged if holds),
        invisible=_count(unseen),
    )


def _stress(bench: _Bench, decisions: Sequence[Sequence[TagDecision]]) -> StressOutcome:
    groups: dict[tuple[bool, bool], list[Decision]] = defaultdict(list)
    for row, found in enumerate(decisions):
        strangers = bench.case.stressed.strangers[row]
        typed = frozenset(bench.case.stressed.lists[row])
        for each in found:
            if each.name not in typed or not bench.refiner.visible(each.name, bench.statistics):
                continue
            stranger, holds = each.name in strangers, bench.holds(row, each.name)
            if holds is None or holds is not stranger:  # neither a stranger that happens to hold nor an owner's mistake
                groups[stranger, holds is not None].append(each.decision)
    return StressOutcome(
        strangers_with_label=_count(groups[True, True]),
        strangers_without=_count(groups[True, False]),
        right_with_label=_count(groups[False, True]),
        right_without=_count(groups[False, False]),
    )


def _count(decisions: Iterable[Decision]) -> Removals:
    found = list(decisions)
    return Removals(len(found), found.count(Decision.REMOVE), found.count(Decision.UNSURE))


def _sum(one: Removals, other: Removals) -> Removals:
    return Removals(one.tags + other.tags, one.removed + other.removed, one.unsure + other.unsure)
