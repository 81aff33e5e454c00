"""Commands that keep the data safe: back it up, put a backup back, see whether all of it is whole.

`backup`, `check` and `rebuild-index` work beside a server that runs; `restore` makes the data of one that has not yet.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tagwright_server.clock import Clock, SystemClock
from tagwright_server.data import blobs_folder, database_url, folder, index_folder, open_data, pepper_file
from tagwright_server.errors import StartupError, TagwrightError
from tagwright_server.options import own_version, settings_of, settings_parser
from tagwright_server.settings import Settings
from tagwright_server.store.backup import Manifest, back_up, restore
from tagwright_server.store.blobs import FolderBlobs
from tagwright_server.store.checking import Findings, check
from tagwright_server.store.photo_index import rebuild
from tagwright_server.store.sqlite import file_of
from tagwright_server.store.store import open_store

_SCRATCH = "restoring"  # its folder in the data folder
_PROGRESS_EVERY_S = 1.0
_SHOWN_MAX = 100  # findings of one kind
_DESCRIPTIONS = {
    "backup": "Copies everything into FOLDER, beside a server that runs: the database, the photos and the pepper. "
    "Done again into the same folder, it copies what is new. Ends with 1 where bytes of a photo were missing.",
    "restore": "Makes the data of a server that has not run yet from a backup, of either kind of database into either.",
    "check": "Looks whether the database and the bytes of all photos are whole. Ends with 0 if so, 1 if not, "
    "2 where it cannot tell.",
    "rebuild-index": "Makes the photo indexes anew from the database. Servers that run on it do so, too.",
}


def main(argv: Sequence[str]) -> int:
    """Run `tagwright-server backup|restore|check|rebuild-index ...`. Returns the exit code; raises StartupError."""
    verb = argv[0]
    arguments = vars(_parser(verb).parse_args(argv[1:]))
    own = {name: arguments.pop(name) for name in ("backup_folder", "quick", "repair") if name in arguments}
    settings = settings_of(arguments)
    try:
        if verb == "backup":
            return _backup(settings, own["backup_folder"])
        if verb == "restore":
            return _restore(settings, own["backup_folder"])
        if verb == "rebuild-index":
            return _rebuild_index(settings)
        return _check(settings, quick=own["quick"], repair=own["repair"])
    except TagwrightError as err:
        raise StartupError(f"{verb}: {err}") from err


def _backup(settings: Settings, to: Path) -> int:
    _need_database(settings)
    if to.absolute().is_relative_to(folder(settings)):
        raise StartupError(f"backup: {to} is in the data folder, and would be lost with it")
    clock = SystemClock()
    with open_data(settings) as data:
        manifest = back_up(
            data.store,
            FolderBlobs(blobs_folder(settings)),
            pepper_file(settings),
            to,
            at=clock.now(),
            version=own_version(),
            progress=_Progress("copied", clock),
        )
    print(f"Backed up {_summary(manifest)} to {to}.")
    return _tell_lacking(
        manifest, "were missing or damaged, and are not in the backup; tagwright-server check names them"
    )


def _restore(settings: Settings, source: Path) -> int:
    manifest = restore(
        source,
        database_url(settings),
        FolderBlobs(blobs_folder(settings)),
        pepper_file(settings),
        folder(settings) / _SCRATCH,
        progress=_Progress("restored", SystemClock()),
    )
    print(f"Restored {_summary(manifest)} from the backup of {manifest.made}.")
    return _tell_lacking(manifest, "were not in the backup")


def _check(settings: Settings, *, quick: bool, repair: bool) -> int:
    _need_database(settings)
    store = open_store(database_url(settings), busy_timeout_s=settings.database_timeout_s)
    try:
        now_s = SystemClock().now().timestamp()
        findings = check(
            store,
            FolderBlobs(blobs_folder(settings)),
            quick=quick,
            repair=repair,
            now_s=now_s,
            indexes=index_folder(settings),
        )
    finally:
        store.close()
    print("\n".join(_report(findings, quick=quick)))
    return 1 if findings.left else 0


def _rebuild_index(settings: Settings) -> int:
    _need_database(settings)
    store = open_store(database_url(settings), busy_timeout_s=settings.database_timeout_s)
    made: list[str] = []
    try:
        rebuild(store, index_folder(settings), said=lambda model, size: made.append(f"{model}, {size:,} photos"))
    except OSError as err:
        raise StartupError(f"rebuild-index: {err.filename}: {err.strerror}") from err
    finally:
        store.close()
    print("\n".join(f"Made the index anew: {line}." for line in made) or "There is no index: a server makes it.")
    return 0


def _report(findings: Findings, *, quick: bool) -> list[str]:
    depth = "their sizes" if quick else "every byte"
    orphans = f"; {findings.orphans_removed:,} removed" if findings.orphans_removed else ""
    usage = f"; {findings.usage_corrected:,} corrected" if findings.usage_corrected else ""
    lost = [f"photo {lost.image_id} of {lost.owner}: {lost.why}" for lost in findings.lost]
    indexes = [f"{index.file.name}: {index.why}" for index in findings.indexes]
    removed = f"; {findings.indexes_removed:,} removed, to be made anew" if findings.indexes_removed else ""
    kinds = [
        ("the database is damaged", findings.database, ""),
        (f"photos without their bytes ({findings.contents:,} contents, {depth})", lost, "; only a backup has them"),
        (
            f"bytes without a photo ({findings.blobs:,} files, {findings.blobs_bytes:,} bytes)",
            findings.orphans,
            orphans,
        ),
        ("files that are not ours", findings.strays, ""),
        ("accounts counted wrongly", findings.usage, usage),
        ("photo indexes that disagree with the database", indexes, removed),
    ]
    lines = []
    for name, found, more in kinds:
        lines.append(f"{len(found):>9,}  {name}{more if found else ''}")
        lines += [f"{'':11}{line}" for line in found[:_SHOWN_MAX]]
        if len(found) > _SHOWN_MAX:
            lines.append(f"{'':11}and {len(found) - _SHOWN_MAX:,} more")
    return [*lines, f"{findings.waiting:>9,}  waiting to be swept by a server (no fault)"]


def _tell_lacking(manifest: Manifest, what: str) -> int:
    if manifest.lacking:
        print(f"tagwright-server: the bytes of {len(manifest.lacking):,} photos {what}", file=sys.stderr)
        return 1
    return 0


def _summary(manifest: Manifest) -> str:
    return f"{manifest.rows['image']:,} photos and {manifest.rows['account']:,} accounts"


def _need_database(settings: Settings) -> None:
    # Opening an SQLite file makes it: of a folder that is misspelt an empty one would be backed up, or found whole.
    url = database_url(settings)
    if url.startswith("sqlite:") and not file_of(url).exists():
        raise StartupError(f"database: there is no file {file_of(url)}")


class _Progress:
    """Tells a terminal how far it is, once in a while."""

    def __init__(self, done: str, clock: Clock) -> None:
        self._what = done
        self._clock = clock
        self._told_s = clock.monotonic_s()

    def __call__(self, done: int, total: int) -> None:
        now_s = self._clock.monotonic_s()
        if sys.stderr.isatty() and now_s - self._told_s >= _PROGRESS_EVERY_S:
            self._told_s = now_s
            print(f"{self._what} {done:,} of {total:,} photos", file=sys.stderr, flush=True)


def _parser(verb: str) -> argparse.ArgumentParser:
    usage = {"check": "check [--quick] [--repair]", "rebuild-index": verb}.get(verb, f"{verb} FOLDER")
    parser = settings_parser(
        f"tagwright-server {verb}",
        usage=f"tagwright-server {usage} [--SETTING VALUE ...]",
        description=_DESCRIPTIONS[verb],
    )
    if verb == "check":
        quick = "Look at the sizes of the photos' bytes only."
        repair = (
            "Remove bytes that no photo has used for an hour, correct what is counted wrongly, remove wrong indexes."
        )
        parser.add_argument("--quick", action="store_true", default=False, help=quick)
        parser.add_argument("--repair", action="store_true", default=False, help=repair)
    elif verb != "rebuild-index":
        parser.add_argument("backup_folder", metavar="FOLDER", type=Path, help="The folder of the backup.")
    return parser
