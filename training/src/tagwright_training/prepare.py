"""`tagwright-train prepare`: check a folder of MIRFlickr-25k and write it down as one JSON manifest with a fixed split.

Promises: nothing is written unless every photo and every annotation is sound; the same folder and seed give the same
manifest.
Never: copies or changes a photo.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tagwright_training import mirflickr
from tagwright_training.dataset import PARTS, Dataset, Part, Photo, save
from tagwright_training.mirflickr import STRICT_SUFFIX, Advance, Problem

SHOWN_PROBLEMS = 20
TRAIN_SHARE = 0.70
CALIBRATE_SHARE = 0.15  # the rest is the test part


class DataInvalid(Exception):
    """A folder that cannot be used; `problems` says why, all of it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(f"{len(problems):,} problems, first {problems[0]}")
        self.problems = tuple(problems)


def part_of(photo_id: int, *, seed: int) -> Part:
    """The part a photo belongs to, from its id and the seed alone.

    A hash rather than a shuffle: photos that are added or taken away move no other photo, and a photo is in the same
    part in full size and as a crop. The shares are met about (20,000 photos: within half a point). Nothing holds
    near-duplicates together: the 20,000 have fewer than ten pairs, by a 256-bit difference hash and by correlation.
    """
    share = int.from_bytes(hashlib.sha256(f"{seed}:{photo_id}".encode()).digest()[:8], "big") / 2**64
    if share < TRAIN_SHARE:
        return "train"
    return "calibrate" if share < TRAIN_SHARE + CALIBRATE_SHARE else "test"


def read_folder(
    root: Path,
    *,
    seed: int = 1,
    all_test: bool = False,
    user_tags: bool = True,
    allow_absent: bool = False,
    advance: Advance = lambda done, total: None,
    warn: Callable[[str], None] = lambda text: None,
) -> Dataset:
    """Check `root` and split it; with `all_test` every photo is a test photo. Raises DataInvalid with all problems."""
    root = root.absolute()
    folder = mirflickr.read(root, user_tags=user_tags, allow_absent=allow_absent, advance=advance)
    if folder.problems:
        raise DataInvalid(folder.problems)
    for text in folder.warnings:
        warn(text)
    holds: dict[int, list[str]] = {photo_id: [] for photo_id in folder.photos}
    for name in sorted(folder.lists):
        for photo_id in folder.lists[name]:
            holds[photo_id].append(name)
    return Dataset(
        root=root,
        seed=seed,
        labels=tuple(sorted(n for n in folder.lists if not n.endswith(STRICT_SUFFIX))),
        strict_labels=tuple(sorted(n.removesuffix(STRICT_SUFFIX) for n in folder.lists if n.endswith(STRICT_SUFFIX))),
        photos=tuple(
            Photo(
                id=photo_id,
                archive=archive,
                file=file,
                split="test" if all_test else part_of(photo_id, seed=seed),
                labels=tuple(n for n in holds[photo_id] if not n.endswith(STRICT_SUFFIX)),
                strict=tuple(n.removesuffix(STRICT_SUFFIX) for n in holds[photo_id] if n.endswith(STRICT_SUFFIX)),
                user_tags=folder.user_tags.get(photo_id, ()),
                digest=folder.digests[photo_id],
            )
            for photo_id, (archive, file) in sorted(folder.photos.items())
        ),
    )


def command(
    data: Annotated[Path, typer.Argument(help="Folder of MIRFlickr-25k, as published or with zips and tables.")],
    out: Annotated[Path, typer.Option(help="Where to write the manifest.")] = Path("runs/dataset.json"),
    seed: Annotated[int, typer.Option(help="Seed of the split into train, calibrate and test.")] = 1,
    all_test: Annotated[bool, typer.Option(help="Put every photo into the test part.")] = False,
    allow_absent: Annotated[bool, typer.Option(help="Leave out annotations of photos that are not there.")] = False,
) -> None:
    """Check every photo and annotation of DATA and write one manifest with a fixed split."""
    console = Console(stderr=True)
    dataset = read_or_exit(console, data, seed=seed, all_test=all_test, allow_absent=allow_absent)
    save(dataset, out)
    console.print(_summary(dataset))
    console.print(f"Wrote {escape(str(out))}: {len(dataset.photos):,} photos, data {dataset.digest()[:12]}")


def read_or_exit(
    console: Console,
    data: Path,
    *,
    seed: int = 1,
    all_test: bool = False,
    user_tags: bool = True,
    allow_absent: bool = False,
) -> Dataset:
    """`read_folder` with a progress bar; says what is wrong and leaves with exit code 1 if the folder is of no use."""
    try:
        with progress(console, "Checking photos") as advance:
            return read_folder(
                data,
                seed=seed,
                all_test=all_test,
                user_tags=user_tags,
                allow_absent=allow_absent,
                advance=advance,
                warn=lambda text: console.print(f"[yellow]note:[/] {escape(text)}", soft_wrap=True),
            )
    except DataInvalid as err:
        tell(console, err.problems)
        raise typer.Exit(1) from err


def tell(console: Console, problems: Sequence[Problem]) -> None:
    """Print the first problems one a line, then how many there are of each kind."""
    for problem in problems[:SHOWN_PROBLEMS]:
        console.print(f"[red]error:[/] {escape(str(problem))}", soft_wrap=True, highlight=False)
    if len(problems) > SHOWN_PROBLEMS:
        console.print(f"... and {len(problems) - SHOWN_PROBLEMS:,} more", highlight=False)
    kinds = ", ".join(f"{count:,} x {kind}" for kind, count in Counter(p.kind for p in problems).most_common())
    console.print(f"[red]{len(problems):,} problems:[/] {kinds}", soft_wrap=True, highlight=False)
    if any(p.kind == "missing photo" for p in problems):
        console.print("If photos were taken away on purpose, --allow-absent leaves out what is said about them.")


@contextmanager
def progress(console: Console, text: str) -> Iterator[Advance]:
    """A progress bar for (done, total)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(text, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _summary(dataset: Dataset) -> Table:
    table = Table(title=f"{len(dataset.labels)} labels, {len(dataset.strict_labels)} of them also in the strict sense")
    table.add_column("part")
    for name in ("photos", "labels a photo", "user tags a photo"):
        table.add_column(name, justify="right")
    for part in PARTS:
        photos = dataset.split(part)
        n = max(1, len(photos))
        labels, tags = sum(len(p.labels) for p in photos) / n, sum(len(p.user_tags) for p in photos) / n
        table.add_row(
            part, f"{len(photos):,} ({len(photos) / len(dataset.photos):.1%})", f"{labels:.2f}", f"{tags:.1f}"
        )
    return table


def stop(console: Console, text: str) -> typer.Exit:
    """Say in one line what is wrong; to be raised."""
    console.print(f"[red]error:[/] {escape(text)}", soft_wrap=True, highlight=False)
    return typer.Exit(1)
