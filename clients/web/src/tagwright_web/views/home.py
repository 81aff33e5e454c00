"""The first page, and one's own photos."""

from __future__ import annotations

from starlette.responses import Response

from tagwright_web.grids import Grid, grid_of
from tagwright_web.pages import here
from tagwright_web.queries import word
from tagwright_web.visits import Visit


def show(visit: Visit) -> Response:
    """Show what was stored last, of all that the visitor may see, and the commonest tags."""
    grid = _newest(visit, "", "/")
    if visit.part_wanted:
        return visit.show("parts/cells.html", grid=grid)
    return visit.show("home.html", grid=grid, tags=visit.client.suggest_tags("", max_suggestions=24))


def mine(visit: Visit) -> Response:
    """Show the visitor's own photos, the last stored first."""
    grid = _newest(visit, f"owner:{word(visit.user.username)}", "/mine")
    return visit.show("parts/cells.html" if visit.part_wanted else "mine.html", grid=grid)


def _newest(visit: Visit, query: str, path: str) -> Grid:
    token = visit.asked("page")
    results = visit.client.search(query, ranking="newest", include_tags=True, page_size=48, page_token=token)
    return grid_of(results, lambda page_token: here(path, page=page_token))
