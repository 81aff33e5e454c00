"""The client's side: N callers, each with one call on its way at any time, in a process of their own.

They run until told to stop; the bench looks at a stretch in their middle, so that neither the first nor the last calls
count. TagImage goes through `tagwright_client`, as users call it; TagImages, which that does not offer, through the
stubs. The key comes in the environment, where the client looks for it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import grpc

from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.tagging_service_pb2_grpc import TaggingServiceStub
from tagwright_client import Client, TagwrightError

from .child import answer_lines

_BYTES_MAX = 64 * 1024 * 1024  # of a request, by the contract
_TIMEOUT_S = 30.0
_PAUSE_S = 0.05  # after an error, so that a server that refuses is not hammered
_STAGES = ("decode", "queue", "inference")

# When a call ended, how long it took, its photos, and the server's own figures; all times in milliseconds.
Call = tuple[float, float, int, tuple[float, ...]]


@dataclass
class _Run:
    """One group of callers at work."""

    stop: threading.Event = field(default_factory=threading.Event)
    calls: list[Call] = field(default_factory=list)
    errors: list[tuple[float, str]] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)


class Callers:
    """The connection, the photos, and the callers that are at work."""

    def __init__(self, *, address: str, photos: list[str]) -> None:
        self._photos = [Path(photo).read_bytes() for photo in photos]
        self._client = Client.connect(f"grpc://{address}")
        options = [("grpc.max_send_message_length", _BYTES_MAX), ("grpc.max_receive_message_length", _BYTES_MAX)]
        self._metadata = (("authorization", f"Bearer {os.environ['TAGWRIGHT_TOKEN']}"),)
        self._stub = TaggingServiceStub(grpc.insecure_channel(address, options=options))
        self._run = _Run()

    def handle(self, command: dict[str, Any]) -> Mapping[str, Any]:
        """Do what a line of the bench asks for."""
        match command:
            case {"do": "start", "callers": callers, "batch": batch}:
                return self._start(callers, batch)
            case {"do": "stop", "since": since, "until": until}:
                return self._stop(since, until)
        raise ValueError(command)

    def _start(self, callers: int, batch: int) -> Mapping[str, Any]:
        self._run = run = _Run()
        order = count()  # next() on it is atomic: every caller takes the next photo
        one = self._tag_image if not batch else self._tag_images(batch)
        run.threads = [threading.Thread(target=_call, args=(run, one, order), daemon=True) for _ in range(callers)]
        for thread in run.threads:
            thread.start()
        return {}

    def _stop(self, since: float, until: float) -> Mapping[str, Any]:
        run = self._run
        run.stop.set()
        for thread in run.threads:
            thread.join()
        calls = [call for call in run.calls if call[0] >= since]  # also those that were on their way at `until`
        errors = Counter(reason for at, reason in run.errors if since <= at <= until)
        return {"calls": calls, "errors": errors}

    def _tag_image(self, index: int) -> tuple[int, tuple[float, ...]]:
        timings = self._client.tag(self._photos[index % len(self._photos)], timeout_s=_TIMEOUT_S).timings
        return 1, tuple(getattr(timings, f"{stage}_ms") or 0.0 for stage in _STAGES)

    def _tag_images(self, batch: int) -> Callable[[int], tuple[int, tuple[float, ...]]]:
        def one(index: int) -> tuple[int, tuple[float, ...]]:
            images = (self._photos[(index * batch + offset) % len(self._photos)] for offset in range(batch))
            request = pb.TagImagesRequest(requests=[pb.TagImageRequest(image=image) for image in images])
            response, call = self._stub.TagImages.with_call(request, timeout=_TIMEOUT_S, metadata=self._metadata)
            trailing = dict(call.trailing_metadata() or ())
            tagged = sum(result.HasField("tags") for result in response.results)
            return tagged, tuple(float(trailing.get(f"tagwright-{stage}-ms", 0)) for stage in _STAGES)

        return one


def _call(run: _Run, one: Callable[[int], tuple[int, tuple[float, ...]]], order: count[int]) -> None:
    while not run.stop.is_set():
        started = time.monotonic()
        try:
            photos, stages = one(next(order))
        except TagwrightError as err:
            run.errors.append((time.monotonic(), type(err).__name__))
        except grpc.RpcError as err:
            run.errors.append((time.monotonic(), err.code().name))
        else:
            ended = time.monotonic()
            run.calls.append((ended, (ended - started) * 1000, photos, stages))
            continue
        run.stop.wait(_PAUSE_S)


if __name__ == "__main__":
    answer_lines(Callers(**json.loads(sys.argv[1])).handle)
