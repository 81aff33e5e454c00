"""SearchService: each method converts in, calls one function of the domain, converts out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import grpc

from tagwright.v1 import search_service_pb2 as pb
from tagwright.v1.search_service_pb2_grpc import SearchServiceServicer
from tagwright_server.domain.searching import Searching
from tagwright_server.domain.suggesting import Suggesting
from tagwright_server.transport import call
from tagwright_server.transport import convert_search as convert
from tagwright_server.transport.paging import begin, token_behind


@dataclass(frozen=True, slots=True)
class SearchParts:
    """What SearchService calls."""

    searching: Searching
    suggesting: Suggesting


class SearchService(SearchServiceServicer):
    """Finding photos, over gRPC. Errors are raised as domain errors; the guard makes statuses of them."""

    def __init__(self, parts: SearchParts) -> None:
        self._parts = parts

    def SearchImages(self, request: pb.SearchImagesRequest, context: grpc.ServicerContext) -> pb.SearchImagesResponse:
        """Find photos by tags and by look."""
        now, wanted = call.current(), convert.to_request(request)
        example = hashlib.sha256(request.example_image).hexdigest() if request.HasField("example_image") else ""
        bound_to = (
            f"SearchImages {now.caller.account.id} {wanted.ranking.value} {example} {request.example_image_id} "
            f"{request.query}"
        )
        size, after = begin(page_size=request.page_size, page_token=request.page_token, bound_to=bound_to)
        found, now.timings = self._parts.searching.search(
            wanted, after=after, limit=size, deadline=now.deadline, by=now.caller
        )
        return convert.search_page(found, token_behind(found.next_place, bound_to) if found.next_place else "")

    def FindSimilar(self, request: pb.FindSimilarRequest, context: grpc.ServicerContext) -> pb.FindSimilarResponse:
        """Find photos that look like one."""
        now = call.current()
        bound_to = f"FindSimilar {now.caller.account.id} {request.image_id}"
        size, after = begin(page_size=request.page_size, page_token=request.page_token, bound_to=bound_to)
        found, now.timings = self._parts.searching.similar(
            request.image_id,
            after=after,
            limit=size,
            include_tags=request.include_tags,
            deadline=now.deadline,
            by=now.caller,
        )
        return convert.similar_page(found, token_behind(found.next_place, bound_to) if found.next_place else "")

    def SuggestTags(self, request: pb.SuggestTagsRequest, context: grpc.ServicerContext) -> pb.SuggestTagsResponse:
        """Complete a tag."""
        now = call.current()
        count = convert.to_count(
            request.max_suggestions,
            default=convert.DEFAULT_SUGGESTIONS,
            most=convert.MOST_TAGS,
            field="max_suggestions",
        )
        found, now.timings = self._parts.suggesting.complete(
            request.prefix, count=count, deadline=now.deadline, by=now.caller
        )
        return pb.SuggestTagsResponse(suggestions=map(convert.suggestion, found))

    def RelatedTags(self, request: pb.RelatedTagsRequest, context: grpc.ServicerContext) -> pb.RelatedTagsResponse:
        """Return tags that go with a tag."""
        now = call.current()
        count = convert.to_count(
            request.max_tags, default=convert.DEFAULT_RELATED, most=convert.MOST_TAGS, field="max_tags"
        )
        found, now.timings = self._parts.suggesting.related(
            request.tag, count=count, deadline=now.deadline, by=now.caller
        )
        return convert.related_tags(found)
