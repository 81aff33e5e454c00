"""The commands about work in the background: retag, operations list, operations cancel (administrators)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from tagwright_admin import filters, image_jsonl, screen
from tagwright_admin.connection import FAILED, INTERRUPTED, Json, Url, connected
from tagwright_admin.groups import ListGroup
from tagwright_admin.screen import safe
from tagwright_client import Client, Operation, TagwrightError

_WIDTH = 10_000  # as wide as the text is: an id that is cut cannot be copied into the next command
_TABLE_ROWS = 50
_FAILURES_SHOWN = 10

app = typer.Typer(cls=ListGroup, help="List, watch and cancel work in the background (administrators).")


def retag(
    owner: filters.Owner = None,
    tag: filters.Tag = None,
    untagged: filters.Untagged = False,
    from_model: filters.FromModel = None,
    not_model: filters.NotFromModel = None,
    since: filters.Since = None,
    until: filters.Until = None,
    model: Annotated[
        str, typer.Option(metavar="NAME[@VERSION]", help="The model that looks at them. Default: the server's.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; show what would change.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end. Default: wait.")] = True,
    url: Url = None,
    json: Json = False,
) -> None:
    """Have a model look at photos again, all of them unless options say which (administrators).

    What people decided stays. Exit code 0: every photo was done, or with --no-wait: it is begun.
    """
    with connected(url) as client:
        asked = filters.chosen(
            owner=owner, tag=tag, untagged=untagged, model=from_model, not_model=not_model, since=since, until=until
        )
        begun = client.retag(**asked, model=model or None, dry_run=dry_run)
        if not wait:
            print(image_jsonl.operation(begun) if json else safe(begun.id), flush=True)
            return
        ended = _awaited(client, begun)
        _tell(ended, json=json)
    if ended.state != "SUCCEEDED" or ended.failed:
        raise typer.Exit(FAILED)


@app.command("list")
def list_operations(
    id: Annotated[str | None, typer.Argument(metavar="ID", help="All about this one.")] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show the operations, the latest first; of one, also what became of each tag."""
    with connected(url) as client:
        if id is not None:
            _tell(client.operation(id), json=json)
            return
        found = client.operations()
        if json:
            for operation in found:
                print(image_jsonl.operation(operation), flush=True)
        else:
            _show_all(islice(found, _TABLE_ROWS))


@app.command()
def cancel(
    id: Annotated[str, typer.Argument(metavar="ID", help="The operation's id.")],
    url: Url = None,
    json: Json = False,
) -> None:
    """End an operation at the next photo; what it had done stays done."""
    with connected(url) as client:
        _tell(client.cancel_operation(id), json=json)


def _awaited(client: Client, begun: Operation) -> Operation:
    console = Console(stderr=True)
    bar = Bar(
        TextColumn("retagging" if not begun.dry_run else "trying"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    task = bar.add_task("", total=begun.total)

    def advance(operation: Operation) -> None:
        bar.update(task, total=operation.total, completed=operation.done + operation.failed)

    try:
        with bar:
            return client.wait_for_operation(begun.id, on_progress=advance)
    except KeyboardInterrupt:
        screen.complain(f"it goes on; end it with: tagwright operations cancel {begun.id}")
        raise typer.Exit(INTERRUPTED) from None
    except TagwrightError:
        screen.complain(f"look how far it is with: tagwright operations {begun.id}")
        raise


def _tell(operation: Operation, *, json: bool) -> None:
    if json:
        print(image_jsonl.operation(operation), flush=True)
        return
    rows = {
        "operation": operation.id,
        "state": operation.state.lower() + (" (nothing is changed)" if operation.dry_run else ""),
        "model": operation.model_version,
        "asked for by": operation.username,
        "at": _time(operation.create_time),
        "ended": _time(operation.end_time),
        "photos": f"{operation.done:,} of {operation.total:,} done, {operation.failed:,} failed",
        "why": screen.explained(operation.error) if operation.error is not None else "",
    }
    about = Table.grid(padding=(0, 2), pad_edge=False)
    for title, value in rows.items():
        if value:
            about.add_row(Text(title, style="dim"), Text(safe(value)))
    _print(about)
    if operation.tag_changes:
        _show_changes(operation)
    for failure in operation.failures[:_FAILURES_SHOWN]:
        screen.complain(screen.explained(failure.error), path=failure.image_id)
    if len(operation.failures) > _FAILURES_SHOWN:
        screen.complain("there are more; --json tells of the first 100")


def _show_changes(operation: Operation) -> None:
    would = "would be " if operation.dry_run else ""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("tag", no_wrap=True)
    for title in ("added", "removed", "moved"):
        table.add_column(would + title, justify="right", no_wrap=True)
    for change in operation.tag_changes:
        counts = (f"{count:,}" if count else "" for count in (change.added, change.removed, change.moved))
        table.add_row(Text(safe(change.tag)), *counts)
    _print(table)


def _show_all(operations: Iterable[Operation]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("id", "state", "", "model", "photos", "who", "asked for", "ended"):
        table.add_column(title, no_wrap=True)
    for each in operations:
        done = f"{each.done:,} of {each.total:,}" + (f", {each.failed:,} failed" if each.failed else "")
        trial = "dry run" if each.dry_run else ""
        times = _time(each.create_time), _time(each.end_time)
        cells = (each.id, each.state.lower(), trial, each.model_version, done, each.username, *times)
        table.add_row(*(Text(safe(cell)) for cell in cells))
    _print(table)


def _time(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M") if moment is not None else ""


def _print(shown: Table) -> None:
    Console(highlight=False, width=_WIDTH).print(shown, soft_wrap=True)
