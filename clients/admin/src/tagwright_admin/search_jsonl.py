"""JSON lines about what was found, and about tags that go with others. Keys are added, never changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tagwright_admin.image_jsonl import image_object
from tagwright_admin.jsonl import line, rounded, tag_object
from tagwright_client import Facet, RelatedTag, SearchResult, SearchResults, SimilarImage, TagMatch, TagSuggestion


def summary(results: SearchResults) -> str:
    """Return the line of a search as a whole, which has its facets."""
    return line(
        {
            "total_count": results.total_count,
            "understood_query": results.understood_query,
            "model_version": results.model_version,
            "facets": _facets(results.facets),
        }
    )


def result(found: SearchResult, *, rank: int) -> str:
    """Return the line of one photo that a search found: what `ls` tells, and why it is there."""
    return line(
        {
            "rank": rank,
            **image_object(found.image),
            "score": rounded(found.score),
            "matches": [_match(each) for each in found.matches],
            "collapsed_ids": list(found.collapsed_ids),
        }
    )


def similar(found: SimilarImage, *, rank: int) -> str:
    """Return the line of one photo that looks like another: what `ls` tells, and how much it does."""
    return line(
        {
            "rank": rank,
            **image_object(found.image),
            "similarity": rounded(found.similarity),
            "near_duplicate": found.near_duplicate,
        }
    )


def related(found: RelatedTag, *, tag: str) -> str:
    """Return the line of one tag that goes with another, which is `tag`."""
    return line(
        {
            "tag": tag,
            "name": found.name,
            "score": rounded(found.score),
            "cooccurrence": rounded(found.cooccurrence),
            "look": rounded(found.look),
            "both_count": found.both_count,
        }
    )


def suggestion(found: TagSuggestion) -> str:
    """Return the line of one tag that completes what was typed."""
    return line(
        {
            "name": found.name,
            "image_count": found.image_count,
            "alias": found.alias,
            "typing_errors": found.typing_errors,
        }
    )


def _facets(facets: Iterable[Facet]) -> list[dict[str, Any]]:
    return [{"tag": each.tag, "count": each.count} for each in facets]


def _match(match: TagMatch) -> dict[str, Any]:
    return {
        "query_tag": match.query_tag,
        "tag": tag_object(match.tag),
        "score": rounded(match.score),
        "why": match.why,
    }
