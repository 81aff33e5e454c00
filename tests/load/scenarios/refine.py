"""RefineTags with libraries of several sizes, made up (synthetic.py): what judging tags takes, and the memory.

How to read it: "refining" is the server's own figure, what judging takes beyond decoding and network; the aims are
for it, by one caller. "call" is what a caller waits, decoding, network and gRPC included. Each photo comes with the
user tags of a photo of the starter library. The index is made from the database at the server's first start, and read
from its file at the second. Sizes: --refine-photos 20000,1000000; a million takes some twenty minutes.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tagwright_client import Client, TagwrightError

from ..figures import Aim, Note, Row, latency
from ..made_up import Source, await_looks, source
from ..scenario import Yielded
from ..serving import Engine, NotServed, Serving, serve
from ..setup import Setup
from ..synthetic import Seed, fill

NAME = "refine"
TITLE = "RefineTags with libraries of several sizes"
ORDER = 60

_CALLERS = (1, 4)
_P50_AIM_MS, _P99_AIM_MS = 10.0, 30.0
_TAGS = 8  # a photo, at most: what owners give
_MIB = 2**20
_SPEED, _SIZE = "RefineTags, ms", "The library"


@dataclass
class _Calls:
    """What callers saw, in milliseconds."""

    call_ms: list[float] = field(default_factory=list)
    refining_ms: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def run(setup: Setup) -> Iterator[Yielded]:
    """Measure each size with the first engine."""
    engine = setup.engines[0]
    try:
        made = source(setup)
    except NotServed as err:
        yield Row(_SPEED, engine.name, not_measured=str(err))
        return
    for photos in setup.refine_photos:
        try:
            yield from _measure(setup, engine, made, photos)
        except NotServed as err:
            yield Row(_SPEED, f"{photos:,} photos", not_measured=str(err))
    yield Note("The library is made up from the starter library's photos; see tests/load/synthetic.py.")


def _measure(setup: Setup, engine: Engine, made: Source, photos: int) -> Iterator[Yielded]:
    what = f"{NAME}, {photos:,} photos"

    def prepare(data: Path) -> None:
        def advance(done: int) -> None:
            setup.step(f"{what}: {done:,} are made up")

        url = f"sqlite://{data / 'tagwright.sqlite3'}"
        fill(url, made.seed, photos=photos, labels=made.labels, model_version=made.model, advance=advance)

    flags = [f"--default-model={setup.model.parent.name}"]
    with serve(engine, setup.repository, flags, prepare=prepare) as serving:
        setup.step(f"{what}: the index is made")
        first = setup.photos.files[0].read_bytes()
        made_s = await_looks(serving, first, photos + len(made.seed.tags)) + serving.start_s
        found = {callers: _calls(serving, setup, made.seed, callers, what) for callers in _CALLERS}
        memory = psutil.Process(serving.pid).memory_info().rss
        disk = sum(file.stat().st_size for file in (serving.data / "index").rglob("*") if file.is_file())
        database = sum(file.stat().st_size for file in serving.data.glob("tagwright.sqlite3*"))
    yield Row(
        _SIZE,
        f"{photos:,} photos",
        {
            "index_made_s": made_s,
            "server_MiB": memory / _MIB,
            "database_MB": database / 1e6,
            "index_file_MB": disk / 1e6,
        },
    )
    for callers, calls in found.items():
        refining, whole = latency(calls.refining_ms), latency(calls.call_ms)
        yield Row(
            _SPEED,
            f"{photos:,} photos, {callers} callers",
            {
                "refining_p50_ms": refining["p50_ms"],
                "refining_p99_ms": refining["p99_ms"],
                "call_p50_ms": whole["p50_ms"],
                "call_p99_ms": whole["p99_ms"],
                "calls": len(calls.call_ms),
                "errors": len(calls.errors),
            },
        )
    alone = latency(found[_CALLERS[0]].refining_ms)
    for figure, aim_ms in (("p50_ms", _P50_AIM_MS), ("p99_ms", _P99_AIM_MS)):
        value = alone[figure]
        measured = value if isinstance(value, float) else None
        yield Aim(f"{photos:,} photos: refining, {figure.removesuffix('_ms')}, ms", None, measured, at_most=aim_ms)


def _calls(serving: Serving, setup: Setup, seed: Seed, callers: int, what: str) -> _Calls:
    setup.step(f"{what}: {callers} callers")
    photos = [file.read_bytes() for file in setup.photos.files]
    found, stop, order = _Calls(), threading.Event(), itertools.count()
    with Client.connect(f"grpc://{serving.address}", token=serving.token) as client:

        def call() -> None:
            while not stop.is_set():
                at = next(order)
                tags = list(seed.tags[at % len(seed.tags)])[:_TAGS]
                begun_s = time.monotonic()
                try:
                    answer = client.refine(photos[at % len(photos)], user_tags=tags)
                except TagwrightError as err:
                    found.errors.append(type(err).__name__)
                    continue
                found.call_ms.append((time.monotonic() - begun_s) * 1000)
                found.refining_ms.append(answer.timings.refinement_ms or 0.0)

        threads = [threading.Thread(target=call, daemon=True) for _ in range(callers)]
        for thread in threads:
            thread.start()
        time.sleep(1.0)
        for figures in (found.call_ms, found.refining_ms):
            figures.clear()  # the first calls find caches empty
        time.sleep(setup.seconds * 3)
        stop.set()
        for thread in threads:
            thread.join()
    return found
