"""The bench's command line: which scenarios, how long, on what; then tables and JSON.

Promises: says what it measures while it does, stops what it started however it ends, and writes what it has when it is
interrupted. Must never: depend on a file outside the repository that it was not told of.
"""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tagwright_server.errors import StartupError
from tagwright_server.inference.bundle import Bundle, load_bundles

from . import photos as photo_sets
from .machine import describe
from .report import Results, show, write_json
from .scenario import Scenario, discover
from .serving import ENGINES
from .setup import DATABASES, Setup

ROOT = Path(__file__).resolve().parents[2]
console = Console()  # the report
_told = Console(stderr=True)  # complaints, and progress where the report goes into a file
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def bench(
    only: Annotated[str, typer.Option(help="scenarios to run, separated by commas; all by default")] = "",
    data: Annotated[Path | None, typer.Option(help="folder of JPEGs to send; by default made from the demo's")] = None,
    seconds: Annotated[float, typer.Option(min=0.2, help="length of one measurement")] = 5.0,
    rounds: Annotated[int, typer.Option(min=1, help="how often what is compared is measured in turns")] = 3,
    json_file: Annotated[Path | None, typer.Option("--json", help="also write the JSON report here")] = None,
    engines: Annotated[str, typer.Option(help="engines to measure, separated by commas")] = "local,triton",
    repository: Annotated[Path, typer.Option(help="the model repository")] = ROOT / "model_repository",
    model: Annotated[str, typer.Option(help="the model in it")] = "tagger",
    library: Annotated[Path | None, typer.Option(help="folder of MIRFlickr-25k, for the scenario of that name")] = None,
    library_photos: Annotated[int, typer.Option(min=100, help="photos of it, at most")] = 20_000,
    refine_photos: Annotated[str, typer.Option(help="sizes of the libraries that are made up for refine")] = "20000",
    search_photos: Annotated[str, typer.Option(help="the same for search")] = "20000",
    search_databases: Annotated[str, typer.Option(help="databases for search, separated by commas")] = "",
    web_photos: Annotated[int, typer.Option(min=100, help="size of the library that is made up for web")] = 20_000,
    web_rounds: Annotated[int, typer.Option(min=1, help="how often each thing is measured in web")] = 20,
    list_them: Annotated[bool, typer.Option("--list", help="list the scenarios and end")] = False,
) -> None:
    """Measure how fast photos become tags, beside the fastest loop without a server on the same cores.

    Takes about ten minutes. The report is also written to runs/bench-DATE.json.
    """
    known = discover()
    if list_them:
        for scenario in known:
            console.print(f"{scenario.name:12} {scenario.title}", highlight=False)
        return
    chosen = _chosen(engines, {engine.name.lower(): engine for engine in ENGINES}, "engine")
    scenarios = _chosen(only, {scenario.name: scenario for scenario in known}, "scenario")
    bundle = _bundle(repository, model)
    for number in (signal.SIGTERM, signal.SIGHUP):  # whatever ends us, what we started is stopped
        signal.signal(number, signal.default_int_handler)
    about: dict[str, Any] = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seconds": seconds,
        "rounds": rounds,
        "machine": describe(ROOT),
        "model": {
            "name": f"{bundle.name}@{bundle.version}",
            "architecture": bundle.architecture,
            "digest": bundle.digest,
        },
    }
    results: dict[str, Results] = {}
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tagwright-bench-")))
        photos = _photos(data, scratch)
        about["photos"] = photos.description
        _introduce(about)
        setup = Setup(
            seconds=seconds,
            rounds=rounds,
            photos=photos,
            repository=repository,
            model=bundle.path,
            scratch=scratch,
            engines=tuple(chosen),
            library=library,
            library_photos=library_photos,
            refine_photos=_sizes(refine_photos),
            search_photos=_sizes(search_photos),
            search_databases=tuple(_chosen(search_databases, {name: name for name in DATABASES}, "database")),
            data=data,
            web_photos=web_photos,
            web_rounds=web_rounds,
            step=stack.enter_context(_progress()),
            stack=stack,
        )
        try:
            for scenario in scenarios:
                _run(scenario, setup, results, busy=about["machine"]["busy"])
        except KeyboardInterrupt:
            setup.step("stopping what runs")
            about["interrupted"] = True
    for path in filter(None, (ROOT / "runs" / f"bench-{datetime.now():%Y-%m-%d-%H%M%S}.json", json_file)):
        write_json(path, about, results)
        console.print(f"written: {path}", style="dim", highlight=False, soft_wrap=True)
    if "interrupted" in about:
        raise typer.Exit(130)


def _sizes(said: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(size) for size in said.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise typer.BadParameter(f"{said!r} are no numbers of photos, such as 20000,1000000")
    return sizes


def _run(scenario: Scenario, setup: Setup, results: dict[str, Results], *, busy: bool) -> None:
    mine = results[scenario.name] = Results(scenario.title)
    console.rule(f"[bold]{scenario.name}[/]: {scenario.title}", align="left")
    started = time.monotonic()
    try:
        for yielded in scenario.run(setup):
            mine.add(yielded)
    finally:
        mine.seconds = time.monotonic() - started
        show(console, mine, busy=busy)


def _introduce(about: dict[str, Any]) -> None:
    machine = about["machine"]
    commit = (machine["commit"] or "no commit")[:12] + (" with changes" if machine["dirty"] else "")
    memory = f"{machine['memory_bytes'] / 2**30:.0f} GiB"
    console.print(f"{machine['cpu']}, {machine['cores']} cores, {memory}; Python {machine['python']}; {commit}")
    console.print(f"model {about['model']['name']} ({about['model']['architecture']}); {about['photos']}")
    if machine["busy"]:
        said = f"load {machine['load_average'][0]:.1f}, {machine['busy_percent']:.0f} % of its processors in use"
        console.print(f"This machine is busy ({said}): what follows is slower than it could be.", style="bold yellow")


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show what is being measured: a line that moves at a terminal, a line each on standard error elsewhere."""
    if not console.is_terminal:
        yield lambda text: _told.print(text, style="dim", highlight=False)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda text: progress.update(task, description=text)


_T = TypeVar("_T")


def _chosen(names: str, known: dict[str, _T], kind: str) -> list[_T]:
    wanted = [name.strip() for name in names.lower().split(",") if name.strip()]
    if unknown := sorted(set(wanted) - set(known)):
        _end(f"there is no {kind} {', '.join(unknown)}; there are: {', '.join(known)}")
    return [one for name, one in known.items() if not wanted or name in wanted]


def _photos(data: Path | None, scratch: Path) -> photo_sets.Photos:
    if data is None:
        return photo_sets.generate(ROOT / "demo" / "photos", scratch)
    try:
        return photo_sets.from_folder(data)
    except FileNotFoundError as err:
        _end(str(err))


def _bundle(repository: Path, model: str) -> Bundle:
    try:
        bundles = load_bundles(repository)
    except StartupError as err:
        _end(str(err))
    for bundle in bundles:
        if bundle.name == model:
            return bundle
    _end(f"{repository} holds no model {model!r}")


def _end(text: str) -> NoReturn:
    _told.print(f"bench: {text}", style="red", highlight=False)
    raise typer.Exit(2)


def main() -> None:
    """Run the command line."""
    app()
