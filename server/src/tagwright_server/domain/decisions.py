"""What becomes of a photo's tags when a model looks at it again, or its owner or a reviewer says something: pure
functions from the tags as they are to what changes.

The rule behind all of them: what a person decided outlives every model. A rejected tag never comes back by itself, a
confirmed one never goes by itself, and one that the owner typed is not a model's to take away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tagwright_server.domain.quoting import quoted
from tagwright_server.errors import ArgumentInvalid, NotFound
from tagwright_server.store.image_records import ImageTag, TagChange, TagSource, TagState

MOST = 1024  # tags of one photo, rejected ones included; the contract says so (tagging_service.proto)
CLEARLY = 0.05  # difference of scores that counts as moved; the contract says so (operation.proto)
_ADDED, _REMOVED, _MOVED = TagChange(added=1), TagChange(removed=1), TagChange(moved=1)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a model made of a photo: the calibrated score of every label, and those that reached their thresholds.

    Names are those of tags: a label that is an alias stands under the tag's own name.
    """

    model_version: str
    scores: Mapping[str, float]
    chosen: Collection[str]


@dataclass(frozen=True, slots=True)
class Refined:
    """What refinement made of a photo: the calibrated score of every tag it judged, and which of them are missing."""

    model_version: str
    scores: Mapping[str, float]
    missing: Collection[str]

    def under(self, names: Mapping[str, str]) -> Refined:
        """Return it under the names that tags have by now."""
        scores = {names[name]: score for name, score in self.scores.items()}
        return Refined(self.model_version, scores, frozenset(names[name] for name in self.missing))


