"""Between the contract's messages about searching and this client's values."""

from __future__ import annotations

from tagwright.v1 import search_pb2
from tagwright.v1 import search_service_pb2 as pb

from . import _search_values as values
from ._convert import tag
from ._image_convert import image, tag_entry
from ._security import refused

_RANKINGS = {
    "relevance": search_pb2.RANKING_RELEVANCE,
    "diverse": search_pb2.RANKING_DIVERSE,
    "newest": search_pb2.RANKING_NEWEST,
}


def ranking(value: str) -> search_pb2.Ranking.ValueType:
    """Return the contract's number of "relevance", "diverse" or "newest"."""
    if value not in _RANKINGS:
        raise refused("ranking", f"it is one of {', '.join(_RANKINGS)}, not {value!r}")
    return _RANKINGS[value]


def result(message: search_pb2.SearchResult) -> values.SearchResult:
    """Return one photo that was found."""
    return values.SearchResult(
        image=image(message.image),
        score=message.score,
        matches=tuple(
            values.TagMatch(query_tag=each.query_tag, tag=tag(each.tag), score=each.score, why=each.why)
            for each in message.matches
        ),
        collapsed_ids=tuple(message.collapsed_ids),
    )


def facet(message: search_pb2.Facet) -> values.Facet:
    """Return a tag of a whole result."""
    return values.Facet(tag=message.tag, count=message.count)


def suggestion(message: search_pb2.TagSuggestion) -> values.TagSuggestion:
    """Return what somebody may have wanted to type."""
    return values.TagSuggestion(
        name=message.name,
        image_count=message.image_count,
        alias=message.alias,
        typing_errors=message.typing_errors,
    )


def related(message: pb.RelatedTagsResponse) -> values.RelatedTags:
    """Return a tag with those that are related to it."""
    return values.RelatedTags(
        tag=tag_entry(message.tag),
        related=tuple(
            values.RelatedTag(
                name=each.name,
                score=each.score,
                cooccurrence=each.cooccurrence,
                look=each.look,
                both_count=each.both_count,
            )
            for each in message.related
        ),
    )


def similar(message: search_pb2.SimilarImage) -> values.SimilarImage:
    """Return a photo that looks like another one."""
    return values.SimilarImage(
        image=image(message.image), similarity=message.similarity, near_duplicate=message.near_duplicate
    )
