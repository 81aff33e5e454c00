"""From the paths of a command line to the photos they mean. Looks at names only, never into files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tagwright_client import Photo

STDIN = "-"
_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True, slots=True)
class Found:
    """The photos' paths in order, and what went wrong while looking for them, a line each."""

    paths: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)


def find(paths: Sequence[str]) -> Found:
    """Return the photos: files as they were named, and of folders all photos below them by extension, sorted.

    A name that does not exist stays in the list: it fails in its place when it is read.
    """
    found = Found()
    for path in paths:
        if path == STDIN or not os.path.isdir(path):
            found.paths.append(path)
            continue
        before = len(found.paths), len(found.problems)
        found.paths.extend(_walk(path, found.problems))
        if before == (len(found.paths), len(found.problems)):
            found.problems.append((path, f"no photos in this folder ({', '.join(_EXTENSIONS)})"))
    return found


def opened(path: str) -> Photo:
    """Return what the client is to read: standard input for `-`, else the path."""
    return sys.stdin.buffer if path == STDIN else path


def _walk(folder: str, problems: list[tuple[str, str]]) -> Iterator[str]:
    def note(err: OSError) -> None:
        problems.append((str(err.filename), f"cannot look into this folder: {err.strerror}"))

    for below, folders, names in os.walk(folder, onerror=note):  # does not follow links to folders: they may go round
        folders.sort()
        for name in sorted(names):
            path = os.path.join(below, name)
            if name.lower().endswith(_EXTENSIONS) and os.path.isfile(path):
                yield path
