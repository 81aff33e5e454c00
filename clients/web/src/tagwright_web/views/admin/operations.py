"""Tagging photos anew: what is under way, what it changes, and beginning one, at first without changing anything."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response

from tagwright_client import Operation
from tagwright_web.failures import Failure
from tagwright_web.pages import segment
from tagwright_web.views.admin.days import begin_of, end_of
from tagwright_web.visits import Visit

_A_PAGE = 50


@dataclass(frozen=True, slots=True)
class Changed:
    """A tag with how many photos get it, lose it, or keep it with another score; widths are in percent of a bar."""

    tag: str
    added: int
    removed: int
    moved: int
    added_width: float
    removed_width: float


def show_all(visit: Visit) -> Response:
    """Show the operations, the latest first, and ask what to do anew."""
    listed = visit.client.operations(page_size=_A_PAGE, page_token=visit.asked("page"))
    found = listed.next_page()
    models = visit.client.models()
    return visit.show(
        "admin/operations.html",
        operations=found,
        following=listed.next_page_token,
        models=[model.id for model in models],
        batch_refiners=[name for model in models for name in model.batch_refiners],
    )


def begin(visit: Visit) -> Response:
    """Begin one for the photos that all that is filled in holds for."""
    begun = visit.client.retag(
        owner=visit.given("owner") or None,
        tag=visit.given("tag") or None,
        untagged=bool(visit.given("untagged")),
        model_version=visit.given("model_version") or None,
        except_model_version=visit.given("except_model_version") or None,
        create_time_from=begin_of(visit.given("from")),
        create_time_before=end_of(visit.given("to")),
        model=visit.given("model") or None,
        dry_run=visit.given("action") != "apply",
    )
    return visit.go(_address(begun.id))


def show(visit: Visit) -> Response:
    """Show one; a page that asks for it each second is loaded anew when it has ended."""
    operation = visit.client.operation(visit.path("id"))
    if visit.part_wanted:
        if operation.finished:
            return visit.go(_address(operation.id))
        return visit.show("admin/parts/operation_progress.html", operation=operation)
    return visit.show("admin/operation.html", operation=operation, changes=changes(operation))


def change(visit: Visit) -> Response:
    """End it, or do what it only tried."""
    id = visit.path("id")
    match visit.given("action"):
        case "cancel":
            visit.client.cancel_operation(id)
            return visit.go(_address(id), done="cancelled")
        case "apply":
            return visit.go(_address(_applied(visit, visit.client.operation(id)).id))
        case other:
            raise Failure(400, "That cannot be done", f"An operation cannot be {other!r}.")


def changes(operation: Operation) -> tuple[Changed, ...]:
    """Return what becomes of each tag, those of most photos first."""
    most = max((max(each.added, each.removed) for each in operation.tag_changes), default=0) or 1
    ordered = sorted(operation.tag_changes, key=lambda each: (-each.added - each.removed, -each.moved, each.tag))
    return tuple(
        Changed(
            each.tag,
            each.added,
            each.removed,
            each.moved,
            round(50 * each.added / most, 2),
            round(50 * each.removed / most, 2),
        )
        for each in ordered
    )


def _applied(visit: Visit, tried: Operation) -> Operation:
    """Begin what an operation tried, with the same filter and model, for photos that were there when it was tried."""
    meant = tried.filter
    before = min(filter(None, (meant.create_time_before, tried.create_time)), default=None)
    return visit.client.retag(
        ids=meant.ids or None,
        source_sha256s=meant.source_sha256s or None,
        owner=meant.owner or None,
        create_time_from=meant.create_time_from,
        create_time_before=before,
        model_version=meant.model_version or None,
        except_model_version=meant.except_model_version or None,
        untagged=meant.untagged,
        tag=meant.tag or None,
        model=tried.model_version,
    )


def _address(id: str) -> str:
    return f"/admin/operations/{segment(id)}"
