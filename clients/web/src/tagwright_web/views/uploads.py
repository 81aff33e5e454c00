"""Uploading: one photo at a time with JavaScript, which shows progress; all in one form without."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import PurePosixPath

from starlette.datastructures import UploadFile
from starlette.responses import Response

from tagwright_client import Busy, ModelUnavailable, Overloaded, PhotoTags, Tag, TagwrightError, TokenInvalid
from tagwright_web.decisions import Judged, judged
from tagwright_web.failures import Failure, failure_of
from tagwright_web.visits import Visit

_TIMEOUT_S = 120.0
_WAIT_S = 60.0  # that all photos of a form wait together for a server that is busy; with JavaScript the browser waits


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What became of one photo: `tags` and what refinement `judged`, or the `failure`."""

    file_name: str
    tags: PhotoTags | None = None
    judged: tuple[Judged, ...] = ()
    failure: Failure | None = None

    @property
    def others(self) -> tuple[Tag, ...]:
        """The tags that refinement says nothing of: those that the model sees beside the ones that were given."""
        known = {each.name for group in self.judged for each in group.decisions}
        tags = self.tags.tags if self.tags is not None else ()
        return tuple(tag for tag in tags if tag.name not in known and tag.state != "REJECTED")


def show(visit: Visit) -> Response:
    """Ask for photos."""
    return visit.show("upload.html", uploaded=())


def upload(visit: Visit) -> Response:
    """Keep all photos of a form; one that is refused fails alone."""
    files = visit.files("photos")
    if not files:
        raise Failure(400, "No photo", "Choose one photo at least.")
    uploaded = []
    give_up_at = time.monotonic() + _WAIT_S
    for file in files:
        try:
            uploaded.append(_kept_at_last(visit, file, give_up_at))
        except TokenInvalid as err:
            if not uploaded:
                raise
            uploaded.append(Uploaded(_name(file), failure=failure_of(err)))
        except TagwrightError as err:
            uploaded.append(Uploaded(_name(file), failure=failure_of(err)))
    return visit.show("upload.html", uploaded=uploaded)


def upload_one(visit: Visit) -> Response:
    """Keep one photo, and return how it is shown in the page that sent it."""
    files = visit.files("photo")
    if len(files) != 1:
        raise Failure(400, "No photo", "One photo at a time comes here.")
    template = "parts/uploaded_line.html" if visit.given("brief") else "parts/uploaded.html"
    return visit.show(template, each=_kept(visit, files[0], brief=bool(visit.given("brief"))))


def _kept_at_last(visit: Visit, file: UploadFile, give_up_at: float) -> Uploaded:
    while True:
        try:
            return _kept(visit, file)
        except (Overloaded, Busy, ModelUnavailable) as err:
            wait_s = err.retry_after_s or 1.0
            if time.monotonic() + wait_s > give_up_at:
                raise
            time.sleep(wait_s)
            file.file.seek(0)


def _kept(visit: Visit, file: UploadFile, *, brief: bool = False) -> Uploaded:
    user_tags = [tag.strip() for tag in visit.given("tags").split(",") if tag.strip()]
    tags = visit.client.tag(
        file.file.read(),
        user_tags=user_tags,
        store=True,
        author=visit.given("author"),
        visibility="SHARED" if visit.given("shared") else "PRIVATE",
        file_name=_name(file),
        use_embedded_tags=bool(visit.given("embedded")),
        include_evidence=not brief,
        timeout_s=_TIMEOUT_S,
    )
    decisions = () if brief else tags.decisions
    return Uploaded(_name(file), tags, judged(visit.client, decisions))


def _name(file: UploadFile) -> str:
    """Return the file's own name: browsers send the folder with it, others may send anything."""
    return PurePosixPath((file.filename or "").replace("\\", "/")).name
