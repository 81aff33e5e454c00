"""The commands about tags by themselves: tags list, rename, merge, rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tagwright_admin import image_jsonl, tag_names
from tagwright_admin.connection import USAGE, Json, Refused, Url, connected, ending
from tagwright_admin.groups import ListGroup
from tagwright_admin.screen import safe
from tagwright_client import Client, TagEntry

_WIDTH = 10_000  # as wide as the text is: a name that is cut cannot be copied into the next command

app = typer.Typer(cls=ListGroup, help="List tags; rename, merge and relate them (administrators).")

Name = Annotated[str, typer.Argument(metavar="TAG", help="The tag.")]


@app.command("list")
def list_tags(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="How their names begin.")] = "",
    by_count: Annotated[bool, typer.Option("--by-count", help="Those of most photos first.")] = False,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show the tags of the photos that you may see, by name."""
    with connected(url) as client:
        found = client.tags(prefix=prefix, order="COUNT" if by_count else "NAME")
        if json:
            for entry in found:
                print(image_jsonl.tag_entry(entry), flush=True)
        else:
            _show(found)


@app.command()
def rename(
    name: Name,
    new_name: Annotated[str, typer.Argument(metavar="NEW", help="The name it gets.")],
    url: Url = None,
    json: Json = False,
) -> None:
    """Give a tag another name, on all photos; the old one goes on to mean it."""
    with connected(url) as client:
        _tell(client.rename_tag(name, new_name), json=json)


@app.command()
def merge(
    sources: Annotated[list[str], typer.Argument(metavar="TAG...", help="The tags that go.")],
    into: Annotated[str, typer.Option(metavar="TAG", help="The tag that stays.")],
    url: Url = None,
    json: Json = False,
) -> None:
    """Make several tags one, on all photos; the names of those that go go on to mean it."""
    with connected(url) as client:
        _tell(client.merge_tags(sources, into), json=json)


@app.command()
def rules(
    name: Name,
    alias: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Another name that means it.")] = None,
    parent: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="A tag that holds wherever this one does.")
    ] = None,
    no_aliases: Annotated[bool, typer.Option("--no-aliases", help="No other name means it.")] = False,
    no_parents: Annotated[bool, typer.Option("--no-parents", help="Nothing follows from it.")] = False,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show a tag's rules, or replace its aliases, its parents, or both. Options may be repeated."""
    with ending():
        if (alias and no_aliases) or (parent and no_parents):
            raise Refused("some and none of them cannot both be meant", exit_code=USAGE)
    with connected(url) as client:
        entry = _entry(client, name)
        if not (alias or parent or no_aliases or no_parents):
            if entry is None:
                raise Refused(f"there is no tag {name}", exit_code=USAGE)
            _tell(entry, json=json)
            return
        aliases = () if no_aliases else alias or (entry.aliases if entry is not None else ())
        parents = () if no_parents else parent or (entry.parents if entry is not None else ())
        _tell(client.set_tag_rules(name, aliases=aliases, parents=parents), json=json)


def _entry(client: Client, name: str) -> TagEntry | None:
    wanted = tag_names.folded(name)
    return next((entry for entry in client.tags(prefix=wanted) if entry.name == wanted), None)


def _tell(entry: TagEntry, *, json: bool) -> None:
    print(image_jsonl.tag_entry(entry), flush=True) if json else _show([entry])


def _show(entries: Iterable[TagEntry]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("tag", no_wrap=True)
    for title in ("photos", "confirmed"):
        table.add_column(title, justify="right", no_wrap=True)
    for title in ("also called", "implies"):
        table.add_column(title, no_wrap=True)
    for entry in entries:
        counts = f"{entry.image_count:,}", f"{entry.confirmed_count:,}"
        rules = (Text(safe(", ".join(names))) for names in (entry.aliases, entry.parents))
        table.add_row(Text(safe(entry.name)), *counts, *rules)
    Console(highlight=False, width=_WIDTH).print(table, soft_wrap=True)
