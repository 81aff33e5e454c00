"""`tagwright-train refiner`: fits what the server's refiner weighs, and writes it with its starter library.

Tags that no label means have no expert to say whether they are right. Where they are given, weights are fitted on what
owners typed, taken as right, and on tags of other photos that are put among them, which are wrong; then as many are
taken to be wrong as of the tags that a label judges. Where they are missing, weights are fitted on whether the owner
typed what the neighbours have, which is less than whether it holds: owners leave out most of what can be seen. The odds
that it holds though it was not typed are (1 - c) / c of the odds that it is typed, c the share of what holds that
owners type (Elkan and Noto, KDD 2008), which the labels tell.

The network learnt from the train part, so what it says of those photos is too good; the weights of the evidence and the
thresholds are fitted on the calibration part, with the train part as the library that votes. The test part is left
alone: the figures of docs/refinement.md are measured on it. The starter library holds the photos of both other parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape

from tagwright_server.errors import StartupError
from tagwright_server.inference.bundle import Bundle, load_bundle
from tagwright_server.refinement import artefact, label_words
from tagwright_server.refinement.artefact import Manifest, Thresholds, Weights
from tagwright_server.refinement.evidence import FEATURES
from tagwright_server.refinement.statistics import MIN_PHOTOS
from tagwright_training.calibration import TARGET_PRECISIONS, fit_thresholds
from tagwright_training.dataset import write_atomically
from tagwright_training.prepare import progress, read_or_exit, stop
from tagwright_training.refinement.concepts import FOLDER, read_concepts
from tagwright_training.refinement.corpus import TAGS_OF_LABEL, Corpus
from tagwright_training.refinement.features import tagger_look
from tagwright_training.refinement.weighing import (
    NEIGHBOURS,
    VISIBLE_FROM,
    AllExamples,
    Examples,
    Numbers,
    Weighing,
    library_arrays,
)

FEWEST_PHOTOS = 50  # of a part: weights fitted to fewer are noise
KEPT = 0.85  # of the right tags, that no person has to look at
DEFAULT_PRECISION = "0.9"
_RIDGE_WORDS = 20.0
_RIDGE_GIVEN, _RIDGE_MISSING = 10.0, 3.0  # on the standardised weights; few tags are given
_FEWEST_COUNTED = 20  # tags; of fewer a share says nothing
_OFFSET = FEATURES.index("offset")


def command(
    data: Annotated[Path, typer.Argument(help="Folder of MIRFlickr-25k, as published or with zips and tables.")],
    model: Annotated[Path, typer.Option(help="The model's version folder.")] = Path("model_repository/tagger/1"),
    out: Annotated[Path | None, typer.Option(help="Where to write it [default: `refiner` in the model's].")] = None,
    wordnet: Annotated[Path, typer.Option(help="Folder of WordNet 3.0.")] = FOLDER,
    cache: Annotated[Path, typer.Option(help="Where what networks make of photos is kept.")] = Path("runs/features"),
    seed: Annotated[int, typer.Option(help="Seed of the split into train, calibrate and test.")] = 1,
) -> None:
    """Fit the refiner of a model on the photos of DATA, and write it beside the model."""
    console = Console(stderr=True)
    try:
        concepts = read_concepts(wordnet)
    except FileNotFoundError as err:
        raise stop(console, f"{err.filename}: no WordNet there (on Debian: apt install wordnet-base)") from err
    try:
        bundle = load_bundle(model)
    except StartupError as err:
        raise stop(console, str(err)) from err
    dataset = read_or_exit(console, data, seed=seed)
    corpus = Corpus.of(dataset)
    if absent := [label.name for label in bundle.labels if label.name not in corpus.label_names]:
        raise stop(console, f"{data}: no annotations for {', '.join(absent)}, which {bundle.name} has as labels")
    if min(len(corpus.part("train")), len(corpus.part("calibrate"))) < FEWEST_PHOTOS:
        raise stop(
            console, f"{data}: {len(corpus.photos):,} photos are too few: {FEWEST_PHOTOS} to calibrate on, at least"
        )
    too_few = f"{data}: too few of its tags can be judged, by a label or by looking, to fit anything"
    if not (corpus.tags.take(corpus.part("train")).counts() >= MIN_PHOTOS).any():
        raise stop(console, too_few)
    with progress(console, "Looking at photos") as advance:
        look = tagger_look(bundle, dataset, corpus.photos, cache, advance)
    arrays = library_arrays(corpus, look, corpus.part("train", "calibrate")) | word_arrays(bundle, corpus)
    words = label_words.from_arrays(arrays, tags_of_labels([label.name for label in bundle.labels]))
    weigh = Weighing(bundle, corpus, look, corpus.part("train"), concepts, words)
    with progress(console, "Weighing evidence") as advance:
        examples = weigh.examples(corpus.part("calibrate"), advance)
    if not all(0 < each.right.sum() < len(each.right) for each in (examples.given, examples.missing, examples.typed)):
        raise stop(console, too_few)
    folder = out or model / artefact.FOLDER
    content = artefact.pack(arrays, concepts)
    manifest = fit(bundle, examples, content, typed_share=typed_share(corpus, corpus.part("train")))
    write_atomically(folder / artefact.ARRAYS_FILE, content)
    write_atomically(folder / artefact.MANIFEST_FILE, (manifest.model_dump_json(indent=1) + "\n").encode())
    console.print(
        f"Wrote {escape(str(folder))}: {len(content) / 1e6:.1f} MB, fitted on {len(examples.given.right):,} given tags "
        f"and {len(examples.missing.right):,} missing ones that a label judges, and on {len(examples.swapped.right):,} "
        f"and {len(examples.typed.right):,} others"
    )


def word_arrays(bundle: Bundle, corpus: Corpus) -> dict[str, NDArray[np.generic]]:
    """Return what tags tell of the model's labels, by the photos that it was trained on."""
    tags = corpus.tags.take(corpus.part("train"))
    often = np.flatnonzero(tags.counts() >= MIN_PHOTOS).tolist()
    names = [tags.names[column] for column in often]
    labels = [label.name for label in bundle.labels]
    truth = corpus.labels[corpus.part("train")][:, [corpus.label_names.index(label) for label in labels]]
    weights, offsets = fit_words(tags.only(names).rows(0, tags.shape[0]), truth.astype(np.float32), ridge=_RIDGE_WORDS)
    return dict(label_words.to_arrays(names, labels, weights, offsets))


