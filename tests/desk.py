"""Tagging stored photos anew as tests do it: begun, held while the network looks, waited for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from people import Ends, Eye, administrator, person, unique
from servers import FakeDecoder, Running

from tagwright.v1 import image_pb2, operation_pb2
from tagwright.v1 import tagging_service_pb2 as pb


class Desk:
    """A server with its administrator and one other account, and how to have photos tagged anew."""

    def __init__(self, server: Running, eye: Eye, decoder: FakeDecoder) -> None:
        self.server, self.eye, self.decoder = server, eye, decoder
        self.admin, self.ann = administrator(server), person(server)
        self.ends = Ends(server.app)

    def photos(self, count: int, score: int = 70) -> list[str]:
        """Store some photos of that account, and return their ids."""
        return [self.ann.store(unique(score)).image_id for _ in range(count)]

    def begin(self, *, model: str = "", dry: bool = False, **wanted: Any) -> operation_pb2.Operation:
        """Ask for photos to be tagged anew: all of that account, where nothing is said."""
        request = asking_for(**(wanted or {"owner": self.ann.name}))
        request.model, request.validate_only = model, dry
        answer: pb.RetagImagesResponse = self.admin.RetagImages(request)
        return answer.operation

    def get(self, id: str) -> operation_pb2.Operation:
        answer: pb.GetOperationResponse = self.admin.GetOperation(pb.GetOperationRequest(id=id))
        return answer.operation

    def ended(self, id: str) -> operation_pb2.Operation:
        """The operation, once it has ended."""
        self.ends.wait(id)
        return self.get(id)

    def retag(self, **wanted: Any) -> operation_pb2.Operation:
        """Ask for it, and wait for its end."""
        return self.ended(self.begin(**wanted).id)

    def cancel(self, id: str, **more: Any) -> operation_pb2.Operation:
        answer: pb.CancelOperationResponse = self.admin.CancelOperation(pb.CancelOperationRequest(id=id, **more))
        return answer.operation

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have the network look at nothing until the block ends; `looking` waits until it is asked to."""
        latch = self.eye.latch
        while latch.arrived.acquire(blocking=False):
            pass
        latch.close()
        try:
            yield
        finally:
            latch.open()

    def looking(self) -> None:
        self.eye.latch.await_arrivals()


def asking_for(**wanted: Any) -> pb.RetagImagesRequest:
    """A request for the photos of a filter."""
    return pb.RetagImagesRequest(filter=image_pb2.ImageFilter(**wanted))


def changes(operation: operation_pb2.Operation) -> dict[str, tuple[int, int, int]]:
    """For how many photos each tag was added, removed and moved."""
    return {change.tag: (change.added, change.removed, change.moved) for change in operation.tag_changes}


def counts(operation: operation_pb2.Operation) -> tuple[int, int, int, int]:
    """How many photos were meant, are pending, done and failed."""
    return (operation.total, operation.pending, operation.done, operation.failed)
