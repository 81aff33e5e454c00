"""A SearchService of a few lines beside kept photos, for tests of what searches: it finds by a tag's name, no more.

A query is empty, or the name of one tag; `)` cannot be read, like in the real one. An example finds all photos. What
else a call shall meet a test says with `meet`, as in `fake_images`, to whose `calls` the requests are added.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from fake_images import FakeImages
from fake_tagging import MODEL, abort, status

from tagwright.v1 import image_pb2, search_pb2, tag_pb2
from tagwright.v1 import search_service_pb2 as pb
from tagwright.v1.search_service_pb2_grpc import SearchServiceServicer, add_SearchServiceServicer_to_server
from tagwright.v1.tagging_service_pb2_grpc import add_TaggingServiceServicer_to_server

TRAILING = (("tagwright-search-ms", "4.25"), ("tagwright-store-ms", "0.5"))


@dataclass
class FakeSearch(FakeImages, SearchServiceServicer):
    """What is kept and found."""

    def SearchImages(self, request: pb.SearchImagesRequest, context: Any) -> pb.SearchImagesResponse:
        self._note("SearchImages", request, context)
        if ")" in request.query:
            where = {"field": "query", "position": str(request.query.index(")")), "expected": "a tag or a filter"}
            abort(context, status(3, "query: a tag was expected", reason="ARGUMENT_INVALID", metadata=where))
        context.set_trailing_metadata(TRAILING)
        found = [image for image in self._stored() if not request.query or _tag(image, request.query)]
        counts = Counter(tag.name for image in found for tag in image.tags if tag.name != request.query)
        page, following = self._page(found, request)
        return pb.SearchImagesResponse(
            results=[_result(image, request) for image in page],
            next_page_token=following,
            facets=[search_pb2.Facet(tag=tag, count=count) for tag, count in counts.most_common()]
            if request.include_facets
            else [],
            total_count=len(found),
            understood_query=request.query,
            model_version=MODEL if request.WhichOneof("example") else "",
        )

    def SuggestTags(self, request: pb.SuggestTagsRequest, context: Any) -> pb.SuggestTagsResponse:
        self._note("SuggestTags", request, context)
        names = sorted(name for name in self.tags if name.startswith(request.prefix))
        return pb.SuggestTagsResponse(
            suggestions=[
                search_pb2.TagSuggestion(name=name, image_count=3, alias=f"{name}s", typing_errors=1) for name in names
            ][: request.max_suggestions or 10]
        )

    def RelatedTags(self, request: pb.RelatedTagsRequest, context: Any) -> pb.RelatedTagsResponse:
        self._note("RelatedTags", request, context)
        if request.tag not in self.tags:
            abort(context, status(5, "no photo has it", reason="NOT_FOUND"))
        related = [
            search_pb2.RelatedTag(name=name, score=0.5, cooccurrence=0.75, look=0.25, both_count=2)
            for name in sorted(self.tags)
            if name != request.tag
        ]
        return pb.RelatedTagsResponse(tag=self.tags[request.tag], related=related[: request.max_tags or 20])

    def FindSimilar(self, request: pb.FindSimilarRequest, context: Any) -> pb.FindSimilarResponse:
        self._note("FindSimilar", request, context)
        self._image(request.image_id, context)
        others = [image for image in self._stored() if image.id != request.image_id]
        page, following = self._page(others, request)
        return pb.FindSimilarResponse(
            images=[search_pb2.SimilarImage(image=image, similarity=0.875, near_duplicate=True) for image in page],
            next_page_token=following,
            model_version=MODEL,
        )

    def _stored(self) -> list[image_pb2.Image]:
        return list(self.images.values())[::-1]


@contextmanager
def serving(fake: FakeSearch, *, threads: int = 16) -> Iterator[FakeSearch]:
    """Serve `fake`, both its services, on a free loopback port while the block runs; its `url` says where."""
    server = grpc.server(futures.ThreadPoolExecutor(threads), options=[("grpc.so_reuseport", 0)])
    add_TaggingServiceServicer_to_server(fake, server)
    add_SearchServiceServicer_to_server(fake, server)
    fake.url = f"grpc://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield fake
    finally:
        server.stop(grace=0).wait()


def _tag(image: image_pb2.Image, name: str) -> tag_pb2.Tag | None:
    return next((tag for tag in image.tags if tag.name == name), None)


def _result(image: image_pb2.Image, request: pb.SearchImagesRequest) -> search_pb2.SearchResult:
    result = search_pb2.SearchResult(image=image, score=0.75)
    tag = _tag(image, request.query)
    if tag is not None:
        result.matches.add(query_tag=request.query, tag=tag, score=0.75, why="suggested by the model")
    if request.ranking == search_pb2.RANKING_DIVERSE:
        result.collapsed_ids.append("f" * 32)
    return result
