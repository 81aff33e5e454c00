"""All refinement methods on one case: which there are, and what is measured of each.

Promises: every method of a column gets the same library, photos and truth, and every interval the same draws of photos.
A method that fails is reported as failed; it takes no other along.
Never: prints, draws or reads a photo.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagwright_server.inference.bundle import Bundle
from tagwright_server.refinement import artefact
from tagwright_training import metrics
from tagwright_training.metrics import Interval
from tagwright_training.refinement import refinement_metrics
from tagwright_training.refinement.cases import COLUMNS, Case, Column, Concepts, Judged
from tagwright_training.refinement.corpus import CONCEPTS_24, TAGS_OF_LABEL, Embedded
from tagwright_training.refinement.memory_peak import PeakMemory
from tagwright_training.refinement.methods import Method

PRECISIONS = (0.9, 0.8, 0.7, 0.6)
ADDED = (1, 3, 5)

Array = NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Context:
    """What a method may be made from."""

    bundle: Bundle
    case: Case


@dataclass(frozen=True, slots=True)
class Entry:
    """A method that can be measured, imported when it is its turn."""

    key: str
    title: str
    load: Callable[[Context], Method]
    columns: tuple[Column, ...] = COLUMNS
    jointly: bool = False
    """It learns from the photos as well, so the stressed ones would be a second fit; they are left out."""
    probabilities: bool = False
    """Its scores are comparable from tag to tag; others' are compared in deviations over the photos."""
    by_label: bool = False
    """It adds labels by their own name rather than by the commonest tag for them."""
    adds: bool = True
    """Whether it says anything of tags that the owner did not give."""


def method(module: str, name: str, /, **settings: Any) -> Callable[[Context], Method]:
    """A class of this package, looked up when it is needed."""

    def load(context: Context) -> Method:
        made: Method = getattr(importlib.import_module(f"tagwright_training.refinement.{module}"), name)(**settings)
        return made

    return load


def _cooccur_and_votes(context: Context) -> Method:
    from tagwright_training.refinement.baselines import TagCooccur, TagVote

    return TagCooccur(votes=TagVote())


def _batch(module: str, name: str, *, jointly: bool = False, **settings: Any) -> Callable[[Context], Method]:
    def load(context: Context) -> Method:
        from tagwright_training.refinement.folding import Refining

        made = getattr(importlib.import_module(f"tagwright_training.refinement.{module}"), name)(**settings)
        return Refining(made, jointly=jointly)

    return load


def _online(context: Context) -> Method:
    from tagwright_training.refinement.online import OnlineRefinement

    return OnlineRefinement(read_artefact(context.bundle))


def _online_strict(context: Context) -> Method:
    from tagwright_training.refinement.online import StrictRefinement

    case = context.case
    sides = case.library["without"], case.photos["without"]
    return StrictRefinement(read_artefact(context.bundle), *_strict_outputs(context), *sides)


def read_artefact(bundle: Bundle) -> artefact.Artefact:
    """The refiner beside a model. Raises StartupError."""
    return artefact.load(
        bundle.path / artefact.FOLDER,
        model=f"{bundle.name}@{bundle.version}",
        model_digest=bundle.digest,
        embedding_size=bundle.embedding_size,
    )


@dataclass(frozen=True, slots=True)
class NetworkAlone:
    """The tagger's calibrated score of the label that a tag means; 0 for a tag that none means. Sees expert labels."""

    name: str = "network alone"

    def scores(self, library: Embedded, photos: Embedded, names: Sequence[str]) -> Array:
        """`[photos, names]`."""
        if photos.label_scores is None:
            raise ValueError("there are no scores of a tagger")
        label_of = {tag: label for label in photos.label_names for tag in (label, *TAGS_OF_LABEL.get(label, ()))}
        found = np.zeros((len(photos.vectors), len(names)), np.float32)
        for column, name in enumerate(names):
            if name in label_of:
                found[:, column] = photos.label_scores[:, photos.label_names.index(label_of[name])]
        return found


@dataclass(frozen=True, slots=True)
class NetworkStrict:
    """The network's own outputs for the strict labels, where it has any; the plain ones for other tags.

    They are never served: plain labels are what people mean by a tag.
    """

    strict: Array
    tags: tuple[str, ...]
    """The tag of each column."""
    name: str = "network, strict outputs"

    def scores(self, library: Embedded, photos: Embedded, names: Sequence[str]) -> Array:
        """`[photos, names]`."""
        found = NetworkAlone().scores(library, photos, names)
        for column, tag in enumerate(self.tags):
            found[:, names.index(tag)] = self.strict[:, column]
        return found


