"""A TaggingService of a few lines on a free port, for tests of what talks to a server: it does what a test scripts.

The photo's bytes are the script: `b"dog"` is answered with the tag dog, `b"!truncated"` with IMAGE_REJECTED. What else
a call shall meet (a failure, a wait) a test says with `behave`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from tagwright.v1 import model_pb2, tag_pb2
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.tagging_service_pb2_grpc import TaggingServiceServicer, add_TaggingServiceServicer_to_server

MODEL = "fake@1"
TRAILING = (("tagwright-decode-ms", "1.5"), ("tagwright-queue-ms", "2.5"), ("tagwright-inference-ms", "3.5"))


@dataclass
class FakeTagging(TaggingServiceServicer):
    """What the server saw, and what it shall do next."""

    url: str = ""
    requests: list[pb.TagImageRequest] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    behave: Callable[[int, pb.TagImageRequest, grpc.ServicerContext], None] = lambda attempt, request, context: None
    refinements: list[pb.RefineTagsRequest] = field(default_factory=list)
    refine: Callable[[int, pb.RefineTagsRequest, grpc.ServicerContext], None] = lambda attempt, request, context: None
    models: Callable[[pb.ListModelsRequest, grpc.ServicerContext], pb.ListModelsResponse] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def TagImage(self, request: pb.TagImageRequest, context: Any) -> pb.TagImageResponse:
        with self._lock:
            attempt = len(self.requests)
            self.requests.append(request)
            self.arrivals.append(time.monotonic())
            self.metadata.append(dict(context.invocation_metadata()))
        self.behave(attempt, request, context)
        if request.image.startswith(b"!"):
            limit = request.image[1:].decode()
            abort(context, status(3, f"the photo is {limit}", reason="IMAGE_REJECTED", metadata={"limit": limit}))
        context.set_trailing_metadata(TRAILING)
        tags = image_tags(request.image.decode(errors="replace")[:20])
        if request.store:
            tags.image_id = f"{attempt + 1:032x}"
        return pb.TagImageResponse(tags=tags)

    def RefineTags(self, request: pb.RefineTagsRequest, context: Any) -> pb.RefineTagsResponse:
        """Keep the tags, but for `!tag`, which is removed, and `?tag`, which cannot be seen; add what the photo is."""
        with self._lock:
            attempt = len(self.refinements)
            self.refinements.append(request)
        self.refine(attempt, request, context)
        context.set_trailing_metadata((*TRAILING, ("tagwright-refinement-ms", "4.5")))
        decisions = [decision(name) for name in request.user_tags]
        seen = request.image.decode(errors="replace")[:20] or "dog"
        if seen not in request.user_tags:
            decisions.append(decision(f"+{seen}"))
        return pb.RefineTagsResponse(decisions=decisions, model_version=MODEL, library_size=3)

    def _missing(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    def UploadImages(self, request_iterator: Any, context: Any) -> Any:  # fake_upload.py has it
        raise NotImplementedError

    TagImages = _missing
    # fake_images.py has them:
    GetImage = ListImages = UpdateImage = DeleteImage = GetImageContent = ReviewTags = _missing
    ListTags = RenameTag = MergeTags = SetTagRules = _missing
    RetagImages = GetOperation = ListOperations = CancelOperation = _missing

    def ListModels(self, request: pb.ListModelsRequest, context: Any) -> pb.ListModelsResponse:
        if self.models is not None:
            return self.models(request, context)
        return pb.ListModelsResponse(models=[model("fake", is_default=True)], engine="Fake 1.0")


@contextmanager
def serving(
    fake: FakeTagging | None = None, *, threads: int = 16, address: str = "127.0.0.1:0"
) -> Iterator[FakeTagging]:
    """Serve `fake` on a free loopback port, or at `address`, while the block runs; its `url` says where."""
    fake = fake or FakeTagging()
    server = grpc.server(
        futures.ThreadPoolExecutor(threads),
        options=[("grpc.max_receive_message_length", 128 << 20), ("grpc.so_reuseport", 0)],
    )
    add_TaggingServiceServicer_to_server(fake, server)
    port = server.add_insecure_port(address)
    server.start()
    fake.url = address if address.startswith("unix:") else f"grpc://127.0.0.1:{port}"
    try:
        yield fake
    finally:
        server.stop(grace=0).wait()


def status(
    code: int,
    text: str,
    *,
    reason: str = "",
    metadata: dict[str, str] | None = None,
    retry_after_s: float | None = None,
    more: tuple[Message, ...] = (),
) -> Status:
    """Return a status as the server sends it: code, text, and the details that were named."""
    details = list(more)
    if reason:
        details.append(ErrorInfo(reason=reason, domain="tagwright", metadata=metadata or {}))
    if retry_after_s is not None:
        details.append(RetryInfo(retry_delay=Duration(nanos=round(retry_after_s * 1e9))))
    packed = []
    for detail in details:
        packed.append(Packed())
        packed[-1].Pack(detail)
    return Status(code=code, message=text, details=packed)


def abort(context: grpc.ServicerContext, failure: Status) -> None:
    """End the call as the real server does: code and text, with the whole status in the trailing metadata."""
    context.set_trailing_metadata((("grpc-status-details-bin", failure.SerializeToString()),))
    code = next(code for code in grpc.StatusCode if code.value[0] == failure.code)
    context.abort(code, failure.message)


def image_tags(name: str) -> tag_pb2.ImageTags:
    """Return an answer with one tag of that name."""
    tag = tag_pb2.Tag(
        name=name,
        score=0.75,
        state=tag_pb2.TAG_STATE_SUGGESTED,
        source=tag_pb2.TAG_SOURCE_MODEL,
        model_version=MODEL,
    )
    return tag_pb2.ImageTags(
        tags=[tag], model_version=MODEL, image=tag_pb2.ImageInfo(width=40, height=30, format="JPEG")
    )


def decision(name: str) -> tag_pb2.TagDecision:
    """Return what is said of a tag, by how it begins: `!`, `?`, `+` or otherwise."""
    word, score = {
        "!": (tag_pb2.DECISION_REMOVE, 0.25),
        "?": (tag_pb2.DECISION_UNSURE, None),
        "+": (tag_pb2.DECISION_ADD, 0.875),
    }.get(name[0], (tag_pb2.DECISION_KEEP, 0.75))
    why = tag_pb2.Evidence(
        kind=tag_pb2.EVIDENCE_KIND_NEIGHBOURS,
        text="2 of 3 photos that look alike have it",
        value=2.5,
        image_ids=["a", "b"],
        tags=["pet"],
    )
    return tag_pb2.TagDecision(name=name.lstrip("!?+"), score=score, decision=word, evidence=[why])


def model(name: str, *, is_default: bool = False) -> model_pb2.Model:
    """Return a model with two labels, one of which never reaches a precision of 0.9."""
    return model_pb2.Model(
        name=name,
        version="1",
        is_default=is_default,
        labels=[
            model_pb2.ModelLabel(
                name="dog",
                default_threshold=0.5,
                thresholds=[model_pb2.PrecisionThreshold(precision=0.9, threshold=0.25)],
                average_precision=0.8,
            ),
            model_pb2.ModelLabel(name="sky", thresholds=[model_pb2.PrecisionThreshold(precision=0.9)]),
        ],
        metrics={"map_24": 0.75},
        digest="ab" * 32,
        architecture="fake-net",
        embedding_size=4,
    )
