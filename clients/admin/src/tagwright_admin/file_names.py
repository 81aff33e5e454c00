"""From the names that photos had to names of files here: never a path, never hidden, never one of another file."""

from __future__ import annotations

import os
import re

_BAD = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]')  # what some file system does not take, or takes for a path
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # Windows opens these as devices
_LONGEST_BYTES = 200  # of the 255 that file systems allow; the rest is for endings


def safe_name(name: str, *, otherwise: str) -> str:
    """Return the name without anything but a name in it; `otherwise` where nothing is left."""
    # A mark that turns the direction of text could make photo.exe look like photo.jpg.
    name = "".join(char for char in name if char.isprintable())
    name = _BAD.sub("_", name).strip(" ").lstrip(".").rstrip(". ")
    if not name or not name.strip("_"):
        return otherwise
    if _DEVICES.match(name):
        name = f"_{name}"
    stem, dot, ending = name.rpartition(".") if "." in name else (name, "", "")
    ending = ending[:16]
    room = _LONGEST_BYTES - len(f"{dot}{ending}".encode())
    return f"{stem.encode()[:room].decode(errors='ignore')}{dot}{ending}"


class Distinct:
    """Gives every photo of a folder a name of its own, also where case does not tell names apart."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def name(self, name: str, *, id: str) -> str:
        """Return the name if it is free, else one with the photo's id in it."""
        plain = safe_name(name, otherwise=safe_name(id, otherwise="photo"))
        stem, ending = os.path.splitext(plain)
        told_apart = f"{stem}-{safe_name(id, otherwise='photo')}"
        number = 1
        chosen = plain
        while chosen.casefold() in self._taken:
            chosen = f"{told_apart}{ending}" if number == 1 else f"{told_apart}-{number}{ending}"
            number += 1
        self._taken.add(chosen.casefold())
        return chosen
