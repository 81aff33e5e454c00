"""Between the contract's searches and the domain's values, both ways; nothing is decided here."""

from __future__ import annotations

from collections.abc import Mapping

from tagwright.v1 import search_pb2
from tagwright.v1 import search_service_pb2 as pb
from tagwright_server.domain.search_values import (
    Ranking,
    RelatedTags,
    SearchPage,
    SearchRequest,
    SearchResult,
    SimilarPage,
    Suggestion,
    TagMatch,
)
from tagwright_server.errors import ArgumentInvalid
from tagwright_server.transport import convert_images as convert
from tagwright_server.transport.refinement import evidence

DEFAULT_FACETS, MOST_FACETS = 20, 100  # all as the contract says (search_service.proto)
DEFAULT_SUGGESTIONS, DEFAULT_RELATED, MOST_TAGS = 10, 20, 100

_RANKINGS: Mapping[search_pb2.Ranking.ValueType, Ranking] = {
    search_pb2.RANKING_UNSPECIFIED: Ranking.RELEVANCE,
    search_pb2.RANKING_RELEVANCE: Ranking.RELEVANCE,
    search_pb2.RANKING_DIVERSE: Ranking.DIVERSE,
    search_pb2.RANKING_NEWEST: Ranking.NEWEST,
}


def to_request(said: pb.SearchImagesRequest) -> SearchRequest:
    """Read what is looked for. Raises ArgumentInvalid."""
    ranking = _RANKINGS.get(said.ranking)
    if ranking is None:
        raise ArgumentInvalid("must be RANKING_RELEVANCE, RANKING_DIVERSE or RANKING_NEWEST", field="ranking")
    which = said.WhichOneof("example")
    facets = to_count(said.max_facets, default=DEFAULT_FACETS, most=MOST_FACETS, field="max_facets")
    return SearchRequest(
        query=said.query,
        example_image=said.example_image if which == "example_image" else None,
        example_image_id=said.example_image_id if which == "example_image_id" else None,
        ranking=ranking,
        facets=facets if said.include_facets else 0,
        include_evidence=said.include_evidence,
        include_tags=said.include_tags,
    )


def to_count(said: int, *, default: int, most: int, field: str) -> int:
    """Read how many are wanted at most. Raises ArgumentInvalid."""
    if said < 0:
        raise ArgumentInvalid(f"must not be negative, not {said}", field=field)
    return min(said or default, most)


def search_page(found: SearchPage, next_page_token: str) -> pb.SearchImagesResponse:
    """Write a page of results."""
    return pb.SearchImagesResponse(
        results=map(_result, found.results),
        next_page_token=next_page_token,
        facets=[search_pb2.Facet(tag=tag, count=count) for tag, count in found.facets],
        total_count=found.total,
        understood_query=found.understood,
        model_version=found.model_version,
    )


def similar_page(found: SimilarPage, next_page_token: str) -> pb.FindSimilarResponse:
    """Write a page of photos that look like one."""
    return pb.FindSimilarResponse(
        images=[
            search_pb2.SimilarImage(
                image=convert.image(each.image), similarity=each.similarity, near_duplicate=each.near_duplicate
            )
            for each in found.images
        ],
        next_page_token=next_page_token,
        model_version=found.model_version,
    )


def suggestion(one: Suggestion) -> search_pb2.TagSuggestion:
    """Write one suggestion."""
    return search_pb2.TagSuggestion(name=one.name, image_count=one.images, alias=one.alias, typing_errors=one.errors)


def related_tags(found: RelatedTags) -> pb.RelatedTagsResponse:
    """Write related tags."""
    return pb.RelatedTagsResponse(
        tag=convert.tag_entry(found.tag),
        related=[
            search_pb2.RelatedTag(
                name=each.name,
                score=each.score,
                cooccurrence=each.cooccurrence,
                look=each.look,
                both_count=each.both,
            )
            for each in found.related
        ],
    )


def _result(one: SearchResult) -> search_pb2.SearchResult:
    return search_pb2.SearchResult(
        image=convert.image(one.image),
        score=one.score,
        matches=map(_match, one.matches),
        collapsed_ids=one.collapsed_ids,
    )


def _match(one: TagMatch) -> search_pb2.TagMatch:
    tag = convert.tag(one.tag)
    tag.evidence.extend(evidence(reason) for reason in one.reasons)
    return search_pb2.TagMatch(query_tag=one.query_tag, tag=tag, score=one.score, why=one.why)
