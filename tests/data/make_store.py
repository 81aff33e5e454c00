"""Writes store-0001.sqlite3 and store-0001.sql: `python tests/data/make_store.py 0001`, from the repository's root.

Run once for each version of the schema that is released, never again: a later version must open what this one wrote,
not what it would write itself. For the next one, copy store_0001.py to store_0002.py, add what is new, run this with
0002, commit the three files, and name 0002 in test_store_migrations.py.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from datetime import datetime
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))

import postgres  # noqa: E402

from tagwright_server.clock import SystemClock  # noqa: E402
from tagwright_server.store.store import open_store  # noqa: E402


def main(version: str) -> None:
    """Write both files of a version."""
    content = importlib.import_module(f"data.store_{version}")

    class Then(SystemClock):
        def now(self) -> datetime:
            then: datetime = content.NOW
            return then

    file = FOLDER / f"store-{version}.sqlite3"
    if file.exists():
        sys.exit(f"{file} is there: what a version wrote is never written again")
    server = postgres.server()
    name = server.create()
    for url in (f"sqlite://{file}", server.url(name)):
        store = open_store(url, clock=Then())
        content.fill(store)
        store.close()
    file.with_name(file.name + ".lock").unlink()
    dump = [
        str(server.programs / "pg_dump"),
        "--inserts",
        "--no-owner",
        "--no-privileges",
        "--dbname",
        server.url(name),
    ]
    text = subprocess.run(dump, check=True, capture_output=True, text=True).stdout
    (FOLDER / f"store-{version}.sql").write_text(portable(text))


def portable(dump: str) -> str:
    """Leave out what only psql, or only that version of PostgreSQL, understands."""
    skipped = ("--", "\\", "SET ", "SELECT pg_catalog.set_config")
    lines = [line for line in dump.splitlines() if line and not line.startswith(skipped)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1])
