"""Which rules WordNet suggests for the tags in use: other names for a tag, and what follows from it.

Pure functions. They propose nothing that is there, nothing that goes against a rule that people set, and no circle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from tagwright_admin.nouns import Nouns
from tagwright_admin.rule_graph import RuleGraph
from tagwright_client import TagEntry

# Meanings, by their first words, that are no tag's parent: what everything is that can be touched, and a few that hold
# in another sense than a photo's (WordNet has each car as a container, each sword as an instrument). Nor is anything
# above them: that is more abstract yet, or has another way up to it.
_TOO_ABSTRACT = frozenset(
    {
        "abstraction",
        "artifact",
        "causal_agent",
        "container",
        "entity",
        "event",
        "group",
        "instrument",
        "instrumentality",
        "living_thing",
        "location",
        "material",
        "matter",
        "natural_object",
        "natural_phenomenon",
        "object",
        "organism",
        "part",
        "phenomenon",
        "physical_entity",
        "physical_phenomenon",
        "substance",
        "thing",
        "whole",
    }
)


@dataclass(frozen=True, slots=True)
class Proposal:
    """Rules to add to one tag. `aliases` are tags of their own so far, with how many photos each; `gloss` says why."""

    name: str
    photos: int
    aliases: tuple[tuple[str, int], ...]
    parents: tuple[str, ...]
    gloss: str

    @property
    def moved(self) -> int:
        """On how many photos a tag becomes this one; a photo with two of them counts twice."""
        return sum(photos for _, photos in self.aliases)


@dataclass(frozen=True, slots=True)
class _Tag:
    """A tag in use: the nouns that its names are, its own first, and whether a model has it as a label."""

    entry: TagEntry
    nouns: tuple[str, ...]
    own: str | None
    label: bool

    @property
    def rank(self) -> tuple[bool, bool, int, int, str]:
        """The less, the rather its name stays: a label's, one that people gave rules, the commoner, the shorter."""
        entry = self.entry
        return not self.label, not (entry.aliases or entry.parents), -entry.image_count, len(entry.name), entry.name


def propose(
    entries: Iterable[TagEntry],
    labels: Set[str],
    nouns: Nouns,
    *,
    min_photos: int = 1,
    synonyms: bool = False,
    exclude: Set[str] = frozenset(),
) -> list[Proposal]:
    """Return what to add to which tags, by name; with `synonyms`, also other words of the same meaning as aliases.

    Tags count where they have `min_photos` photos or are labels of a model, whose names always stay, unless they or
    one of their aliases are in `exclude`.
    """
    known = {entry.name: entry for entry in entries}
    graph = RuleGraph({name: entry.parents for name, entry in known.items() if entry.parents})
    tags = [
        tag
        for tag in _in_use(known, labels, nouns, min_photos=min_photos)
        if exclude.isdisjoint((tag.entry.name, *tag.entry.aliases))
    ]
    becomes = _aliases(tags, graph, nouns.meaning if synonyms else str)  # str: the noun itself
    by_sense = _by_sense(tags, becomes, nouns)
    parents = _parents([tag for tag in tags if tag.entry.name not in becomes], by_sense, graph, nouns)
    aliases: dict[str, list[tuple[str, int]]] = {}
    for name, target in sorted(becomes.items()):
        aliases.setdefault(target, []).append((name, known[name].image_count))
    found = []
    for tag in tags:
        name = tag.entry.name
        if tag.nouns and (name in aliases or parents.get(name)):
            photos, gloss = tag.entry.image_count, nouns.gloss(tag.nouns[0])
            found.append(Proposal(name, photos, tuple(aliases.get(name, ())), parents.get(name, ()), gloss))
    return found


def _in_use(known: Mapping[str, TagEntry], labels: Set[str], nouns: Nouns, *, min_photos: int) -> list[_Tag]:
    own = {alias: name for name, entry in known.items() for alias in entry.aliases}
    labelled = {own.get(label, label) for label in labels}  # a label may have been renamed
    names = labelled | {name for name, entry in known.items() if entry.image_count >= min_photos}
    found = []
    for name in sorted(names):
        entry = known.get(name) or TagEntry(name, (), (), 0, 0)
        meant = [nouns.noun(each) for each in (name, *entry.aliases)]
        found.append(_Tag(entry, tuple(dict.fromkeys(filter(None, meant))), meant[0], name in labelled))
    return found


def _aliases(tags: Sequence[_Tag], graph: RuleGraph, meaning: Callable[[str], str]) -> dict[str, str]:
    """Return which tags become others, and have the graph know."""
    together: dict[str, list[_Tag]] = {}
    for tag in tags:
        if tag.own is not None:
            together.setdefault(meaning(tag.own), []).append(tag)
    becomes: dict[str, str] = {}
    for several in together.values():
        stays, *others = sorted(several, key=lambda tag: tag.rank)
        for tag in others:
            ruled = tag.entry.aliases or not set(tag.entry.parents) <= set(stays.entry.parents)
            if not (tag.label or ruled) and graph.merge(tag.entry.name, stays.entry.name):
                becomes[tag.entry.name] = stays.entry.name
    return becomes


def _by_sense(tags: Sequence[_Tag], becomes: Mapping[str, str], nouns: Nouns) -> dict[str, str]:
    """Return the tag of each meaning that has one: of several, the one whose name would rather stay."""
    found: dict[str, str] = {}
    for tag in sorted(tags, key=lambda tag: tag.rank):
        name = tag.entry.name
        for noun in tag.nouns:
            for sense in nouns.senses(noun):
                found.setdefault(sense, becomes.get(name, name))
    return found


def _parents(
    tags: Sequence[_Tag], by_sense: Mapping[str, str], graph: RuleGraph, nouns: Nouns
) -> dict[str, tuple[str, ...]]:
    """Return what is to follow from each tag, the nearest only: what follows from these follows by their own rules."""
    added: dict[str, list[str]] = {}
    for tag in tags:
        name = tag.entry.name
        if not tag.nouns or not nouns.thing(tag.nouns[0]):
            continue
        for above in _nearest(name, nouns.senses(tag.nouns[0]), by_sense, nouns):
            if above not in graph.parents(name) and graph.add(name, above):
                added.setdefault(name, []).append(above)
    return {
        name: tuple(sorted(parent for parent in parents if not graph.needless(name, parent)))
        for name, parents in added.items()
    }


def _nearest(name: str, senses: Iterable[str], by_sense: Mapping[str, str], nouns: Nouns) -> list[str]:
    """Return the first tags on all ways up from some meanings."""
    found: dict[str, None] = {}
    seen, newest = set(senses), list(senses)
    while newest:
        above = dict.fromkeys(sense for each in newest for sense in nouns.above(each) if sense not in seen)
        seen.update(above)
        newest = []
        for sense in above:
            if nouns.synset(sense).words[0] in _TOO_ABSTRACT:
                continue
            tag = by_sense.get(sense, name)
            if tag == name:
                newest.append(sense)
            else:
                found[tag] = None
    return list(found)
