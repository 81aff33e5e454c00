"""What refinement decided of a photo's tags, in the groups that people look for, with the neighbours to be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tagwright_client import Client, TagDecision

_HEADINGS = {
    "KEEP": "Kept",
    "REMOVE": "Removed",
    "ADD": "Added",
    "UNSURE": "For you to say",
}
_NEIGHBOURS = 8


@dataclass(frozen=True, slots=True)
class Judged:
    """The tags of one decision; `neighbours` has, by tag, the photos to be shown that its reasons rest on."""

    decision: str
    heading: str
    decisions: tuple[TagDecision, ...]
    neighbours: dict[str, tuple[str, ...]]


def judged(client: Client, decisions: Sequence[TagDecision]) -> tuple[Judged, ...]:
    """Group decisions; ask once which of the neighbours are photos that the visitor may see."""
    rests_on = {each.name: _ids(each) for each in decisions}
    wanted = list(dict.fromkeys(id for ids in rests_on.values() for id in ids))
    seen = {image.id for image in client.images(ids=wanted[:500])} if wanted else set()
    neighbours = {name: tuple(id for id in ids if id in seen) for name, ids in rests_on.items()}
    return tuple(
        Judged(decision, heading, group, neighbours)
        for decision, heading in _HEADINGS.items()
        if (group := tuple(each for each in decisions if each.decision == decision))
    )


def _ids(decision: TagDecision) -> tuple[str, ...]:
    return tuple(dict.fromkeys(id for each in decision.evidence for id in each.image_ids))[:_NEIGHBOURS]
