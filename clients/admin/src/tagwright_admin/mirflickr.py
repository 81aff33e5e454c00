"""The command `import-mirflickr`: a folder of MIRFlickr-25k, as published or as zips with a table of tags.

imN.jpg or mirflickr/imN.jpg, with meta/tags/tagsN.txt below them      as published, also in one zip
*.zip with imN.jpg, and user_tags.tsv: id, then tags, tab-separated    read straight from the zips
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Annotated

import typer

from tagwright_admin import failures, local_photos, screen, sidecars, upload
from tagwright_admin.connection import USAGE, Json, Refused, Url, ending
from tagwright_admin.folders import Archive
from tagwright_admin.local_photos import LocalPhoto, Skipped, Unreadable
from tagwright_admin.upload import Course, Photos, TagsOf
from tagwright_admin.upload_run import Options

_PHOTO = re.compile(r"im(\d{1,9})\.jpe?g", re.ASCII | re.IGNORECASE)
_TABLE = "user_tags.tsv"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one photo is: a file, or a member of a zip."""

    number: int
    path: str
    archive: Archive | None = None


def import_mirflickr(
    path: Annotated[str, typer.Argument(metavar="PATH", help="The folder, or the zip that is published.")],
    limit: Annotated[int | None, typer.Option(min=1, metavar="COUNT", help="Only so many, by number.")] = None,
    author: upload.Author = "",
    shared: upload.Shared = False,
    model: upload.Model = "",
    min_score: upload.MinScore = None,
    target_precision: upload.TargetPrecision = None,
    no_embedded_tags: upload.NoEmbeddedTags = False,
    failures_file: upload.FailuresFile = None,
    retry: upload.Retry = None,
    journal_file: upload.JournalFile = None,
    no_journal: upload.NoJournal = False,
    dry_run: upload.DryRun = False,
    url: Url = None,
    json: Json = False,
) -> None:
    """Store the photos of MIRFlickr-25k with their owners' tags. Works as upload does."""
    with ending():
        before = failures.read(retry) if retry else []
        places = _places(path)
        tags_of = _tags_of(path)
    wanted = {failure.path for failure in before} if retry else None
    course = Course(
        tags_of=tags_of,
        root=os.path.abspath(path),
        journal=journal_file,
        use_journal=not no_journal,
        failures=failures_file or retry or failures.FILE_NAME,
        unresolved=tuple(before),
        retried=retry,
        json=json,
    )
    options = Options(
        author=author,
        visibility="SHARED" if shared else "PRIVATE",
        model=model,
        min_score=min_score,
        target_precision=target_precision,
        use_embedded_tags=not no_embedded_tags,
    )

    def photos(_: Skipped) -> Photos:
        found = (photo for photo in map(_photo, places) if wanted is None or photo.path in wanted)
        return islice(found, limit)

    if dry_run:
        upload.show_what_would_be_sent(photos, course)
    else:
        upload.carry_out(photos, options, course, url=url)


def _places(path: str) -> list[_Place]:
    """Return where the photos are, by number. Raises Refused if there are none."""
    found: dict[int, _Place] = {}
    try:
        for place in _looked_up(path):
            found.setdefault(place.number, place)
    except (OSError, ValueError) as err:  # ValueError: a NUL in the name
        raise Refused(f"cannot read {path}: {getattr(err, 'strerror', None) or err}", exit_code=USAGE) from err
    if not found:
        raise Refused(f"{path} holds no imN.jpg, neither as files nor in zips", exit_code=USAGE)
    return [found[number] for number in sorted(found)]


def _looked_up(path: str) -> Iterator[_Place]:
    if not os.path.isdir(path):
        yield from _in_zip(path)
        return
    for home in (path, os.path.join(path, "mirflickr")):
        for name in sorted(os.listdir(home)) if os.path.isdir(home) else ():
            numbered = _PHOTO.fullmatch(name)
            whole = os.path.join(home, name)
            if numbered and os.path.isfile(whole) and not os.path.islink(whole):
                yield _Place(int(numbered[1]), os.path.abspath(whole))
            elif name.lower().endswith(local_photos.ZIP):
                yield from _in_zip(whole)


def _in_zip(path: str) -> Iterator[_Place]:
    archive = Archive(os.path.abspath(path))
    for info in archive.members():
        numbered = _PHOTO.fullmatch(info.filename.rpartition("/")[2])
        if numbered and "__MACOSX/" not in info.filename:
            yield _Place(int(numbered[1]), info.filename, archive)


def _photo(place: _Place) -> LocalPhoto | Unreadable:
    if place.archive is None:
        return local_photos.one(place.path)
    return local_photos.member_of(place.archive, place.path)


def _tags_of(path: str) -> TagsOf:
    """Return what knows the tags of each photo: the table where there is one, else the files beside the photos."""
    table = os.path.join(path, _TABLE)
    if not os.path.isfile(table):
        return lambda photo: sidecars.read_mirflickr(photo.folder, photo.file_name)
    rows = _table(table)

    def tags_of(photo: LocalPhoto) -> sidecars.Beside:
        numbered = _PHOTO.fullmatch(photo.file_name)
        row = rows.get(int(numbered[1]), b"") if numbered else b""
        return sidecars.Beside(tuple(tag for tag in row.decode(errors="replace").split("\t") if tag.strip()))

    return tags_of


def _table(path: str) -> Mapping[int, bytes]:
    rows: dict[int, bytes] = {}
    try:
        with open(path, "rb") as file:
            for line_number, line in enumerate(file, start=1):
                number, _, tags = line.rstrip(b"\r\n").partition(b"\t")
                if re.fullmatch(rb"\d{1,9}", number.strip()):
                    rows[int(number)] = tags
                elif line.strip():
                    screen.complain(f"line {line_number} does not begin with a photo's number", path=path)
    except OSError as err:
        raise Refused(f"cannot read {path}: {err.strerror or err}", exit_code=USAGE) from err
    return rows
