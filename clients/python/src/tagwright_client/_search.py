"""The calls that find photos: by their tags, by their look, and what to ask for next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tagwright.v1 import search_service_pb2 as pb

from . import _account_convert as arguments
from . import _photos
from . import _search_convert as convert
from ._errors import ArgumentInvalid, ImageRejected, QueryInvalid
from ._part import CALL_TIMEOUT_S, Part
from ._photos import Photo
from ._results import Results
from ._search_values import Facet, RelatedTags, SearchResult, SimilarImage, TagSuggestion
from ._security import refused
from ._values import Timings

SEARCH_TIMEOUT_S = 30.0  # with an example the model looks at it first


@dataclass(frozen=True, slots=True)
class _Page:
    response: pb.SearchImagesResponse
    timings: Timings

    @property
    def next_page_token(self) -> str:
        return self.response.next_page_token


class SearchResults(Results[SearchResult]):
    """What a search found, in order: an iterator that asks for a page when its turn comes.

    What it says of the whole result it knows from its first page, which is asked for if it was not yet. A page that
    could not be had is asked for again by the next step. Not to be shared between threads.
    """

    def __init__(self, page: Callable[[str], _Page], *, page_token: str = "") -> None:
        super().__init__(page, _found, page_token=page_token)
        self._first: _Page | None = None

    @property
    def total_count(self) -> int:
        """How many photos the whole result has; those that a diverse ranking put together count each."""
        return self._about().response.total_count

    @property
    def facets(self) -> tuple[Facet, ...]:
        """The commonest tags of the whole result, the commonest first.

        Empty unless `include_facets` was said, and for results that go on from a `page_token`.
        """
        return tuple(map(convert.facet, self._about().response.facets))

    @property
    def understood_query(self) -> str:
        """The query as the server understood it: aliases as their tags, with `&`, `|`, `!` and parentheses."""
        return self._about().response.understood_query

    @property
    def model_version(self) -> str:
        """The model whose embeddings were compared, `name@version`; empty where no look was."""
        return self._about().response.model_version

    @property
    def timings(self) -> Timings:
        """Where the time of the first page's call went."""
        return self._about().timings

    def _about(self) -> _Page:
        return self._first or self._ask()

    def _ask(self) -> _Page:
        page: _Page = super()._ask()
        self._first = self._first or page
        return page


class Searching(Part):
    """What every client can do to find photos, of those that it may see."""

    def search(
        self,
        query: str = "",
        *,
        example: Photo | None = None,
        example_image_id: str | None = None,
        ranking: str = "relevance",
        page_size: int | None = None,
        page_token: str = "",
        include_facets: bool = False,
        max_facets: int | None = None,
        include_evidence: bool = False,
        include_tags: bool = False,
        timeout_s: float = SEARCH_TIMEOUT_S,
    ) -> SearchResults:
        """Find photos that a query holds for, or that look like an example, or both; without either, all.

        In a query, tags go with `&` or a space, `|`, `!` and parentheses; one of several words is in quotes:
        `dog & (beach | "blue sky") & !people`. `dog:confirmed`, `dog:suggested`, `dog:rejected`, `owner:ada`,
        `author:ada`, `date:2024-05..2024-06`, `taken:`, `stored:`, `size:>=2000` and `untagged` narrow down. A tag
        means whatever has it as a parent too. QueryInvalid says where a query cannot be read.

        The example is sent, as `tag` takes it, and not kept; or it is one that is kept, by `example_image_id`.
        `ranking` is "relevance", "diverse" (relevant and unlike each other) or "newest". Pages of `page_size` are asked
        for as they are gone through, `timeout_s` for each. A result has the tags that matched; its `image` has its tags
        with `include_tags` only, which takes the server longer.

        `page_token`: where to go on, from `next_page_token` of earlier results of the same query, example and ranking.
        Facets are told with the first page only: whoever goes on gets none.
        """
        asked = pb.SearchImagesRequest(
            query=arguments.text("query", query),
            ranking=convert.ranking(ranking),
            page_size=page_size or 0,
            page_token=arguments.text("page_token", page_token),
            include_evidence=include_evidence,
            include_tags=include_tags,
            max_facets=max_facets or 0,
        )
        if example is not None and example_image_id is not None:
            raise refused("example", "give a photo, or the example_image_id of one that is kept, not both")
        if example_image_id is not None:
            asked.example_image_id = _id("example_image_id", example_image_id)
        if example is not None:
            asked.example_image = _photos.read(example)  # last: what is wrong with the rest is said without reading it
        oversize = ImageRejected if example is not None else ArgumentInvalid

        def page(page_token: str) -> _Page:
            asked.page_token = page_token
            asked.include_facets = include_facets and not page_token  # the first page's are those of the whole result
            try:
                return _Page(
                    *self._connection.timed_call(
                        self._search.SearchImages, asked, timeout_s=timeout_s, oversize=oversize
                    )
                )
            except QueryInvalid as err:
                err.query = asked.query
                raise

        return SearchResults(page, page_token=page_token)

    def suggest_tags(
        self, prefix: str = "", *, max_suggestions: int | None = None, timeout_s: float = CALL_TIMEOUT_S
    ) -> tuple[TagSuggestion, ...]:
        """Return tags that complete what somebody is typing: those of most photos first, mistyped ones last.

        Without `prefix` the commonest tags.
        """
        request = pb.SuggestTagsRequest(prefix=arguments.text("prefix", prefix), max_suggestions=max_suggestions or 0)
        response = self._connection.call(self._search.SuggestTags, request, timeout_s=timeout_s)
        return tuple(map(convert.suggestion, response.suggestions))

    def related_tags(self, tag: str, *, max_tags: int | None = None, timeout_s: float = CALL_TIMEOUT_S) -> RelatedTags:
        """Return tags that come with a tag, and tags of photos that look like its photos; NotFound: no photo has it."""
        request = pb.RelatedTagsRequest(tag=arguments.text("tag", tag), max_tags=max_tags or 0)
        return convert.related(self._connection.call(self._search.RelatedTags, request, timeout_s=timeout_s))

    def similar(
        self,
        image_id: str,
        *,
        page_size: int | None = None,
        page_token: str = "",
        include_tags: bool = False,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> Results[SimilarImage]:
        """Go through the photos that look most like one that is kept, 1,000 at most, the most similar first.

        They have their tags with `include_tags` only. `timeout_s` is for each page. `page_token`: where to go on, from
        `next_page_token` of earlier results of the same photo.
        """
        image_id = _id("image_id", image_id)

        def page(page_token: str) -> pb.FindSimilarResponse:
            request = pb.FindSimilarRequest(
                image_id=image_id, page_size=page_size or 0, page_token=page_token, include_tags=include_tags
            )
            return self._connection.call(self._search.FindSimilar, request, timeout_s=timeout_s)

        return Results(page, lambda response: map(convert.similar, response.images), page_token=page_token)


def _found(page: _Page) -> Iterable[SearchResult]:
    return map(convert.result, page.response.results)


def _id(field: str, value: str) -> str:
    if value == "":
        raise refused(field, "it is empty")
    return arguments.text(field, value)
