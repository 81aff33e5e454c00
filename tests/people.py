"""TaggingService and SearchService as people call them, each with an account of their own, so that many tests can share
one server; and a network of whose mind a test decides.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from calls import called, new_key
from numpy.typing import NDArray
from servers import PATIENCE_S, Failure, FakeBackend, Running, bearer, failure_of

from tagwright.v1 import image_pb2, tag_pb2, upload_pb2
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.search_service_pb2_grpc import SearchServiceStub
from tagwright.v1.tagging_service_pb2_grpc import TaggingServiceStub
from tagwright_server.app import App
from tagwright_server.inference.backend import Prediction
from tagwright_server.inference.bundle import Bundle
from tagwright_server.store.records import Role

THUMBNAIL = image_pb2.CONTENT_VARIANT_THUMBNAIL
SHARED = image_pb2.VISIBILITY_SHARED
SUGGESTED, CONFIRMED, REJECTED = (
    tag_pb2.TAG_STATE_SUGGESTED,
    tag_pb2.TAG_STATE_CONFIRMED,
    tag_pb2.TAG_STATE_REJECTED,
)


class Eye(FakeBackend):
    """The same network, but a test says what it thinks of some labels."""

    def __init__(self) -> None:
        super().__init__()
        self._says: dict[str, float] = {}

    @contextmanager
    def saying(self, **scores: float) -> Iterator[None]:
        """Have it give these labels these scores, whatever the photo, while the block runs."""
        before, self._says = self._says, scores
        try:
            yield
        finally:
            self._says = before

    def infer(self, model: Bundle, pixels: NDArray[np.uint8], *, timeout_s: float) -> Prediction:
        seen = super().infer(model, pixels, timeout_s=timeout_s)
        for at, label in enumerate(model.labels):
            if label.name in self._says:
                seen.scores[:, at] = self._says[label.name]
        return seen


@dataclass
class Person:
    """Somebody with an account."""

    server: Running
    name: str
    token: str

    def __getattr__(self, name: str) -> Callable[..., Any]:
        channel = self.server.stranger
        method = getattr(TaggingServiceStub(channel), name, None) or getattr(SearchServiceStub(channel), name)
        return lambda request, **options: method(
            request, **{"timeout": PATIENCE_S, "metadata": bearer(self.token), **options}
        )

    def store(self, data: bytes, *user_tags: str, **more: Any) -> tag_pb2.ImageTags:
        """Store a photo."""
        request = pb.TagImageRequest(image=data, user_tags=user_tags, store=True, **more)
        answer: pb.TagImageResponse = self.TagImage(request)
        return answer.tags

    def get(self, image_id: str) -> image_pb2.Image:
        """The photo as it is."""
        answer: pb.GetImageResponse = self.GetImage(pb.GetImageRequest(image_id=image_id))
        return answer.image

    def states(self, image_id: str) -> dict[str, tag_pb2.TagState.ValueType]:
        """The photo's tags, and what became of them."""
        return {tag.name: tag.state for tag in self.get(image_id).tags}

    def ids(self, **wanted: Any) -> list[str]:
        """The photos that a filter finds."""
        request = pb.ListImagesRequest(filter=image_pb2.ImageFilter(**wanted), page_size=500)
        return [image.id for image in self.ListImages(request).images]

    def own(self) -> list[str]:
        """The photos of this account."""
        return self.ids(owner=self.name)

    def review(self, image_id: str, **said: Any) -> image_pb2.Image:
        """Say something about a photo's tags."""
        answer: pb.ReviewTagsResponse = self.ReviewTags(pb.ReviewTagsRequest(image_id=image_id, **said))
        return answer.image

    def delete(self, image_id: str) -> None:
        self.DeleteImage(pb.DeleteImageRequest(image_id=image_id))

    def content(self, image_id: str, **more: Any) -> tuple[image_pb2.ContentInfo, list[bytes]]:
        """What is said of the bytes of a photo, and their pieces."""
        first, *rest = self.GetImageContent(pb.GetImageContentRequest(image_id=image_id, **more))
        assert not first.data
        return first.info, [answer.data for answer in rest]

    def offer(self, sha256: str, size_bytes: int, *user_tags: str) -> tag_pb2.ImageTags:
        """Offer a photo that is stored already, in an upload of its own."""
        offer = upload_pb2.UploadOffer(offer_id=1, source_sha256=sha256, size_bytes=size_bytes, user_tags=user_tags)
        requests = [pb.UploadImagesRequest(start=upload_pb2.UploadStart()), pb.UploadImagesRequest(offer=offer)]
        [result] = [each.result for each in self.UploadImages(iter(requests)) if each.HasField("result")]
        assert result.WhichOneof("result") == "tags"
        tags: tag_pb2.ImageTags = result.tags
        return tags

    def with_key(self, *scopes: str) -> Person:
        """The same account with a key of these scopes."""
        key = called(self.server, self.token, "CreateApiKey")(new_key(scopes=scopes)).key
        return Person(self.server, self.name, key)


def person(server: Running, role: Role = Role.USER) -> Person:
    """Somebody new."""
    name = f"p{uuid.uuid4().hex[:12]}"
    return Person(server, name, server.sign_in(name, role))


def administrator(server: Running) -> Person:
    """The administrator of a server."""
    return Person(server, "admin", server.token)


def unique(score: int = 70, text: str = "") -> bytes:
    """A photo that no other test has; the network gives all labels this score, in hundredths."""
    return f"{score}#{text},{uuid.uuid4().hex}".encode()


def failed(call: Callable[..., Any], *arguments: Any, **said: Any) -> Failure:
    """Do what has to fail, in words of a Person, and return how."""
    return failure_of(lambda timeout: call(*arguments, **said))


class Ends:
    """Hears when the operations of a server end."""

    def __init__(self, app: App) -> None:
        self._ended: set[str] = set()
        self._changed = threading.Condition()
        operations = app.data.store.operations
        finish = operations.finish

        def heard(id: str, *arguments: Any, **options: Any) -> Any:
            found = finish(id, *arguments, **options)
            with self._changed:
                self._ended.add(id)
                self._changed.notify_all()
            return found

        operations.finish = heard  # type: ignore[method-assign]

    def wait(self, id: str) -> None:
        """Wait until an operation has ended."""
        with self._changed:
            assert self._changed.wait_for(lambda: id in self._ended, PATIENCE_S), "it does not end"
