"""Who did what, when and from where."""

from __future__ import annotations

from starlette.responses import Response

from tagwright_web.pages import here
from tagwright_web.views.admin.days import begin_of, end_of
from tagwright_web.visits import Visit

_A_PAGE = 100


def show(visit: Visit) -> Response:
    """Show what was done, the latest first."""
    asked = {name: visit.asked(name).strip() for name in ("actor", "action", "from", "to")}
    listed = visit.client.list_audit_events(
        actor=asked["actor"] or None,
        action=asked["action"] or None,
        start_time=begin_of(asked["from"]),
        end_time=end_of(asked["to"]),
        page_size=_A_PAGE,
        page_token=visit.asked("page"),
    )
    events = listed.next_page()
    older = here("/admin/audit", page=listed.next_page_token, **asked) if listed.next_page_token else ""
    return visit.show("admin/audit.html", events=events, asked=asked, older=older, newest=here("/admin/audit", **asked))
