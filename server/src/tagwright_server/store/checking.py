"""Whether what is kept is whole: the database itself, the bytes of every photo, and what is counted along.

It runs beside servers. What they are in the middle of is no finding: whatever looks wrong is looked at once more while
its content is held, when no upload and no sweep can be between two steps of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tagwright_server.store.blobs import Blob, BlobMissing, FolderBlobs, sha256_of
from tagwright_server.store.image_records import Content
from tagwright_server.store.models import AccountRow, ContentRow, ImageRow
from tagwright_server.store.photo_index import WrongIndex, wrong_indexes
from tagwright_server.store.recount import correct_usage, wrong_usage
from tagwright_server.store.sqlite import SqliteEngine
from tagwright_server.store.store import Store

_AT_A_TIME = 500
_ORPHAN_AGE_S = 3600.0  # younger ones are left: whoever is looking into a fault may want to see them
_DAMAGE_MAX = 20  # lines of SQLite's own checks


@dataclass(frozen=True, slots=True)
class Lost:
    """A photo whose bytes are missing or damaged: nothing here can repair that."""

    image_id: str
    owner: str
    why: str


@dataclass(slots=True)
class Findings:
    """What was looked at and what is wrong; `waiting` is what the next sweep removes, and no fault."""

    contents: int = 0
    blobs: int = 0
    blobs_bytes: int = 0
    waiting: int = 0
    database: list[str] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    orphans_removed: int = 0
    strays: list[str] = field(default_factory=list)
    usage: list[str] = field(default_factory=list)
    usage_corrected: int = 0
    indexes: list[WrongIndex] = field(default_factory=list)
    indexes_removed: int = 0

    @property
    def left(self) -> int:
        """How many findings there are that were not repaired."""
        kinds: tuple[list[Any], ...] = (self.database, self.lost, self.orphans, self.strays, self.usage, self.indexes)
        repaired = self.orphans_removed + self.usage_corrected + self.indexes_removed
        return sum(map(len, kinds)) - repaired


def check(
    store: Store,
    blobs: FolderBlobs,
    *,
    quick: bool = False,
    repair: bool = False,
    now_s: float,
    indexes: Path | None = None,
) -> Findings:
    """Look at everything, or at all but the bytes themselves where `quick`; repair what can be if `repair`.

    `indexes` is the folder of the photo indexes' files, None: they are not looked at.
    `now_s` is the time of the clock that files get theirs from. Raises Busy.
    """
    findings = Findings()
    findings.database += _damage(store)
    for content in _contents(store):
        findings.contents += 1
        if _wrong(blobs, content, quick=quick) is not None:
            findings.lost += _lost(store, blobs, content, quick=quick)
    found = blobs.all()
    while some := list(islice(found, _AT_A_TIME)):
        findings.blobs += len(some)
        findings.blobs_bytes += sum(blob.size_bytes for blob in some)
        known = store.images.contents_known([blob.sha256 for blob in some])
        for blob in some:
            if blob.sha256 not in known:
                _look_at_orphan(store, blobs, blob, findings, repair=repair, now_s=now_s)
    findings.strays += [str(path.relative_to(blobs.folder)) for path in blobs.strays()]
    findings.waiting = len(list(blobs.unsettled())) + _unused(store)
    for wrong in wrong_usage(store.database):
        findings.usage.append(f"{wrong.owner}: {wrong.photos} photos, {wrong.size_bytes} bytes are counted")
        if repair:
            findings.usage_corrected += correct_usage(store.database, wrong.owner_id)
    if indexes is not None:
        findings.indexes += wrong_indexes(store, indexes)
        if repair:
            findings.indexes_removed += _remove_indexes(store, findings.indexes)
    return findings


def _damage(store: Store) -> list[str]:
    # PostgreSQL keeps its own checks, and refuses rows that refer to none.
    engine = store.database._engine
    if not isinstance(engine, SqliteEngine):
        return []
    connection = engine.connect()
    try:
        said = [row[0] for row in connection.execute(f"PRAGMA integrity_check({_DAMAGE_MAX})").fetchall()]
        dangling = connection.execute("PRAGMA foreign_key_check").fetchmany(_DAMAGE_MAX)
    finally:
        connection.close()
    lines = [line for line in said if line != "ok"]
    return lines + [f"row {number} of {table} refers to no row of {parent}" for table, number, parent, _ in dangling]


def _wrong(blobs: FolderBlobs, content: Content, *, quick: bool) -> str | None:
    size = blobs.size(content.sha256)
    if size is None:
        return "missing"
    if size != content.size_bytes:
        return f"{size} bytes instead of {content.size_bytes}"
    if quick:
        return None
    try:
        with blobs.open(content.sha256) as file:
            digest = sha256_of(file)
    except BlobMissing:
        return "missing"
    except OSError as err:
        return f"cannot be read: {err.strerror}"
    return None if digest == content.sha256 else "damaged"


def _lost(store: Store, blobs: FolderBlobs, content: Content, *, quick: bool) -> list[Lost]:
    query = ImageRow.select(ImageRow.id, AccountRow.username).join(AccountRow).switch(ImageRow).join(ContentRow)
    with store.transaction():
        store.images.hold_content(content.sha256)
        users = store.database.rows(query.where(ContentRow.sha256 == content.sha256).order_by(ImageRow.number))
        # Without photos it waits to be swept, and its bytes may be gone already.
        why = _wrong(blobs, content, quick=quick) if users else None
    return [Lost(id, owner, why) for id, owner in users] if why is not None else []


def _look_at_orphan(
    store: Store, blobs: FolderBlobs, blob: Blob, findings: Findings, *, repair: bool, now_s: float
) -> None:
    # An upload has its mark from before its bytes have a name until after its row is there.
    if blobs.marked(blob.sha256):
        return
    with store.transaction():
        store.images.hold_content(blob.sha256)
        if store.images.contents_known([blob.sha256]) or blobs.marked(blob.sha256) or not blobs.exists(blob.sha256):
            return
        findings.orphans.append(blob.sha256.hex())
        if repair and now_s - blob.written_s > _ORPHAN_AGE_S:
            blobs.remove(blob.sha256)
            findings.orphans_removed += 1


def _remove_indexes(store: Store, wrong: list[WrongIndex]) -> int:
    """Remove files that are wrong: the next start makes them anew; servers that run do so now."""
    if wrong:
        store.changes.start_anew()
    for index in wrong:
        index.file.unlink(missing_ok=True)
    return len(wrong)


def _contents(store: Store) -> Iterator[Content]:
    after: bytes | None = None
    while some := store.images.contents(after=after, limit=_AT_A_TIME):
        yield from some
        after = some[-1].sha256


def _unused(store: Store) -> int:
    return len(store.images.unused_contents(limit=1_000_000))
