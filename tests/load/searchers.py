"""The client's side of searches: N callers, each with one call on its way at any time, in a process of their own.

They make the requests that the bench gives them, in turn, through the stubs: what the SDK adds is measured elsewhere.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from itertools import count
from typing import Any

import grpc

from tagwright.v1 import search_service_pb2 as pb
from tagwright.v1.search_service_pb2_grpc import SearchServiceStub

from .child import answer_lines

_TIMEOUT_S = 60.0


class Searchers:
    """The connection, and the callers that are at work."""

    def __init__(self, *, address: str) -> None:
        self._metadata = (("authorization", f"Bearer {os.environ['TAGWRIGHT_TOKEN']}"),)
        self._stub = SearchServiceStub(grpc.insecure_channel(address))

    def handle(self, command: dict[str, Any]) -> Mapping[str, Any]:
        """Search for some seconds; return what calls took, what the server says of it, and what went wrong."""
        requests = [pb.SearchImagesRequest(**said) for said in command["requests"]]
        order, errors = count(), Counter[str]()
        took_ms: list[float] = []
        search_ms: list[float] = []
        begins_s = time.monotonic() + command["warm_s"]
        ends_s = begins_s + command["seconds"]

        def call() -> None:
            while (started_s := time.monotonic()) < ends_s:
                try:
                    _, done = self._stub.SearchImages.with_call(
                        requests[next(order) % len(requests)], timeout=_TIMEOUT_S, metadata=self._metadata
                    )
                except grpc.RpcError as err:
                    errors[err.code().name] += 1
                    continue
                if started_s >= begins_s:
                    took_ms.append((time.monotonic() - started_s) * 1000)
                    trailing = dict(done.trailing_metadata() or ())
                    search_ms.append(float(trailing.get("tagwright-search-ms", 0)))

        threads = [threading.Thread(target=call, daemon=True) for _ in range(command["callers"])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return {"took_ms": took_ms, "search_ms": search_ms, "errors": errors}


if __name__ == "__main__":
    answer_lines(Searchers(**json.loads(sys.argv[1])).handle)
