"""The command `export`: photos with their tags as JSON lines, CSV, or XMP sidecars.

A file is there only once it is complete. A folder of sidecars is a new or an empty one, so that nothing in it is lost.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterable
from enum import Enum
from typing import IO, Annotated

import typer

from tagwright_admin import filters, image_jsonl, screen, tag_files, whole_files, xmp
from tagwright_admin.connection import USAGE, Refused, Url, connected, ending
from tagwright_admin.file_names import Distinct
from tagwright_admin.tag_records import TagRecord
from tagwright_client import Image

_STDOUT = "-"


class Format(str, Enum):
    """The formats, as they are written on a command line."""

    JSONL = "jsonl"
    CSV = "csv"
    XMP = "xmp"


def export(
    format: Annotated[Format, typer.Option(help="JSON lines with everything; CSV, a row a tag; XMP sidecars.")],
    out: Annotated[
        str, typer.Option(metavar="PATH", help="The file, - for standard output; for xmp a new or empty folder.")
    ] = _STDOUT,
    owner: filters.Owner = None,
    tag: filters.Tag = None,
    untagged: filters.Untagged = False,
    model: filters.FromModel = None,
    not_model: filters.NotFromModel = None,
    since: filters.Since = None,
    until: filters.Until = None,
    url: Url = None,
) -> None:
    """Write down photos with their tags, as `tagwright import` reads them again, also into another server."""
    with ending():
        if format is Format.XMP and out == _STDOUT:
            raise Refused("name a folder for the sidecars by --out", exit_code=USAGE)
    with connected(url) as client:
        asked = filters.chosen(
            owner=owner, tag=tag, untagged=untagged, model=model, not_model=not_model, since=since, until=until
        )
        images = client.images(**asked)
        try:
            if format is Format.XMP:
                count = _write_sidecars(images, out)
            elif out == _STDOUT:
                count = _write(images, sys.stdout, format)
            else:
                with whole_files.replacing(out) as file:
                    count = _write(images, file, format)
        except BrokenPipeError:  # whoever read standard output has seen enough; `main` ends it
            raise
        except OSError as err:
            raise Refused(f"cannot write {err.filename or out}: {err.strerror or err}") from err
    if out != _STDOUT:
        screen.remark(f"{count:,} photos written to {out}")


def _write(images: Iterable[Image], file: IO[str], format: Format) -> int:
    count = 0
    rows = csv.writer(file) if format is Format.CSV else None
    if rows is not None:
        rows.writerow(tag_files.csv_header())
    for image in images:
        if rows is not None:
            rows.writerows(tag_files.csv_rows(image))
        else:
            file.write(image_jsonl.image(image) + "\n")
        count += 1
    file.flush()
    return count


def _write_sidecars(images: Iterable[Image], folder: str) -> int:
    os.makedirs(folder, exist_ok=True)
    if os.listdir(folder):
        raise Refused(f"{folder} is not empty; name a new folder by --out", exit_code=USAGE)
    names = Distinct()
    count = 0
    for image in images:
        tags = [TagRecord(tag.name, tag.state, tag.score) for tag in image.tags]
        text = xmp.write(xmp.Labelled(image.source_sha256, image.id, image.owner, tags))
        path = os.path.join(folder, f"{names.name(image.file_name, id=image.id)}.xmp")
        with open(path, "x", encoding="utf-8", newline="\n") as file:  # x: never through a link, never over another one
            file.write(text)
        count += 1
    return count
