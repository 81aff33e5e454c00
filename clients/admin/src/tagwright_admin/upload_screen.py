"""What people see of an upload: a bar or, without a terminal, a line now and then; the first failures; the summary."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from tagwright_admin import jsonl, screen
from tagwright_admin.local_photos import EXTENSIONS
from tagwright_admin.screen import safe
from tagwright_admin.upload_run import Outcome, Prepared, Tally

_SHOWN_FAILURES = 10  # a line each; the others are in the file of failures
_EVERY_S = 10.0  # between two lines where there is no terminal


class Progress:
    """How far an upload is, on standard error; and each photo's line on standard output where programs read it."""

    def __init__(self, *, total: int | None, json: bool, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare for `total` photos, None: not known."""
        console = Console(stderr=True)
        self._json = json
        self._clock = clock
        self._started = self._spoken = clock()
        self._complained = 0
        self._live = console.is_terminal and not (json and sys.stdout.isatty())
        self._bar = Bar(
            TextColumn("uploading"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[counts]}"),
            console=console,
            transient=True,
            disable=not self._live,
            redirect_stdout=False,  # results belong on standard output, whatever that is
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("uploading", total=total, counts="")

    @property
    def elapsed_s(self) -> float:
        """How long it has been going on."""
        return self._clock() - self._started

    def __enter__(self) -> Progress:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        self._bar.stop()

    def tell(self, outcome: Outcome, tally: Tally) -> None:
        """Show one more photo, which `tally` has counted."""
        counts = _counts(tally, self.elapsed_s)
        self._bar.update(self._task, completed=tally.photos, counts=counts)
        if self._json:
            print(line(outcome), flush=True)
        else:
            self._complain(outcome)
        if not self._live and self._clock() - self._spoken >= _EVERY_S:
            self._spoken = self._clock()
            Console(stderr=True, highlight=False).print(f"{tally.photos:,} photos: {counts}", soft_wrap=True)

    def _complain(self, outcome: Outcome) -> None:
        problems = list(outcome.prepared.problems) if outcome.prepared is not None else []
        if outcome.failure is not None:
            problems.append(screen.explained(outcome.error) if outcome.error is not None else outcome.failure.text)
        for text in problems:
            self._complained += 1
            if self._complained <= _SHOWN_FAILURES:
                self._aside(text, path=outcome.path)
            elif self._complained == _SHOWN_FAILURES + 1:
                self._aside("more of them are only counted from here on")

    def _aside(self, text: str, *, path: str = "") -> None:
        if self._live:
            self._bar.stop()
        screen.complain(text, path=path)
        if self._live:
            self._bar.start()


def line(outcome: Outcome) -> str:
    """Return the line of one photo: where it is kept and its tags, or why it is not."""
    tags = outcome.tags
    about = {
        "photo": outcome.path,
        "sha256": outcome.prepared.sha256 if outcome.prepared is not None else "",
        "user_tags": list(outcome.prepared.user_tags) if outcome.prepared is not None else [],
        "tags_left_out": outcome.prepared.left_out if outcome.prepared is not None else 0,
        "problems": list(outcome.prepared.problems) if outcome.prepared is not None else [],
        "sent_bytes": outcome.sent_bytes,
    }
    if tags is None:
        failure = outcome.failure
        reason, text = (failure.reason, failure.text) if failure is not None else ("", "")
        shown = {"reason": reason, "code": "", "text": text, "metadata": {}}
        return jsonl.line({**about, "error": jsonl.error_object(outcome.error) if outcome.error is not None else shown})
    return jsonl.line(
        {
            **about,
            "image_id": tags.image_id,
            "existing": tags.existing,
            "tags": [jsonl.tag_object(tag) for tag in tags.tags],
            "model_version": tags.model_version,
            "width": tags.width,
            "height": tags.height,
            "format": tags.format,
            "near_duplicate_ids": list(tags.near_duplicate_ids),
        }
    )


def show_summary(tally: Tally, *, elapsed_s: float, links: int, to_error: bool) -> None:
    """Print what happened, all in all."""
    rows = [("photos", f"{tally.photos:,}"), ("stored", f"{tally.stored:,}"), ("already there", f"{tally.existing:,}")]
    rows += [(f"failed: {reason}", f"{count:,}") for reason, count in tally.failed.most_common()]
    rows += [("sent", _size(tally.sent_bytes)), ("photos/s", f"{tally.photos / max(elapsed_s, 1e-3):.1f}")]
    rows += [("user tags", f"{tally.user_tags:,}")]
    rows += [("tags left out", f"{tally.tags_left_out:,}")] if tally.tags_left_out else []
    rows += [("sidecars not read", f"{len(tally.sidecar_problems):,}")] if tally.sidecar_problems else []
    rows += [("links not followed", f"{links:,}")] if links else []
    table = Table.grid(padding=(0, 2), pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for title, value in rows:
        table.add_row(Text(safe(title)), Text(value))
    Console(stderr=to_error, highlight=False).print(table, soft_wrap=True)


def show_aside(tally: Tally, *, empty: Sequence[str], existing_stay: bool, not_stored: int, retry: str) -> None:
    """Print what is left to say below the summary: what was not found, not changed, and not stored."""
    show_empty(empty)
    if tally.existing and existing_stay:
        there = f"{tally.existing:,} photos were" if tally.existing > 1 else "1 photo was"
        screen.remark(f"{there} there already: who sees them, and their author, stay as they were; see: tagwright set")
    if not_stored and retry:
        photos = f"{not_stored:,} photos were" if not_stored > 1 else "1 photo was"
        before = not_stored - tally.failed.total()
        of_before = f" ({before:,} of them in earlier runs)" if before > 0 else ""
        screen.complain(f"{photos} not stored{of_before}; try again with: {retry}")


def show_empty(paths: Sequence[str]) -> None:
    """Print where there were no photos."""
    for path in paths:
        screen.complain(f"no photos there ({', '.join(EXTENSIONS)})", path=path)


def show_prepared(prepared: Prepared, *, json: bool) -> None:
    """Print what would be sent of one photo."""
    photo = prepared.photo
    if json:
        about = {"photo": photo.path, "size_bytes": photo.size_bytes, "user_tags": list(prepared.user_tags)}
        left = {"tags_left_out": prepared.left_out, "problems": list(prepared.problems)}
        print(jsonl.line({**about, **left}), flush=True)
        return
    for text in prepared.problems:
        screen.complain(text, path=photo.path)
    shown = Text(safe(photo.path), style="bold").append(f"  {_size(photo.size_bytes)}", style="not bold dim")
    if prepared.user_tags:
        shown.append("  ").append(safe(", ".join(prepared.user_tags)), style="not bold")
    Console(highlight=False).print(shown, soft_wrap=True)


def _counts(tally: Tally, elapsed_s: float) -> str:
    rate = tally.photos / max(elapsed_s, 1e-3)
    failed = tally.failed.total()
    return f"{tally.stored:,} stored, {tally.existing:,} already there, {failed:,} failed, {rate:.1f} photos/s"


def _size(size_bytes: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size_bytes < 1024:
            return f"{size_bytes:,.0f} {unit}" if unit == "bytes" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} GiB"
