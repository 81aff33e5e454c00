"""The command `upload`, and what it shares with `import-mirflickr`: options, the course of an upload, exit codes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from tagwright_admin import failures, journal, local_photos, screen, upload_run, upload_screen
from tagwright_admin.connection import FAILED, INTERRUPTED, USAGE, Json, Refused, Url, connected, ending
from tagwright_admin.failures import Failure
from tagwright_admin.folders import Archive
from tagwright_admin.journal import Journal
from tagwright_admin.local_photos import LocalPhoto, Skipped, Unreadable
from tagwright_admin.upload_run import Options, TagsOf, Tally
from tagwright_client import Client, TagwrightError

Photos = Iterator[LocalPhoto | Unreadable]

Author = Annotated[str, typer.Option(metavar="NAME", help="Who took them.")]
Shared = Annotated[
    bool, typer.Option("--shared/--private", help="Whether everybody who is signed in sees them, or you alone.")
]
Model = Annotated[str, typer.Option(metavar="NAME[@VERSION]", help="Which model. See: tagwright models")]
MinScore = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Smallest score of a tag that is kept. Default: each label's own threshold."),
]
TargetPrecision = Annotated[
    float | None, typer.Option(min=0, max=1, help="Only tags that are right this often: 0.9 is nine times in ten.")
]
FailuresFile = Annotated[
    str | None,
    typer.Option(
        "--failures",
        metavar="FILE",
        show_default=failures.FILE_NAME,
        help="Where photos that were not stored are written down, if there are any.",
    ),
]
Retry = Annotated[str | None, typer.Option(metavar="FILE", help="Upload just the photos of a file of failures.")]
JournalFile = Annotated[
    str | None,
    typer.Option(
        "--journal", metavar="FILE", help="Remember digests there. Default: a file for each server and folder."
    ),
]
NoJournal = Annotated[bool, typer.Option("--no-journal", help="Remember nothing.")]
NoEmbeddedTags = Annotated[
    bool, typer.Option("--no-embedded-tags", help="Do not take the keywords in the photos themselves.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")]


@dataclass(frozen=True, slots=True)
class Course:
    """How an upload goes about its work. `unresolved` are failures of before, which stay in the file until stored."""

    tags_of: TagsOf
    root: str
    journal: str | None = None
    use_journal: bool = True
    failures: str = failures.FILE_NAME
    unresolved: tuple[Failure, ...] = ()
    retried: str | None = None
    json: bool = False


def upload(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Photos, folders of photos (JPEG, PNG, WebP), or zips."),
    ] = None,
    author: Author = "",
    shared: Shared = False,
    model: Model = "",
    min_score: MinScore = None,
    target_precision: TargetPrecision = None,
    no_sidecars: Annotated[
        bool, typer.Option("--no-sidecars", help="Do not take the tags that lie beside the photos.")
    ] = False,
    no_embedded_tags: NoEmbeddedTags = False,
    failures_file: FailuresFile = None,
    retry: Retry = None,
    journal_file: JournalFile = None,
    no_journal: NoJournal = False,
    dry_run: DryRun = False,
    url: Url = None,
    json: Json = False,
) -> None:
    """Store photos with their tags. Run it again to go on after an interruption: nothing is stored twice.

    Exit code 0: every photo is stored, with the tags that lie beside it. 1: something is not. 2: the command line is
    wrong. 130: interrupted.
    """
    with ending():
        if bool(paths) == bool(retry):
            raise Refused("name photos, folders or zips, or a file of failures by --retry, not both", exit_code=USAGE)
        before = failures.read(retry) if retry else []
        _need_there(paths or [])
    named = paths or [failure.archive or failure.path for failure in before]
    course = Course(
        tags_of=upload_run.no_tags if no_sidecars else upload_run.from_sidecars,
        root=local_photos.root(named),
        journal=journal_file,
        use_journal=not no_journal,
        failures=failures_file or retry or failures.FILE_NAME,
        unresolved=tuple(before),
        retried=retry,
        json=json,
    )
    options = Options(
        author=author,
        visibility="SHARED" if shared else "PRIVATE",
        model=model,
        min_score=min_score,
        target_precision=target_precision,
        use_embedded_tags=not no_embedded_tags,
    )

    def photos(skipped: Skipped) -> Photos:
        return again(before, skipped) if retry else local_photos.find(named, skipped)

    if dry_run:
        show_what_would_be_sent(photos, course)
    else:
        carry_out(photos, options, course, url=url)


def again(before: list[Failure], skipped: Skipped) -> Photos:
    """Go through the photos of a file of failures."""
    archives: dict[str, Archive] = {}
    for failure in before:
        if not failure.archive:
            yield from local_photos.find([failure.path], skipped)
            continue
        try:
            if failure.archive not in archives:
                archives = {failure.archive: Archive(failure.archive)}  # they come zip by zip
            yield local_photos.member_of(archives[failure.archive], failure.member)
        except OSError as err:
            text = f"cannot read it: {err.strerror or err}"
            yield Unreadable(failure.path, text, failure.archive, failure.member)


def carry_out(photos: Callable[[Skipped], Photos], options: Options, course: Course, *, url: str | None) -> None:
    """Upload, show how it goes, and end the command with its exit code."""
    tally, skipped = Tally(), Skipped()
    with ending():
        there = failures.read(course.failures) if os.path.isfile(course.failures) else []
    unresolved = {failure.path: failure for failure in (*there, *course.unresolved)}
    with connected(url) as client, journal.opened(_journal_path(client, course), warn=screen.complain) as remembered:
        total = sum(1 for _ in photos(Skipped())) if screen.on_terminal() else None
        progress = upload_screen.Progress(total=total, json=course.json)
        interrupted = False
        try:
            _follow(client, photos(skipped), options, course, remembered, tally, progress, unresolved)
            for failure in course.unresolved:  # all have been offered: what did not fail again is no failure any more
                if unresolved.get(failure.path) is failure:
                    del unresolved[failure.path]
        except KeyboardInterrupt:
            interrupted = True
        except TagwrightError:
            screen.complain("the upload ended before all photos had their turn; run the same command again to go on")
            raise
        finally:
            kept = _keep_failures(unresolved, course)
            if tally.photos or not skipped.empty:
                upload_screen.show_summary(
                    tally, elapsed_s=progress.elapsed_s, links=skipped.links, to_error=course.json
                )
            upload_screen.show_aside(
                tally,
                empty=skipped.empty,
                existing_stay=options.visibility == "SHARED" or bool(options.author),
                not_stored=len(unresolved),
                retry=f"--retry {course.failures}" if kept else "",
            )
        if interrupted:
            screen.complain("interrupted; run the same command again to go on where it ended")
            raise typer.Exit(INTERRUPTED)
    if skipped.empty or not tally.all_stored:
        raise typer.Exit(FAILED)


def show_what_would_be_sent(photos: Callable[[Skipped], Photos], course: Course) -> None:
    """Show each photo with its tags, without asking a server."""
    tally, skipped = Tally(), Skipped()
    with ending():
        for photo in photos(skipped):
            if isinstance(photo, Unreadable):
                tally.failed[upload_run.UNREADABLE] += 1
                outcome = upload_run.failed(photo)
                print(upload_screen.line(outcome)) if course.json else screen.complain(photo.text, path=photo.path)
                continue
            prepared = upload_run.prepare(photo, tags_of=course.tags_of)
            tally.count(upload_run.Outcome(photo.path, prepared=prepared))
            upload_screen.show_prepared(prepared, json=course.json)
    text = f"{tally.stored:,} photos with {tally.user_tags:,} user tags would be offered"
    if tally.photos or not skipped.empty:
        screen.remark(f"{text}; {tally.tags_left_out:,} tags would be left out" if tally.tags_left_out else text)
    upload_screen.show_empty(skipped.empty)
    if skipped.empty or not tally.all_stored:
        raise typer.Exit(FAILED)


def _follow(
    client: Client,
    photos: Photos,
    options: Options,
    course: Course,
    remembered: Journal,
    tally: Tally,
    progress: upload_screen.Progress,
    unresolved: dict[str, Failure],
) -> None:
    outcomes = upload_run.upload(client, photos, options, journal=remembered, tags_of=course.tags_of)
    with progress:
        for outcome in outcomes:
            tally.count(outcome)
            if outcome.failure is not None:
                unresolved[outcome.path] = outcome.failure
            else:
                unresolved.pop(outcome.path, None)
            progress.tell(outcome, tally)


def _journal_path(client: Client, course: Course) -> Path | None:
    if not course.use_journal:
        return None
    return Path(course.journal) if course.journal else journal.place(client.url, course.root)


def _need_there(paths: list[str]) -> None:
    """Refuse a command line that names what is not there, before anything is stored."""
    absent = local_photos.missing(paths)
    if absent:
        raise Refused(f"there is no {', no '.join(absent)}; nothing was uploaded", exit_code=USAGE)


def _keep_failures(unresolved: dict[str, Failure], course: Course) -> bool:
    """Write the file of failures, or remove it if there are none any more; return whether it is there."""
    try:
        if unresolved:
            failures.write(course.failures, unresolved.values())
        elif os.path.isfile(course.failures):
            os.unlink(course.failures)
    except OSError as err:
        screen.complain(f"cannot write the failures down: {err.strerror or err}", path=course.failures)
        return False
    return bool(unresolved)
