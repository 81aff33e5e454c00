"""The calls of TaggingService about photos that are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import grpc

from tagwright.v1 import image_pb2
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright_server.domain.access import Caller
from tagwright_server.domain.library import TaggedImage, check_filter, read_review
from tagwright_server.errors import ArgumentInvalid
from tagwright_server.transport import call
from tagwright_server.transport import convert_images as convert
from tagwright_server.transport.once import answer_once, nothing
from tagwright_server.transport.paging import page_after, to_number
from tagwright_server.transport.parts import TaggingParts
from tagwright_server.transport.wire import MOST_CHUNK_BYTES


class ImageCalls:
    """Looking at photos, changing and deleting them, and what people say about their tags."""

    _parts: TaggingParts

    def GetImage(self, request: pb.GetImageRequest, context: grpc.ServicerContext) -> pb.GetImageResponse:
        """Return one photo."""
        found = self._parts.library.get(request.image_id, by=call.current().caller)
        return pb.GetImageResponse(image=convert.image(found))

    def ListImages(self, request: pb.ListImagesRequest, context: grpc.ServicerContext) -> pb.ListImagesResponse:
        """List photos, the last stored first."""
        caller = call.current().caller
        wanted = check_filter(convert.to_filter(request.filter, self._parts.accounts.id_of))

        def following(after: str | None, limit: int) -> Sequence[TaggedImage]:
            before = to_number(after) if after is not None else None
            return self._parts.library.page(wanted, before=before, limit=limit, by=caller)

        images, token = page_after(
            following,
            place=lambda found: str(found.image.number),
            page_size=request.page_size,
            page_token=request.page_token,
            bound_to=f"ListImages {caller.account.id} {request.filter.SerializeToString(deterministic=True).hex()}",
        )
        return pb.ListImagesResponse(images=map(convert.image, images), next_page_token=token)

    def UpdateImage(self, request: pb.UpdateImageRequest, context: grpc.ServicerContext) -> pb.UpdateImageResponse:
        """Change who sees a photo and who took it."""
        visibility = convert.to_visibility(request.visibility)
        author = request.author if request.HasField("author") else None

        def work(_: None, caller: Caller) -> pb.UpdateImageResponse:
            found = self._parts.library.update(request.image_id, visibility=visibility, author=author, by=caller)
            return pb.UpdateImageResponse(image=convert.image(found))

        return answer_once(self._parts.replies, request, pb.UpdateImageResponse, prepare=nothing, work=work)

    def DeleteImage(self, request: pb.DeleteImageRequest, context: grpc.ServicerContext) -> pb.DeleteImageResponse:
        """Delete a photo."""

        def work(_: None, caller: Caller) -> pb.DeleteImageResponse:
            self._parts.library.delete(request.image_id, by=caller)
            return pb.DeleteImageResponse()

        response = answer_once(self._parts.replies, request, pb.DeleteImageResponse, prepare=nothing, work=work)
        self._parts.library.sweep()
        return response

    def GetImageContent(
        self, request: pb.GetImageContentRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.GetImageContentResponse]:
        """Return a photo's bytes."""
        now, library = call.current(), self._parts.library
        if request.variant == image_pb2.CONTENT_VARIANT_THUMBNAIL:
            content = library.thumbnail(request.image_id, now.deadline, by=now.caller)
        elif request.variant in (image_pb2.CONTENT_VARIANT_UNSPECIFIED, image_pb2.CONTENT_VARIANT_KEPT):
            content = library.content(request.image_id, by=now.caller)
        else:
            raise ArgumentInvalid("must be CONTENT_VARIANT_KEPT or CONTENT_VARIANT_THUMBNAIL", field="variant")
        yield pb.GetImageContentResponse(info=convert.content_info(content))
        for piece in content.pieces(MOST_CHUNK_BYTES):
            yield pb.GetImageContentResponse(data=piece)

    def ReviewTags(self, request: pb.ReviewTagsRequest, context: grpc.ServicerContext) -> pb.ReviewTagsResponse:
        """Record what a person says about the tags of a photo."""
        review = read_review(
            confirm=request.confirm,
            reject=request.reject,
            add=request.add,
            suggest=[(each.name, each.score if each.HasField("score") else None) for each in request.suggest],
            reset=request.reset,
        )

        def work(_: None, caller: Caller) -> pb.ReviewTagsResponse:
            return pb.ReviewTagsResponse(
                image=convert.image(self._parts.library.review(request.image_id, review, by=caller))
            )

        return answer_once(self._parts.replies, request, pb.ReviewTagsResponse, prepare=nothing, work=work)
