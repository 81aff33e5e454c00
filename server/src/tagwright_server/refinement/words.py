"""Evidence in words that people understand, beside its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from tagwright_server.refinement.evidence import Evidence
from tagwright_server.refinement.records import Neighbours, Photo, Reason, ReasonKind
from tagwright_server.refinement.statistics import Statistics

MOST = 20  # photos and tags that a reason names; the contract says so (tag.proto)
_TELLING = 0.5  # bits from which on tags are said to come together, or to keep apart
_ORDINALS = {1: "1st", 2: "2nd", 3: "3rd"}


def by_rule(child: str) -> Reason:
    """Return the reason of a tag that follows from another one."""
    return Reason(ReasonKind.RULE, f"it holds wherever “{child}” does, by rule", 1.0, tags=(child,))


class Words:
    """The reasons for the tags of one photo."""

    def __init__(
        self,
        photo: Photo,
        evidence: Evidence,
        neighbours: Neighbours,
        statistics: Statistics,
        rules: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`rules` are the tags that have the score of a tag that they follow from, by rule, and which that is."""
        self._rules = rules
        self._photo = photo
        self._evidence = evidence
        self._neighbours = neighbours
        self._statistics = statistics
        self._row = {name: at for at, name in enumerate(evidence.names)}

    def reasons(self, name: str) -> tuple[Reason, ...]:
        """Return what speaks for and against a tag, the strongest first."""
        row = self._row[name]
        found = [
            (math.inf, self._rule(name)),
            (abs(float(self._evidence.vote_z[row])), self._votes(name, row)),
            (abs(float(self._evidence.probe_z[row])), self._probe(name, row)),
            (abs(float(self._evidence.others[row])), self._others(name)),
            (abs(float(self._evidence.network[row])), self._network(row)),
            (0.0, self._given(row)),
        ]
        there = [(weight, at, reason) for at, (weight, reason) in enumerate(found) if reason is not None]
        return tuple(reason for _, _, reason in sorted(there, key=lambda each: (-each[0], each[1])))

    def _rule(self, name: str) -> Reason | None:
        if (child := self._rules.get(name)) is None:
            return None
        return by_rule(child)

    def _votes(self, name: str, row: int) -> Reason | None:
        if not len(self._neighbours):
            return None
        with_it = [at for at, tags in enumerate(self._neighbours.tags) if name in tags]
        chance = float(self._evidence.expected[row])
        text = (
            f"{len(with_it)} of the {len(self._neighbours)} photos that look most alike have it; "
            f"chance gives {chance:.1f}"
        )
        ids = tuple(id for at in with_it if (id := self._neighbours.ids[at]))
        return Reason(ReasonKind.NEIGHBOURS, text, float(self._evidence.vote_z[row]), 0.0, image_ids=ids[:MOST])

    def _probe(self, name: str, row: int) -> Reason | None:
        if not self._statistics.known(name):
            return None
        z = float(self._evidence.probe_z[row])
        how = "more" if z > 0 else "less"
        text = f"it looks {how} like the {self._statistics.count(name):,} photos with this tag than most do ({z:+.1f})"
        return Reason(ReasonKind.PROBE, text, z, 0.0)

    def _others(self, name: str) -> Reason | None:
        given = [tag for tag in self._photo.user_tags if tag != name and self._statistics.known(tag)]
        if not given or not self._statistics.known(name):
            return None
        photos = self._statistics.photos
        both = self._statistics.cooccurrences(given, [name])[:, 0]
        expected = self._statistics.counts(given) * (self._statistics.count(name) / photos)
        bits = {
            tag: math.log2((together + 1.0) / (chance + 1.0))
            for tag, together, chance in zip(given, both.tolist(), expected.tolist(), strict=True)
        }
        telling = sorted((tag for tag in given if abs(bits[tag]) >= _TELLING), key=lambda tag: (-abs(bits[tag]), tag))
        if not telling:
            return None
        best = telling[0]
        coarse = (
            round(2 * bits[best]) / 2
        )  # photos that the asker does not see count as well: no number gives them away
        times = 2 ** abs(coarse)
        text = (
            f"it comes about {times:.1f} times {'more' if coarse > 0 else 'less'} often with “{best}” than chance gives"
        )
        return Reason(ReasonKind.COOCCURRENCE, text, coarse, 0.0, tags=tuple(telling[:MOST]))

    def _network(self, row: int) -> Reason | None:
        logit = float(self._evidence.network[row])
        if math.isnan(logit):
            return None
        score = 1 / (1 + math.exp(-logit))
        return Reason(ReasonKind.MODEL_SCORE, f"the network gives {score:.3f}", score)

    def _given(self, row: int) -> Reason | None:
        place = int(self._evidence.place[row])
        if not place:
            return None
        ordinal = _ORDINALS.get(place, f"{place}th") if place < 20 else f"no. {place}"
        return Reason(ReasonKind.USER_TAG, f"its owner gave it, as the {ordinal} tag", float(place))
