"""The options that say which photos are meant, the same for every command that takes several."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypedDict

import typer

from tagwright_admin import moments

Owner = Annotated[str | None, typer.Option(metavar="NAME", help="Only this account's.")]
Tag = Annotated[str | None, typer.Option(metavar="TAG", help="Only those with this tag, suggested or confirmed.")]
Untagged = Annotated[bool, typer.Option("--untagged", help="Only those with no tag but rejected ones.")]
FromModel = Annotated[
    str | None, typer.Option(metavar="NAME@VERSION", help="Only those whose tags come from this model.")
]
NotFromModel = Annotated[
    str | None, typer.Option(metavar="NAME@VERSION", help="Only those whose tags come from another model.")
]
Since = Annotated[
    str | None, typer.Option(metavar="WHEN", help="Only those stored from a span ago (7d) or a date (2027-01-31) on.")
]
Until = Annotated[str | None, typer.Option(metavar="WHEN", help="Only those stored before a span ago or a date.")]


class Filter(TypedDict):
    """What the client's calls about several photos take."""

    owner: str | None
    tag: str | None
    untagged: bool
    model_version: str | None
    except_model_version: str | None
    create_time_from: datetime | None
    create_time_before: datetime | None


def chosen(
    *,
    owner: str | None,
    tag: str | None,
    untagged: bool,
    model: str | None,
    not_model: str | None,
    since: str | None,
    until: str | None,
) -> Filter:
    """Return the photos meant. Raises Refused for what is no moment."""
    now = moments.now()
    return Filter(
        owner=owner,
        tag=tag,
        untagged=untagged,
        model_version=model,
        except_model_version=not_model,
        create_time_from=moments.before(now, since, option="--since") if since is not None else None,
        create_time_before=moments.before(now, until, option="--until") if until is not None else None,
    )
