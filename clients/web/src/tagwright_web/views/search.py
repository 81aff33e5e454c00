"""Searching: one box, facets, an order, what looks like a photo; the address says it all and can be shared."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from tagwright_client import ArgumentInvalid, QueryInvalid, SearchResults
from tagwright_web.failures import Failure, failure_of
from tagwright_web.grids import Grid, grid_of
from tagwright_web.pages import here
from tagwright_web.queries import narrowed, word
from tagwright_web.visits import Visit

ORDERS = {"relevance": "Relevant", "diverse": "Varied", "newest": "Newest"}
_PAGE = 48
_FACETS = 16
_BY_PHOTO = 200  # one cannot go on with a photo that nobody keeps, so they come at once
_SUGGESTIONS = 8


def show(visit: Visit) -> Response:
    """Show what a query finds, or what looks like a photo, or both."""
    query, order, like = visit.asked("q").strip(), _order(visit.asked("order")), visit.asked("like")
    if like and order == "newest":
        order = "relevance"  # with an example the most alike come first
    token = visit.asked("page")
    results = visit.client.search(
        query,
        example_image_id=like or None,
        ranking=order,
        include_facets=not token,
        max_facets=_FACETS,
        include_tags=True,
        page_size=_PAGE,
        page_token=token,
    )
    try:
        grid = grid_of(results, lambda page: here("/search", q=query, order=_said(order), like=like, page=page))
    except QueryInvalid as err:
        if visit.part_wanted:
            raise  # a notice above what was found before
        response = _page(visit, None, None, query=query, order=order, like=like, failure=failure_of(err))
        response.status_code = failure_of(err).status
        return response
    if token and visit.part_wanted:
        return visit.show("parts/cells.html", grid=grid)
    return _page(visit, results, grid, query=query, order=order, like=like)


def by_photo(visit: Visit) -> Response:
    """Show what looks like a photo that is sent, and is not kept."""
    query, files = visit.given("q"), visit.files("example")
    if not files:
        raise Failure(400, "No photo", "Choose a photo first.")
    results = visit.client.search(
        query,
        example=files[0].file.read(),
        include_tags=True,
        page_size=_BY_PHOTO,
    )
    grid = grid_of(results, lambda page: "")
    return _page(visit, results, grid, query=query, order="relevance", by_photo=True)


def suggest(visit: Visit) -> Response:
    """Complete a tag that somebody is typing: name, how a query names it, count, and which alias was meant."""
    try:
        found = visit.client.suggest_tags(visit.asked("prefix"), max_suggestions=_SUGGESTIONS)
    except ArgumentInvalid:  # nothing that begins like this is a tag
        found = ()
    return JSONResponse(
        [{"name": each.name, "word": word(each.name), "count": each.image_count, "alias": each.alias} for each in found]
    )


def _page(
    visit: Visit,
    results: SearchResults | None,
    grid: Grid | None,
    *,
    query: str,
    order: str,
    like: str = "",
    by_photo: bool = False,
    failure: Failure | None = None,
) -> Response:
    return visit.show(
        "parts/results.html" if visit.part_wanted == "results" else "search.html",
        grid=grid,
        facets=_facets(results, query, order, like) if results is not None else [],
        query=query,
        order=order,
        orders={value: words for value, words in ORDERS.items() if not (like and value == "newest")},
        like=like,
        by_photo=by_photo,
        understood=results.understood_query if results is not None else "",
        took_ms=results.timings.total_ms if results is not None else 0.0,
        failure=failure,
    )


def _facets(results: SearchResults, query: str, order: str, like: str) -> list[dict[str, object]]:
    return [
        {
            "tag": facet.tag,
            "count": facet.count,
            "with": here("/search", q=narrowed(query, facet.tag), order=_said(order), like=like),
            "without": here("/search", q=narrowed(query, facet.tag, without=True), order=_said(order), like=like),
        }
        for facet in results.facets
        if facet.count < results.total_count  # whatever all have narrows nothing down
    ]


def _order(text: str) -> str:
    return text if text in ORDERS else "relevance"


def _said(order: str) -> str | None:
    return None if order == "relevance" else order
