"""SearchImages in libraries of several sizes, made up (synthetic.py), on SQLite and PostgreSQL, for 1 and 16 callers.

How to read it: "call" is what a caller waits, gRPC and client included; "search" is the server's own figure for finding
and ranking, without reading the photos of the page. Callers are one account, which sees its own photos and the shared
ones; pages hold 20. "by hand" is the same query in plain SQL on the same database, or in the bare index library, by
one caller in this process, without gRPC and without reading the photos. The tag index is made at every start, the
photo index at the first. Sizes: --search-photos 20000,1000000; a million takes some thirty minutes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import grpc
import numpy as np
import psutil
from numpy.typing import NDArray

from tagwright.v1 import search_service_pb2 as pb
from tagwright.v1.search_service_pb2_grpc import SearchServiceStub
from tagwright_server.inference.bundle import load_bundle

from ..child import Child
from ..figures import Aim, Note, Row, latency
from ..made_up import LOOK_S, READY_S, await_search, member, source
from ..scenario import Yielded
from ..searches import KINDS, Asked, BareIndex, Run, asked, by_sql, connected
from ..serving import NotServed, Serving, serve
from ..setup import Setup
from ..synthetic import Seed, fill

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # as pytest has it
from postgres import Postgres, why_no_postgres

NAME = "search"
TITLE = "SearchImages in libraries of several sizes"
ORDER = 65

_CALLERS = (1, 16)
_P99_AIM_MS = 50.0
_RECALL_AIM = 0.95
_RECALL_OF, _RECALL_AT = 100, 10
_AIMED_AT = 1_000_000
_MIB = 2**20
_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_SPEED, _SIZE = "SearchImages, ms", "The indexes"


def run(setup: Setup) -> Iterator[Yielded]:
    """Measure each size on each database, with the first engine."""
    try:
        made = source(setup)
    except NotServed as err:
        yield Row(_SPEED, "all", not_measured=str(err))
        return
    for photos in setup.search_photos:
        make = partial(_fill, setup, seed=made.seed, photos=photos, labels=made.labels, model=made.model)
        for database in setup.search_databases:
            what = f"{photos:,} photos, {_NAMES[database]}"
            try:
                with (_sqlite if database == "sqlite" else _postgres)(setup.scratch) as url:
                    yield from _measure(setup, what, url, photos, make)
            except NotServed as err:
                yield Row(_SPEED, what, not_measured=str(err))
    yield Note("The libraries are made up from the starter library's photos; see tests/load/synthetic.py.")


@contextmanager
def _sqlite(scratch: Path) -> Iterator[str]:
    file = scratch / "search.sqlite3"
    try:
        yield f"sqlite://{file}"
    finally:
        for each in scratch.glob("search.sqlite3*"):
            each.unlink()


@contextmanager
def _postgres(scratch: Path) -> Iterator[str]:
    if (why := why_no_postgres()) is not None:
        raise NotServed(why)
    with ExitStack() as stack:
        postgres = Postgres()
        stack.callback(postgres.remove)
        yield postgres.url()


def _fill(setup: Setup, url: str, *, seed: Seed, photos: int, labels: list[str], model: str) -> None:
    def advance(done: int) -> None:
        setup.step(f"{NAME}: {done:,} of {photos:,} photos are made up")

    fill(url, seed, photos=photos, labels=labels, model_version=model, advance=advance)


def _measure(setup: Setup, what: str, url: str, photos: int, make: Callable[[str], None]) -> Iterator[Yielded]:
    def prepare(data: Path) -> None:
        make(url)

    flags = [f"--default-model={setup.model.parent.name}"]
    with (
        serve(setup.engines[0], setup.repository, flags, database=url, prepare=prepare) as serving,
        connected(url) as run,
    ):
        setup.step(f"{NAME}, {what}: the indexes are made")
        made_s = await_search(serving) + serving.start_s
        who = member(serving, ["search"])
        token, [[account]] = who.token, run("SELECT id FROM account WHERE username = ?", [who.name])
        tags = [
            (int(number), str(name), int(count))
            for number, name, count in run(
                "SELECT tag.number, tag.name, COUNT(*) FROM image_tag JOIN tag ON tag.number = image_tag.tag_id "
                "WHERE image_tag.state IN (0, 1) GROUP BY tag.number, tag.name",
                [],
            )
        ]
        index_s = time.monotonic()
        _search(serving, token, pb.SearchImagesRequest(example_image_id=f"{1:032x}"), timeout_s=READY_S)
        index_s = time.monotonic() - index_s + made_s
        searches = {kind: asked(kind, tags, photos) for kind in KINDS}
        seen = _seen(run, account, photos)
        for search in (search for some in searches.values() for search in some):
            if search.example and not seen[search.example - 1]:
                search.request["example_image_id"] = f"{_next(seen, search.example):032x}"
        found = {}
        with Child("searchers", {"address": serving.address}, environment={"TAGWRIGHT_TOKEN": token}) as client:
            for kind, some in searches.items():
                for callers in _CALLERS:
                    setup.step(f"{NAME}, {what}: {kind}, {callers} callers")
                    found[kind, callers] = client.ask(
                        requests=[search.request for search in some],
                        callers=callers,
                        warm_s=1.0,
                        seconds=setup.seconds,
                    )
        memory = psutil.Process(serving.pid).memory_info().rss
        examples = [_example(search) for search in searches["example"][:_RECALL_OF]]
        nearest = [_nearest(serving, token, example) for example in examples]
    with connected(url) as run:
        setup.step(f"{NAME}, {what}: the same by hand")
        bare = BareIndex(run, load_bundle(setup.model).embedding_size)
        hand = {kind: by_sql(run, kind, some, account, seconds=setup.seconds * 3) for kind, some in searches.items()}
        hand["example"] = bare.by_hand(searches["example"], [seen] * len(searches["example"]))
        some = searches["filtered example"][:50]
        hand["filtered example"] = bare.by_hand(some, [seen & _tagged(run, search.tags[0], photos) for search in some])
        recall = _recall(bare, seen, examples, nearest)
    yield Row(
        _SIZE,
        what,
        {
            "ready_s": made_s,
            "looks_ready_s": index_s,
            "server_MiB": memory / _MIB,
            "recall_at_10": recall,
            "bare_index_built_s": bare.built_s,
        },
    )
    for (kind, callers), answer in found.items():
        call, inside = latency(answer["took_ms"]), latency(answer["search_ms"])
        by_hand = latency(hand[kind] or ())
        yield Row(
            _SPEED,
            f"{what}: {kind}, {callers}",
            {
                "call_p50_ms": call["p50_ms"],
                "call_p99_ms": call["p99_ms"],
                "search_p50_ms": inside["p50_ms"],
                "search_p99_ms": inside["p99_ms"],
                "calls_per_s": len(answer["took_ms"]) / setup.seconds,
                "by_hand_p50_ms": by_hand["p50_ms"],
                "by_hand_p99_ms": by_hand["p99_ms"],
                "errors": sum(answer["errors"].values()),
            },
        )
        if photos >= _AIMED_AT and callers == max(_CALLERS):
            p99 = call["p99_ms"]
            measured = p99 if isinstance(p99, float) else None
            yield Aim(f"{what}: {kind}, {callers} callers, p99, ms", None, measured, at_most=_P99_AIM_MS)
    yield Aim(f"{what}: recall@10 of an example's nearest", _RECALL_AIM, recall)


def _search(
    serving: Serving, token: str, request: pb.SearchImagesRequest, *, timeout_s: float = 60.0
) -> pb.SearchImagesResponse:
    ends_s = time.monotonic() + timeout_s
    with grpc.insecure_channel(serving.address) as channel:
        while True:
            try:
                answer: pb.SearchImagesResponse = SearchServiceStub(channel).SearchImages(
                    request, timeout=60.0, metadata=(("authorization", f"Bearer {token}"),)
                )
            except grpc.RpcError as err:
                if err.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > ends_s:
                    raise
                time.sleep(LOOK_S)
            else:
                return answer


def _nearest(serving: Serving, token: str, example: int) -> list[int]:
    request = pb.SearchImagesRequest(example_image_id=f"{example:032x}", page_size=_RECALL_AT)
    return [int(result.image.id, 16) for result in _search(serving, token, request).results]


def _recall(bare: BareIndex, seen: NDArray[np.bool_], examples: list[int], nearest: list[list[int]]) -> float:
    right = [bare.nearest(example, seen, _RECALL_AT) for example in examples]
    both = sum(len(set(found) & set(true)) for found, true in zip(nearest, right, strict=True))
    return both / sum(map(len, right))


def _seen(run: Run, account: str, photos: int) -> NDArray[np.bool_]:
    rows = run("SELECT number FROM image WHERE account_id = ? OR visibility = 'shared'", [account])
    return _mask([number for (number,) in rows], photos)


def _tagged(run: Run, tag: int, photos: int) -> NDArray[np.bool_]:
    rows = run("SELECT image_id FROM image_tag WHERE tag_id = ? AND state IN (0, 1)", [tag])
    return _mask([number for (number,) in rows], photos)


def _mask(numbers: list[int], photos: int) -> NDArray[np.bool_]:
    mask = np.zeros(photos, np.bool_)
    mask[np.array(numbers, np.int64) - 1] = True
    return mask


def _next(seen: NDArray[np.bool_], example: int) -> int:
    return (int(np.argmax(np.roll(seen, -(example - 1)))) + example - 1) % len(seen) + 1


def _example(search: Asked) -> int:
    return int(search.request["example_image_id"], 16)
