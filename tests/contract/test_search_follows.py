"""Searches follow what is done to a library at once, and pages stay what they are while it grows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from image_rows import CONFIRMED, PRIVATE, SHARED, SUGGESTED
from search_world import ADMINISTRATOR, OWNERS, STRANGER, VIEWERS, World, soon, viewer, world
from searched import All, Everything, Filter, Given, Negated, Part, Shot, Tag, facets, found
from searched import Any as AnyOf
from stores import NOW, OnPostgres, OnSqlite

from tagwright_server.domain.search_values import Ranking, SearchRequest
from tagwright_server.errors import ArgumentInvalid, NameTaken, NotFound
from tagwright_server.store.store import Store
from tagwright_server.store.tag_index import photos as indexed_photos

NAMES = ("dog", "cat", "poodle", "animal", "sun", "tree", "kitty", "hound", "beast")
QUERIES: tuple[Part, ...] = (
    Everything(),
    *map(Tag, NAMES),
    Tag("dog", "confirmed"),
    Tag("cat", "rejected"),
    Negated(Tag("animal")),
    All((Tag("animal"), Negated(Tag("dog")))),
    AnyOf((Tag("sun"), Tag("hound"))),
    Filter("untagged", lambda shot: not shot.names()),
    Filter("owner:ann", lambda shot: shot.owner == "ann"),
    Filter("author:Zoe", lambda shot: shot.author == "Zoe"),
)
SURE = Given(CONFIRMED, 0.9, 0)


class FollowsContract:
    @pytest.fixture
    def here(self, store: Store, tmp_path: Path) -> Iterator[World]:
        with world(store, tmp_path / "index") as made:
            made.fill(40)
            yield made

    @pytest.mark.parametrize("left_behind", [0, 20_000])
    def test_every_change_is_seen_by_the_next_search(
        self, here: World, steps: int, left_behind: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(indexed_photos, "_LEFT_MIN", left_behind)  # 0: the index is made compact all the time
        draw = here.draw
        for _ in range(steps):
            change(here, draw)
            for query, who in ((draw.choice(QUERIES), draw.choice(VIEWERS)) for _ in range(4)):
                see(here, query, who)

    def test_several_tags_count_their_product_and_of_equals_the_earliest_typed_comes_first(self, here: World) -> None:
        names = ("p", "q", "r", "s")
        for number in range(60):
            places, state = here.draw.sample(range(20), len(names)), SUGGESTED if number % 2 else CONFIRMED
            given = [Given(state, here.draw.random(), place) for place in places]
            here.add(owner="ann", tags=dict(zip(names, given, strict=True)))
        tags = tuple(map(Tag, names))
        for query in (All(tags), All(tags[::-1]), All(tags[1:3]), AnyOf(tags), AnyOf((All(tags[:2]), All(tags[2:])))):
            see(here, query, "ann")

    def test_a_photo_is_seen_as_its_owner_and_its_sharing_have_it(self, here: World) -> None:
        shot = here.add(owner="ann", shared=False, tags={"only here": SURE}, vector=None)
        wanted = SearchRequest('"only here"', facets=10)

        def finders() -> set[str]:
            found_by = {who for who in VIEWERS if here.ids(wanted, by=who)}
            assert found_by == {who for who in VIEWERS if here.suggesting.complete("only", **asked(here, who))[0]}
            return found_by

        assert finders() == {"ann", ADMINISTRATOR}
        here.store.images.update(shot.id, visibility=SHARED, updated=NOW)
        assert finders() == set(VIEWERS)
        here.store.images.update(shot.id, visibility=PRIVATE, updated=NOW)
        assert finders() == {"ann", ADMINISTRATOR}
        here.store.accounts.delete(here.accounts["ann"].id)
        assert not finders()
        here.shots = [each for each in here.shots if each.owner != "ann"]
        for who in ("bob", STRANGER, ADMINISTRATOR):
            see(here, Everything(), who)

    def test_names_of_tags_change_for_suggestions_at_once(self, here: World) -> None:
        here.add(owner="ann", tags={"zebra": SURE})
        here.add(owner="ann", tags={"zorse": SURE})
        assert suggested(here, "z") == {("zebra", ""), ("zorse", "")}
        here.store.tags.rename("zebra", "quagga")
        assert suggested(here, "z") == {("quagga", "zebra"), ("zorse", "")}
        assert suggested(here, "qua") == {("quagga", "")}

    def test_tags_that_become_one_are_suggested_as_one_at_once(self, here: World) -> None:
        here.add(owner="ann", tags={"zebra": SURE})
        here.add(owner="ann", tags={"zorse": SURE})
        assert suggested(here, "z") == {("zebra", ""), ("zorse", "")}
        here.store.tags.merge(["zebra"], "zorse")
        assert suggested(here, "zeb") == {("zorse", "zebra")}

    def test_pages_neither_repeat_nor_leave_out_a_photo_while_others_are_stored(self, here: World) -> None:
        by_look = [SearchRequest("!poodle", ranking=each, example_image=b"7") for each in Ranking]
        for wanted in (*(SearchRequest("!poodle", ranking=each) for each in Ranking), *by_look):
            if wanted.has_example and wanted.ranking is Ranking.NEWEST:
                continue  # is refused
            before = here.ids(wanted, by="ann")
            total = next(here.pages(wanted, by="ann", size=1)).total
            ids: list[str] = []
            for page in here.pages(wanted, by="ann", size=7):
                ids += [result.image.image.id for result in page.results]
                assert page.total == total
                like = here.draw.choice(here.shots)
                here.add(owner="ann", tags={"dog": SURE}, hash=like.hash, author=like.author, captured=like.captured)
            assert ids == before
            assert len(ids) < next(here.pages(wanted, by="ann", size=1)).total

    def test_pages_of_similar_photos_stay_what_they_are(self, here: World) -> None:
        example = next(shot for shot in here.shots if shot.vector is not None)
        ids: list[str] = []
        after: str | None = None
        while after != "":
            page, _ = here.searching.similar(
                example.id, after=after, limit=2, include_tags=False, **asked(here, ADMINISTRATOR, count=None)
            )
            ids += [each.image.image.id for each in page.images]
            after = page.next_place
            here.add(hash=example.hash)
        assert len(set(ids)) == len(ids) == sum(shot.vector is not None for shot in here.shots[:40]) - 1

    def test_what_is_deleted_between_pages_moves_nothing_else(self, here: World) -> None:
        for ranking in (Ranking.RELEVANCE, Ranking.NEWEST):
            wanted = SearchRequest("!poodle", ranking=ranking)
            before = here.ids(wanted, by=ADMINISTRATOR)
            pages = here.pages(wanted, by=ADMINISTRATOR, size=4)
            ids = [result.image.image.id for result in next(pages).results]
            gone = {ids[-1], before[5], before[9]}
            for id in gone:
                here.store.images.delete(id)
            ids += [result.image.image.id for page in pages for result in page.results]
            assert ids == [id for id in before if id not in gone or id in ids[:4]]

    def test_a_place_that_was_made_up_is_refused(self, here: World) -> None:
        for place in ("", "1", "1 2 3", "a b c d", "-1 0 0 0", "0 301 0 0", f"{1 << 63} 0 0 0", "1 1 1 -1", "1\n0 0 x"):
            with pytest.raises(ArgumentInvalid) as refused:
                here.searching.search(SearchRequest("dog"), after=place, limit=3, **asked(here, "ann", count=None))
            assert refused.value.field == "page_token"


def asked(here: World, who: str, count: int | None = 100) -> dict[str, Any]:
    said: dict[str, Any] = {"deadline": soon(), "by": here.caller(who)}
    return said if count is None else {"count": count, **said}


def suggested(here: World, prefix: str) -> set[tuple[str, str]]:
    return {(each.name, each.alias) for each in here.suggesting.complete(prefix, **asked(here, "ann"))[0]}


def see(here: World, query: Part, who: str) -> None:
    """Fail where a search does not find what is there now."""
    hits = found(here.shots, query, here.rules, viewer=viewer(who))
    wanted = SearchRequest(query.text(random.Random(1)), facets=100)
    [page] = here.pages(wanted, by=who, size=500)
    assert [result.image.image.id for result in page.results] == [hit.shot.id for hit in hits]
    assert [result.score for result in page.results] == [hit.score for hit in hits]
    right = facets([hit.shot for hit in hits], query, here.rules, here.order())
    assert (page.total, page.facets) == (len(hits), tuple(right))


def change(here: World, draw: random.Random) -> None:
    """Do something to the library, and to the plain lists."""
    what = draw.choice(["add", "delete", "tag", "tag", "untag", "show", "author", "rename", "merge", "rules"])
    shot, names = draw.choice(here.shots), draw.sample(NAMES, 3)
    if what == "add":
        reread(here, [here.add(owner=draw.choice(OWNERS))])  # some of its tags may mean others by now
    elif what == "delete" and len(here.shots) > 10:
        here.store.images.delete(shot.id)
        here.shots.remove(shot)
    elif what == "tag":
        some = {here.rules.tag(name): Given(draw.choice([CONFIRMED, SUGGESTED]), 0.5, 1) for name in names}
        here.write(shot, some)
    elif what == "untag":
        here.write(shot, {}, [here.rules.tag(name) for name in names])
    elif what == "show":
        shot.shared = not shot.shared
        here.store.images.update(shot.id, visibility=SHARED if shot.shared else PRIVATE, updated=NOW)
    elif what == "author":
        shot.author = draw.choice(["Zoe", "", "Joe"])
        here.store.images.update(shot.id, author=shot.author, updated=NOW)
    else:
        change_names(here, what, names)


def change_names(here: World, what: str, names: list[str]) -> None:
    """Rename or merge tags, or change what they mean; what that does to the photos' tags has tests of its own."""
    tags = here.store.tags
    try:
        if what == "rename":
            tags.rename(names[0], names[1])
        elif what == "merge":
            tags.merge(names[:1], names[1])
        else:
            tags.set_rules(names[0], names[1:2], names[2:])
    except (ArgumentInvalid, NameTaken, NotFound):
        return
    here.rules.aliases = tags.aliases()
    here.rules.parents = tags.parents(list(here.order()))
    reread(here, here.shots)


def reread(here: World, shots: list[Shot]) -> None:
    found_tags = here.store.tags.of([shot.number for shot in shots])
    for shot in shots:
        shot.tags = {tag.name: Given(tag.state, tag.score, tag.position) for tag in found_tags.get(shot.number, ())}


class TestFollowsOnSqlite(OnSqlite, FollowsContract):
    @pytest.fixture
    def steps(self) -> int:
        return 80


class TestFollowsOnPostgres(OnPostgres, FollowsContract):
    @pytest.fixture
    def steps(self) -> int:
        return 20
