"""Why a photo is in a result: which of its tags matched which tags of the query, and what each rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tagwright_server.domain.search_values import TagMatch
from tagwright_server.refinement.records import Reason, ReasonKind
from tagwright_server.search.query import And, Node, Or, State, TagTerm
from tagwright_server.store.image_records import ImageTag, TagMeaning, TagState
from tagwright_server.store.tag_index.postings import weight

_STATES = {State.CONFIRMED: TagState.CONFIRMED, State.SUGGESTED: TagState.SUGGESTED, State.REJECTED: TagState.REJECTED}


@dataclass(frozen=True, slots=True)
class Asked:
    """A tag that a photo may be in the result for; `below` are the names of the tags below it."""

    term: TagTerm
    name: str
    below: frozenset[str]

    def fits(self, tag: ImageTag) -> bool:
        """Whether a photo's tag is one that is meant."""
        state = self.term.state
        if state is State.REJECTED:
            return tag.state is TagState.REJECTED and tag.name == self.name
        suits = tag.state is not TagState.REJECTED if state is State.ANY else tag.state is _STATES[state]
        return suits and (tag.name == self.name or tag.name in self.below)


def asked_for(query: Node, meanings: Mapping[str, TagMeaning]) -> list[Asked]:
    """Return the tags that a photo may be in the result for, in the order of the query: those under no NOT."""
    return [
        Asked(term, meanings[term.name].name, frozenset(meanings[term.name].below.values()))
        for term in dict.fromkeys(_terms(query))
    ]


def matched(asked: Sequence[Asked], tags: Sequence[ImageTag], *, evidence: bool) -> tuple[TagMatch, ...]:
    """Return the tags of a query that a photo has; of several below one of them that which counts most."""
    found = []
    for each in asked:
        fits = [
            (weight(tag.score, confirmed=tag.state is TagState.CONFIRMED), tag.name == each.name, tag)
            for tag in tags
            if each.fits(tag)
        ]
        if fits:
            counted, _, tag = max(fits, key=lambda fit: fit[:2])
            counted = 1.0 if each.term.state is State.REJECTED else counted
            reasons = tuple(_reasons(tag, each.name)) if evidence else ()
            found.append(TagMatch(each.name, tag, counted, _why(tag, each.name), reasons))
    return tuple(found)


def _terms(node: Node) -> Iterator[TagTerm]:
    if isinstance(node, TagTerm):
        yield node
    elif isinstance(node, And | Or):
        for part in node.parts:
            yield from _terms(part)


def _why(tag: ImageTag, asked: str) -> str:
    what = tag.name if tag.name == asked else f"{tag.name}, which is a kind of {asked}"
    return f"{what}; {'; '.join(reason.text for reason in _own_reasons(tag))}"


def _reasons(tag: ImageTag, asked: str) -> list[Reason]:
    rule = Reason(ReasonKind.RULE, f"{asked} is a parent of {tag.name}", 1.0, tags=(tag.name,))
    return _own_reasons(tag) + ([rule] if tag.name != asked else [])


def _own_reasons(tag: ImageTag) -> list[Reason]:
    found = []
    if tag.state is TagState.CONFIRMED:
        found.append(Reason(ReasonKind.REVIEW, "confirmed by a person", 1.0))
    elif tag.state is TagState.REJECTED:
        found.append(Reason(ReasonKind.REVIEW, "rejected by a person", 0.0))
    if tag.position is not None:
        found.append(Reason(ReasonKind.USER_TAG, f"its owner's tag number {tag.position + 1}", float(tag.position + 1)))
    if tag.score is not None:
        by = tag.model_version or "an import"
        found.append(Reason(ReasonKind.MODEL_SCORE, f"{by} gives {tag.score:.2f}", tag.score))
    return found or [Reason(ReasonKind.USER_TAG, "given, and judged by nothing yet", 0.0)]
