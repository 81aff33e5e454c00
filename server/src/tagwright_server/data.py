"""Where a server's data is: resolved from the settings, the same for serving and for local commands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from tagwright_server.settings import Settings
from tagwright_server.store.blobs import FolderBlobs
from tagwright_server.store.pepper import read_pepper
from tagwright_server.store.store import Store, open_store


@dataclass(frozen=True, slots=True)
class Data:
    """What a server keeps: the open store, the bytes of photos, and the pepper that goes with them."""

    store: Store
    blobs: FolderBlobs
    pepper: bytes = field(repr=False)


@contextmanager
def open_data(settings: Settings) -> Iterator[Data]:
    """Have the store open, its tables up to date, while the block runs. Raises StartupError."""
    store = open_store(
        database_url(settings),
        busy_timeout_s=settings.database_timeout_s,
        connections_max=settings.database_connections_max,
    )
    try:
        blobs = FolderBlobs(blobs_folder(settings))
        yield Data(store, blobs, read_pepper(pepper_file(settings), store.facts))
    finally:
        store.close()


def folder(settings: Settings) -> Path:
    """Return the folder of all that is kept."""
    if settings.data_folder is not None:
        return settings.data_folder.expanduser().absolute()
    home = os.environ.get("XDG_DATA_HOME") or ""  # relative ones are to be ignored (XDG Base Directory)
    return (Path(home) if os.path.isabs(home) else Path.home() / ".local" / "share") / "tagwright"


def blobs_folder(settings: Settings) -> Path:
    """Return where the bytes of photos are."""
    return settings.photos_folder or folder(settings) / "photos"


def index_folder(settings: Settings) -> Path:
    """Return where the files of photo indexes are: each server makes them from its database."""
    return folder(settings) / "index"


def database_url(settings: Settings) -> str:
    """Return the database's URL."""
    return settings.database or f"sqlite://{quote(str(folder(settings) / 'tagwright.sqlite3'))}"


def pepper_file(settings: Settings) -> Path:
    """Return where the pepper is."""
    return settings.pepper_file or folder(settings) / "pepper"
