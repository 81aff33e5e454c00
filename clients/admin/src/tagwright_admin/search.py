"""The commands that find photos and tags: search, similar, related, suggest."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import IO, Annotated, TypeVar

import typer
from rich.text import Text

from tagwright_admin import contact_sheet, hits, local_photos, photos, screen, search_jsonl, search_screen, whole_files
from tagwright_admin.connection import FAILED, USAGE, Json, Refused, Url, connected, ending
from tagwright_admin.contact_sheet import Sheet
from tagwright_admin.hits import Hit
from tagwright_admin.image_screen import print_wide
from tagwright_admin.thumbnails import Pictures, shown_here
from tagwright_client import (
    Client,
    ImageRejected,
    PhotoUnreadable,
    QueryInvalid,
    SearchResult,
    SearchResults,
    SimilarImage,
)

_ROWS = 50  # what a person looks at, and a sheet that nobody waits for; programs, which say --json, get all
_PAGE_SIZE_MAX = 500
_FETCHED_AT_ONCE = 4
_T = TypeVar("_T", SearchResult, SimilarImage)


class Ranking(str, Enum):
    """The orders, as they are written on a command line."""

    RELEVANT = "relevant"
    DIVERSE = "diverse"
    NEWEST = "newest"


_RANKINGS = {Ranking.RELEVANT: "relevance", Ranking.DIVERSE: "diverse", Ranking.NEWEST: "newest"}
_ORDERS = {
    Ranking.RELEVANT: "the best first",
    Ranking.DIVERSE: "the best first, alike ones put together",
    Ranking.NEWEST: "the last stored first",
}

Limit = Annotated[
    int | None,
    typer.Option(min=1, metavar="COUNT", help=f"Most photos shown. Default: {_ROWS}; with --json alone, all."),
]
Html = Annotated[
    str | None, typer.Option(metavar="FILE", help="Also write a page with the photos, for a browser; one file.")
]
Thumbnails = Annotated[
    bool | None,
    typer.Option(
        "--thumbnails/--no-thumbnails",
        help="Show the photos themselves, in terminals that take iTerm2's pictures. Default: where that is known.",
        show_default=False,
    ),
]


def search(
    query: Annotated[str, typer.Argument(metavar="QUERY", help='Such as: dog & (beach | "blue sky") & !people')] = "",
    like: Annotated[
        str | None, typer.Option(metavar="PHOTO", help="Those that look like this file; - is standard input.")
    ] = None,
    like_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Those that look like this photo, which is kept.")
    ] = None,
    ranking: Annotated[
        Ranking, typer.Option(help="The best first; varied, alike ones put together; or the last stored first.")
    ] = Ranking.RELEVANT,
    limit: Limit = None,
    facets: Annotated[bool, typer.Option("--facets", help="Also the commonest tags of all that is found.")] = False,
    why: Annotated[bool, typer.Option("--why", help="Say for each tag that matched what it rests on.")] = False,
    thumbnails: Thumbnails = None,
    html: Html = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Find photos by their tags, by their look, or by both; without either, all that you may see."""
    with ending():
        if like is not None and like_id is not None:
            raise Refused("name a photo by --like or by --like-id, not both", exit_code=USAGE)
        if like is not None and like != photos.STDIN and local_photos.missing([like]):
            raise Refused(f"there is no {like}", exit_code=USAGE)
        way = _Way(limit, thumbnails, html, json)
    with connected(url) as client, _written_to(html) as file, _explained(like):
        found = client.search(
            query,
            example=photos.opened(like) if like is not None else None,
            example_image_id=like_id,
            ranking=_RANKINGS[ranking],
            page_size=way.page_size,
            include_facets=facets or file is not None,
            include_evidence=why,
            include_tags=True,
        )
        pictures = way.pictures(client)
        alike = like_id or ("standard input" if like == photos.STDIN else os.path.basename(like or ""))
        if not json:
            print_wide(search_screen.summary(found, like=alike))
        elif facets:
            print(search_jsonl.summary(found), flush=True)
        shown = _show(found, way, pictures, line=search_jsonl.result, hits_of=hits.of_search, why=why)
        if facets and found.facets and not json:
            print()
            print_wide(search_screen.facet_table(found.facets, total=found.total_count))
        if file is not None:
            example = pictures.get(like_id) if like_id is not None else None
            sheet = _sheet(found, query.strip(), alike=alike, example=example, ranking=ranking, shown=len(shown))
            _write(file, sheet, shown, pictures)
    _end(pictures, html)