def _strict(context: Context) -> Method:
    return NetworkStrict(_strict_outputs(context)[0], context.case.concepts_14.tags)


def _strict_outputs(context: Context) -> tuple[Array, tuple[str, ...]]:
    if context.case.strict is None:
        raise ValueError(f"the network of {context.bundle.name} has no outputs for strict labels")
    return context.case.strict, context.case.strict_names


ENTRIES: tuple[Entry, ...] = (
    Entry("user-tags", "user tags", method("baselines", "UserTags"), adds=False),
    Entry("frequency", "frequency", method("baselines", "Frequency")),
    Entry("cooccur", "TagCooccur", method("baselines", "TagCooccur")),
    Entry("cooccur-plus", "TagCooccur+", _cooccur_and_votes),
    Entry("knn", "kNN", method("baselines", "Knn")),
    Entry("vote", "TagVote", method("baselines", "TagVote")),
    Entry("prop", "TagProp", method("tagprop", "TagProp")),
    Entry("probe", "linear probe", method("baselines", "LinearProbe")),
    Entry("som", "self-organizing map", method("som", "SelfOrganizingMap")),
    Entry("words", "words and probe", method("weak", "WordsAndProbe")),
    Entry("rpca-raw", "RobustPCA, raw", _batch("robust_pca", "RobustPca", propagate=False)),
    Entry("rpca", "RobustPCA", _batch("robust_pca", "RobustPca")),
    Entry("rpca-joint", "RobustPCA, jointly", _batch("robust_pca", "RobustPca", jointly=True), jointly=True),
    Entry("wdmf", "WDMF", _batch("wdmf", "Wdmf")),
    Entry("wdmf-joint", "WDMF, jointly", _batch("wdmf", "Wdmf", jointly=True), jointly=True),
    Entry("wdnl", "WDNL", _batch("wdnl", "Wdnl")),
    Entry("wdnl-joint", "WDNL, jointly", _batch("wdnl", "Wdnl", jointly=True), jointly=True),
    Entry("network", "network alone", method("evaluation", "NetworkAlone"), ("with",), probabilities=True),
    Entry("network-strict", "network, strict", _strict, ("with",), jointly=True, probabilities=True),
    Entry("online-strict", "all evidence, strict", _online_strict, ("with",), jointly=True),
    Entry("online", "online refiner", _online, ("with",), probabilities=True, by_label=True),
)
"""In the order of the tables: baselines, batch methods, then what the server runs."""


@dataclass(frozen=True, slots=True)
class TagFigure:
    """One tag: on how many photos it holds, and how well photos are ranked by it."""

    tag: str
    holds: int
    average_precision: Interval


@dataclass(frozen=True, slots=True)
class ConceptFigures:
    """Ranking of photos by tag, and of tags by photo in both conventions (`mean_image_precision`)."""

    mean_average_precision: Interval
    image_none_zero: Interval
    image_none_out: Interval
    tags: tuple[TagFigure, ...]


@dataclass(frozen=True, slots=True)
class RemovalCurve:
    """Share of the wrong tags found, and how many found are wrong, as the score falls."""

    recall: tuple[float, ...]
    precision: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StressFigures:
    """How well scores tell strangers' tags from the owners' that hold: area under the ROC curve, average precision."""

    roc_area: float
    average_precision: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that is measured of one method in one column."""

    entry: str
    title: str
    column: Column
    concepts_14: ConceptFigures | None
    concepts_24: ConceptFigures
    removal: Mapping[str, Interval]
    """By precision: recall of wrong user tags."""
    curve: RemovalCurve
    additions: Mapping[str, Interval]
    """By count: precision of the best labels that the owner did not give."""
    stress: StressFigures | None
    seconds: float
    """To fit to the library and score the photos, twice over where they are stressed too."""
    peak_bytes: int | None
    """Beyond what the process held before; None where the system does not say."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A method that gave no scores."""

    entry: str
    title: str
    column: Column
    error: str


def chosen(keys: Iterable[str] | None, entries: Sequence[Entry] = ENTRIES) -> list[Entry]:
    """The methods of these keys, all without. Raises ValueError that names those there are."""
    wanted = set(keys or ())
    if strangers := sorted(wanted - {entry.key for entry in entries}):
        there = ", ".join(entry.key for entry in entries)
        raise ValueError(f"no method {', '.join(strangers)}; there are {there}")
    return [entry for entry in entries if not wanted or entry.key in wanted]


