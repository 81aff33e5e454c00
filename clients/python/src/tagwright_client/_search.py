"""The calls that find photos: by their tags, by their look, and what to ask for next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from tagwright.v1 import search_service_pb2 as pb

from . import _account_convert as arguments
from . import _photos
from . import _search_convert as convert
from ._errors import ArgumentInvalid, ImageRejected, QueryInvalid
from ._part import CALL_TIMEOUT_S, Part, pages
from ._photos import Photo
from ._search_values import Facet, RelatedTags, SearchResult, SimilarImage, TagSuggestion
from ._security import refused
from ._values import Timings

SEARCH_TIMEOUT_S = 30.0  # with an example the model looks at it first

_Page = tuple[pb.SearchImagesResponse, Timings]


class SearchResults(Iterator[SearchResult]):
    """What a search found, in order: an iterator that asks for a page when its turn comes.

    What it says of the whole result it knows from the first page, which is asked for if it was not yet. A page that
    could not be had is asked for again by the next step.
    """

    def __init__(self, page: Callable[[str], _Page]) -> None:
        self._page = page
        self._first: _Page | None = None
        self._ready: deque[SearchResult] = deque()
        self._following: str | None = ""

    def __next__(self) -> SearchResult:
        """Return the next photo."""
        if not self._fill():
            raise StopIteration
        return self._ready.popleft()

    @property
    def total_count(self) -> int:
        """How many photos the whole result has; those that a diverse ranking put together count each."""
        return self._about()[0].total_count

    @property
    def facets(self) -> tuple[Facet, ...]:
        """The commonest tags of the whole result, the commonest first; empty unless `include_facets` was said."""
        return tuple(map(convert.facet, self._about()[0].facets))

    @property
    def understood_query(self) -> str:
        """The query as the server understood it: aliases as their tags, with `&`, `|`, `!` and parentheses."""
        return self._about()[0].understood_query

    @property
    def model_version(self) -> str:
        """The model whose embeddings were compared, `name@version`; empty where no look was."""
        return self._about()[0].model_version

    @property
    def timings(self) -> Timings:
        """Where the time of the first page's call went."""
        return self._about()[1]

    def _fill(self) -> bool:
        """Have the next photo ready; False where there is none."""
        while not self._ready:
            if self._following is None:
                return False
            self._ask()
        return True

    def _about(self) -> _Page:
        return self._first or self._ask()

    def _ask(self) -> _Page:
        page = self._page(self._following or "")
        self._first = self._first or page
        self._ready.extend(map(convert.result, page[0].results))
        self._following = page[0].next_page_token or None
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
        """
        asked = pb.SearchImagesRequest(
            query=arguments.text("query", query),
            ranking=convert.ranking(ranking),
            page_size=page_size or 0,
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
                return self._connection.timed_call(
                    self._search.SearchImages, asked, timeout_s=timeout_s, oversize=oversize
                )
            except QueryInvalid as err:
                err.query = asked.query
                raise

        return SearchResults(page)

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
        include_tags: bool = False,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> Iterator[SimilarImage]:
        """Go through the photos that look most like one that is kept, 1,000 at most, the most similar first.

        They have their tags with `include_tags` only. `timeout_s` is for each page.
        """
        image_id = _id("image_id", image_id)

        def page(page_token: str) -> pb.FindSimilarResponse:
            request = pb.FindSimilarRequest(
                image_id=image_id, page_size=page_size or 0, page_token=page_token, include_tags=include_tags
            )
            return self._connection.call(self._search.FindSimilar, request, timeout_s=timeout_s)

        return pages(page, lambda response: map(convert.similar, response.images))


def _id(field: str, value: str) -> str:
    if value == "":
        raise refused(field, "it is empty")
    return arguments.text(field, value)