def similar(
    id: Annotated[str, typer.Argument(metavar="ID", help="The photo's id.")],
    limit: Limit = None,
    thumbnails: Thumbnails = None,
    html: Html = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show the photos that look most like one that is kept, and which of them look the same."""
    with ending():
        way = _Way(limit, thumbnails, html, json)
    with connected(url) as client, _written_to(html) as file:
        found = client.similar(id, page_size=way.page_size, include_tags=True)
        pictures = way.pictures(client)
        shown = _show(found, way, pictures, line=search_jsonl.similar, hits_of=hits.of_look, score="alike")
        if not shown and not json:
            print_wide(Text(search_screen.counted(0)))
        if file is not None:
            about = f"{search_screen.counted(len(shown))} like {id}, the most alike first"
            _write(file, Sheet("Photos that look alike", about, pictures.get(id)), shown, pictures)
    _end(pictures, html)


def related(
    tag: Annotated[str, typer.Argument(metavar="TAG", help="The tag, or another name of it.")],
    limit: Annotated[int | None, typer.Option(min=1, max=100, metavar="COUNT", help="Most tags; else 20.")] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show tags that come with a tag, and tags of photos that look like its photos."""
    with connected(url) as client:
        found = client.related_tags(tag, max_tags=limit)
        if not json:
            search_screen.show_related(found)
            return
        for each in found.related:
            print(search_jsonl.related(each, tag=found.tag.name), flush=True)


def suggest(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="What was typed so far, perhaps wrongly.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, max=100, metavar="COUNT", help="Most tags; else 10.")] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Complete a tag; without anything typed, show the commonest ones."""
    with connected(url) as client:
        found = client.suggest_tags(prefix, max_suggestions=limit)
        if not json:
            search_screen.show_suggestions(found)
            return
        for each in found:
            print(search_jsonl.suggestion(each), flush=True)


@dataclass(frozen=True, slots=True)
class _Way:
    """How photos are shown, as the options say. Raises Refused for thumbnails where no terminal is."""

    limit: int | None
    thumbnails: bool | None
    html: str | None
    json: bool

    def __post_init__(self) -> None:
        if self.thumbnails and (self.json or not sys.stdout.isatty()):
            raise Refused("--thumbnails is for a terminal; --html FILE writes a page with them", exit_code=USAGE)

    @property
    def rows(self) -> int | None:
        """How many photos at most; None for all."""
        return self.limit or (None if self.json and self.html is None else _ROWS)

    @property
    def page_size(self) -> int:
        """How many to ask for at once: one more tells whether there is more."""
        return min(self.rows + 1, _PAGE_SIZE_MAX) if self.rows is not None else _PAGE_SIZE_MAX

    @property
    def pictured(self) -> bool:
        """Whether the terminal shall show pictures."""
        return not self.json and (shown_here() if self.thumbnails is None else self.thumbnails)

    def pictures(self, client: Client) -> Pictures:
        """Return where the pictures come from; whoever only happens to have such a terminal can do without."""
        return Pictures(client, needed=bool(self.thumbnails) or self.html is not None)


def _show(
    found: Iterator[_T],
    way: _Way,
    pictures: Pictures,
    *,
    line: Callable[..., str],
    hits_of: Callable[[Iterable[_T]], Iterator[Hit]],
    score: str = "score",
    why: bool = False,
) -> list[Hit]:
    """Print what was found, for people or programs; return it, or nothing where it is needed no more."""
    first = islice(found, way.rows)
    if way.json:
        return list(hits_of(_printed(first, line, keep=way.html is not None)))
    shown = list(hits_of(first))
    if shown and way.pictured:
        search_screen.show_cards(shown, pictures.get, why=why)
    elif shown:
        print_wide(search_screen.hit_table(shown, score=score, why=why))
    if way.limit is None and next(found, None) is not None:
        screen.remark(f"these are the first {way.rows}; --limit COUNT shows more")
    return shown


@contextmanager
def _explained(like: str | None) -> Iterator[None]:
    """Say which photo it was that cannot be looked at, and show where a query cannot be read."""
    try:
        yield
    except QueryInvalid as err:
        for line in str(err).split("\n"):  # the query, and a caret below it
            screen.complain(line)
        raise typer.Exit(USAGE) from err
    except (ImageRejected, PhotoUnreadable) as err:
        raise Refused(f"{like}: {screen.explained(err)}") from err


@contextmanager
def _written_to(html: str | None) -> Iterator[IO[str] | None]:
    """Give the file of a page, before anything is asked of the server; None where none is wanted."""
    if html is None:
        yield None
        return
    try:
        with whole_files.replacing(html) as file:
            yield file
    except BrokenPipeError:  # whoever read standard output has seen enough; `main` ends it
        raise
    except OSError as err:
        raise Refused(f"cannot write {html}: {err.strerror or err}") from err


def _printed(found: Iterator[_T], line: Callable[..., str], *, keep: bool) -> list[_T]:
    """Print a line for each as it comes; return them if they are needed again."""
    kept: list[_T] = []
    for rank, each in enumerate(found, start=1):
        print(line(each, rank=rank), flush=True)
        if keep:
            kept.append(each)
    return kept


def _sheet(
    found: SearchResults, query: str, *, alike: str, example: bytes | None, ranking: Ranking, shown: int
) -> Sheet:
    """Return what stands above the photos of a page."""
    total = search_screen.counted(found.total_count)
    parts = [f"{shown} of {total}" if shown < found.total_count else total]
    parts += [f"like {alike}"] if alike else []
    parts += [f"understood as {found.understood_query}"] if found.understood_query not in ("", query) else []
    parts += [_ORDERS[ranking]]
    parts += [found.model_version] if found.model_version else []
    title = query or ("Photos that look alike" if alike else "All photos")
    return Sheet(title, " · ".join(parts), example, found.facets, found.total_count)


def _write(file: IO[str], sheet: Sheet, shown: Sequence[Hit], pictures: Pictures) -> None:
    pool = ThreadPoolExecutor(_FETCHED_AT_ONCE)
    try:
        with screen.Progress(len(shown), doing="thumbnails") as progress:
            fetched = pool.map(pictures.get, [hit.image.id for hit in shown])
            contact_sheet.write(file, sheet, shown, _counting(fetched, progress))
    finally:
        pool.shutdown(cancel_futures=True)


def _counting(fetched: Iterator[bytes | None], progress: screen.Progress) -> Iterator[bytes | None]:
    for each in fetched:
        progress.advance()
        yield each


def _end(pictures: Pictures, html: str | None) -> None:
    if html is not None:
        screen.remark(f"the page is {html}")
    if pictures.failed:
        raise typer.Exit(FAILED)