def measure(entry: Entry, column: Column, context: Context, *, seed: int = 1) -> Figures | Failed:
    """Run one method in one column, whatever becomes of it."""
    case = context.case
    photos = case.photos[column] if entry.jointly else case.both(column)
    begun = time.monotonic()
    try:
        with PeakMemory() as memory:
            found = entry.load(context).scores(case.library[column], photos, case.names)
        seconds = time.monotonic() - begun
        expected = (len(photos.vectors), len(case.names))
        if found.shape != expected or not np.isfinite(found).all():
            raise ValueError(f"scores of shape {found.shape}, or not finite; {expected} numbers are wanted")
    except Exception as err:  # it is told, and the others go on
        return Failed(entry.key, entry.title, column, f"{type(err).__name__}: {err}")
    scores, stressed = found[: case.size], found[case.size :]
    doubt = _doubt(scores, entry)
    labels = [name if entry.by_label else _tag_of(name) for name in case.labels]
    wrong, suspicion = case.typed.wrong, doubt(scores, case.typed)
    recalls = [Interval(float("nan"), float("nan"), float("nan"))] * len(PRECISIONS)
    if wrong.any():
        recalls = refinement_metrics.recall_intervals(wrong, suspicion, case.typed.photo, PRECISIONS, seed=seed)
    added = refinement_metrics.addition_precisions(
        case.truth, scores[:, [case.names.index(name) for name in labels]], case.given, ADDED
    )
    return Figures(
        entry=entry.key,
        title=entry.title,
        column=column,
        concepts_14=_concepts(case.concepts_14, case.names, scores, seed) if case.concepts_14.tags else None,
        concepts_24=_concepts(case.concepts_24, case.names, scores, seed),
        removal={str(p): recall for p, recall in zip(PRECISIONS, recalls, strict=True)},
        curve=_curve(wrong, suspicion),
        additions={
            str(count): refinement_metrics.mean_with_interval(each[~np.isnan(each)], seed=seed)
            for count, each in zip(ADDED, added, strict=True)
            if entry.adds
        },
        stress=_stress(case.stress.wrong, doubt(stressed, case.stress)) if len(stressed) else None,
        seconds=seconds,
        peak_bytes=memory.bytes,
    )


def _tag_of(label: str) -> str:
    return next((tag for tag, meant in CONCEPTS_24.items() if meant == label), label)


def _doubt(scores: Array, entry: Entry) -> Callable[[Array, Judged], Floats]:
    """How far each judged tag is doubted, comparable from tag to tag."""
    mean, deviation = scores.mean(axis=0), np.maximum(scores.std(axis=0), 1e-9)

    def doubt(found: Array, judged: Judged) -> Floats:
        values = found[judged.photo, judged.name].astype(np.float64)
        return -values if entry.probabilities else -(values - mean[judged.name]) / deviation[judged.name]

    return doubt


def _concepts(concepts: Concepts, names: Sequence[str], scores: Array, seed: int) -> ConceptFigures:
    mine, truth = scores[:, [names.index(tag) for tag in concepts.tags]], concepts.truth
    values, samples = metrics.average_precisions(truth, mine), metrics.bootstrap(truth, mine, seed=seed)
    by_photo = refinement_metrics.image_precisions(truth, mine)
    zero, out = (
        refinement_metrics.mean_image_precision(by_photo, none_is_zero=none_is_zero, seed=seed)
        for none_is_zero in (True, False)
    )
    figures = (
        TagFigure(tag, int(truth[:, i].sum()), metrics.interval(values[i], samples[:, i]))
        for i, tag in enumerate(concepts.tags)
    )
    return ConceptFigures(metrics.mean_interval(values, samples), zero, out, tuple(figures))


def _curve(wrong: NDArray[np.bool_], suspicion: Floats) -> RemovalCurve:
    if not wrong.any():
        return RemovalCurve((), ())
    recall, precision, _ = metrics.precision_recall(wrong, suspicion)
    return RemovalCurve(tuple(recall.tolist()), tuple(precision.tolist()))


def _stress(wrong: NDArray[np.bool_], suspicion: Floats) -> StressFigures:
    area = refinement_metrics.roc_area(wrong, suspicion)
    return StressFigures(area, float(metrics.average_precision(wrong, suspicion)))
