"""The command `refine`: which tags of photos are right, wrong or missing, and why; for kept ones, also put right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

import typer

from tagwright_admin import jsonl, local_photos, prompts, refine_run, refine_screen, screen, upload_screen
from tagwright_admin.connection import FAILED, INTERRUPTED, USAGE, Json, Refused, Url, connected, ending
from tagwright_admin.local_photos import Skipped, Unreadable
from tagwright_admin.refine_run import Asked, Subject, Writing
from tagwright_client import (
    ArgumentInvalid,
    Client,
    NotFound,
    Refinement,
    ScopeMissing,
    ServerUnreachable,
    TagwrightError,
    TokenInvalid,
)


@dataclass(slots=True)
class _Course:
    """How the photos are gone through, and what went wrong on the way."""

    client: Client
    asked: Asked
    apply: bool
    yes: bool
    verbose: bool
    json: bool
    heard: bool = False
    judged: int = 0
    codes: set[int] = field(default_factory=set)


def refine(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PHOTO", help="Photos, folders of photos (JPEG, PNG, WebP), or zips."),
    ] = None,
    tags: Annotated[
        str | None,
        typer.Option(metavar="TAG,TAG", help="The tags to judge. Default: those beside the photo and in it."),
    ] = None,
    ids: Annotated[
        list[str] | None, typer.Option("--id", metavar="ID", help="A photo that is kept, with the tags that it has.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Of kept photos: reject what is wrong, suggest what is missing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    target_precision: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Remove and add only what is right this often: 0.9 is nine times in ten."),
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="Smallest score of a tag that is added.")
    ] = None,
    max_tags: Annotated[int | None, typer.Option(min=1, max=2**31 - 1, help="Most tags that are added.")] = None,
    include: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Judge this tag as well.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Never add this tag.")] = None,
    model: Annotated[str, typer.Option(metavar="NAME[@VERSION]", help="Which model. See: tagwright models")] = "",
    no_sidecars: Annotated[
        bool, typer.Option("--no-sidecars", help="Do not take the tags that lie beside the photos.")
    ] = False,
    no_embedded_tags: Annotated[
        bool, typer.Option("--no-embedded-tags", help="Do not take the keywords in the photos themselves.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="All reasons, not just the strongest.")] = False,
    url: Url = None,
    json: Json = False,
    timeout: Annotated[float, typer.Option(min=0.001, metavar="SECONDS", help="Longest wait for one answer.")] = 30.0,
) -> None:
    """Say which tags of photos are right, which are wrong and which are missing, and why.

    Exit code 0: every photo was judged and, with --apply, put right. 1: at least one was not. 2: the command line is
    wrong.
    """
    with ending():
        _check(paths or [], ids or [], tags, apply=apply, yes=yes)
        given = refine_run.typed(tags) if tags is not None else None
    beside = refine_run.beside(use_sidecars=not no_sidecars)
    skipped = Skipped()
    found = list(local_photos.find(paths or [], skipped))

    def subjects() -> Iterator[Subject | Unreadable]:
        for photo in found:
            if isinstance(photo, Unreadable):
                yield photo
                continue
            try:
                yield refine_run.local(photo, tags=given, beside=beside, use_embedded=not no_embedded_tags)
            except OSError as err:
                yield Unreadable(photo.path, f"cannot read the photo: {err.strerror or err}")
        yield from (refine_run.kept(id, tags=given) for id in dict.fromkeys(ids or ()))

    asked: Asked = {
        "target_precision": target_precision,
        "min_score": min_score,
        "max_tags": max_tags,
        "include_tags": include or (),
        "exclude_tags": exclude or (),
        "model": model or None,
        "timeout_s": timeout,
    }
    with connected(url) as client:
        course = _Course(client, asked, apply=apply, yes=yes, verbose=verbose, json=json)
        try:
            with screen.Progress(0 if apply else len(found) + len(ids or ()), doing="refining") as progress:
                for subject in subjects():
                    _follow(subject, course, progress)
        except KeyboardInterrupt:
            screen.complain(f"interrupted: {course.judged} photos judged")
            raise typer.Exit(INTERRUPTED) from None
    upload_screen.show_empty(skipped.empty)
    if skipped.empty:
        course.codes.add(FAILED)
    if course.codes:
        raise typer.Exit(max(course.codes) if len(course.codes) == 1 else FAILED)


def _check(paths: list[str], ids: list[str], tags: str | None, *, apply: bool, yes: bool) -> None:
    """Refuse a command line that makes no sense, before anything is asked of the server."""
    if bool(paths) == bool(ids):
        raise Refused("name photos, or kept ones by --id, not both", exit_code=USAGE)
    if not all(ids):
        raise Refused("--id is empty", exit_code=USAGE)
    if apply and not ids:
        raise Refused("--apply is for photos that are kept; name them by --id", exit_code=USAGE)
    if apply and tags is not None:
        raise Refused("--apply is about the tags that the photo has; leave --tags out", exit_code=USAGE)
    if yes and not apply:
        raise Refused("--yes goes with --apply", exit_code=USAGE)
    absent = local_photos.missing(paths)
    if absent:
        raise Refused(f"there is no {', no '.join(absent)}", exit_code=USAGE)
    if apply and not yes:
        prompts.need_terminal("say --yes")


def _follow(subject: Subject | Unreadable, course: _Course, progress: screen.Progress) -> None:
    """Judge one photo, show what came of it, and go on to the next whatever it was."""
    if isinstance(subject, Unreadable):
        with progress.aside():
            if course.json:
                print(jsonl.problem(subject.path, subject.text), flush=True)
            else:
                screen.complain(subject.text, path=subject.path)
        course.codes.add(FAILED)
        progress.advance()
        return
    try:
        refinement = subject.refine(course.client, course.asked)
        course.heard = True
        with progress.aside():
            _tell(subject, refinement, course)
        course.judged += 1
    except TagwrightError as err:
        if _befalls_all(err, subject, heard=course.heard):
            raise
        course.heard = course.heard or bool(err.code)
        with progress.aside():
            if course.json:
                print(refine_screen.error_line(subject, err), flush=True)
            else:
                screen.complain(screen.explained(err), path=subject.shown)
        course.codes.add(USAGE if isinstance(err, NotFound) else FAILED)
    progress.advance()


def _tell(subject: Subject, refinement: Refinement, course: _Course) -> None:
    if not course.json:
        refine_screen.show(subject, refinement, verbose=course.verbose)
        for problem in subject.problems:
            screen.complain(problem, path=subject.shown)
        if subject.left_out:
            refine_screen.show_left_out(subject)
    if subject.problems:
        course.codes.add(FAILED)
    written = _written(subject, refinement, course) if course.apply else None
    if course.json:
        print(refine_screen.line(subject, refinement, written=written), flush=True)
    elif written is not None:
        refine_screen.show_written(written)


def _written(subject: Subject, refinement: Refinement, course: _Course) -> Writing | None:
    """Have a kept photo's tags put right, unless somebody says no; return what was said."""
    said = refine_run.writing(refinement)
    if not said:
        return said
    question = refine_screen.question(subject, said, url=course.client.url)
    if not course.yes and not prompts.confirmed(question, otherwise="say --yes"):
        screen.complain("nothing was changed", path=subject.shown)
        course.codes.add(FAILED)
        return None
    course.client.review(subject.image_id, reject=said.reject, suggest=said.suggest)
    return said


def _befalls_all(error: TagwrightError, subject: Subject, *, heard: bool) -> bool:
    """Whether every other photo would meet the same; of a photo that lies here, NotFound is about the model."""
    if isinstance(error, NotFound):
        return subject.image is not None
    return isinstance(error, (ArgumentInvalid, ScopeMissing, TokenInvalid)) or (
        isinstance(error, ServerUnreachable) and not heard
    )
