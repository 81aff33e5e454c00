"""Tags by themselves: all of them, and one with its photos and what goes with it."""

from __future__ import annotations

from starlette.responses import Response

from tagwright_client import NotFound
from tagwright_web.grids import grid_of
from tagwright_web.pages import here, segment
from tagwright_web.queries import word
from tagwright_web.views.search import ORDERS
from tagwright_web.visits import Visit

_A_PAGE = 200
_PHOTOS = 48


def show_all(visit: Visit) -> Response:
    """Show all tags, the commonest first or by name."""
    order = "NAME" if visit.asked("order") == "name" else "COUNT"
    entries = visit.client.tags(order=order, page_size=_A_PAGE, page_token=visit.asked("page"))
    shown = entries.next_page()
    given = visit.asked("most")  # bars of later pages are beside the longest of the first
    most = int(given) if given.isdecimal() and len(given) < 12 else max((each.image_count for each in shown), default=1)
    most = max(1, most)
    following = here("/tags", most=most, order="name" if order == "NAME" else None, page=entries.next_page_token)
    return visit.show(
        "parts/tag_entries.html" if visit.part_wanted else "tags.html",
        entries=shown,
        most=most,
        following=following if entries.next_page_token else "",
        order=order,
    )


def show(visit: Visit) -> Response:
    """Show a tag: its photos, its other names, what it is a kind of, and what goes with it."""
    name, order = visit.path("name"), visit.asked("order", "relevance")
    order = order if order in ORDERS else "relevance"

    def address(page: str) -> str:
        return here(f"/tags/{segment(name)}", order=None if order == "relevance" else order, page=page)

    results = visit.client.search(
        word(name), ranking=order, include_tags=True, page_size=_PHOTOS, page_token=visit.asked("page")
    )
    grid = grid_of(results, address)
    if visit.part_wanted and visit.asked("page"):
        return visit.show("parts/cells.html", grid=grid)
    try:
        related = visit.client.related_tags(name, max_tags=12)
    except NotFound:
        related = None
    return visit.show("tag.html", name=name, grid=grid, order=order, orders=ORDERS, related=related)
