"""The commands about tags by themselves: tags list, rename, merge, rules, wordnet (in `wordnet_rules`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tagwright_admin import image_jsonl, tag_names, wordnet_rules
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
    alias: Annotated[list[str] | None, typer.Option(metavar="NAME", help="One more name that means it.")] = None,
    parent: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="One more tag that holds wherever this one does.")
    ] = None,
    remove_alias: Annotated[list[str] | None, typer.Option(metavar="NAME", help="This name means it no more.")] = None,
    remove_parent: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="This follows from it no more.")
    ] = None,
    no_aliases: Annotated[bool, typer.Option("--no-aliases", help="No other name means it.")] = False,
    no_parents: Annotated[bool, typer.Option("--no-parents", help="Nothing follows from it.")] = False,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show a tag's rules, or change them: aliases and parents are added to those there. Options may be repeated.

    Refinement uses parents: whatever is kept or added with a score implies its parents with at least that score.
    """
    with ending():
        said_aliases = _Said("alias", _folded(alias), _folded(remove_alias), no_aliases)
        said_parents = _Said("parent", _folded(parent), _folded(remove_parent), no_parents)
    with connected(url) as client:
        entry = _entry(client, name)
        if not (said_aliases or said_parents):
            if entry is None:
                raise Refused(f"there is no tag {name}", exit_code=USAGE)
            _tell(entry, json=json)
            return
        before = entry or TagEntry(tag_names.folded(name), (), (), 0, 0)
        aliases, parents = said_aliases.applied(before.aliases), said_parents.applied(before.parents)
        # The call replaces: what a rename or a merge left there is said again.
        after = client.set_tag_rules(before.name, aliases=aliases, parents=parents)
        if json:
            print(image_jsonl.tag_entry(after, before=before), flush=True)
            return
        for title, old, new in (("alias", before.aliases, after.aliases), ("parent", before.parents, after.parents)):
            _tell_difference(title, old, new)
        if (before.aliases, before.parents) == (after.aliases, after.parents):
            print("nothing changed", flush=True)
        _show([after])


app.command("wordnet")(wordnet_rules.propose_rules)


@dataclass(frozen=True, slots=True)
class _Said:
    """What the command line says about a tag's aliases, or about its parents. Raises Refused for a contradiction."""

    title: str
    add: tuple[str, ...]
    remove: tuple[str, ...]
    none: bool

    def __post_init__(self) -> None:
        if (self.none and (self.add or self.remove)) or set(self.add) & set(self.remove):
            raise Refused(f"what is said about each {self.title} contradicts itself", exit_code=USAGE)

    def __bool__(self) -> bool:
        return bool(self.add or self.remove or self.none)

    def applied(self, now: Sequence[str]) -> tuple[str, ...]:
        """Return what there shall be in place of what there is now. Raises Refused for what cannot be taken away."""
        absent = [name for name in self.remove if name not in now]
        if absent:
            raise Refused(f"it has no {self.title} {', '.join(absent)}", exit_code=USAGE)
        kept = () if self.none else (name for name in now if name not in self.remove)
        return tuple(dict.fromkeys((*kept, *self.add)))


def _folded(names: Iterable[str] | None) -> tuple[str, ...]:
    return tuple(map(tag_names.folded, names or ()))


def _entry(client: Client, name: str) -> TagEntry | None:
    """Return the tag that a name means, also if it is an alias."""
    wanted = tag_names.folded(name)
    found = next((entry for entry in client.tags(prefix=wanted) if entry.name == wanted), None)
    return found or next((entry for entry in client.tags() if wanted in entry.aliases), None)


def _tell_difference(title: str, old: Sequence[str], new: Sequence[str]) -> None:
    for done, names in (
        ("added", [name for name in new if name not in old]),
        ("taken away", [name for name in old if name not in new]),
    ):
        if names:
            print(f"{title} {done}: {safe(', '.join(names))}", flush=True)


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
