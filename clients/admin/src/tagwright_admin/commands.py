"""All commands by their names, and those that keep nothing, `tag` and `models`: options and exit codes.

What the terminal shows is in `screen`, JSON in `jsonl`. The other commands have files of their own, by subject.
"""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from tagwright_admin import (
    audit,
    export,
    images,
    import_tags,
    jsonl,
    keys,
    mirflickr,
    operations,
    photos,
    refine,
    screen,
    search,
    sign_in,
    upload,
    users,
    vocabulary,
)
from tagwright_admin.connection import FAILED, INTERRUPTED, Json, Url, connected
from tagwright_client import (
    ArgumentInvalid,
    NotFound,
    ScopeMissing,
    ServerUnreachable,
    TagManyResult,
    TokenInvalid,
    __version__,  # both are released together
)

app = typer.Typer(
    help="Tag photos with a Tagwright server, keep them there, and correct their tags.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Timeout = Annotated[float, typer.Option(min=0.001, metavar="SECONDS", help="Longest wait for one answer.")]


@app.callback(invoke_without_command=True)
def _tagwright(
    version: Annotated[bool, typer.Option("--version", is_eager=True, help="Show the version and exit.")] = False,
) -> None:
    if version:
        print(f"tagwright {__version__}")
        raise typer.Exit


@app.command()
def tag(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Photos, folders of photos (JPEG, PNG, WebP), or - for standard input."),
    ],
    json: Json = False,
    min_score: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Smallest score shown; 0: every label. Default: each label's own threshold."),
    ] = None,
    max_tags: Annotated[int | None, typer.Option(min=1, max=2**31 - 1, help="Most tags a photo, best first.")] = None,
    target_precision: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Only tags that are right this often: 0.9 is nine times in ten."),
    ] = None,
    model: Annotated[str, typer.Option(metavar="NAME[@VERSION]", help="Which model. See: tagwright models")] = "",
    include: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Show this tag whatever its score.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Never show this tag.")] = None,
    evidence: Annotated[bool, typer.Option("--evidence", help="Say for each tag what it rests on.")] = False,
    url: Url = None,
    timeout: Timeout = 30.0,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Photos in flight at once.")] = 8,
) -> None:
    """Show the tags of photos.

    Exit code 0: every photo was tagged. 1: at least one was not. 2: the command line is wrong.
    """
    found = photos.find(paths)
    for path, problem in found.problems:
        print(jsonl.problem(path, problem), flush=True) if json else screen.complain(problem, path=path)
    tagged = 0
    with connected(url) as client:
        try:
            with screen.Progress(len(found.paths)) as progress:
                results = client.tag_many(
                    map(photos.opened, found.paths),
                    concurrency=concurrency,
                    on_error="return",
                    min_score=min_score,
                    max_tags=max_tags,
                    target_precision=target_precision,
                    include_tags=include or (),
                    exclude_tags=exclude or (),
                    model=model,
                    include_evidence=evidence,
                    timeout_s=timeout,
                )
                with closing(results):
                    heard = False
                    for result in results:
                        heard = _heard(result, before=heard)
                        with progress.aside():
                            _show(found.paths[result.index], result, json=json, evidence=evidence)
                        progress.advance()
                        tagged += result.error is None
        except KeyboardInterrupt:
            screen.complain(f"interrupted: {tagged} of {len(found.paths)} photos tagged")
            raise typer.Exit(INTERRUPTED) from None
    if tagged < len(found.paths) and len(found.paths) > 1:
        screen.complain(f"{len(found.paths) - tagged} of {len(found.paths)} photos were not tagged")
    if tagged < len(found.paths) or found.problems:
        raise typer.Exit(FAILED)


@app.command()
def models(
    json: Json = False,
    labels: Annotated[bool, typer.Option("--labels", help="Show every label with its thresholds and quality.")] = False,
    url: Url = None,
    timeout: Timeout = 10.0,
) -> None:
    """Show which models the server runs, and on which engine."""
    with connected(url) as client:
        served = client.models(timeout_s=timeout)
    if not json:
        screen.show_models(served, labels=labels)
        return
    for model in served:
        print(jsonl.model(model, engine=served.engine), flush=True)


app.command("refine")(refine.refine)
app.command("upload")(upload.upload)
app.command("import-mirflickr")(mirflickr.import_mirflickr)
app.command("search")(search.search)
app.command("similar")(search.similar)
app.command("related")(search.related)
app.command("suggest")(search.suggest)
app.command("ls")(images.list_images)
app.command("show")(images.show)
app.command("review")(images.review)
app.command("set")(images.change)
app.command("get")(images.get)
app.command("rm")(images.remove)
app.add_typer(vocabulary.app, name="tags")
app.command("export")(export.export)
app.command("import")(import_tags.import_tags)
app.command("retag")(operations.retag)
app.add_typer(operations.app, name="operations")
app.command("login")(sign_in.login)
app.command("logout")(sign_in.logout)
app.command("whoami")(sign_in.who_am_i)
app.command("password")(sign_in.password)
app.add_typer(users.app, name="users")
app.add_typer(keys.app, name="keys")
app.command("audit")(audit.audit)


def _heard(result: TagManyResult, *, before: bool) -> bool:
    """Return whether the server has answered anything; raise what would befall every other photo as well."""
    error = result.error
    if isinstance(error, (ArgumentInvalid, NotFound, ScopeMissing, TokenInvalid)) or (
        isinstance(error, ServerUnreachable) and not before
    ):
        raise error
    return before or error is None or bool(error.code)


def _show(path: str, result: TagManyResult, *, json: bool, evidence: bool) -> None:
    if json:
        print(jsonl.photo(path, result.tags, result.error), flush=True)  # whoever reads along sees each at once
    elif result.tags is not None:
        screen.show_photo(path, result.tags, evidence=evidence)
    elif result.error is not None:
        screen.complain(screen.explained(result.error), path=path)
