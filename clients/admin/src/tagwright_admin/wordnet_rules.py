"""The command `tags wordnet`: aliases and parents that WordNet suggests for the tags in use, shown or set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tagwright_admin import image_jsonl, prompts, rule_writing, screen, tag_names, wordnet
from tagwright_admin.connection import FAILED, INTERRUPTED, USAGE, Json, Refused, Url, connected, ending
from tagwright_admin.nouns import Nouns
from tagwright_admin.rule_proposals import Proposal, propose
from tagwright_admin.screen import safe
from tagwright_client import Client

_WIDTH = 10_000  # as wide as the text is: a name that is cut cannot be copied into the next command
_GLOSS = 60  # characters: enough to see which meaning it is


def propose_rules(
    folder: Annotated[str, typer.Option(metavar="FOLDER", help="WordNet's files.")] = wordnet.FOLDER,
    min_photos: Annotated[
        int, typer.Option(min=1, metavar="COUNT", help="Only tags of this many photos, and the models' labels.")
    ] = 5,
    synonyms: Annotated[
        bool, typer.Option("--synonyms", help="Other words of the same meaning become aliases as well.")
    ] = False,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="No rule about this tag. May be repeated.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Set them, after asking; tags that become aliases go.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show the aliases and parents that WordNet suggests for tags in use, and with --apply set them (administrators).

    An alias is a tag of photos so far: to set it is to merge the two on all photos. Exit code 0: all that was asked
    for happened. 1: at least one tag's rules were not set. 2: the command line is wrong, or there is no WordNet.
    """
    with ending():
        if yes and not apply:
            raise Refused("--yes goes with --apply", exit_code=USAGE)
        if apply and not yes:
            prompts.need_terminal("say --yes")
        nouns = Nouns(wordnet.read(folder))
    with connected(url) as client:
        found = propose(
            client.tags(),
            _labels(client),
            nouns,
            min_photos=min_photos,
            synonyms=synonyms,
            exclude=frozenset(map(tag_names.folded, exclude or ())),
        )
        if not json:
            _show(found)
        elif not apply:
            for proposal in found:
                print(image_jsonl.tag_proposal(proposal), flush=True)
        if apply and found:
            if not yes and not prompts.confirmed(_question(found, client.url), otherwise="say --yes"):
                raise Refused("nothing was changed")
            _apply(client, found, json=json)


def _labels(client: Client) -> frozenset[str]:
    return frozenset(tag_names.folded(label.name) for model in client.models() for label in model.labels)


def _question(found: Sequence[Proposal], url: str) -> str:
    aliases = sum(len(proposal.aliases) for proposal in found)
    parents = sum(len(proposal.parents) for proposal in found)
    rules = [f"{count:,} {title}" for count, title in ((aliases, "aliases"), (parents, "parents")) if count]
    asked = f"Set {' and '.join(rules)} at {url}?"
    if aliases:
        photos = sum(proposal.moved for proposal in found)
        asked += f" On up to {photos:,} photos a tag becomes another one, for good."
    return asked


def _apply(client: Client, found: Sequence[Proposal], *, json: bool) -> None:
    """Set what is proposed, each tag by itself, and say what became of it."""
    done = failed = 0
    try:
        for proposal, error in rule_writing.write(client, found):
            done, failed = done + (error is None), failed + (error is not None)
            if json:
                print(image_jsonl.tag_proposal(proposal, applied=error is None, error=error), flush=True)
            elif error is not None:
                screen.complain(screen.explained(error), path=proposal.name)
    except KeyboardInterrupt:
        screen.complain(f"interrupted: the rules of {done:,} of {len(found):,} tags are set")
        raise typer.Exit(INTERRUPTED) from None
    if not json:
        print(f"the rules of {done:,} of {len(found):,} tags are set", flush=True)
    if failed:
        raise typer.Exit(FAILED)


def _show(found: Sequence[Proposal]) -> None:
    if not found:
        print("WordNet suggests nothing that is not there", flush=True)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("tag", no_wrap=True)
    table.add_column("photos", justify="right", no_wrap=True)
    for title in ("aliases to add (their photos)", "parents to add", "what WordNet means"):
        table.add_column(title, no_wrap=True)
    for proposal in found:
        aliases = ", ".join(f"{name} ({photos:,})" for name, photos in proposal.aliases)
        gloss = proposal.gloss if len(proposal.gloss) <= _GLOSS else f"{proposal.gloss[: _GLOSS - 3].rstrip()}..."
        texts = (Text(safe(text)) for text in (aliases, ", ".join(proposal.parents), gloss))
        table.add_row(Text(safe(proposal.name)), f"{proposal.photos:,}", *texts)
    Console(highlight=False, width=_WIDTH).print(table, soft_wrap=True)
