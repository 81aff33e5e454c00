"""Zip files of what tests take for photos, in memory."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterable


def packed(entries: dict[str, bytes] | Iterable[tuple[str, bytes]], packing: int = zipfile.ZIP_STORED) -> io.BytesIO:
    """A zip file; of several entries two may have one name."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", packing) as made:
        warnings.simplefilter("ignore")
        for name, data in entries.items() if isinstance(entries, dict) else entries:
            made.writestr(name, data)
    return file


def photos(count: int) -> dict[str, bytes]:
    """As many photos of an album."""
    return {f"album/{number}.jpg": b"photo %d" % number for number in range(count)}
