"""Many photos at once: a folder, which the browser sends photo by photo, or a zip file, which is done from here."""

from __future__ import annotations

from starlette.responses import Response

from tagwright_web.archives import Archives, Options, Who
from tagwright_web.failures import Failure
from tagwright_web.pages import segment
from tagwright_web.sessions import token_of
from tagwright_web.views.admin.tags import names
from tagwright_web.visits import Visit
from tagwright_web.zips import ArchiveRefused


def show(visit: Visit) -> Response:
    """Ask for a folder or a zip file, and show the zip files that are under way."""
    archives = _archives(visit)
    return visit.show("admin/uploads.html", jobs=archives.seen(), full=archives.full)


def begin(visit: Visit) -> Response:
    """Begin with a zip file."""
    files = visit.files("archive")
    if not files:
        raise Failure(400, "No zip file", "Choose a zip file first.")
    options = Options(
        tags=tuple(names(visit.given("tags"))),
        author=visit.given("author"),
        shared=bool(visit.given("shared")),
        embedded=bool(visit.given("embedded")),
    )
    try:
        id = _archives(visit).begin(files[0].file, files[0].filename or "", options, _who(visit))
    except ArchiveRefused as err:
        raise Failure(422, "This zip file was not taken", str(err)) from None
    return visit.go(_address(id))


def show_one(visit: Visit) -> Response:
    """Show how far a zip file is; a page that asks for it each second is loaded anew when it has ended."""
    try:
        job = _archives(visit).get(visit.path("id"))
    except Failure:
        if visit.part_wanted:  # dismissed elsewhere, or gone with the pages that it was known to
            return visit.go("/admin/uploads", done="gone")
        raise
    if visit.part_wanted:
        if not job.active:
            return visit.go(_address(job.id))
        fresh = visit.asked("failed") != str(job.failed)
        return visit.show("admin/parts/archive_progress.html", job=job, failures_too=fresh)
    return visit.show("admin/archive.html", job=job, failures_too=False)


def change(visit: Visit) -> Response:
    """Stop it, go on with it, try again what failed, or forget it."""
    id, archives = visit.path("id"), _archives(visit)
    match visit.given("action"):
        case "stop":
            archives.stop(id)
        case "go_on":
            archives.go_on(id, _who(visit))
        case "again":
            archives.go_on(id, _who(visit), failed_too=True)
        case "dismiss":
            archives.dismiss(id)
            return visit.go("/admin/uploads", done="dismissed")
        case other:
            raise Failure(400, "That cannot be done", f"An upload cannot be {other!r}.")
    return visit.go(_address(id))


def _who(visit: Visit) -> Who:
    client = visit.request.client
    return Who(visit.user.username, token_of(visit.request), client.host if client else None)


def _archives(visit: Visit) -> Archives:
    archives: Archives = visit.request.app.state.archives
    return archives


def _address(id: str) -> str:
    return f"/admin/uploads/{segment(id)}"
