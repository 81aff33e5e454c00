"""The commands about photos that are kept: ls, show, review, set, rm, get."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Annotated

import typer

from tagwright_admin import filters, image_jsonl, image_screen, prompts, screen
from tagwright_admin.connection import FAILED, USAGE, Json, Refused, Url, connected, ending
from tagwright_admin.file_names import safe_name
from tagwright_client import (
    Client,
    Content,
    ContentInfo,
    Image,
    NotFound,
    ScopeMissing,
    ServerUnreachable,
    TagwrightError,
    TokenInvalid,
)

_TABLE_ROWS = 100  # what a person looks at; programs, which say --json, get all
_ENDINGS = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp"}
_STDOUT = "-"

Id = Annotated[str, typer.Argument(metavar="ID", help="The photo's id.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="The photos' ids.")]


def list_images(
    owner: filters.Owner = None,
    tag: filters.Tag = None,
    untagged: filters.Untagged = False,
    model: filters.FromModel = None,
    not_model: filters.NotFromModel = None,
    since: filters.Since = None,
    until: filters.Until = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="COUNT", help=f"Most photos shown. Default: {_TABLE_ROWS}; with --json, all."),
    ] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show the photos that you may see, the last stored first."""
    with connected(url) as client:
        asked = filters.chosen(
            owner=owner, tag=tag, untagged=untagged, model=model, not_model=not_model, since=since, until=until
        )
        found = client.images(**asked)
        if json:
            for image in islice(found, limit):
                print(image_jsonl.image(image), flush=True)
            return
        rows = limit or _TABLE_ROWS
        image_screen.show_images(islice(found, rows))
        if limit is None and next(found, None) is not None:
            screen.remark(f"these are the last {rows}; --limit COUNT shows more")


def show(ids: Ids, url: Url = None, json: Json = False) -> None:
    """Show photos with all their tags, and with the photos that look the same."""
    with connected(url) as client:
        _each(ids, lambda id: _tell(client.image(id), json=json))


def review(
    id: Id,
    confirm: Annotated[list[str] | None, typer.Option(metavar="TAG", help="It has this tag, and it is right.")] = None,
    reject: Annotated[list[str] | None, typer.Option(metavar="TAG", help="This tag is wrong for it.")] = None,
    add: Annotated[list[str] | None, typer.Option(metavar="TAG", help="This tag is missing, and right.")] = None,
    reset: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Take back what was decided.")] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Say what is right and wrong about a photo's tags; each option may be repeated. No later model undoes it."""
    with ending():
        if not (confirm or reject or add or reset):
            raise Refused("say something by --confirm, --reject, --add or --reset", exit_code=USAGE)
    with connected(url) as client:
        said = client.review(id, confirm=confirm or (), reject=reject or (), add=add or (), reset=reset or ())
        _tell(said, json=json)


def change(
    ids: Ids,
    shared: Annotated[
        bool | None, typer.Option("--shared/--private", help="Show them to everybody who is signed in, or to nobody.")
    ] = None,
    author: Annotated[str | None, typer.Option(metavar="NAME", help='Who took them; "" for nobody known.')] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Change who else sees photos, and who took them."""
    with ending():
        if shared is None and author is None:
            raise Refused("say what shall change: --shared, --private or --author", exit_code=USAGE)
    visibility = None if shared is None else "SHARED" if shared else "PRIVATE"
    with connected(url) as client:
        changed: list[Image] = []

        def update(id: str) -> None:
            image = client.update_image(id, visibility=visibility, author=author)
            print(image_jsonl.image(image), flush=True) if json else changed.append(image)

        try:
            _each(ids, update)
        finally:
            if changed:
                image_screen.show_images(changed)


def remove(
    ids: Ids,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = None,
    json: Json = False,
) -> None:
    """Delete photos with their tags, for good."""
    with connected(url) as client:
        meant = f"photo {screen.safe(ids[0])}" if len(ids) == 1 else f"{len(ids)} photos"
        if not yes and not prompts.confirmed(f"Delete {meant} at {client.url} for good?", otherwise="say --yes"):
            raise Refused("nothing was deleted")

        def delete(id: str) -> None:
            client.delete_image(id)
            print(image_jsonl.image_deleted(id) if json else f"Deleted {screen.safe(id)}", flush=True)

        _each(ids, delete)


def get(
    id: Id,
    out: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Where to, - for standard output. Default: its own name, here, if free."),
    ] = None,
    thumbnail: Annotated[bool, typer.Option("--thumbnail", help="A JPEG of at most 384 pixels a side.")] = False,
    url: Url = None,
    json: Json = False,
) -> None:
    """Download a photo as it is kept: upright, and without what its file told about camera and place."""
    variant = "THUMBNAIL" if thumbnail else "KEPT"
    with connected(url) as client:
        if out == _STDOUT:
            sys.stdout.buffer.write(client.content(id, variant=variant).data)
            sys.stdout.buffer.flush()
            return
        try:
            if out is not None:
                path, info = out, client.save_content(id, out, variant=variant)
            else:
                content = client.content(id, variant=variant)
                path = _written(client, id, content, thumbnail=thumbnail)
                info = ContentInfo(content.media_type, content.size_bytes, content.sha256)
        except OSError as err:
            raise Refused(f"cannot write the photo: {err.strerror or err}") from err
        print(image_jsonl.image_saved(id, path=path, info=info) if json else screen.safe(path), flush=True)


def _written(client: Client, id: str, content: Content, *, thumbnail: bool) -> str:
    """Write a photo under its own name, in place of nothing, and return the name."""
    name = safe_name(client.image(id).file_name, otherwise=safe_name(id, otherwise="photo"))
    stem = os.path.splitext(name)[0] + ("-thumbnail" if thumbnail else "")
    path = stem + _ENDINGS.get(content.media_type, ".bin")
    try:
        with open(path, "xb") as file:
            file.write(content.data)
    except FileExistsError as err:
        raise Refused(f"there is a {path} already; name another file by --out", exit_code=USAGE) from err
    return path


def _tell(image: Image, *, json: bool) -> None:
    print(image_jsonl.image(image), flush=True) if json else image_screen.show_image(image)


def _each(ids: Sequence[str], do: Callable[[str], None]) -> None:
    """Do something for each photo; one that cannot be done is told, and the others go on."""
    codes: set[int] = set()
    for id in dict.fromkeys(ids):
        try:
            do(id)
        except (ScopeMissing, ServerUnreachable, TokenInvalid):
            raise  # what would befall every other photo as well
        except TagwrightError as err:
            screen.complain(screen.explained(err), path=id)
            codes.add(USAGE if isinstance(err, NotFound) else FAILED)
    if codes:
        raise typer.Exit(max(codes) if len(codes) == 1 else FAILED)