def tags_of_labels(labels: Sequence[str]) -> dict[str, list[str]]:
    """Return the tags that mean each label."""
    return {label: sorted({label, *TAGS_OF_LABEL.get(label, ())}) for label in labels}


def typed_share(corpus: Corpus, rows: NDArray[np.int64]) -> float:
    """Share of photos whose owner typed a word for a label, of those for which it holds; the mean over the labels."""
    shares = []
    for label, words in TAGS_OF_LABEL.items():
        if label in corpus.label_names:
            holds = rows[corpus.labels[rows, corpus.label_names.index(label)]]
            shares.append(np.mean([any(tag in words for tag in corpus.tags.typed(row)) for row in holds.tolist()]))
    return float(np.mean(shares))


def fit(bundle: Bundle, examples: AllExamples, arrays: bytes, *, typed_share: float) -> Manifest:
    """Fit weights and thresholds, and describe them with the arrays they go with."""
    given, missing, swapped, typed = examples.given, examples.missing, examples.swapped, examples.typed
    names = [label.name for label in bundle.labels]
    wrong_share = 1 - float(given.right.mean())
    fits = fit_logistic(swapped.features, swapped.right, ridge=_RIDGE_GIVEN)
    wrong_weight = wrong_share / (1 - wrong_share) * swapped.right.sum() / (~swapped.right).sum()
    fits[_OFFSET] -= np.log(wrong_weight)
    for_given = Weights(
        with_label=_named(_fit_with_label(given, names, _RIDGE_GIVEN)[0]),
        without_label=_named(fits),
        label_offsets=_fit_with_label(given, names, _RIDGE_GIVEN)[1],
    )
    holds = fit_logistic(typed.features, typed.right, ridge=_RIDGE_MISSING)
    holds[_OFFSET] += np.log((1 - typed_share) / typed_share)
    for_missing = Weights(
        with_label=_named(_fit_with_label(missing, names, _RIDGE_MISSING)[0]),
        without_label=_named(holds),
        label_offsets=_fit_with_label(missing, names, _RIDGE_MISSING)[1],
    )
    additions = fit_thresholds(missing.right.astype(np.float32), missing.scores(for_missing, names))["thresholds"]
    scores = given.scores(for_given, names)
    others = swapped.scores(for_given, names)
    untyped = typed.scores(for_missing, names)[~typed.right]
    return Manifest(
        model=f"{bundle.name}@{bundle.version}",
        model_digest_sha256=bundle.digest,
        digest_sha256=hashlib.sha256(arrays).hexdigest(),
        created=datetime.now(timezone.utc),
        embedding_size=bundle.embedding_size,
        neighbours=NEIGHBOURS,
        given=for_given,
        missing=for_missing,
        tags_of_label=tags_of_labels(names),
        keep_with_label=round(float(np.quantile(scores[given.right], 1 - KEPT)), 4),
        keep_without_label=round(float(np.quantile(others[swapped.right], 1 - KEPT)), 4),
        thresholds={
            str(precision): Thresholds(
                remove=removal_threshold(scores, precision),
                remove_without_label=counted_threshold(others, swapped.right, precision, wrong_weight=wrong_weight),
                add=additions[str(precision)],
                add_without_label=_upside_down(removal_threshold(1 - untyped, precision)),
            )
            for precision in TARGET_PRECISIONS
        },
        default_precision=DEFAULT_PRECISION,
        visible_from=VISIBLE_FROM,
        metrics={
            "given": float(len(given.right)),
            "missing": float(len(missing.right)),
            "swapped": float(len(swapped.right)),
            "typed": float(len(typed.right)),
            "typed_share": round(typed_share, 4),
            "wrong_share": round(wrong_share, 4),
        },
    )


