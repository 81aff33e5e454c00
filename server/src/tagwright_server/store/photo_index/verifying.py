"""Whether the files of indexes say what the database says, and making them anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tagwright_server.store.changes import MarkTooOld
from tagwright_server.store.photo_index import snapshot
from tagwright_server.store.photo_index.index import PhotoIndex
from tagwright_server.store.photo_index.library import Library, same
from tagwright_server.store.photo_index.reading import Reading, State
from tagwright_server.store.store import Store

_AT_A_TIME = 2000
_SIZE = """
SELECT LENGTH(embedding.vector) FROM embedding JOIN model ON model.number = embedding.model_id
WHERE model.name = ? LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class WrongIndex:
    """A file that is not what it should be; the next start makes it anew only if it cannot be read."""

    file: Path
    why: str


def wrong_indexes(store: Store, folder: Path) -> list[WrongIndex]:
    """Look at the file of every index, beside servers that run. Raises Busy.

    One that is too old for the feed of changes is no fault: the next start makes it anew.
    """
    found = [WrongIndex(file, why) for file in _files(folder) if (why := _wrong(store, file)) is not None]
    return found


def rebuild(store: Store, folder: Path, *, said: Callable[[str, int], None]) -> None:
    """Make the files of all indexes anew, and have servers that run read everything anew, too. Raises Busy, OSError.

    `said` is told of each model, `name@version`, with how many photos it has.
    """
    store.changes.start_anew()
    for file in _files(folder):
        model = snapshot.model_of(file)
        file.unlink()
        if size := _size(store, model):
            index = PhotoIndex(store, model, size, folder)
            index.save()
            said(model, index.size)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{snapshot.SUFFIX}"))


def _size(store: Store, model_version: str) -> int:
    with store.database.reading():
        rows = store.database.select(_SIZE, [model_version])
    return rows[0][0] // 2 if rows else 0


def _wrong(store: Store, file: Path) -> str | None:
    model = snapshot.model_of(file)
    size = _size(store, model)
    if not size:
        return None  # nothing is left of that model
    try:
        library, mark = snapshot.load(file, model, size)
        store.changes.check(mark)
        numbers, mark = store.changes.since(mark)
    except FileNotFoundError:
        return None  # a server has just put another in its place, or rebuild-index is at it
    except MarkTooOld:
        return None
    except (OSError, ValueError, KeyError, TypeError) as err:
        return str(err)
    reading = Reading(store.database, model, size)
    _follow(library, reading, numbers)
    suspects = list(_different(library, reading))
    with suppress(MarkTooOld):  # what changed meanwhile is looked at once more
        numbers, _ = store.changes.since(mark)
        _follow(library, reading, numbers)
        states = _by_number(reading.photos(suspects))
        suspects = [number for number in suspects if not _agrees(library, number, states.get(number))]
    if not suspects:
        return None
    return f"{len(suspects):,} photos are not as the database has them, the first of them number {suspects[0]}"


def _follow(library: Library, reading: Reading, numbers: list[int]) -> None:
    for start in range(0, len(numbers), _AT_A_TIME):
        some = numbers[start : start + _AT_A_TIME]
        states = _by_number(reading.photos(some))
        for number in some:
            library.apply(number, states.get(number))


def _different(library: Library, reading: Reading) -> Iterator[int]:
    seen = [np.zeros(0, np.int64)]
    for states in reading.all(at_a_time=_AT_A_TIME):
        seen.append(np.array([state.number for state in states], np.int64))
        yield from (state.number for state in states if not _agrees(library, state.number, state))
    here = library.photos.numbers(library.photos.all())
    yield from np.setdiff1d(here, np.concatenate(seen)).tolist()


def _agrees(library: Library, number: int, state: State | None) -> bool:
    slot = library.photos.slot(number)
    if slot is None or state is None:
        return slot is None and state is None
    return same(library.entry(slot), state) and bool(np.array_equal(library.vector(slot), state.vector))


def _by_number(states: list[State]) -> dict[int, State]:
    return {state.number: state for state in states}