@dataclass(frozen=True, slots=True)
class Review:
    """What a person says about a photo's tags."""

    confirm: tuple[str, ...] = ()
    reject: tuple[str, ...] = ()
    add: tuple[str, ...] = ()
    suggest: Mapping[str, float | None] = field(default_factory=dict)
    reset: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What a photo has then, and from what it differs: the rows to write and the names to remove."""

    tags: tuple[ImageTag, ...]
    written: tuple[ImageTag, ...]
    removed: tuple[str, ...]

    def counted(self, before: Iterable[ImageTag]) -> dict[str, TagChange]:
        """Return what this changes of what people see, tag by tag; `before` is what the photo had."""
        old = {tag.name: tag for tag in before if tag.state is not TagState.REJECTED}
        new = {tag.name: tag for tag in self.tags if tag.state is not TagState.REJECTED}
        changes = dict.fromkeys(new.keys() - old.keys(), _ADDED) | dict.fromkeys(old.keys() - new.keys(), _REMOVED)
        return changes | dict.fromkeys(
            (name for name in old.keys() & new.keys() if _moved(old[name], new[name])), _MOVED
        )


def tagged(before: Sequence[ImageTag], seen: Seen) -> Change:
    """Return what changes when a model has looked at a photo."""
    after = {}
    for tag in before:
        models_own = tag.state is TagState.SUGGESTED and tag.source in (TagSource.MODEL, TagSource.REFINEMENT)
        if not models_own or tag.name in seen.chosen:
            after[tag.name] = _scored(tag, seen)
    for name in seen.chosen:
        if name not in after:
            after[name] = _scored(ImageTag(name, TagState.SUGGESTED, TagSource.MODEL), seen)
    return _change(before, after)


def refined(before: Sequence[ImageTag], found: Refined) -> Change:
    """Return what changes when refinement has judged a photo's tags.

    Those that are missing come, those that it had added and that are not missing any more go. What people gave stays,
    with the score that says what refinement thinks of it.
    """
    after = {}
    for tag in before:
        own = tag.state is TagState.SUGGESTED and tag.source is TagSource.REFINEMENT
        if not own or tag.name in found.missing:
            after[tag.name] = _judged(tag, found)
    for name in found.missing:
        if name not in after and len(after) < MOST:
            after[name] = _judged(ImageTag(name, TagState.SUGGESTED, TagSource.REFINEMENT), found)
    return _change(before, after)


def given(before: Sequence[ImageTag], names: Sequence[str], *, source: TagSource, seen: Seen | None = None) -> Change:
    """Return what changes when its owner gives a photo tags, in their order, beside those it has.

    A tag that the model had suggested becomes the owner's; one that was rejected stays so.
    """
    after = {tag.name: tag for tag in before}
    position = 1 + max((tag.position for tag in before if tag.position is not None), default=-1)
    for name in names:
        had = after.get(name)
        if had is None:
            tag = ImageTag(name, TagState.SUGGESTED, source)
            after[name] = replace(_scored(tag, seen) if seen is not None else tag, position=position)
        elif had.position is None and had.state is not TagState.REJECTED:
            kept_source = had.source if had.source is TagSource.USER else source
            after[name] = replace(had, source=kept_source, position=position)
        else:
            continue
        position += 1
    _check_room(before, after, field="user_tags")
    return _change(before, after)


def reviewed(before: Sequence[ImageTag], review: Review) -> Change:
    """Return what changes by a review; raise ArgumentInvalid where it contradicts itself, NotFound for `confirm`."""
    _check(review)
    after = {tag.name: tag for tag in before}
    for name in review.confirm:
        if name not in after:
            raise NotFound(f"the photo does not have the tag {quoted(name)}; list it under `add`")
        after[name] = replace(after[name], state=TagState.CONFIRMED)
    for name in review.add:
        had = after.get(name, ImageTag(name, TagState.CONFIRMED, TagSource.USER))
        after[name] = replace(had, state=TagState.CONFIRMED)
    for name in review.reject:
        had = after.get(name, ImageTag(name, TagState.REJECTED, TagSource.USER))
        after[name] = replace(had, state=TagState.REJECTED)
    for name, score in review.suggest.items():
        had = after.get(name, ImageTag(name, TagState.SUGGESTED, TagSource.IMPORT))
        if had.source is TagSource.IMPORT and had.state is TagState.SUGGESTED:
            after[name] = replace(had, score=score)
    for name in review.reset:
        if name in after and _out_of_nothing(after[name]):
            del after[name]
        elif name in after:
            after[name] = replace(after[name], state=TagState.SUGGESTED)
    _check_room(before, after, field="add")
    return _change(before, after)


def difference(before: Sequence[ImageTag], after: tuple[ImageTag, ...]) -> Change:
    """Return what leads from the one to the other."""
    old = {tag.name: tag for tag in before}
    written = tuple(tag for tag in after if old.get(tag.name) != tag)
    return Change(after, written, removed=tuple(old.keys() - {tag.name for tag in after}))


def _out_of_nothing(tag: ImageTag) -> bool:
    """Whether a review made it: owners' tags have a position, models' a model, imported ones their source."""
    return tag.source is TagSource.USER and tag.position is None


def _check(review: Review) -> None:
    named: dict[str, str] = {}
    for list_name in ("confirm", "reject", "add", "suggest", "reset"):
        for name in getattr(review, list_name):
            if name in named:
                raise ArgumentInvalid(f"{quoted(name)} is in {named[name]} as well", field=list_name)
            named[name] = list_name
    if not named:
        raise ArgumentInvalid("says nothing about any tag", field="request")
    for name, score in review.suggest.items():
        if score is not None and not 0.0 <= score <= 1.0:
            raise ArgumentInvalid(f"{quoted(name)}: a score is from 0 to 1, not {score:g}", field="suggest")


def _check_room(before: Sequence[ImageTag], after: Mapping[str, ImageTag], *, field: str) -> None:
    if len(after) > max(MOST, len(before)):
        raise ArgumentInvalid(f"would make {len(after):,} tags; a photo has at most {MOST:,}", field=field)


def _scored(tag: ImageTag, seen: Seen) -> ImageTag:
    score = seen.scores.get(tag.name)
    return tag if score is None else replace(tag, score=score, model_version=seen.model_version)


def _judged(tag: ImageTag, found: Refined) -> ImageTag:
    score = found.scores.get(tag.name)
    return tag if score is None else replace(tag, score=score, model_version=found.model_version)


def _moved(old: ImageTag, new: ImageTag) -> bool:
    return old.score is not None and new.score is not None and abs(old.score - new.score) >= CLEARLY


def _change(before: Sequence[ImageTag], after: Mapping[str, ImageTag]) -> Change:
    return difference(before, tuple(after.values()))
