"""Kept photos, tags and operations in dictionaries, for tests of what talks to a server. It answers and decides little.

A call's request is kept in `calls` with its name. What else it shall meet (a failure, a wait) a test says with `meet`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fake_tagging import MODEL, FakeTagging, abort, status
from google.protobuf.timestamp_pb2 import Timestamp

from tagwright.v1 import image_pb2, operation_pb2, tag_pb2
from tagwright.v1 import tagging_service_pb2 as pb

STORED = Timestamp(seconds=1_790_000_000)
_PIECE_BYTES = 64 * 1024


@dataclass
class FakeImages(FakeTagging):
    """What is kept, what the server saw, and what it shall do next."""

    images: dict[str, image_pb2.Image] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, tag_pb2.TagEntry] = field(default_factory=dict)
    operations: dict[str, operation_pb2.Operation] = field(default_factory=dict)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    page_size: int = 2
    meet: Callable[[str, int, Any], None] = lambda name, attempt, context: None
    content_info: Callable[[image_pb2.ContentInfo], None] = lambda info: None
    progress: Callable[[operation_pb2.Operation], None] = lambda operation: None

    def called(self, name: str) -> list[Any]:
        """The requests of the calls of that name so far."""
        return [request for called, request in self.calls if called == name]

    def keep(self, id: str, *, data: bytes = b"dog", owner: str = "ada", tags: Sequence[str] = ("dog",)) -> None:
        """Keep a photo."""
        self.contents[id] = data
        self.images[id] = image_pb2.Image(
            id=id,
            owner=owner,
            visibility=image_pb2.VISIBILITY_PRIVATE,
            file_name=f"{id}.jpg",
            source_sha256=hashlib.sha256(data).hexdigest(),
            content_sha256=hashlib.sha256(data).hexdigest(),
            content_size_bytes=len(data),
            info=tag_pb2.ImageInfo(width=40, height=30, format="JPEG"),
            create_time=STORED,
            update_time=STORED,
            model_version=MODEL,
            tags=[
                tag_pb2.Tag(
                    name=name,
                    score=0.75,
                    state=tag_pb2.TAG_STATE_SUGGESTED,
                    source=tag_pb2.TAG_SOURCE_MODEL,
                    model_version=MODEL,
                )
                for name in tags
            ],
        )

    def GetImage(self, request: pb.GetImageRequest, context: Any) -> pb.GetImageResponse:
        self._note("GetImage", request, context)
        return pb.GetImageResponse(image=self._image(request.image_id, context))

    def ListImages(self, request: pb.ListImagesRequest, context: Any) -> pb.ListImagesResponse:
        self._note("ListImages", request, context)
        page, following = self._page(list(self.images.values())[::-1], request)
        return pb.ListImagesResponse(images=page, next_page_token=following)

    def UpdateImage(self, request: pb.UpdateImageRequest, context: Any) -> pb.UpdateImageResponse:
        self._note("UpdateImage", request, context)
        image = self._image(request.image_id, context)
        image.visibility = request.visibility or image.visibility
        if request.HasField("author"):
            image.author = request.author
        return pb.UpdateImageResponse(image=image)

    def DeleteImage(self, request: pb.DeleteImageRequest, context: Any) -> pb.DeleteImageResponse:
        self._note("DeleteImage", request, context)
        self._image(request.image_id, context)
        del self.images[request.image_id]
        return pb.DeleteImageResponse()

    def GetImageContent(self, request: pb.GetImageContentRequest, context: Any) -> Iterator[pb.GetImageContentResponse]:
        self._note("GetImageContent", request, context)
        self._image(request.image_id, context)
        data = self.contents[request.image_id]
        info = image_pb2.ContentInfo(
            media_type="image/jpeg", size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest()
        )
        self.content_info(info)
        for start in range(0, max(len(data), 1), _PIECE_BYTES):
            piece = data[start : start + _PIECE_BYTES]
            yield pb.GetImageContentResponse(info=info if start == 0 else None, data=piece)

    def ReviewTags(self, request: pb.ReviewTagsRequest, context: Any) -> pb.ReviewTagsResponse:
        self._note("ReviewTags", request, context)
        image = self._image(request.image_id, context)
        states = dict.fromkeys((*request.confirm, *request.add), tag_pb2.TAG_STATE_CONFIRMED)
        states |= dict.fromkeys(request.reject, tag_pb2.TAG_STATE_REJECTED)
        states |= {tag.name: tag_pb2.TAG_STATE_SUGGESTED for tag in request.suggest}
        for name, state in states.items():
            tag = next((tag for tag in image.tags if tag.name == name), None) or image.tags.add(name=name)
            tag.state = state
        return pb.ReviewTagsResponse(image=image)

    def ListTags(self, request: pb.ListTagsRequest, context: Any) -> pb.ListTagsResponse:
        self._note("ListTags", request, context)
        entries = [entry for name, entry in sorted(self.tags.items()) if name.startswith(request.prefix)]
        page, following = self._page(entries, request)
        return pb.ListTagsResponse(tags=page, next_page_token=following)

    def RenameTag(self, request: pb.RenameTagRequest, context: Any) -> pb.RenameTagResponse:
        self._note("RenameTag", request, context)
        return pb.RenameTagResponse(tag=tag_pb2.TagEntry(name=request.new_name, aliases=[request.name]))

    def MergeTags(self, request: pb.MergeTagsRequest, context: Any) -> pb.MergeTagsResponse:
        self._note("MergeTags", request, context)
        return pb.MergeTagsResponse(tag=tag_pb2.TagEntry(name=request.target, aliases=request.sources))

    def SetTagRules(self, request: pb.SetTagRulesRequest, context: Any) -> pb.SetTagRulesResponse:
        self._note("SetTagRules", request, context)
        entry = tag_pb2.TagEntry(name=request.name, aliases=request.aliases, parents=request.parents)
        return pb.SetTagRulesResponse(tag=entry)

    def RetagImages(self, request: pb.RetagImagesRequest, context: Any) -> pb.RetagImagesResponse:
        self._note("RetagImages", request, context)
        operation = operation_pb2.Operation(
            id=f"{len(self.operations) + 1:032x}",
            state=operation_pb2.OPERATION_STATE_PENDING,
            username="ada",
            create_time=STORED,
            filter=request.filter,
            model_version=request.model or MODEL,
            validate_only=request.validate_only,
            total=len(self.images),
            pending=len(self.images),
        )
        self.operations[operation.id] = operation
        return pb.RetagImagesResponse(operation=operation)

    def GetOperation(self, request: pb.GetOperationRequest, context: Any) -> pb.GetOperationResponse:
        self._note("GetOperation", request, context)
        operation = self._operation(request.id, context)
        self.progress(operation)
        return pb.GetOperationResponse(operation=operation)

    def ListOperations(self, request: pb.ListOperationsRequest, context: Any) -> pb.ListOperationsResponse:
        self._note("ListOperations", request, context)
        page, following = self._page(list(self.operations.values())[::-1], request)
        return pb.ListOperationsResponse(operations=page, next_page_token=following)

    def CancelOperation(self, request: pb.CancelOperationRequest, context: Any) -> pb.CancelOperationResponse:
        self._note("CancelOperation", request, context)
        operation = self._operation(request.id, context)
        operation.state = operation_pb2.OPERATION_STATE_CANCELLED
        return pb.CancelOperationResponse(operation=operation)

    def _note(self, name: str, request: Any, context: Any) -> None:
        with self._lock:
            attempt = len(self.called(name))
            self.calls.append((name, request))
        self.meet(name, attempt, context)

    def _image(self, id: str, context: Any) -> image_pb2.Image:
        if id not in self.images:
            abort(context, status(5, "no such photo", reason="NOT_FOUND"))
        return self.images[id]

    def _operation(self, id: str, context: Any) -> operation_pb2.Operation:
        if id not in self.operations:
            abort(context, status(5, "no such operation", reason="NOT_FOUND"))
        return self.operations[id]

    def _page(self, everything: list[Any], request: Any) -> tuple[list[Any], str]:
        start = int(request.page_token or 0)
        end = start + (getattr(request, "page_size", 0) or self.page_size)
        return everything[start:end], str(end) if end < len(everything) else ""
