"""The server is killed while photos are uploaded and deleted: what was acknowledged is found, what was deleted never.

TAGWRIGHT_TEST_ROUNDS=100 does it more often.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import accounts
import bundles
import grpc
from PIL import Image
from processes import serving
from servers import PATIENCE_S, connected

from tagwright.v1 import image_pb2, search_pb2
from tagwright.v1 import search_service_pb2 as search
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.search_service_pb2_grpc import SearchServiceStub
from tagwright.v1.tagging_service_pb2_grpc import TaggingServiceStub

ROUNDS = int(os.environ.get("TAGWRIGHT_TEST_ROUNDS", "3"))
STEPS = (20, 60)  # that a round has before its kill, at least and at most
PEOPLE = ("admin", "second")
TAGS = ("red", "green", "blue")


@dataclass
class Journal:
    """What one person stored and deleted, and what was acknowledged: a photo's id to its tag."""

    owner: str
    token: str
    seed: int
    stored: dict[str, str] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    steps: int = 0

    def run(self, address: str) -> None:
        """Store photos, and delete some, until the server is gone."""
        draw = random.Random(self.seed + self.steps)
        try:
            with connected(address, self.token) as channel:
                tagging, searching = TaggingServiceStub(channel), SearchServiceStub(channel)
                while True:
                    if self.stored and draw.random() < 0.3:
                        self._delete(tagging, draw.choice(sorted(self.stored)))
                    else:
                        self._store(tagging, draw.choice(TAGS))
                    if not draw.randrange(10):
                        see(self, searching)
                    self.steps += 1
        except grpc.RpcError:
            return  # killed; what was under way may or may not have happened

    def _store(self, tagging: TaggingServiceStub, tag: str) -> None:
        request = pb.TagImageRequest(image=picture(), user_tags=[tag], store=True)
        answer: pb.TagImageResponse = tagging.TagImage(request, timeout=PATIENCE_S)
        self.stored[answer.tags.image_id] = tag

    def _delete(self, tagging: TaggingServiceStub, id: str) -> None:
        del self.stored[id]  # until somebody answers, nobody knows
        tagging.DeleteImage(pb.DeleteImageRequest(image_id=id, request_id=str(uuid.uuid4())), timeout=PATIENCE_S)
        self.deleted.add(id)


def picture() -> bytes:
    """A photo that nobody has."""
    out = io.BytesIO()
    pixels = Image.frombytes("RGB", (8, 8), random.SystemRandom().randbytes(192))
    pixels.resize((24, 24), Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


def finds(searching: SearchServiceStub, query: str, **said: object) -> Iterator[str]:
    """All photos that a search finds, and those that stand behind them."""
    request = search.SearchImagesRequest(query=query, page_size=500, **said)  # type: ignore[arg-type]
    while True:
        answer: search.SearchImagesResponse = searching.SearchImages(request, timeout=PATIENCE_S)
        for result in answer.results:
            yield from (result.image.id, *result.collapsed_ids)
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token


def see(journal: Journal, searching: SearchServiceStub) -> None:
    """Fail where a photo is not found that was acknowledged, or one is that was deleted, or under a wrong tag."""
    for tag in TAGS:
        found = list(finds(searching, f"{tag} & owner:{journal.owner}"))
        assert len(set(found)) == len(found)
        lost = {id for id, its in journal.stored.items() if its == tag} - set(found)
        assert not lost, f"{len(lost)} of {len(journal.stored)} acknowledged photos are not found"
        assert not journal.deleted & set(found)
        assert all(journal.stored.get(id, tag) == tag for id in found)


def agree(address: str, journals: list[Journal]) -> None:
    """The same, also by look and by all that is there; and what is stored is what is found."""
    for journal in journals:
        with connected(address, journal.token) as channel:
            tagging, searching = TaggingServiceStub(channel), SearchServiceStub(channel)
            see(journal, searching)
            whole = set(finds(searching, f"owner:{journal.owner}"))
            varied = set(finds(searching, f"owner:{journal.owner}", ranking=search_pb2.RANKING_DIVERSE))
            assert whole == varied == set(listed(tagging, journal.owner))
            assert journal.stored.keys() <= whole
            assert not whole & journal.deleted
            if journal.stored:
                example = sorted(journal.stored)[0]
                alike = list(finds(searching, f"owner:{journal.owner}", example_image_id=example))
                assert set(alike) == whole - {example}
            facets = searching.SearchImages(
                search.SearchImagesRequest(query=f"owner:{journal.owner}", include_facets=True, max_facets=100),
                timeout=PATIENCE_S,
            ).facets
            counts = {facet.tag: facet.count for facet in facets}
            for tag in TAGS:
                assert counts.get(tag, 0) == len(list(finds(searching, f"{tag} & owner:{journal.owner}")))


def listed(tagging: TaggingServiceStub, owner: str) -> Iterator[str]:
    request = pb.ListImagesRequest(filter=image_pb2.ImageFilter(owner=owner), page_size=500)
    while True:
        answer: pb.ListImagesResponse = tagging.ListImages(request, timeout=PATIENCE_S)
        yield from (image.id for image in answer.images)
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token


def kill(
    process: subprocess.Popen[str], people: list[threading.Thread], now: Callable[[], bool], later_s: float
) -> bool:
    """Kill it a little after `now` is so; return whether it was still at work."""
    while not now() and all(thread.is_alive() for thread in people):
        time.sleep(0.001)
    time.sleep(later_s)
    at_work = all(thread.is_alive() for thread in people)
    process.send_signal(signal.SIGKILL)
    assert process.wait(PATIENCE_S) == -signal.SIGKILL
    for thread in people:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    return at_work


def test_after_every_kill_searches_find_what_was_acknowledged_and_nothing_that_was_deleted(tmp_path: Path) -> None:
    bundles.write_repository(tmp_path / "models")
    folder = tmp_path / "data"
    draw = random.Random(20261126)
    journals = [
        Journal(name, accounts.signed_in(folder, name), int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
        for name in PEOPLE
    ]
    at_work = 0
    for turn in range(ROUNDS + 1):
        with serving(tmp_path / "models", "--data-folder", folder) as (process, address):
            agree(address, journals)
            if turn == ROUNDS:
                break
            people = [threading.Thread(target=journal.run, args=(address,)) for journal in journals]
            for thread in people:
                thread.start()
            most = sum(journal.steps for journal in journals) + draw.randint(*STEPS)
            at_work += kill(
                process.process,
                people,
                lambda most=most: sum(journal.steps for journal in journals) >= most,  # type: ignore[misc]
                draw.uniform(0.0, 0.02),
            )
    assert at_work == ROUNDS, "somebody failed before the kill"
    assert all(journal.stored and journal.deleted for journal in journals)
    print(f"{ROUNDS} kills; {sum(len(journal.stored) for journal in journals)} photos are found")
