"""Has a server keep proposed rules. Shows nothing.

Promises: what a tag's rules were just before stays beside what is added; one tag that fails does not stop the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tagwright_admin.rule_proposals import Proposal
from tagwright_client import Client, NotFound, ScopeMissing, ServerUnreachable, TagEntry, TagwrightError, TokenInvalid


def write(client: Client, proposals: Iterable[Proposal]) -> Iterator[tuple[Proposal, TagwrightError | None]]:
    """Set the rules of each tag and say which error it met. Raises what every other tag would meet as well."""
    now = {entry.name: entry for entry in client.tags()}  # anew: somebody took time to say yes
    others = {alias for entry in now.values() for alias in entry.aliases}
    for proposal in proposals:
        try:
            if proposal.name in others:  # to set its rules would be to replace those of the tag that it now means
                raise NotFound("it is another name of a tag by now")
            _write(client, proposal, now.get(proposal.name))
        except (ScopeMissing, ServerUnreachable, TokenInvalid):
            raise
        except TagwrightError as err:
            yield proposal, err
        else:
            yield proposal, None


def _write(client: Client, proposal: Proposal, now: TagEntry | None) -> None:
    if proposal.aliases:
        now = _merged(client, [name for name, _ in proposal.aliases], proposal.name)
    if proposal.parents:
        aliases, parents = (now.aliases, now.parents) if now is not None else ((), ())
        # The call replaces: what is there is said again.
        client.set_tag_rules(proposal.name, aliases=aliases, parents=dict.fromkeys((*parents, *proposal.parents)))


def _merged(client: Client, sources: list[str], target: str) -> TagEntry:
    """Make tags of photos aliases: a tag that is in use cannot just be called one, it is merged."""
    try:
        return client.merge_tags(sources, target)
    except NotFound:  # a label that no photo has yet: there is nothing to merge into, so one of them becomes it
        first, *others = sources
        renamed = client.rename_tag(first, target)
        return client.merge_tags(others, target) if others else renamed
