"""What people see of a search: a line about all of it, a table or cards of photos, and tags with bars."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tagwright_admin import thumbnails
from tagwright_admin.hits import Hit
from tagwright_admin.image_screen import named, print_wide, when
from tagwright_admin.screen import bar, safe
from tagwright_client import Facet, RelatedTags, SearchResults, TagMatch, TagSuggestion

_SCORE_CELLS = 10  # beside ids, which take 32
_MARGIN = 2  # between a picture and what stands beside it
_NARROWEST = 34  # an id, and a little room


def summary(results: SearchResults, *, like: str = "") -> Text:
    """Return the line about a whole result: how many, how the query was understood, and how long it took."""
    asked = [results.understood_query] if results.understood_query else []
    asked += [f"like {like}"] if like else []
    took = f"{results.timings.total_ms:.0f} ms"
    about = f"  {results.model_version}, {took}" if results.model_version else f"  {took}"
    line = Text(counted(results.total_count), style="bold")
    return line.append(safe(f"  {', '.join(asked) or 'all'}"), style="not bold").append(
        safe(about), style="not bold dim"
    )


def counted(photos: int) -> str:
    """Return a number of photos, in words where there is none."""
    return f"{photos:,} photo{'s' if photos != 1 else ''}" if photos else "no photo"


def hit_table(hits: Iterable[Hit], *, score: str = "score", why: bool = False, brief: bool = False) -> Table:
    """Return a row a photo; with `why` a line for each tag that matched; `brief`: no id, owner and time."""
    rows = list(hits)
    remarks = [""] if any(hit.remark for hit in rows) else []
    about = [] if brief else ["owner", "stored"]
    table = _columns("#", *([] if brief else ["id"]), "file", score, *about, *remarks, "why" if why else "tags")
    table.columns[-1].no_wrap = False  # where there is no room, it is what goes on in the next line
    for hit in rows:
        owner, stored = Text(safe(hit.image.owner)), Text(when(hit.image.create_time))
        table.add_row(
            Text(f"{hit.rank}", style="dim"),
            *([] if brief else [Text(safe(hit.image.id))]),
            Text(safe(hit.image.file_name or "-")),
            _scored(hit.score),
            *([] if brief else [owner, stored]),
            *([Text(hit.remark, style="yellow")] if remarks else []),
            _reasons(hit) if why else _tags(hit),
        )
    return table


def show_cards(hits: Iterable[Hit], picture: Callable[[str], bytes | None], *, why: bool) -> None:
    """Print each photo with its picture, which `picture` returns for its id."""
    beside = thumbnails.COLUMNS + _MARGIN
    width = max(shutil.get_terminal_size().columns - beside, _NARROWEST)
    for hit in hits:
        data = picture(hit.image.id)
        console = Console(highlight=False, width=width)
        with console.capture() as capture:
            for line in _card(hit, why=why):
                console.print(line)
        sys.stdout.write(thumbnails.beside(data, capture.get().splitlines(), margin=_MARGIN))
        sys.stdout.flush()


def facet_table(facets: Iterable[Facet], *, total: int) -> Table:
    """Return a line for each of a result's commonest tags, its bar as long as the part of the photos that has it."""
    table = _columns("also tagged", "", "photos")
    for facet in facets:
        share = facet.count / total if total else 0.0
        table.add_row(Text(safe(facet.tag)), Text(bar(share), style="cyan"), f"{facet.count:,}")
    return table


def related_table(found: RelatedTags) -> Table:
    """Return a line for each tag that goes with another, with bars for how often it does and for the look."""
    table = _columns("related", "score", "together", "look", "photos with both", right=("photos with both",))
    for each in found.related:
        table.add_row(
            Text(safe(each.name)),
            Text(f"{each.score:.2f}"),
            _scored(each.cooccurrence),
            _scored(each.look),
            f"{each.both_count:,}",
        )
    return table


def show_related(found: RelatedTags) -> None:
    """Print what goes with a tag."""
    heading = Text(safe(found.tag.name), style="bold")
    print_wide(heading.append(f"  {counted(found.tag.image_count)}", style="not bold dim"))
    print_wide(related_table(found) if found.related else Text("nothing goes with it yet"))


def show_suggestions(found: Iterable[TagSuggestion]) -> None:
    """Print tags that complete what was typed."""
    table = _columns("tag", "photos", "")
    for each in found:
        notes = [f"by its other name {each.alias}"] if each.alias else []
        if each.typing_errors:
            notes.append(f"{each.typing_errors} letter{'s' if each.typing_errors > 1 else ''} typed otherwise")
        table.add_row(Text(safe(each.name)), f"{each.image_count:,}", Text(safe(", ".join(notes)), style="dim"))
    print_wide(table if table.row_count else Text("no tag is like it"))


def _columns(*titles: str, right: tuple[str, ...] = ("#", "photos")) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in titles:
        table.add_column(title, no_wrap=True, justify="right" if title in right else "left")
    return table


def _scored(score: float) -> Text:
    return Text(bar(score, cells=_SCORE_CELLS), style="cyan").append(f" {score:.2f}", style="default")


def _tags(hit: Hit) -> Text:
    """Return the tags that matched, with what each counts; where none was asked for, the photo's own."""
    if not hit.matches:
        return named(hit.image.tags)
    return Text(", ").join(
        Text(safe(match.tag.name)).append(f" {match.score:.2f}", style="dim") for match in hit.matches
    )


def _reasons(hit: Hit) -> Text:
    return Text("\n").join(map(_reason, hit.matches)) if hit.matches else _tags(hit)


def _reason(match: TagMatch) -> Text:
    return Text(f"{match.score:.2f} ").append(safe(match.why), style="dim")


def _card(hit: Hit, *, why: bool) -> Iterator[Text]:
    yield Text(f"{hit.rank}  ", style="dim").append(safe(hit.image.file_name or "-"), style="not dim bold")
    yield Text(safe(hit.image.id))
    about = f"  {safe(hit.image.owner)}, {when(hit.image.create_time)}"
    yield _scored(hit.score).append(about, style="dim").append(f"  {hit.remark}", style="yellow")
    yield _reasons(hit) if why else _tags(hit)