def removal_threshold(scores: Numbers, precision: float) -> float | None:
    """The greatest score such that of the tags that score no more, the share that is wrong reaches `precision`.

    The share is the mean of 1 - score: few tags are wrong, and what is counted among a few dozen would ride on luck,
    while the scores are calibrated on all of them.
    """
    ranked = np.sort(scores)
    expected = np.cumsum(1 - ranked) / np.arange(1, len(ranked) + 1)
    reached = np.flatnonzero(expected >= precision)
    return round(float(ranked[reached[-1]]), 4) if len(reached) else None


def counted_threshold(
    scores: Numbers, right: NDArray[np.bool_], precision: float, *, wrong_weight: float
) -> float | None:
    """The greatest score such that of the tags that score no more, the share that is wrong reaches `precision`.

    Each wrong one counts `wrong_weight`, as there were more of them put in than there are. None where fewer than
    _FEWEST_COUNTED are so.
    """
    order = np.argsort(scores)
    wrong = np.cumsum(~right[order]) * wrong_weight
    share = wrong / (wrong + np.cumsum(right[order]))
    reached = np.flatnonzero(share >= precision)
    if not len(reached) or reached[-1] + 1 < _FEWEST_COUNTED:
        return None
    return round(float(scores[order[reached[-1]]]), 4)


def _upside_down(score: float | None) -> float | None:
    return None if score is None else round(1 - score, 4)


def _fit_with_label(examples: Examples, names: Sequence[str], ridge: float) -> tuple[Numbers, dict[str, float]]:
    both = np.concatenate([examples.features, np.eye(len(names))[examples.labels]], axis=1)
    weights = fit_logistic(both, examples.right, ridge=ridge)
    offsets = weights[len(FEATURES) :]
    return weights[: len(FEATURES)], {name: round(float(at), 4) for name, at in zip(names, offsets, strict=True)}


def fit_words(
    tags: NDArray[np.float32], labels: NDArray[np.float32], *, ridge: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights [tags, labels] and offsets [labels] from photos x tags and photos x labels, both 0 or 1."""
    bag = tags / np.sqrt(1 + tags.sum(axis=1, keepdims=True))
    mean, rate = bag.mean(axis=0), labels.mean(axis=0)
    centred = bag - mean
    gram = centred.T @ centred + ridge * np.eye(bag.shape[1], dtype=np.float32)
    weights = np.linalg.solve(gram, centred.T @ (labels - rate))
    return weights, -(mean @ weights)


def fit_logistic(features: Numbers, truth: NDArray[np.bool_], *, ridge: float) -> Numbers:
    """Weights [F] of a logistic regression whose first feature is always 1, by Newton's method.

    `ridge` holds back the weights of the others, each scaled to a deviation of 1, as in 1/2 ridge |w|^2.
    """
    scale = features.std(axis=0)
    scale[scale < 1e-9] = 1.0
    x = features / scale
    penalty = np.full(x.shape[1], ridge)
    penalty[0] = 1e-6
    weights = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(penalty)
        move = np.linalg.solve(hessian, x.T @ (p - truth) + penalty * weights)
        weights -= move
        if np.abs(move).max() < 1e-8:
            break
    scaled: Numbers = weights / scale
    return scaled


def _named(weights: Numbers) -> dict[str, float]:
    return {name: round(float(weight), 4) for name, weight in zip(FEATURES, weights, strict=True)}
