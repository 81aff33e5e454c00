"""`tagwright-train evaluate`: exported models against annotations, on photos that none of them has seen.

Promises: measures what is served (the bundle's network, the server's decoder and preprocessing), on the same photos for
every model, and says how many it left out because a model had seen them.
Never: quietly measures on seen photos.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from tagwright_server.errors import StartupError
from tagwright_server.images.preprocess import Preprocessing
from tagwright_server.inference.bundle import MANIFEST_FILE, Bundle, load_bundles
from tagwright_training import plots, report, seen
from tagwright_training.data import square
from tagwright_training.dataset import Dataset, Photo, read_bytes, write_atomically
from tagwright_training.prepare import progress, read_or_exit, stop
from tagwright_training.report import Occasion
from tagwright_training.results import Measured, measure
from tagwright_training.scoring import score

SHEET = Preprocessing(size=200)  # how photos are shown on the contact sheet


def command(
    data: Annotated[Path, typer.Argument(help="Folder of MIRFlickr-25k, as published or with zips and tables.")],
    model_repository: Annotated[Path, typer.Option(help="Where the exported models are.")] = Path("model_repository"),
    model: Annotated[list[str] | None, typer.Option(help="Name of a model; repeat for several [default: all].")] = None,
    out: Annotated[Path, typer.Option(help="Folder for JSON and plots.")] = Path("runs/evaluation"),
    allow_absent: Annotated[bool, typer.Option(help="Leave out annotations of photos that are not there.")] = False,
    with_plots: Annotated[bool, typer.Option("--plots/--no-plots", help="Whether to draw the plots.")] = True,
    update_manifest: Annotated[bool, typer.Option(help="Write the figures into each model's manifest.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 1,
) -> None:
    """Measure exported models on the photos of DATA that none of them has seen."""
    console = Console(stderr=True)
    bundles = _choose(console, model_repository, model or [])
    dataset = read_or_exit(console, data, all_test=True, user_tags=False, allow_absent=allow_absent)
    try:
        photos, unlisted = unseen(dataset, bundles)
    except ValueError as err:
        raise stop(console, str(err)) from err
    _check(console, dataset, bundles, photos, unlisted)
    with progress(console, "Scoring photos") as advance:
        scored = score(bundles, dataset, photos, advance=advance)
    measured = [measure(each, photos, strict_labels=dataset.strict_labels, seed=seed) for each in scored]
    measured.sort(key=lambda m: -m.figures.mean_average_precision.value)

    occasion = Occasion(dataset, len(dataset.photos) - len(photos), len(photos), unlisted)
    report.show(Console(), occasion, measured)
    text = json.dumps(report.document(occasion, measured), ensure_ascii=False, indent=1, allow_nan=False)
    write_atomically(out / "evaluation.json", f"{text}\n".encode())
    names = ["evaluation.json"]
    if with_plots:
        names += plots.draw(out, measured, lambda row: square(read_bytes(dataset, photos[row]), SHEET))
    console.print(f"Wrote {escape(str(out))}: {', '.join(names)}", soft_wrap=True)
    if update_manifest:
        _update(console, bundles, measured, len(photos))


def unseen(dataset: Dataset, bundles: Sequence[Bundle]) -> tuple[list[Photo], tuple[str, ...]]:
    """The photos that none of the models has seen, and the names of models that do not say what they have seen."""
    lists, unlisted = [], []
    for bundle in bundles:
        try:
            lists.append(seen.read_seen(bundle.path / seen.FILE))
        except FileNotFoundError:
            unlisted.append(bundle.name)
    known = reduce(lambda one, other: one | other, lists, seen.Seen())
    return [photo for photo in dataset.photos if photo not in known], tuple(unlisted)


def _choose(console: Console, repository: Path, names: Sequence[str]) -> list[Bundle]:
    try:
        bundles = load_bundles(repository)
    except StartupError as err:
        raise stop(console, str(err)) from err
    if missing := set(names) - {bundle.name for bundle in bundles}:
        there = ", ".join(bundle.name for bundle in bundles)
        raise stop(console, f"{repository}: no model {', '.join(sorted(missing))}; there are {there}")
    return [bundle for bundle in bundles if not names or bundle.name in names]


def _check(
    console: Console, dataset: Dataset, bundles: Sequence[Bundle], photos: Sequence[Photo], unlisted: Sequence[str]
) -> None:
    for bundle in bundles:
        if strangers := sorted({label.name for label in bundle.labels} - set(dataset.labels)):
            text = f"{dataset.root}: no annotations for labels of model {bundle.name!r}: {', '.join(strangers)}"
            raise stop(console, text)
    for name in unlisted:
        text = f"model {name!r} has no {seen.FILE}: it may have seen these photos, and its figures may be too good"
        console.print(f"[bold yellow]warning:[/] {escape(text)}", soft_wrap=True)
    if left_out := len(dataset.photos) - len(photos):
        console.print(f"{left_out:,} of {len(dataset.photos):,} photos left out: a model has seen them")
    if not photos:
        raise stop(console, f"{dataset.root}: every photo has been seen by a model; nothing is left to measure on")


def _update(console: Console, bundles: Sequence[Bundle], measured: Sequence[Measured], evaluated: int) -> None:
    figures = {m.figures.name: m.figures for m in measured}
    for bundle in bundles:
        path = bundle.path / MANIFEST_FILE
        manifest = json.loads(path.read_text(encoding="utf-8"))
        manifest["metrics"] = report.metrics_of(figures[bundle.name], evaluated)
        for label, measured_label in zip(manifest["labels"], figures[bundle.name].labels, strict=True):
            label["average_precision"] = round(measured_label.average_precision.value, 4)
        write_atomically(path, (json.dumps(manifest, ensure_ascii=False, indent=1) + "\n").encode())
        console.print(f"Wrote the figures into {escape(str(path))}")
