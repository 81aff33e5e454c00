"""The server is killed while photos are uploaded: what it acknowledged is there, and nothing is there twice.

TAGWRIGHT_TEST_ROUNDS=100 does it more often. A round in which nothing was acknowledged in the end counts as failed.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

import accounts
import bundles
import grpc
from PIL import Image
from processes import serving
from servers import PATIENCE_S, connected
from uploads import Stream

from tagwright.v1 import image_pb2
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.tagging_service_pb2_grpc import TaggingServiceStub

ROUNDS = int(os.environ.get("TAGWRIGHT_TEST_ROUNDS", "20"))
POINTS = ("blob-synced", "before-commit", "after-commit")
PHOTOS_A_ROUND = 60
UPLOADERS = ("admin", "second")
TAG = "kept"
SLOWER_MOST = 2.0  # a start after a kill, beside the first one, which had nothing to set right


@dataclass
class Journal:
    """What one uploader sent and what was acknowledged to it: SHA-256 to photo id."""

    owner: str
    token: str
    photos: dict[int, bytes]
    sent: set[str] = field(default_factory=set)
    acknowledged: dict[str, str] = field(default_factory=dict)

    def run(self, address: str, ids: list[int]) -> None:
        """Upload photos until they are there or the server is gone."""
        try:
            with connected(address, self.token) as channel:
                stream = Stream(channel)
                pace = stream.hear("pace").photos_in_flight_max
                waiting, under_way = list(ids), 0
                while waiting or under_way:
                    while waiting and under_way < pace:
                        id = waiting.pop()
                        self.sent.add(_digest(self.photos[id]))
                        stream.offer(id, self.photos[id], user_tags=[TAG])
                        under_way += 1
                    message = next(stream.call)
                    for id in message.need.offer_ids:
                        stream.chunks(id, self.photos[id])
                    if message.WhichOneof("message") == "result":
                        result = message.result
                        assert result.WhichOneof("result") == "tags", result
                        self.acknowledged[_digest(self.photos[result.offer_id])] = result.tags.image_id
                        under_way -= 1
                stream.finish()
        except grpc.RpcError:
            return  # killed; what was under way may or may not have happened


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _photo(seed: int) -> bytes:
    draw = random.Random(seed)
    picture = Image.frombytes("RGB", (8, 8), draw.randbytes(192))
    out = io.BytesIO()
    picture.resize((24, 24), Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


def _images(channel: grpc.Channel, owner: str) -> Iterator[image_pb2.Image]:
    request = pb.ListImagesRequest(filter=image_pb2.ImageFilter(owner=owner), page_size=500)
    while True:
        answer = TaggingServiceStub(channel).ListImages(request, timeout=PATIENCE_S)
        yield from answer.images
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token


def _agree(address: str, journals: list[Journal]) -> None:
    """What was acknowledged is stored, what is stored was sent, and each photo of each owner is there once."""
    for journal in journals:
        with connected(address, journal.token) as channel:
            stored = list(_images(channel, journal.owner))
        there = {image.source_sha256: image.id for image in stored}
        assert len(there) == len(stored), "a photo is there twice"
        lost = {digest for digest, id in journal.acknowledged.items() if there.get(digest) != id}
        assert not lost, f"{len(lost)} of {len(journal.acknowledged)} acknowledged photos are lost"
        assert there.keys() <= journal.sent
        assert all(TAG in {tag.name for tag in image.tags} for image in stored), "a photo is there without its tags"


def _check(folder: Path) -> None:
    command = [sys.executable, "-m", "tagwright_server", "check", "--data-folder", folder]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _acknowledged(journals: Sequence[Journal], photos: int) -> bool:
    return sum(len(journal.acknowledged) for journal in journals) >= photos


def _kill(
    process: subprocess.Popen[str], uploaders: list[threading.Thread], now: Callable[[], bool] | None, later_s: float
) -> bool:
    """Kill it a little after `now` is so, or where it comes to its point; return whether it was still at work."""
    if now is None:
        process.wait()
        for thread in uploaders:
            thread.join(PATIENCE_S)
    else:
        while not now() and any(thread.is_alive() for thread in uploaders):
            time.sleep(0.001)
        time.sleep(later_s)
    at_work = any(thread.is_alive() for thread in uploaders) or process.poll() is not None
    process.send_signal(signal.SIGKILL)
    assert process.wait(PATIENCE_S) == -signal.SIGKILL
    for thread in uploaders:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    return at_work


def test_what_was_acknowledged_is_there_after_every_kill_and_nothing_is_there_twice(tmp_path: Path) -> None:
    bundles.write_repository(tmp_path / "models")
    folder = tmp_path / "data"
    draw = random.Random(20261124)
    photos = {id: _photo(id) for id in range((ROUNDS + 1) * PHOTOS_A_ROUND)}
    journals = [Journal(name, accounts.signed_in(folder, name), photos) for name in UPLOADERS]
    killed: Counter[str] = Counter()
    starts_s: list[float] = []
    for turn in range(ROUNDS + 1):
        last = turn == ROUNDS
        # Half of the kills come at some moment, the others at each named point in turn, at some pass of it.
        point = POINTS[turn // 2 % len(POINTS)] if turn % 2 and not last else ""
        env = {**os.environ, **({"TAGWRIGHT_FAILPOINT": f"{point}:{draw.randint(1, 12)}"} if point else {})}
        begun_s = time.monotonic()
        with serving(tmp_path / "models", "--data-folder", folder, env=env) as (process, address):
            starts_s.append(time.monotonic() - begun_s)
            _agree(address, journals)
            _check(folder)
            ids = list(range((turn + 1) * PHOTOS_A_ROUND))[0 if last else -2 * PHOTOS_A_ROUND :]
            uploaders = [threading.Thread(target=journal.run, args=(address, ids)) for journal in journals]
            for thread in uploaders:
                thread.start()
            if not last:
                most = sum(len(journal.acknowledged) for journal in journals) + draw.randint(0, PHOTOS_A_ROUND)
                now = partial(_acknowledged, journals, most)
                killed[point] += _kill(process.process, uploaders, None if point else now, draw.uniform(0.0, 0.02))
                continue
            for thread in uploaders:
                thread.join(PATIENCE_S)
            assert all(journal.acknowledged.keys() == set(map(_digest, photos.values())) for journal in journals)
            _agree(address, journals)
            process.process.send_signal(signal.SIGTERM)
            assert process.end()[0] == 0
            _check(folder)
    assert set(killed) == {"", *POINTS}, killed
    assert killed.total() >= ROUNDS * 3 // 4, f"too few kills came in the middle of an upload: {killed}"
    print(f"{ROUNDS} kills, in the middle of an upload: {dict(killed)}")
    print(f"serving again after {median(starts_s):.2f} s, {max(starts_s):.2f} s at most")
    assert median(starts_s[1:]) < SLOWER_MOST * starts_s[0]
