"""`tagwright-train evaluate-search`: tag search by three sources, variety beside relevance, codes, on unseen photos.

Promises: what is measured is measured on photos that neither the library holds nor the tagger has seen, but for one
table that says so; what networks make of photos is kept in the cache folder.
Never: quietly leaves a way out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape

from tagwright_server.errors import ImageRejected, ModelUnavailable, StartupError
from tagwright_server.inference.bundle import Bundle, load_bundle
from tagwright_server.search.diversity import Variety
from tagwright_training import seen
from tagwright_training.dataset import Dataset, write_atomically
from tagwright_training.prepare import progress, read_or_exit, stop
from tagwright_training.refinement import cases, evaluation
from tagwright_training.refinement.corpus import Corpus, normalised
from tagwright_training.refinement.evaluate_refinement import FEWEST_PHOTOS, WIDE
from tagwright_training.refinement.features import TaggerLook, imagenet_features, tagger_look
from tagwright_training.search import (
    code_evaluation,
    collection,
    ranking_evaluation,
    search_plots,
    search_report,
    words,
)
from tagwright_training.search.code_evaluation import CodeFigures, Field
from tagwright_training.search.collection import Collection, Keeping, Query
from tagwright_training.search.search_report import Occasion, Outcome, Rankings

IMAGENET = "efficientnet-lite0"

Rows = collection.Rows


class Folder:
    """A folder's photos, and what networks make of them."""

    def __init__(self, console: Console, bundle: Bundle, dataset: Dataset, cache: Path) -> None:
        self.dataset, self.corpus = dataset, Corpus.of(dataset)
        with progress(console, f"{dataset.name}: {IMAGENET}") as advance:
            found = imagenet_features(IMAGENET, dataset, dataset.photos, cache, advance)
        self.imagenet = normalised(found)
        with progress(console, f"{dataset.name}: {bundle.name}") as advance:
            look = tagger_look(bundle, dataset, dataset.photos, cache, advance)
        self.look = TaggerLook(normalised(look.embedding), look.scores)


def command(
    library: Annotated[Path, typer.Argument(help="Folder of the library, laid out like MIRFlickr-25k.")],
    test: Annotated[Path, typer.Argument(help="Folder of the photos to search among; the same: its test part.")],
    model: Annotated[Path, typer.Option(help="The tagger's version folder.")] = Path("model_repository/tagger/1"),
    out: Annotated[Path, typer.Option(help="Folder for JSON and plots.")] = Path("runs/search"),
    cache: Annotated[Path, typer.Option(help="Where what networks make of photos is kept.")] = Path("runs/features"),
    word_folder: Annotated[Path | None, typer.Option("--words", help="Folder of GloVe [default: its package].")] = None,
    allow_absent: Annotated[bool, typer.Option(help="Leave out annotations of photos that are not there.")] = False,
    with_codes: Annotated[bool, typer.Option("--codes/--no-codes", help="Whether to train and measure codes.")] = True,
    with_plots: Annotated[bool, typer.Option("--plots/--no-plots", help="Whether to draw the plots.")] = True,
    seed: Annotated[int, typer.Option(help="Seed of the split and of the codes.")] = 1,
) -> None:
    """Measure tag search on photos of TEST, and codes trained on the photos of LIBRARY."""
    console = Console(stderr=True)
    try:
        bundle = load_bundle(model)
        artefact = evaluation.read_artefact(bundle)
    except StartupError as err:
        raise stop(console, str(err)) from err
    one = library.resolve() == test.resolve()
    library_data = read_or_exit(console, library, seed=seed, allow_absent=allow_absent)
    test_data = library_data if one else read_or_exit(console, test, all_test=True, allow_absent=allow_absent)
    known, seen_is_known = _seen(console, bundle)
    try:
        home = Folder(console, bundle, library_data, cache)
        away = home if one else Folder(console, bundle, test_data, cache)
    except (ImageRejected, ModelUnavailable, StartupError) as err:
        raise stop(console, f"{test}: {err}") from err
    library_rows, rows = cases.split(home.corpus, None if one else away.corpus, known)
    tuning = np.intersect1d(library_rows, home.corpus.part("calibrate"))
    if min(len(library_rows), len(rows), len(tuning)) < FEWEST_PHOTOS:
        text = f"{len(library_rows):,} photos for the library and {len(rows):,} unseen ones are too few"
        raise stop(console, f"{text}: {FEWEST_PHOTOS} of each are the least")
    vectors = None
    if with_codes:
        try:
            vectors = words.word_vectors(home.corpus.tags.names, word_folder)
        except FileNotFoundError as err:
            raise stop(console, f"{err}; or leave out codes with --no-codes") from err

    lists = [home.corpus.tags.typed(row) for row in library_rows.tolist()]
    keeping = Keeping(bundle, artefact, home.look.embedding[library_rows], lists)
    with progress(console, "Keeping photos") as advance:
        voters = library_rows if one else np.empty(0, np.int64)
        every = np.arange(len(away.corpus.photos))
        whole = collection.collect(away.corpus, every, away.look, keeping, voters, advance, cache)
    if one:
        fitting = whole.take(library_rows)
    else:
        with progress(console, "Keeping photos to fit on") as advance:
            fitting = collection.collect(home.corpus, tuning, home.look, keeping, library_rows, advance, cache)
    rankings = _rankings(console, fitting, whole, rows, away.corpus)
    codes: list[CodeFigures] = []
    if vectors is not None:
        for name in (IMAGENET, bundle.name):
            field = _field(name, bundle, home, library_rows, away, rows, vectors)
            with progress(console, f"Codes of {name}") as advance:
                codes += code_evaluation.measure(field, seed=seed, advance=advance)
    occasion = Occasion(
        library=library_data,
        library_photos=len(library_rows),
        test=test_data,
        photos=len(rows),
        whole_photos=len(whole.typed),
        fitted_photos=len(fitting.typed),
        model=f"{bundle.name}@{bundle.version}",
        seen_is_known=seen_is_known,
        seed=seed,
    )
    outcome = Outcome(rankings, tuple(codes), bundle.name)
    paper = Console()
    search_report.show(paper if paper.is_terminal else Console(width=WIDE), occasion, outcome)
    _write(console, out, occasion, outcome, with_plots=with_plots)


