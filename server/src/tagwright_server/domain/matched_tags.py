"""Why a photo is in a result: which of its tags matched which tags of the query, and what each rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tagwright_server.domain.search_values import TagMatch
from tagwright_server.refinement.records import Reason, ReasonKind
from tagwright_server.search.query import And, Node, Or, State, TagTerm
from tagwright_server.store.image_records import ImageTag, TagMeaning, TagState
from tagwright_server.store.tag_index.postings import weight

_STATES = {State.CONFIRMED: TagState.CONFIRMED, State.SUGGESTED: TagState.SUGGESTED, State.REJECTED: TagState.REJECTED}
_PLACES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def asked_for(node: Node) -> list[TagTerm]:
    """Return the tags that a photo may be in the result for, in the order of the query: those under no NOT."""
    if isinstance(node, TagTerm):
        return [node]
    if isinstance(node, And | Or):
        return list(dict.fromkeys(term for part in node.parts for term in asked_for(part)))
    return []


def matched(
    terms: Sequence[TagTerm], meanings: Mapping[str, TagMeaning], tags: Sequence[ImageTag], *, evidence: bool
) -> tuple[TagMatch, ...]:
    """Return the tags of a query that a photo has; of several below one of them that which counts most."""
    found = []
    for term in terms:
        meaning = meanings[term.name]
        fits = [
            (weight(tag.score, confirmed=tag.state is TagState.CONFIRMED), tag.name == meaning.name, tag)
            for tag in tags
            if _fits(tag, term.state, meaning)
        ]
        if fits:
            counted, _, tag = max(fits, key=lambda each: each[:2])
            counted = 1.0 if term.state is State.REJECTED else counted
            reasons = tuple(_reasons(tag, meaning)) if evidence else ()
            found.append(TagMatch(meaning.name, tag, counted, _why(tag, meaning), reasons))
    return tuple(found)


def _fits(tag: ImageTag, state: State, meaning: TagMeaning) -> bool:
    if state is State.REJECTED:
        return tag.state is TagState.REJECTED and tag.name == meaning.name
    suits = tag.state is not TagState.REJECTED if state is State.ANY else tag.state is _STATES[state]
    return suits and (tag.name == meaning.name or tag.name in meaning.below.values())


def _why(tag: ImageTag, meaning: TagMeaning) -> str:
    what = tag.name if tag.name == meaning.name else f"{tag.name}, which is a kind of {meaning.name}"
    return f"{what}: {'; '.join(reason.text for reason in _own_reasons(tag))}"


def _reasons(tag: ImageTag, meaning: TagMeaning) -> list[Reason]:
    rule = Reason(ReasonKind.RULE, f"{meaning.name} is a parent of {tag.name}", 1.0, tags=(tag.name,))
    return _own_reasons(tag) + ([rule] if tag.name != meaning.name else [])


def _own_reasons(tag: ImageTag) -> list[Reason]:
    found = []
    if tag.state is TagState.CONFIRMED:
        found.append(Reason(ReasonKind.REVIEW, "confirmed by a person", 1.0))
    elif tag.state is TagState.REJECTED:
        found.append(Reason(ReasonKind.REVIEW, "rejected by a person", 0.0))
    if tag.position is not None:
        place = _PLACES[tag.position] if tag.position < len(_PLACES) else f"{tag.position + 1}th"
        found.append(Reason(ReasonKind.USER_TAG, f"its owner's {place} tag", float(tag.position + 1)))
    if tag.score is not None:
        by = tag.model_version or "an import"
        found.append(Reason(ReasonKind.MODEL_SCORE, f"{by} gives {tag.score:.2f}", tag.score))
    return found or [Reason(ReasonKind.USER_TAG, "given, and judged by nothing yet", 0.0)]
