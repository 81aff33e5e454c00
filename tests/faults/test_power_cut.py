"""The power is cut while the store writes: no acknowledged write is lost, and no transaction is there in halves."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest
from keeping import a_photo, all_photos
from power_cut import Cut, PowerCut
from stores import an_account, an_event

from tagwright_server.store import sqlite
from tagwright_server.store.image_records import ImageTag, TagSource, TagState
from tagwright_server.store.sqlite import SqliteEngine
from tagwright_server.store.store import Store, open_store

TRANSACTIONS = 60
TAGS = 5
CUTS = 25
SEED = 7


def write(store: Store, acknowledged: list[str]) -> None:
    """Transactions of several rows; what comes to the disk is told apart by names."""
    tags = [ImageTag(f"tag {i}", TagState.SUGGESTED, TagSource.MODEL, 0.5, "tagger@1") for i in range(TAGS)]
    for i in range(TRANSACTIONS):
        account = an_account(f"{i} {'x' * 500}")
        with store.transaction():
            store.accounts.add(account, password_hash="")
            photo = store.images.add(a_photo(account, account.username.encode()))
            assert photo is not None
            store.tags.write(photo.number, tags, ())
            store.audit.add(an_event(target=account.username))
        acknowledged.append(account.username)


def cuts_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Cut], list[str]]:
    """What the disk may hold after each of some cuts at random moments, and all that was written."""
    file = folder / "store.db"
    connect = SqliteEngine.connect
    open_store(f"sqlite://{file}").close()
    steps = run(file, PowerCut((), [], seed=SEED), [], monkeypatch)
    monkeypatch.setattr(SqliteEngine, "connect", connect)
    for left in folder.iterdir():
        left.unlink()
    open_store(f"sqlite://{file}").close()
    acknowledged: list[str] = []
    moments = set(random.Random(SEED).sample(range(steps), CUTS))
    disk = PowerCut(moments, acknowledged, seed=SEED)
    run(file, disk, acknowledged, monkeypatch)
    return disk.cuts, acknowledged


def run(file: Path, disk: PowerCut, acknowledged: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Write to a file on that disk; return how much was done to it."""

    def connect(self: SqliteEngine, *, quickly: bool = False) -> object:
        connection = disk.connect(file)
        connection.execute(f"PRAGMA synchronous={sqlite.SYNCHRONOUS}")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA wal_autocheckpoint=100")  # pages: so that several checkpoints are cut too
        return connection

    monkeypatch.setattr(SqliteEngine, "connect", connect)
    store = open_store(f"sqlite://{file}")
    write(store, acknowledged)
    done = disk.done
    store.close()
    return done


def stored(cut: Cut, folder: Path) -> list[str]:
    """The names that are there after a cut; fails where the file is damaged or a transaction is there in halves."""
    cut.put_into(folder)
    store = open_store(f"sqlite://{folder}/store.db")
    names = [account.username for account in store.accounts.page(after=None, limit=1000)]
    events = [event.target for event in store.audit.page(before=None, limit=1000)]
    photos = all_photos(store)
    tags = store.tags.of([photo.number for photo in photos])
    usage = [store.images.usage(photo.owner_id).photos for photo in photos]
    store.accounts.add(an_account("life goes on"), password_hash="")
    store.close()
    check = sqlite3.connect(folder / "store.db")
    assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert check.execute("PRAGMA foreign_key_check").fetchall() == []
    check.close()
    assert sorted(events) == sorted(photo.owner for photo in photos) == sorted(names)
    assert [len(some) for some in tags.values()] == [TAGS] * len(names)
    assert usage == [1] * len(names)
    return names


@pytest.mark.parametrize(("synchronous", "loses"), [("FULL", False), ("NORMAL", True)])
def test_acknowledged_writes_survive_with_synchronous_full_and_only_with_it(
    synchronous: str, loses: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "SYNCHRONOUS", synchronous)
    (tmp_path / "written").mkdir()
    cuts, written = cuts_of(tmp_path / "written", monkeypatch)
    monkeypatch.undo()
    assert len(cuts) == CUTS
    lost = 0
    for number, cut in enumerate(cuts):
        names = stored(cut, tmp_path / f"cut {number}")
        assert set(names) <= set(written)
        assert len(names) <= cut.acknowledged + 1
        lost += not set(written[: cut.acknowledged]) <= set(names)
    assert lost > CUTS // 4 if loses else lost == 0
