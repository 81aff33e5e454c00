"""Completed tags, related tags and photos that look alike are those that looking at every photo finds, for anybody."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from search_world import NAMES, RULES, STRANGER, TAGS, VIEWERS, World, soon, viewer, world
from searched import NEARLY, SAME_BITS, Given, Rules, Shot, Tag, alike, dot, found, see_in_order
from stores import OnPostgres, OnSqlite

from tagwright_server.domain import suggesting
from tagwright_server.domain.search_values import Similar
from tagwright_server.errors import ArgumentInvalid, NotFound
from tagwright_server.store.store import Store

TRIES = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
SAMPLE = 40  # photos that say what a tag looks like, so that they are not all
viewers = st.sampled_from(VIEWERS)
beginnings = st.builds(lambda name, length: name[:length], st.sampled_from(NAMES), st.integers(1, 12))
slips = st.builds(
    lambda text, at, what: text[: at % len(text)] + what + text[at % len(text) + (1 if what != "?" else 0) :],
    beginnings,
    st.integers(0, 20),
    st.sampled_from(["", "x", "?", "a"]),
)
swaps = beginnings.filter(lambda text: len(text) > 2).map(lambda text: text[:-2] + text[-1] + text[-2])


def distance(one: str, other: str) -> int:
    """Letters wrong, missing, too many, or swapped with their neighbour."""
    rows: list[list[int]] = [[*range(len(other) + 1)]]
    for i, letter in enumerate(one, 1):
        row = [i]
        for j, its in enumerate(other, 1):
            row.append(min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (letter != its)))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == its:
                row[-1] = min(row[-1], rows[-2][j - 2] + 1)
        rows.append(row)
    return rows[-1][-1]


def errors(prefix: str, name: str) -> int | None:
    """How many letters of a prefix are wrong at least, where a name or one of its words begins nearly so."""
    words = [name[at:] for at in range(len(name)) if not at or name[at - 1] in " _-"]
    allowed = 0 if len(prefix) < 3 else 1 if len(prefix) < 7 else 2
    near = (
        distance(prefix, word[:length])
        for word in words
        for length in range(len(prefix) - allowed, len(prefix) + allowed + 1)
    )
    least = min(near)
    return least if least <= allowed else None


def counted(shots: Sequence[Shot]) -> Counter[str]:
    return Counter(name for shot in shots for name in shot.names())


def completions(prefix: str, counts: Mapping[str, int]) -> dict[str, tuple[int, set[str]]]:
    """The tags that complete a prefix: how many letters are wrong, and which of its names were being typed so."""
    found: dict[str, tuple[int, set[str]]] = {}
    for tag in counts:
        names = {"": tag, **{alias: alias for alias, meant in RULES.aliases.items() if meant == tag}}
        wrong = {alias: each for alias, name in names.items() if (each := errors(prefix, name)) is not None}
        if wrong:
            least = min(wrong.values())
            found[tag] = (least, {alias for alias, each in wrong.items() if each == least})
    return found


class SuggestionsContract:
    @pytest.fixture
    def here(self, store: Store, photos: int, tmp_path: Path) -> Iterator[World]:
        with world(store, tmp_path / "index") as made:
            made.fill(photos)
            yield made

    def test_what_is_typed_is_completed_to_the_tags_of_most_photos_and_errors_come_last(self, here: World) -> None:
        @settings(TRIES, max_examples=120)
        @given(beginnings | beginnings | slips | swaps | st.text(max_size=5), viewers, st.sampled_from([1, 3, 10, 100]))
        @example("", STRANGER, 100)
        def test(prefix: str, who: str, count: int) -> None:
            counts = counted(here.seen(who))
            try:
                said, _ = here.suggesting.complete(prefix, count=count, deadline=soon(), by=here.caller(who))
            except ArgumentInvalid:
                return  # no tag begins so
            folded = " ".join(prefix.lower().split())
            if not folded:
                right = dict.fromkeys(counts, (0, {""}))
            elif folded.isascii() or folded in "🐕كلب":
                right = completions(folded, counts)
            else:
                right = {tag: (each.errors, {each.alias}) for each in said if (tag := each.name) in counts}
            order = sorted((wrong, -counts[tag]) for tag, (wrong, _) in right.items())
            assert [(each.errors, -each.images) for each in said] == order[:count]
            assert len({each.name for each in said}) == len(said)
            for each in said:
                wrong, aliases = right[each.name]
                assert (each.images, each.errors) == (counts[each.name], wrong)
                assert each.alias in ({""} if "" in aliases else aliases)

        test()

    def test_related_tags_are_reckoned_from_the_photos_that_one_sees(
        self, here: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, who in itertools.product((*TAGS[:8], "kitty", "sea side", "%", "pet"), VIEWERS):
            seen = here.seen(who)
            tag = here.rules.tag(name)
            hits = found(seen, Only(tag), here.rules, viewer=viewer(who))
            if not hits:
                with pytest.raises(NotFound):
                    here.suggesting.related(name, count=100, deadline=soon(), by=here.caller(who))
                continue
            shots = [hit.shot for hit in hits]
            sample, near = next(filter(None, (look_alike(shots, seen, at) for at in itertools.count(SAMPLE))))
            monkeypatch.setattr(suggesting, "_LOOKED_AT", sample)
            said, _ = here.suggesting.related(name, count=100, deadline=soon(), by=here.caller(who))
            assert (said.tag.name, said.tag.images) == (tag, len(hits))
            right = related(tag, shots, near, seen)
            assert {each.name for each in said.related} == right.keys()
            for each in said.related:
                assert each.both == counted(shots)[each.name]
                assert (each.score, each.cooccurrence, each.look) == pytest.approx(right[each.name], abs=1e-6)
            assert [each.score for each in said.related] == sorted((each.score for each in said.related), reverse=True)
            few, _ = here.suggesting.related(name, count=3, deadline=soon(), by=here.caller(who))
            assert few.related == said.related[:3]

    def test_photos_that_look_most_like_one_come_first_and_near_duplicates_are_named(self, here: World) -> None:
        shots = here.by_id()

        @settings(TRIES, max_examples=30)
        @given(st.sampled_from(here.shots), viewers, st.sampled_from([1, 7, 50, 500]))
        def test(shot: Shot, who: str, size: int) -> None:
            if shot.vector is None:
                return
            if not shot.seen_by(viewer(who)):
                with pytest.raises(NotFound):
                    here.searching.similar(shot.id, **asked(here, who, None, size))
                return
            cosines = alike(here.seen(who), shot.vector, but=shot.id)
            images = list(itertools.islice(similar(here, shot, who, size), 3 * size))
            ids = [each.image.image.id for each in images]
            assert len(ids) == len(set(ids)) == min(len(cosines), 3 * size)
            see_in_order(ids, cosines, shots)
            assert [cosines[id] for id in ids] == pytest.approx(
                sorted(cosines.values(), reverse=True)[: len(ids)], abs=1e-5
            )
            for each in images:
                id = each.image.image.id
                assert 0 <= each.similarity == pytest.approx(max(0.0, cosines[id]), abs=1e-5)
                assert each.near_duplicate == ((shots[id].hash ^ shot.hash).bit_count() <= SAME_BITS)

        test()


class Only(Tag):
    """A tag without those below it."""

    def fits(self, shot: Shot, rules: Rules) -> dict[str, Given]:
        return {name: tag for name, tag in super().fits(shot, rules).items() if name == self.name}


def look_alike(shots: Sequence[Shot], seen: Sequence[Shot], sample: int) -> tuple[int, list[Shot]] | None:
    """The photos nearest to the average look of some; None where nobody can say which these are."""
    vectors = [shot.vector for shot in shots[:sample] if shot.vector is not None]
    if not vectors:
        return sample, []
    mean = [sum(each) / len(vectors) for each in zip(*vectors, strict=True)]
    near = [(dot(shot.vector, mean), shot) for shot in seen if shot.vector is not None]
    near.sort(key=lambda each: -each[0])
    if len(near) > sample and near[sample - 1][0] - near[sample][0] < NEARLY:
        return None
    return sample, [shot for _, shot in near[:sample]]


def related(
    tag: str, shots: Sequence[Shot], near: Sequence[Shot], seen: Sequence[Shot]
) -> dict[str, tuple[float, ...]]:
    """Each tag with its score, and the two that it is the mean of, as search_service.proto and related.py say."""
    counts, both, alike = counted(seen), counted(shots), counted(near)
    found: dict[str, tuple[float, ...]] = {}
    for other, count in counts.items():
        together = both[other] / math.sqrt(len(shots) * count)
        chance = min(count / len(seen), 0.999)
        look = max(0.0, (alike[other] / len(near) - chance) / (1 - chance)) if near else 0.0
        if other != tag and together + look > 0:
            found[other] = ((together + look) / 2, together, look)
    return found


def asked(here: World, who: str, after: str | None, size: int) -> dict[str, Any]:
    return {"after": after, "limit": size, "include_tags": True, "deadline": soon(), "by": here.caller(who)}


def similar(here: World, shot: Shot, who: str, size: int) -> Iterator[Similar]:
    """All that looks like a photo, page by page."""
    after: str | None = None
    while after != "":
        page, _ = here.searching.similar(shot.id, **asked(here, who, after, size))
        assert len(page.images) == size or not page.next_place
        assert page.model_version == "tagger@2026.11"
        yield from page.images
        after = page.next_place


class TestSuggestionsOnSqlite(OnSqlite, SuggestionsContract):
    @pytest.fixture
    def photos(self) -> int:
        return 250


class TestSuggestionsOnPostgres(OnPostgres, SuggestionsContract):
    @pytest.fixture
    def photos(self) -> int:
        return 80
