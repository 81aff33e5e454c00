"""`tagwright-train evaluate-refinement`: every way to refine tags, on the same photos, without expert labels and with.

Promises: all methods get one library and one set of photos, which neither the library holds nor the tagger has seen;
what networks make of photos is kept in the cache folder. A method that fails is shown as failed and makes the exit code
1; the others are shown all the same.
Never: quietly leaves a method out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from tagwright_server.errors import ImageRejected, ModelUnavailable, StartupError
from tagwright_server.images.preprocess import Preprocessing
from tagwright_server.inference.bundle import Bundle, load_bundle
from tagwright_training import seen
from tagwright_training.data import square
from tagwright_training.dataset import Dataset, read_bytes, write_atomically
from tagwright_training.prepare import progress, read_or_exit, stop
from tagwright_training.refinement import cases, evaluation, page, refinement_plots, refinement_report, served
from tagwright_training.refinement.cases import Case, Folder, Looks
from tagwright_training.refinement.corpus import Corpus
from tagwright_training.refinement.evaluation import Context, Failed, Figures
from tagwright_training.refinement.features import IMAGENET, imagenet_features, strict_scores, tagger_look
from tagwright_training.refinement.page import Example
from tagwright_training.refinement.refinement_report import Occasion, Outcome
from tagwright_training.refinement.served import Served

FEWEST_PHOTOS = 20  # of the library, and to measure on: on fewer, no figure means anything
WIDE = 120  # characters, of a file or a pipe
SHEET = Preprocessing(size=200)  # how photos are shown on the page


def command(
    library: Annotated[Path, typer.Argument(help="Folder of the photos that vote, laid out like MIRFlickr-25k.")],
    test: Annotated[Path, typer.Argument(help="Folder of the photos to measure on; the same: its test part.")],
    model: Annotated[Path, typer.Option(help="The tagger's version folder.")] = Path("model_repository/tagger/1"),
    methods: Annotated[str | None, typer.Option(help="Keys of methods with commas between [default: all].")] = None,
    out: Annotated[Path, typer.Option(help="Folder for JSON, plots and page.")] = Path("runs/refinement"),
    cache: Annotated[Path, typer.Option(help="Where what networks make of photos is kept.")] = Path("runs/features"),
    allow_absent: Annotated[bool, typer.Option(help="Leave out annotations of photos that are not there.")] = False,
    with_plots: Annotated[bool, typer.Option("--plots/--no-plots", help="Whether to draw the plots.")] = True,
    seed: Annotated[int, typer.Option(help="Seed of the split, the stress test, the bootstrap and the page.")] = 1,
) -> None:
    """Measure every refinement method on photos of TEST, with the photos of LIBRARY voting."""
    console = Console(stderr=True)
    try:
        entries = evaluation.chosen(methods.split(",") if methods else None)
        bundle = load_bundle(model)
    except (ValueError, StartupError) as err:
        raise stop(console, str(err)) from err
    one = library.resolve() == test.resolve()
    library_data = read_or_exit(console, library, seed=seed, allow_absent=allow_absent)
    test_data = library_data if one else read_or_exit(console, test, all_test=True, allow_absent=allow_absent)
    known, seen_is_known = _seen(console, bundle)
    library_corpus = Corpus.of(library_data)
    test_corpus = library_corpus if one else Corpus.of(test_data)
    library_rows, rows = cases.split(library_corpus, None if one else test_corpus, known)
    if min(len(library_rows), len(rows)) < FEWEST_PHOTOS:
        text = f"{len(library_rows):,} photos for the library and {len(rows):,} unseen ones to measure on are too few"
        raise stop(console, f"{text}: {FEWEST_PHOTOS} of each are the least")
    try:
        library_folder = Folder(library_corpus, _looks(console, bundle, library_data, cache, strict=one))
        folder = library_folder if one else Folder(test_corpus, _looks(console, bundle, test_data, cache, strict=True))
        labels = [label.name for label in bundle.labels]
        case = cases.build(library_folder, library_rows, folder, rows, labels, seed=seed)
    except (ImageRejected, ModelUnavailable, StartupError, ValueError) as err:
        raise stop(console, f"{test}: {err}") from err

    context = Context(bundle, case)
    runs = [(entry, column) for entry in entries for column in entry.columns]
    found: list[Figures | Failed] = []
    with progress(console, "Measuring methods") as advance:
        for done, (entry, column) in enumerate(runs):
            advance(done, len(runs))
            found.append(evaluation.measure(entry, column, context, seed=seed))
        advance(len(runs), len(runs))
    failures = [each for each in found if isinstance(each, Failed)]
    online = None
    if any(entry.key == "online" for entry in entries) and not any(each.entry == "online" for each in failures):
        with progress(console, "Deciding as the server does") as advance:
            online = served.measure(evaluation.read_artefact(bundle), case, advance)
    figures = tuple(each for each in found if isinstance(each, Figures))
    outcome = Outcome(figures, tuple(failures), online)
    occasion = Occasion(
        library=library_data,
        library_photos=len(library_rows),
        test=test_data,
        photos=len(rows),
        left_out=len(test_corpus.part("test")) - len(rows),
        model=f"{bundle.name}@{bundle.version}",
        seen_is_known=seen_is_known,
        seed=seed,
        judged_tags=len(case.typed.wrong),
        wrong_tags=int(case.typed.wrong.sum()),
    )
    paper = Console()
    refinement_report.show(paper if paper.is_terminal else Console(width=WIDE), occasion, outcome)
    _write(console, out, occasion, outcome, with_plots=with_plots)
    if online is not None:
        _write_page(console, out, bundle, test_data, test_corpus, case, online, seed)
    if failures:
        raise typer.Exit(1)


def _seen(console: Console, bundle: Bundle) -> tuple[seen.Seen, bool]:
    try:
        return seen.read_seen(bundle.path / seen.FILE), True
    except FileNotFoundError:
        text = f"model {bundle.name!r} has no {seen.FILE}: it may have seen these photos, and figures may be too good"
        console.print(f"[bold yellow]warning:[/] {escape(text)}", soft_wrap=True)
        return seen.Seen(), False
    except ValueError as err:
        raise stop(console, str(err)) from err


def _looks(console: Console, bundle: Bundle, dataset: Dataset, cache: Path, *, strict: bool) -> Looks:
    parts = []
    for architecture in IMAGENET:
        with progress(console, f"{dataset.name}: {architecture}") as advance:
            parts.append(imagenet_features(architecture, dataset, dataset.photos, cache, advance))
    with progress(console, f"{dataset.name}: {bundle.name}") as advance:
        look = tagger_look(bundle, dataset, dataset.photos, cache, advance)
    if not strict:
        return Looks(tuple(parts), look.embedding, look.scores)
    with progress(console, f"{dataset.name}: {bundle.name}, strict") as advance:
        outputs = strict_scores(bundle, dataset, dataset.photos, cache, advance)
    return Looks(tuple(parts), look.embedding, look.scores, outputs)


def _write(console: Console, out: Path, occasion: Occasion, outcome: Outcome, *, with_plots: bool) -> None:
    content = refinement_report.document(occasion, outcome)
    text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)
    write_atomically(out / "refinement.json", f"{text}\n".encode())
    names = ["refinement.json"]
    if with_plots and outcome.figures:
        names += refinement_plots.draw(out, outcome.figures, outcome.served)
    console.print(f"Wrote {escape(str(out))}: {', '.join(names)}", soft_wrap=True)


def _write_page(
    console: Console, out: Path, bundle: Bundle, dataset: Dataset, corpus: Corpus, case: Case, online: Served, seed: int
) -> None:
    artefact = evaluation.read_artefact(bundle)
    examples = [
        Example(
            row=row,
            name=f"{dataset.name}, photo {corpus.ids[row]}",
            tags=corpus.tags.typed(row),
            decisions=decisions,
            truth=served.truth_of(artefact, case, place),
        )
        for place, (row, decisions) in enumerate(zip(case.rows.tolist(), online.decisions, strict=True))
    ]
    text = page.render(
        f"Tags refined by {bundle.name} {bundle.version}",
        f"{len(examples):,} photos that neither the library holds nor the network has seen, some of them by chance. "
        f"Removals are to be right {float(online.default_precision):.0%} of the time.",
        page.choose(examples, seed=seed),
        lambda row: square(read_bytes(dataset, dataset.photos[row]), SHEET),
    )
    write_atomically(out / "examples.html", text.encode())
    console.print(f"Wrote {escape(str(out))}: examples.html", soft_wrap=True)
