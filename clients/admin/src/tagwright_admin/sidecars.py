"""The tags that lie beside a photo: text, JSON as exporters and downloaders write it, XMP, and MIRFlickr's own files.

    photo.txt   photo.jpg.txt     one tag a line, or separated by commas
    photo.json  photo.jpg.json    a list, or an object with a list under "tags", "keywords" or the like
    photo.xmp   photo.jpg.xmp     dc:subject, digiKam:TagsList, lr:hierarchicalSubject
    imN.jpg                       tagsN.txt beside it, in tags/ or in meta/tags/: one tag a line

Whatever is in these files, reading them raises nothing: what cannot be read is told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from tagwright_admin import xmp
from tagwright_admin.folders import Folder

_MIRFLICKR = re.compile(r"im(\d{1,9})\.jpe?g", re.ASCII | re.IGNORECASE)
_LISTS = ("tags", "keywords", "keyword", "subject", "tag_string")
_WORDS = ("raw", "name", "tag", "value", "text", "_content")  # where a tag that is an object has its text
_Candidate: TypeAlias = tuple[str, Callable[[bytes], list[str]]]
_NOTES = (".json", ".supplemental-metadata.json")  # the second one is Google Takeout's


@dataclass(frozen=True, slots=True)
class Beside:
    """The tags as they were found, in order, and which files could not be read, with the reason."""

    tags: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def read(folder: Folder, file_name: str) -> Beside:
    """Return the tags that lie beside a photo of a folder."""
    return _gathered(folder, [*_candidates(file_name), *_of_mirflickr(file_name)])


def read_mirflickr(folder: Folder, file_name: str) -> Beside:
    """Return the tags that MIRFlickr has of a photo, and nothing else that lies there."""
    return _gathered(folder, _of_mirflickr(file_name))


def text_tags(data: bytes) -> list[str]:
    """Return the tags of a text: lines, split at commas."""
    return [tag for line in _decoded(data).splitlines() for tag in map(str.strip, line.split(",")) if tag]


def line_tags(data: bytes) -> list[str]:
    """Return the tags of a text that has one a line, commas and all."""
    return [tag for tag in map(str.strip, _decoded(data).splitlines()) if tag]


def json_tags(data: bytes) -> list[str]:
    """Return the tags of a JSON file: of a list, or of an object's lists, also one object further down."""
    value = json.loads(data.decode("utf-8-sig"))
    if isinstance(value, list):
        return list(_words(value))
    return list(_of_object(value, deeper=True)) if isinstance(value, dict) else []


def _gathered(folder: Folder, candidates: Iterable[_Candidate]) -> Beside:
    tags: list[str] = []
    problems: list[str] = []
    for name, tags_of in candidates:
        found = folder.find(name)
        if found is None:
            continue
        try:
            tags += tags_of(folder.read(found))
        except OSError as err:
            problems.append(f"{found}: {err.strerror or err}")
        except (ValueError, RecursionError) as err:
            problems.append(f"{found}: {_reason(err)}")
    return Beside(tuple(tags), tuple(problems))


def _candidates(file_name: str) -> Iterator[_Candidate]:
    stem = file_name.rpartition(".")[0] or file_name
    for base in (stem, file_name):
        yield f"{base}.txt", text_tags
    for base in (stem, file_name):
        for ending in _NOTES:
            yield base + ending, json_tags
    for base in (stem, file_name):
        yield f"{base}.xmp", xmp.keywords


def _of_mirflickr(file_name: str) -> Iterator[_Candidate]:
    numbered = _MIRFLICKR.fullmatch(file_name)
    if numbered:
        for home in ("", "tags/", "meta/tags/"):
            yield f"{home}tags{numbered[1]}.txt", line_tags


def _of_object(value: dict[str, Any], *, deeper: bool) -> Iterator[str]:
    for key, held in value.items():
        name = key.lower()
        if name in _LISTS:
            if isinstance(held, dict):  # as Flickr's API has it: {"tag": [...]}
                held = next((each for each in held.values() if isinstance(each, list)), [])
            yield from _split(held, blanks=name == "tag_string") if isinstance(held, str) else _words(held)
        elif deeper and isinstance(held, dict):
            yield from _of_object(held, deeper=False)


def _words(held: Any) -> Iterator[str]:
    for each in held if isinstance(held, list) else ():
        if isinstance(each, dict):
            each = next((each[key] for key in _WORDS if isinstance(each.get(key), str)), None)
        if isinstance(each, str) and each.strip():
            yield each.strip()


def _split(text: str, *, blanks: bool) -> list[str]:
    return text.split() if blanks else [tag for tag in map(str.strip, re.split(r"[,\n]", text)) if tag]


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # what old programs wrote in the west
    if "\0" in text:
        raise ValueError("it is no text")
    return text


def _reason(err: Exception) -> str:
    if isinstance(err, json.JSONDecodeError):
        return f"it is no JSON: {err.msg} in line {err.lineno}"
    if isinstance(err, UnicodeDecodeError):
        return "it is no text that can be read"
    return str(err) if isinstance(err, ValueError) else "it is nested too deeply"