def _seen(console: Console, bundle: Bundle) -> tuple[seen.Seen, bool]:
    try:
        return seen.read_seen(bundle.path / seen.FILE), True
    except FileNotFoundError:
        text = f"model {bundle.name!r} has no {seen.FILE}: it may have seen these photos, and figures may be too good"
        console.print(f"[bold yellow]warning:[/] {escape(text)}", soft_wrap=True)
        return seen.Seen(), False
    except ValueError as err:
        raise stop(console, str(err)) from err


def _rankings(console: Console, fitting: Collection, whole: Collection, rows: Rows, corpus: Corpus) -> Rankings:
    unseen = whole.take(rows)
    wanted: dict[bool, list[Query]] = {sense: collection.queries(corpus, strict=sense) for sense in (True, False)}
    strict, plainly = (ranking_evaluation.targets(fitting, wanted[sense]) for sense in (True, False))
    fitted: dict[str, Variety] = {}
    ways = {"look and tags": ranking_evaluation.LOOKS, "tags alone": (0.0,), "look alone": (1.0,)}
    with progress(console, "Fitting variety") as advance:
        for done, (name, looks) in enumerate(ways.items()):
            advance(done, len(ways))
            fitted[name] = ranking_evaluation.fit(fitting, strict, plainly, looks)
        advance(len(ways), len(ways))
    fitted["as served"] = Variety()
    return Rankings(
        unseen=tuple(ranking_evaluation.rank(unseen, [*wanted[True], *wanted[False]])),
        whole=tuple(ranking_evaluation.rank(whole, [*wanted[True], *wanted[False]])),
        variety=tuple(ranking_evaluation.compare(unseen, wanted, fitted)),
        whole_variety=tuple(ranking_evaluation.compare(whole, wanted, fitted)),
    )


def _field(
    name: str, bundle: Bundle, home: Folder, library_rows: Rows, away: Folder, rows: Rows, vectors: words.Vectors
) -> Field:
    tagger = name == bundle.name
    here, there = (home.look.embedding, away.look.embedding) if tagger else (home.imagenet, away.imagenet)
    known = [label for label in home.corpus.label_names if label in away.corpus.label_names]
    return Field(
        name,
        here[library_rows],
        home.corpus.labels[library_rows][:, [home.corpus.label_names.index(label) for label in known]],
        words.tag_vectors(home.corpus.tags.take(library_rows), vectors),
        there[rows],
        away.corpus.labels[rows][:, [away.corpus.label_names.index(label) for label in known]],
    )


def _write(console: Console, out: Path, occasion: Occasion, outcome: Outcome, *, with_plots: bool) -> None:
    content = search_report.document(occasion, outcome)
    text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)
    write_atomically(out / "search.json", f"{text}\n".encode())
    names = ["search.json", *(search_plots.draw(out, outcome) if with_plots else [])]
    console.print(f"Wrote {escape(str(out))}: {', '.join(names)}", soft_wrap=True)
