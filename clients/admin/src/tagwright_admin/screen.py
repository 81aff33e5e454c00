"""What people see: tables and bars on standard output, progress and complaints on standard error.

Nothing that comes from a file name or from a server reaches the terminal unescaped (`safe`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from tagwright_client import Model, PhotoTags, ServedModels, TagwrightError

_BAR_CELLS = 20
_EIGHTHS = " ▏▎▍▌▋▊▉"
_MANY = 8  # from this many photos on a bar helps; below, the answers themselves show how far it is
_METRICS = {"map_24": "mAP 24", "map_14": "mAP 14", "ece": "calibration error"}


def safe(text: str) -> str:
    """Return the text with all that is not printable (control and direction characters, broken UTF-8) escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def bar(score: float, *, cells: int = _BAR_CELLS, encoding: str | None = None) -> str:
    """Return a bar of constant width, as long as the score; of eighths of a cell where the encoding has them."""
    score = min(max(score, 0.0), 1.0)
    try:
        f"█{_EIGHTHS}".encode(encoding or sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ("#" * round(score * cells)).ljust(cells)
    whole, eighths = divmod(round(score * cells * 8), 8)
    return ("█" * whole + (_EIGHTHS[eighths] if eighths else "")).ljust(cells)


def show_photo(path: str, tags: PhotoTags, *, evidence: bool) -> None:
    """Print the table of one photo's tags."""
    out = Console(highlight=False)
    heading = Text(safe(path), style="bold")
    about = f"  {tags.width} x {tags.height} {tags.format}, {tags.model_version}, {tags.timings.total_ms:.0f} ms"
    out.print(heading.append(safe(about), style="not bold dim"), soft_wrap=True)
    if not tags.tags:
        out.print("  no tag is likely enough")
        return
    out.print(tag_table(tags, evidence=evidence))


def tag_table(tags: PhotoTags, *, evidence: bool = False) -> Table:
    """Return one line a tag: name, bar, score, and on request what the score rests on."""
    table = Table.grid(padding=(0, 2), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    if evidence:
        table.add_column(style="dim")
    for tag in tags.tags:
        why = [Text("; ".join(safe(reason.text) for reason in tag.evidence))] if evidence else []
        judged = (bar(tag.score), f"{tag.score:.2f}") if tag.score is not None else ("", "")
        table.add_row(Text(f"  {safe(tag.name)}"), *judged, *why)
    return table


def show_models(served: ServedModels, *, labels: bool) -> None:
    """Print the table of a server's models and, on request, of their labels."""
    out = Console(highlight=False)
    out.print(
        Text(safe(served.engine), style="bold").append(f"  up {_duration(served.uptime_s)}", style="not bold dim")
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    metrics = {key: title for key, title in _METRICS.items() if any(key in model.metrics for model in served)}
    for title in ("model", "network", "labels", *metrics.values(), "created", "digest"):
        table.add_column(title, no_wrap=True)
    for model in served:
        table.add_row(
            Text(safe(model.id) + (" (default)" if model.is_default else "")),
            Text(safe(model.architecture)),
            str(len(model.labels)),
            *(f"{model.metrics[key]:.3f}" if key in model.metrics else "" for key in metrics),
            f"{model.create_time:%Y-%m-%d}" if model.create_time else "",
            Text(safe(model.digest[:12])),
        )
    out.print(table, soft_wrap=True)
    if labels:
        for model in served:
            _show_labels(out, model)


def complain(text: str, *, path: str = "") -> None:
    """Print one line about what went wrong, on standard error."""
    line = Text(f"{safe(path)}: " if path else "", style="bold")
    Console(stderr=True, highlight=False).print(line.append(safe(text), style="not bold red"), soft_wrap=True)


def remark(text: str) -> None:
    """Print one line that is no result and no complaint, on standard error."""
    Console(stderr=True, highlight=False).print(Text(safe(text)), soft_wrap=True)


def on_terminal() -> bool:
    """Return whether somebody sees how things go on."""
    return Console(stderr=True).is_terminal


def explained(error: TagwrightError) -> str:
    """Return the error's text with all that helps to act on it."""
    parts = [str(error)]
    parts += [
        f"{wrong.field}: {wrong.description}" for wrong in error.field_violations if wrong.description not in parts[0]
    ]
    if error.error_id:
        parts.append(f"error id {error.error_id}")
    return "; ".join(parts)


class Progress:
    """A bar on standard error while many photos are gone through; nothing at all where that is no terminal."""

    def __init__(self, total: int, *, doing: str = "tagging") -> None:
        """Prepare a bar of `total` photos; `doing` is the word before it."""
        console = Console(stderr=True)
        self._bar = Bar(
            TextColumn(doing),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal or total < _MANY,
            redirect_stdout=False,  # results belong on standard output, whatever that is
            redirect_stderr=False,
        )
        self._task = self._bar.add_task(doing, total=total)

    def __enter__(self) -> Progress:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        self._bar.stop()

    def advance(self) -> None:
        """Count one more photo."""
        self._bar.advance(self._task)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the bar away while the block prints, if both go to the same screen."""
        if self._bar.disable or not sys.stdout.isatty():
            yield
            return
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()


def _show_labels(out: Console, model: Model) -> None:
    precisions: Sequence[float] = sorted({at for label in model.labels for at in label.thresholds})
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(Text(safe(model.id)), no_wrap=True)
    for title in ("AP", "threshold", *(f"for {at:.0%} right" for at in precisions)):
        table.add_column(title, justify="right", no_wrap=True)
    for label in model.labels:
        scores = (label.thresholds.get(at) for at in precisions)
        table.add_row(
            Text(safe(label.name)),
            f"{label.average_precision:.2f}",
            f"{label.default_threshold:.2f}",
            *("never" if score is None else f"{score:.2f}" for score in scores),
        )
    out.print()
    out.print(table, soft_wrap=True)


def _duration(seconds: float) -> str:
    for unit, size_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size_s:
            return f"{seconds / size_s:.0f} {unit}"
    return f"{seconds:.0f} s"
