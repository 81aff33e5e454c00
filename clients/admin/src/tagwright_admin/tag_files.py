"""Photos with their tags in files, there and back: CSV for spreadsheets, JSON lines for programs.

Promises: a cell that a spreadsheet would run as a formula is made harmless when it is written, and is itself again when
it is read. A line that makes no sense is told with its number, and the others are read.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

from tagwright_admin.tag_records import (
    SUGGESTED,
    PhotoRecord,
    Problem,
    TagRecord,
    check_names_photo,
    score_of,
    score_text,
    state_of,
)
from tagwright_client import Image, Tag

COLUMNS = (
    "image_id", "file_name", "source_sha256", "owner", "tag", "state", "score", "source", "model_version", "position",
)  # fmt: skip
_NEEDED = ("tag", "state")
# What begins a formula, in full width too, as East Asian spreadsheets take it; any number of ' before it.
_FORMULA = re.compile("'*[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_LINE_LIMIT_BYTES = 16 * 1024 * 1024  # 256 tags with room for a thousand more keys


def csv_header() -> list[str]:
    """Return the first row."""
    return list(COLUMNS)


def csv_rows(image: Image) -> Iterator[list[str]]:
    """Return one row a tag, `position` counting from 1 in the photo's list. A photo without tags has no row."""
    for position, tag in enumerate(image.tags, start=1):
        about = (image.id, image.file_name, image.source_sha256, image.owner, *_tag_cells(tag))
        yield [*map(_harmless, about), str(position)]


def read_csv(file: IO[bytes], *, name: str) -> Iterator[PhotoRecord | Problem]:
    """Go through the photos of a CSV file. Rows of one photo need not be together, as after sorting."""
    reader = csv.reader(_lines(file), strict=True)
    photos: dict[tuple[str, str], tuple[str, str, list[TagRecord]]] = {}
    columns: Sequence[str] | None = None
    while True:
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as err:
            yield Problem(f"{name}, line {reader.line_num}", f"it is no line of a CSV file: {err}")
            continue
        where = f"{name}, line {reader.line_num}"
        if columns is None:
            columns = [cell.strip().lower() for cell in row]
            lacking = [column for column in _NEEDED if column not in columns]
            if lacking or not {"image_id", "source_sha256"} & set(columns):
                yield Problem(where, f"the first line must name the columns {', '.join(COLUMNS)}")
                return
            continue
        if not any(row):
            continue
        if any("\udc80" <= char <= "\udcff" for cell in row for char in cell):
            yield Problem(where, "it is no UTF-8 text")
            continue
        if len(row) != len(columns):
            yield Problem(where, f"it has {len(row)} cells, and the first line has {len(columns)}")
            continue
        cells = {column: _itself(cell) for column, cell in zip(columns, row, strict=True)}
        sha256, image_id = cells.get("source_sha256", "").strip().lower(), cells.get("image_id", "").strip()
        try:
            tag = _tag(cells["tag"], cells["state"], cells.get("score", "").strip())
            check_names_photo(sha256, image_id)
        except ValueError as err:
            yield Problem(where, str(err))
            continue
        photos.setdefault((sha256, image_id), (where, cells.get("owner", ""), []))[2].append(tag)
    for (sha256, image_id), (where, owner, tags) in photos.items():
        yield PhotoRecord(where, sha256, image_id, owner, tuple(tags))


def read_jsonl(file: IO[bytes], *, name: str) -> Iterator[PhotoRecord | Problem]:
    """Go through the photos of a file of JSON lines, as `export` and `ls --json` write them."""
    number = 0
    while line := file.readline(_LINE_LIMIT_BYTES):
        number += 1
        where = f"{name}, line {number}"
        if not line.strip():
            continue
        try:
            yield _photo(json.loads(line), where=where)
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
            yield Problem(where, "it is no JSON")
        except ValueError as err:
            yield Problem(where, str(err))


def _photo(value: Any, *, where: str) -> PhotoRecord:
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    texts = [value.get(key) or "" for key in ("source_sha256", "id", "owner")]
    tags = value.get("tags")
    if not all(isinstance(text, str) for text in texts) or not isinstance(tags, list):
        raise ValueError("it is no photo: source_sha256, id and owner are texts, tags is a list")
    sha256, image_id, owner = texts
    check_names_photo(sha256, image_id)
    read = []
    for tag in tags:
        if not isinstance(tag, dict) or not all(isinstance(tag.get(key, ""), str) for key in ("name", "state")):
            raise ValueError("a tag is an object with name, state and score")
        read.append(_tag(tag.get("name", ""), tag.get("state", SUGGESTED), tag.get("score")))
    return PhotoRecord(where, sha256.lower(), image_id, owner, tuple(read))


def _tag(name: str, state: str, score: object) -> TagRecord:
    if not name.strip():
        raise ValueError("a tag has no name")
    return TagRecord(name, state_of(state), score_of(score))


def _tag_cells(tag: Tag) -> Iterable[str]:
    score = score_text(tag.score) if tag.score is not None else ""
    return tag.name, tag.state, score, tag.source, tag.model_version


def _harmless(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _itself(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _lines(file: IO[bytes]) -> Iterator[str]:
    encoding = "utf-8-sig"  # spreadsheets write a mark of the byte order
    while line := file.readline(_LINE_LIMIT_BYTES):
        # What is no text is told with its row. NUL: the reader of Python 3.10 does not take it.
        yield line.decode(encoding, errors="surrogateescape").replace("\0", "\udc80")
        encoding = "utf-8"
