"""One photo: what it shows, what people and models say of it, and what refinement thinks of that."""

from __future__ import annotations

from itertools import islice

from starlette.responses import Response

from tagwright_client import Image
from tagwright_web.decisions import Judged, judged
from tagwright_web.failures import Failure
from tagwright_web.grids import cell_of
from tagwright_web.pages import segment
from tagwright_web.visits import Visit

_KEPT_S = 600  # a photo's pixels never change; who may see it can, and then a browser that saw it may for so long
_SIMILAR = 12
# A photo in a tab of its own: the browser makes a page for it, with styles in that page.
_PHOTO_POLICY = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'"
_REVIEWS = {"confirm": "confirmed", "reject": "rejected", "add": "added", "reset": "as it was"}


def show(visit: Visit) -> Response:
    """Show a photo with its tags."""
    return _show(visit, visit.client.image(visit.path("id")))


def review(visit: Visit) -> Response:
    """Confirm, reject, add or take back: one or several tags of a photo."""
    action, tags = visit.given("action"), [tag.strip() for tag in visit.all_given("tag")]
    if action not in _REVIEWS:
        raise Failure(400, "That cannot be done", f"A tag can be confirmed, rejected, added or reset, not {action!r}.")
    if action == "add":
        tags = [part.strip() for text in tags for part in text.split(",")]
    tags = list(dict.fromkeys(filter(None, tags)))
    if not tags:
        raise Failure(400, "No tag", "Type a tag first.")
    confirm, reject, add, reset = (tags if action == each else [] for each in _REVIEWS)
    image = visit.client.review(visit.path("id"), confirm=confirm, reject=reject, add=add, reset=reset)
    if visit.part_wanted:
        said = f"{', '.join(tags)}: {_REVIEWS[action]}"
        return visit.show("parts/tags.html", image=image, editable=_editable(visit, image), said=said)
    return visit.go(_address(image.id))


def change(visit: Visit) -> Response:
    """Change who sees a photo and who took it, or delete it."""
    id = visit.path("id")
    match visit.given("action"):
        case "delete":
            visit.client.delete_image(id)
            return visit.go("/mine", done="deleted")
        case "visibility":
            visit.client.update_image(id, visibility=visit.given("visibility"))
        case "author":
            visit.client.update_image(id, author=visit.given("author"))
        case other:
            raise Failure(400, "That cannot be done", f"A photo cannot be {other!r}.")
    return visit.go(_address(id))


def refinement(visit: Visit) -> Response:
    """Show which of a photo's tags are right, which are missing, and why."""
    id = visit.path("id")
    answer = visit.client.refine(image_id=id)
    shown = judged(visit.client, answer.decisions)
    values = {"id": id, "refinement": answer, "judged": shown}
    if visit.part_wanted:
        image = visit.client.image(id)
        return visit.show("parts/refinement.html", editable=_editable(visit, image), image=image, **values)
    return _show(visit, visit.client.image(id), refinement=answer, judged=shown)


def similar(visit: Visit) -> Response:
    """Show the photos that look most like one."""
    found = islice(visit.client.similar(visit.path("id"), page_size=_SIMILAR, include_tags=True), _SIMILAR)
    cells = [
        cell_of(each.image, note="looks the same" if each.near_duplicate else f"alike: {each.similarity:.2f}")
        for each in found
    ]
    return visit.show("parts/similar.html", cells=cells)


def content(visit: Visit) -> Response:
    """Return a photo's bytes, to look at or to keep."""
    return _pixels(visit, "KEPT")


def thumbnail(visit: Visit) -> Response:
    """Return a photo, at most 384 pixels a side."""
    return _pixels(visit, "THUMBNAIL")


def _pixels(visit: Visit, variant: str) -> Response:
    id = visit.path("id")
    headers = {
        "etag": f'"{segment(id)}-{variant.lower()}"',  # an id is never used for another photo
        "cache-control": f"private, max-age={_KEPT_S}",
        "vary": "Cookie",  # another account on this browser is not shown what the last one saw
        "content-security-policy": _PHOTO_POLICY,
    }
    if headers["etag"] in visit.request.headers.get("if-none-match", ""):
        visit.client.image(id)  # it may be gone, or not be the visitor's to see any more
        return Response(status_code=304, headers=headers)
    found = visit.client.content(id, variant=variant)
    if visit.asked("save"):
        suffix = found.media_type.rpartition("/")[2].replace("jpeg", "jpg")
        headers["content-disposition"] = f'attachment; filename="{segment(id)}.{segment(suffix)}"'
    return Response(found.data, media_type=found.media_type, headers=headers)


def _show(visit: Visit, image: Image, *, refinement: object = None, judged: tuple[Judged, ...] = ()) -> Response:
    return visit.show(
        "photo.html",
        image=image,
        editable=_editable(visit, image),
        said="",
        described=cell_of(image).described,
        duplicates=image.near_duplicate_ids,
        refinement=refinement,
        judged=judged,
    )


def _editable(visit: Visit, image: Image) -> bool:
    return visit.is_admin or image.owner == visit.user.username


def _address(id: str) -> str:
    return f"/photos/{segment(id)}"
