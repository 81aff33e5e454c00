"""`tagwright-train refine`: fit a batch refiner to a folder's photos and their users' tags, and leave it as a bundle.

The photos of the train part are fitted. Those of the calibrate part turn scores into probabilities: of the label where
a label says whether the tag is right, else of the owner's typing the tag, judged without the tags that were typed.
Those of the test part give the figures. Annotations are only used for these last two, and not at all with --no-labels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from tagwright_server.errors import ImageRejected, ModelUnavailable, StartupError
from tagwright_server.inference.bundle import Bundle, load_bundles
from tagwright_server.refinement.batch import BatchManifest, BatchRefiner, calibrated
from tagwright_training.calibration import fit_platt, fit_thresholds
from tagwright_training.metrics import average_precision, macro
from tagwright_training.prepare import progress, read_or_exit, stop
from tagwright_training.refinement.corpus import CONCEPTS_14, TAGS_OF_LABEL, Corpus, Embedded, TagMatrix
from tagwright_training.refinement.features import tagger_look
from tagwright_training.refinement.folding import BatchMethod, FittedModel, vocabulary
from tagwright_training.refinement.lowrank import Checkpoint
from tagwright_training.refinement.robust_pca import RobustPca
from tagwright_training.refinement.wdmf import Wdmf
from tagwright_training.refinement.wdnl import Wdnl

METHODS: Mapping[str, Callable[[], BatchMethod]] = {"robust-pca": RobustPca, "wdmf": Wdmf, "wdnl": Wdnl}
FEWEST_PHOTOS = 100  # of a part: calibration on fewer is noise

Array = NDArray[np.float32]


def command(
    folder: Annotated[Path, typer.Argument(help="Folder laid out like MIRFlickr, or with zips and tables.")],
    method: Annotated[str, typer.Option(help=f"One of {', '.join(METHODS)}.")] = "wdnl",
    out: Annotated[Path | None, typer.Option(help="Folder for the batch refiner; its name is the refiner's.")] = None,
    version: Annotated[str, typer.Option(help="The refiner's version, a number.")] = "1",
    model_repository: Annotated[Path, typer.Option(help="Where the exported models are.")] = Path("model_repository"),
    model: Annotated[str, typer.Option(help="Name of the model whose embedding is used.")] = "tagger",
    min_photos: Annotated[int, typer.Option(help="Photos a tag must be on to be refined.", min=1)] = 40,
    max_tags: Annotated[int, typer.Option(help="Tags at most, the commonest first.", min=1, max=4096)] = 1000,
    labels: Annotated[bool, typer.Option(help="Let annotations calibrate and measure; they are never fitted.")] = True,
    allow_absent: Annotated[bool, typer.Option(help="Leave out annotations of photos that are not there.")] = False,
    cache: Annotated[Path, typer.Option(help="Where features and interrupted fits are kept.")] = Path("runs/cache"),
) -> None:
    """Fit a batch refiner to FOLDER's photos and tags. Interrupted, it goes on at the iteration that was saved."""
    console = Console(stderr=True)
    if method not in METHODS:
        raise stop(console, f"no method {method!r}: choose one of {', '.join(METHODS)}")
    bundle = _bundle(console, model_repository, model)
    out = out or bundle.path / "refiners" / method
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", out.name) or not re.fullmatch(r"[1-9][0-9]*", version):
        raise stop(console, f"{out.name!r} version {version!r}: a name of a-z, 0-9, _ and -, and a whole number")
    dataset = read_or_exit(console, folder, allow_absent=allow_absent)
    try:
        with progress(console, "Looking at photos") as advance:
            look = tagger_look(bundle, dataset, dataset.photos, cache, advance)
    except (ImageRejected, ModelUnavailable, StartupError) as err:
        raise stop(console, f"{folder}: {err}") from err
    corpus = Corpus.of(dataset)
    rows = corpus.part("train")
    if min(len(rows), len(corpus.part("calibrate"))) < FEWEST_PHOTOS:
        raise stop(console, f"{folder}: {len(corpus.photos):,} photos are too few to fit and to calibrate a refiner")
    names = vocabulary(corpus.tags.take(rows), min_photos=min_photos, max_tags=max_tags)
    if not names:
        raise stop(console, f"{folder}: no tag is on {min_photos} photos")
    chosen = METHODS[method]()
    checkpoint = Checkpoint.of(cache / f"refine-{method}.npz", chosen, dataset.digest(), bundle.digest, names)
    with progress(console, f"Fitting {method} to {len(rows):,} photos and {len(names):,} tags") as advance:
        fitted = chosen.fit(_part(corpus, look.embedding, rows, names), advance, checkpoint=checkpoint)
    facts = {
        "name": out.name,
        "version": version,
        "base": {"model": f"{bundle.name}@{bundle.version}", "digest_sha256": bundle.digest},
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    manifest = finish(fitted, corpus, look.embedding, out, facts, labels=labels)
    BatchRefiner.load(out)
    checkpoint.remove()
    figures = ", ".join(f"{name} {value:.3f}" for name, value in manifest.metrics.items() if name.startswith("m"))
    console.print(f"Wrote {out}: {len(names):,} tags{'; ' if figures else ''}{figures}", soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Slope and offset a tag `[c]`, and which tags a label calibrated (the others: the owners' own typing)."""

    slope: Array
    offset: Array
    labelled: NDArray[np.bool_]


def calibrate(model: FittedModel, photos: Embedded, truth: NDArray[np.float32]) -> Calibration:
    """Platt's slope and offset from photos that were not fitted; truth is 0, 1 or NaN (no label says), `[m, c]`."""
    labelled = ~np.isnan(truth).any(axis=0)
    empty = TagMatrix.from_lists([()] * len(photos.vectors), names=photos.tags.names)
    scores = np.where(
        labelled, model.fold_in(photos.vectors, photos.tags), model.fold_in(photos.vectors, empty)
    ).astype(np.float32)
    # Newton's steps are bounded by 1 in slope and offset: scores must lie about 0 and be neither huge nor tiny.
    middle, spread = scores.mean(axis=0), np.maximum(scores.std(axis=0), 1e-6)
    wanted = np.where(labelled, truth, photos.tags.rows(0, len(photos.vectors)))
    slope, offset = fit_platt((scores - middle) / spread, wanted)
    slope = slope / spread
    return Calibration(slope.astype(np.float32), (offset - slope * middle).astype(np.float32), labelled)


def thresholds(
    probabilities: Array, given: NDArray[np.bool_], truth: NDArray[np.bool_]
) -> dict[str, dict[str, float | None]]:
    """By target precision: the least probability to add from, over tags not given; the greatest to remove up to.

    All arrays `[m, tags]`; None where the photos do not show that the target is reached.
    """
    found: dict[str, dict[str, float | None]] = {"add": {}, "remove": {}}
    if (~given).any():
        found["add"] = fit_thresholds(truth[~given].astype(np.float32), probabilities[~given].astype(np.float64))[
            "thresholds"
        ]
    if given.any():
        wrong, doubt = (~truth[given]).astype(np.float32), 1 - probabilities[given].astype(np.float64)
        limits = fit_thresholds(wrong, doubt)["thresholds"]
        found["remove"] = {target: None if limit is None else round(1 - limit, 4) for target, limit in limits.items()}
    return found


def finish(
    fitted: FittedModel, corpus: Corpus, vectors: Array, out: Path, facts: Mapping[str, Any], *, labels: bool
) -> BatchManifest:
    """Calibrate on the calibrate part, measure on the test part if labels may be used, and write the bundle."""
    rows, c = corpus.part("calibrate"), len(fitted.names)
    photos = _part(corpus, vectors, rows, fitted.names)
    truth = _truth(corpus, rows, fitted.names) if labels else np.full((len(rows), c), np.nan, np.float32)
    calibration = calibrate(fitted, photos, truth)
    known = calibration.labelled
    probabilities = calibrated(fitted.fold_in(photos.vectors, photos.tags), calibration.slope, calibration.offset)
    given = photos.tags.rows(0, len(rows)) > 0
    limits = thresholds(probabilities[:, known], given[:, known], truth[:, known] > 0) if known.any() else {}
    metrics = {"photos_fitted": float(len(fitted.left)), "tags_calibrated_on_labels": float(known.sum())}
    if labels:
        metrics.update(figures(fitted, corpus, vectors))
    return fitted.to_bundle(
        out, {**facts, "thresholds": limits, "metrics": metrics},
        slope=calibration.slope, offset=calibration.offset,
    )  # fmt: skip


def figures(fitted: FittedModel, corpus: Corpus, vectors: Array) -> dict[str, float]:
    """`map_14`: mean average precision on the test part over the 14 tags of the protocol that were fitted."""
    rows = corpus.part("test")
    concepts = {
        tag: label for tag, label in CONCEPTS_14.items() if tag in fitted.names and label in corpus.strict_names
    }
    if not len(rows) or not concepts:
        return {}
    photos = _part(corpus, vectors, rows, fitted.names)
    scores = fitted.fold_in(photos.vectors, photos.tags)
    truth = corpus.truth(concepts, strict=True)[rows]
    found = [
        average_precision(truth[:, i], scores[:, fitted.names.index(tag)])
        for i, tag in enumerate(concepts)
        if truth[:, i].any()
    ]
    return {"map_14": round(macro(found), 4), "map_14_tags": float(len(found))} if found else {}


def _bundle(console: Console, repository: Path, name: str) -> Bundle:
    try:
        bundles = {bundle.name: bundle for bundle in load_bundles(repository)}
    except StartupError as err:
        raise stop(console, str(err)) from err
    if name not in bundles:
        raise stop(console, f"{repository} has no model {name!r}")
    return bundles[name]


def _part(corpus: Corpus, vectors: Array, rows: NDArray[np.int64], names: tuple[str, ...]) -> Embedded:
    """Photos with the tags of the vocabulary alone, and nothing a label ever touched but the embedding itself."""
    return Embedded(vectors=np.ascontiguousarray(vectors[rows]), tags=corpus.tags.take(rows).only(names))


def _truth(corpus: Corpus, rows: NDArray[np.int64], names: tuple[str, ...]) -> NDArray[np.float32]:
    label_of = {tag: label for label, tags in TAGS_OF_LABEL.items() for tag in tags}
    found = np.full((len(rows), len(names)), np.nan, np.float32)
    for column, name in enumerate(names):
        if label_of.get(name) in corpus.label_names:
            found[:, column] = corpus.labels[rows, corpus.label_names.index(label_of[name])]
    return found
