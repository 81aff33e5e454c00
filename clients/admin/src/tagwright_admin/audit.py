"""The command that shows who changed what, for administrators."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from tagwright_admin import account_jsonl, account_screen, moments
from tagwright_admin.connection import Json, Url, connected


def audit(
    actor: Annotated[str | None, typer.Option(metavar="NAME", help="Only what this account did.")] = None,
    action: Annotated[
        str | None, typer.Option(metavar="ACTION", help="Only this, such as user.create, or all such as user.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="From a span ago (7d) or a date (2027-01-31) on.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="Before a span ago or a date.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, metavar="COUNT", help="Most events shown.")] = 50,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show who did what, when and from where, the latest first (administrators)."""
    with connected(url) as client:
        now = moments.now()
        events = client.list_audit_events(
            actor=actor,
            action=action,
            start_time=moments.before(now, since, option="--since") if since is not None else None,
            end_time=moments.before(now, until, option="--until") if until is not None else None,
        )
        shown = islice(events, count)
        if json:
            for event in shown:
                print(account_jsonl.audit_event(event), flush=True)
        else:
            account_screen.show_audit_events(shown)
