"""The command `import`: tags of photos that are kept, from JSON lines, CSV, or a folder of XMP sidecars."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tagwright_admin import jsonl, screen, tag_files, xmp
from tagwright_admin.connection import FAILED, INTERRUPTED, USAGE, Json, Refused, Url, connected, ending
from tagwright_admin.folders import disk_folder
from tagwright_admin.tag_import import Finder, Names, Plan, plan
from tagwright_admin.tag_records import PhotoRecord, Problem
from tagwright_client import ScopeMissing, ServerUnreachable, TagwrightError, TokenInvalid

_SHOWN = 20  # complaints about lines and photos, each; the rest is counted


@dataclass(slots=True)
class _Tally:
    """What has happened so far."""

    photos: int = 0
    changed: int = 0
    absent: int = 0
    failed: int = 0
    unreadable: int = 0
    confirmed: int = 0
    added: int = 0
    rejected: int = 0
    suggested: int = 0
    decided: int = 0

    def count(self, said: Plan) -> None:
        self.changed += not said.empty
        self.confirmed += len(said.confirm)
        self.added += len(said.add)
        self.rejected += len(said.reject)
        self.suggested += len(said.suggest)


def import_tags(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="A file of JSON lines, a .csv, an .xmp or a folder of them.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; show what would change.")] = False,
    url: Url = None,
    json: Json = False,
) -> None:
    """Set the tags of photos that are kept, found by the digest of their bytes, else by id.

    Confirmed tags are confirmed or added, rejected ones rejected, suggested ones suggested where nobody has decided
    yet. Exit code 1: a line or file could not be read, or a photo is not there.
    """
    with ending():
        if not os.path.exists(path):
            raise Refused(f"cannot read {path}: there is no such file", exit_code=USAGE)
    tally = _Tally()
    interrupted = False
    with connected(url) as client:
        names = Names(client)
        try:
            for record, image in Finder(client).found(_records(path, tally)):
                tally.photos += 1
                if image is None:
                    tally.absent += 1
                    _complain("there is no such photo, or it is not yours to see", record.where, tally.absent)
                    continue
                said = plan(image, record, meant=names.meant)
                tally.decided += said.decided
                try:
                    if not said.empty and not dry_run:
                        client.review(
                            image.id, confirm=said.confirm, reject=said.reject, add=said.add, suggest=said.suggest
                        )
                except (ScopeMissing, ServerUnreachable, TokenInvalid):
                    raise  # what would befall every other photo as well
                except TagwrightError as err:
                    tally.failed += 1
                    _complain(screen.explained(err), record.where, tally.failed)
                    continue
                tally.count(said)
                if json and not said.empty:
                    print(_line(image.id, record, said), flush=True)
        except OSError as err:
            raise Refused(f"cannot read {err.filename or path}: {err.strerror or err}") from err
        except KeyboardInterrupt:
            interrupted = True
        finally:
            _show(tally, dry_run=dry_run, to_error=json)
    if interrupted:
        screen.complain("interrupted; the same command again does the rest")
        raise typer.Exit(INTERRUPTED)
    if tally.absent or tally.failed or tally.unreadable:
        raise typer.Exit(FAILED)


def _records(path: str, tally: _Tally) -> Iterator[PhotoRecord]:
    """Go through what can be read, and tell what cannot."""
    for each in _read(path):
        if isinstance(each, Problem):
            tally.unreadable += 1
            _complain(each.text, each.where, tally.unreadable)
        else:
            yield each


def _read(path: str) -> Iterator[PhotoRecord | Problem]:
    if os.path.isdir(path):
        for below, folders, names in os.walk(path):
            folders.sort()
            for name in sorted(names):
                if name.lower().endswith(".xmp"):
                    yield _sidecar(below, name)
    elif path.lower().endswith(".xmp"):
        yield _sidecar(os.path.dirname(path) or ".", os.path.basename(path))
    else:
        read = tag_files.read_csv if path.lower().endswith(".csv") else tag_files.read_jsonl
        with open(path, "rb") as file:
            yield from read(file, name=path)


def _sidecar(folder: str, name: str) -> PhotoRecord | Problem:
    where = os.path.join(folder, name)
    try:
        return xmp.read(disk_folder(folder).read(name), where=where)
    except OSError as err:
        return Problem(where, f"cannot read it: {err.strerror or err}")
    except xmp.NotXmp as err:
        return Problem(where, str(err))


def _line(id: str, record: PhotoRecord, said: Plan) -> str:
    return jsonl.line(
        {
            "id": id,
            "source_sha256": record.source_sha256,
            "confirm": list(said.confirm),
            "add": list(said.add),
            "reject": list(said.reject),
            "suggest": [{"name": name, "score": score} for name, score in said.suggest],
        }
    )


def _complain(text: str, where: str, count: int) -> None:
    if count <= _SHOWN:
        screen.complain(text, path=where)
    elif count == _SHOWN + 1:
        screen.complain("more of this kind are only counted from here on")


def _show(tally: _Tally, *, dry_run: bool, to_error: bool) -> None:
    rows = {
        "photos": tally.photos,
        "would change" if dry_run else "changed": tally.changed,
        "tags confirmed": tally.confirmed,
        "tags added": tally.added,
        "tags rejected": tally.rejected,
        "tags suggested": tally.suggested,
        "decided here already": tally.decided,
        "photos not there": tally.absent,
        "photos failed": tally.failed,
        "lines not read": tally.unreadable,
    }
    table = Table.grid(padding=(0, 2), pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for title, count in rows.items():
        if count or title in ("photos", "changed", "would change"):
            table.add_row(Text(title), f"{count:,}")
    Console(stderr=to_error, highlight=False).print(table, soft_wrap=True)
