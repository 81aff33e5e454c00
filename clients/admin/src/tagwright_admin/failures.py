"""The file of photos that were not stored, a JSON line each: written whole or not at all, read again by --retry."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from tagwright_admin import whole_files
from tagwright_admin.connection import USAGE, Refused

FILE_NAME = "upload-failures.jsonl"
_KEYS = ("path", "sha256", "reason", "text", "archive", "member")


@dataclass(frozen=True, slots=True)
class Failure:
    """One photo that was not stored: where it is, its digest if known, and why. In a zip: which, and its name there."""

    path: str
    sha256: str
    reason: str
    text: str
    archive: str = ""
    member: str = ""


def write(path: str, failures: Iterable[Failure]) -> None:
    """Replace the file at a path. Raises OSError."""
    with whole_files.replacing(path) as file:
        file.writelines(json.dumps(asdict(failure)) + "\n" for failure in failures)


def read(path: str) -> list[Failure]:
    """Return what is in a file of failures. Raises Refused, which says which line is none."""
    found: list[Failure] = []
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    found.append(_failure(line, where=f"{path}, line {number}"))
    except (OSError, ValueError) as err:  # ValueError: a NUL in the name
        raise Refused(f"cannot read {path}: {getattr(err, 'strerror', None) or err}", exit_code=USAGE) from err
    return found


def _failure(line: bytes, *, where: str) -> Failure:
    try:
        value = json.loads(line)
        texts = {key: value.get(key, "") for key in _KEYS}
    except (ValueError, AttributeError, RecursionError) as err:
        raise Refused(f"{where}: it is no line of a file of failures", exit_code=USAGE) from err
    if not texts["path"] or not all(isinstance(text, str) for text in texts.values()):
        raise Refused(f"{where}: it does not name a photo", exit_code=USAGE)
    return Failure(**texts)
