"""Whatever is asked, by whomever: searches find what looking at every photo finds, in that order."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import postgres
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from search_world import STRANGER, VIEWERS, World, leaves, trees, viewer, world
from searched import POOL, UNJUDGED, Everything, Hit, Part, Shot, alike, facets, found, grouped, see_in_order

from tagwright_server.domain.search_values import Ranking, SearchPage, SearchRequest, SearchResult
from tagwright_server.errors import ArgumentInvalid, NotFound
from tagwright_server.search import diversity, matching
from tagwright_server.search import facets as counting
from tagwright_server.store.store import open_store

FOUND_PAGES = 3  # of small pages so many are looked at
TRIES = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
queries = st.just(Everything()) | trees | trees | trees | trees
viewers = st.sampled_from(VIEWERS)
sizes = st.sampled_from([1, 2, 7, 50, 150, 500])
seeds = st.integers(0, 10**6)


def ids_of(pages: Sequence[SearchPage]) -> list[str]:
    return [result.image.image.id for page in pages for result in page.results]


def see_matches(result: SearchResult, hit: Hit, query: Part, here: World) -> None:
    """Fail where it does not say which tags matched, in the order of the query, and why."""
    terms = [
        (tag, fits) for tag in dict.fromkeys(query.tags(matching=True)) if (fits := tag.fits(hit.shot, here.rules))
    ]
    assert [match.query_tag for match in result.matches] == [here.rules.tag(tag.name) for tag, _ in terms]
    for match, (tag, fits) in zip(result.matches, terms, strict=True):
        best = max(each.weight for each in fits.values())
        assert match.score == (1.0 if tag.state == "rejected" else best)
        assert match.tag.name in fits
        if tag.state != "rejected":
            assert fits[match.tag.name].weight == best
        assert match.tag.name in match.why
        assert (f"is a kind of {match.query_tag}" in match.why) == (match.tag.name != match.query_tag)
        assert (match.tag.state.value == "confirmed") == ("confirmed by a person" in match.why)


def see_varied(rows: Sequence[SearchResult], relevance: Sequence[tuple[Shot, float]], own: set[str]) -> None:
    """Fail where photos are not put together, and then each chosen as the best of the rest, as diversity.py says."""
    pool = relevance[:POOL]
    behind = grouped([shot for shot, _ in pool])
    stands = [(shot, score) for shot, score in pool if shot.id in behind]
    varied = rows[: len(stands)]
    assert {row.image.image.id: list(row.collapsed_ids) for row in varied} == behind
    assert [row.image.image.id for row in rows[len(stands) :]] == [shot.id for shot, _ in relevance[POOL:]]
    if not stands:
        return
    assert varied[0].image.image.id == pool[0][0].id
    apart = _apart([shot for shot, _ in stands], own)
    places = {shot.id: place for place, (shot, _) in enumerate(stands)}
    scores = np.array([score for _, score in stands])
    weight = diversity.Variety().relevance
    nearest, left = np.ones(len(stands)), set(range(len(stands)))
    for row in varied:
        chosen = places[row.image.image.id]
        utility = weight * scores + (1 - weight) * nearest
        assert utility[chosen] >= max(utility[place] for place in left) - 1e-6
        left.remove(chosen)
        nearest = np.minimum(nearest, apart[chosen])


def _apart(shots: Sequence[Shot], own: set[str]) -> Any:
    """How unlike photos are, by their looks and by those of their tags that are common among them; 0 to 1."""
    counts = Counter(name for shot in shots for name in shot.names() - own if shot.tags[name].score != 0)
    names = sorted(name for name, count in counts.items() if count >= max(2, diversity.COMMON * len(shots)))
    size = max(len(shot.vector or ()) for shot in shots)
    looks = np.array([shot.vector or (0.0,) * size for shot in shots]).reshape(len(shots), size)
    tags = np.zeros((len(shots), len(names)))
    for place, shot in enumerate(shots):
        for name in shot.names() & set(names):
            score = shot.tags[name].score
            tags[place, names.index(name)] = UNJUDGED if score is None else score
    looks /= np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-12)
    share = diversity.Variety().look
    return 1 - np.exp(-(share * _squares(looks) + (1 - share) * _squares(tags)) / diversity.SPREAD)


def _squares(rows: Any) -> Any:
    """The squared distances between rows."""
    return ((rows[:, None, :] - rows[None, :, :]) ** 2).sum(axis=2)


DATABASES = ["sqlite", pytest.param("postgresql", marks=postgres.needs_postgres)]


@pytest.fixture(scope="module", params=DATABASES)
def here(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A library on each kind of database, one for all tests; they leave it as it is."""
    folder = tmp_path_factory.mktemp("search")
    on_file = request.param == "sqlite"
    name = "" if on_file else postgres.server().create()
    store = open_store(f"sqlite://{folder}/store/tagwright.sqlite3" if on_file else postgres.server().url(name))
    with world(store, folder / "index") as made:
        made.fill(500 if on_file else 200)
        yield made
    store.close()
    if name:
        postgres.server().drop(name)


@pytest.fixture(params=[0, 16, 10**9])
def many(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have lists of photos looked up, or gone through, however long they are."""
    monkeypatch.setattr(matching, "_MUCH_SHORTER", request.param)


@pytest.fixture
def examples(here: World) -> int:
    return len(here.shots) // 5


@pytest.mark.usefixtures("many")
def test_a_query_finds_the_right_photos_in_the_right_order(here: World, examples: int) -> None:
    @settings(TRIES, max_examples=examples // 2)
    @given(queries, viewers, sizes, seeds, st.sampled_from([Ranking.RELEVANCE, Ranking.NEWEST]), st.booleans())
    def test(query: Part, who: str, size: int, seed: int, ranking: Ranking, with_tags: bool) -> None:
        text = query.text(random.Random(seed))
        wanted = SearchRequest(text, ranking=ranking, facets=100, include_tags=with_tags)
        hits = found(here.shots, query, here.rules, viewer=viewer(who))
        right = facets([hit.shot for hit in hits], query, here.rules, here.order())
        if ranking is Ranking.NEWEST:
            hits.sort(key=lambda hit: -hit.shot.number)
        pages = list(here.pages(wanted, by=who, size=size, most=FOUND_PAGES))
        rest = hits[: size * FOUND_PAGES]
        assert ids_of(pages) == [hit.shot.id for hit in rest], text
        for page in pages:
            assert (page.total, page.facets, page.model_version) == (len(hits), tuple(right[:100]), "")
        results = [result for page in pages for result in page.results]
        for result, hit in zip(results, rest, strict=True):
            assert result.score == hit.score
            assert {tag.name for tag in result.image.tags} == (hit.shot.tags.keys() if with_tags else set())
            see_matches(result, hit, query, here)
        understood = pages[0].understood
        again = next(here.pages(SearchRequest(understood, ranking=ranking), by=who, size=20))
        assert (again.understood, again.total) == (understood, len(hits))
        assert ids_of([again]) == [hit.shot.id for hit in hits[:20]]

    test()


def test_an_example_finds_the_nearest_photos_of_a_query(here: World, examples: int) -> None:
    shots = here.by_id()

    @settings(TRIES, max_examples=examples // 2)
    @given(queries, viewers, sizes, seeds, st.booleans())
    def test(query: Part, who: str, size: int, seed: int, kept: bool) -> None:
        draw = random.Random(seed)
        text, example = query.text(draw), draw.choice(here.shots)
        if not kept or example.vector is None:
            wanted = SearchRequest(text, example_image=str(seed).encode(), facets=3)
            vector, its_own = here.looked(seed), ""
        elif not example.seen_by(viewer(who)):
            with pytest.raises(NotFound):
                next(here.pages(SearchRequest(text, example_image_id=example.id), by=who, size=size))
            return
        else:
            wanted = SearchRequest(text, example_image_id=example.id, facets=3)
            vector, its_own = example.vector, example.id
        hits = {hit.shot.id: hit for hit in found(here.shots, query, here.rules, viewer=viewer(who))}
        cosines = alike([hit.shot for hit in hits.values()], vector, but=its_own)
        pages = list(here.pages(wanted, by=who, size=size, most=FOUND_PAGES))
        results = [result for page in pages for result in page.results]
        see_in_order(ids_of(pages), cosines, shots)
        best = sorted(cosines.values(), reverse=True)[: len(results)]
        assert [cosines[id] for id in ids_of(pages)] == pytest.approx(best, abs=1e-5)
        assert len(results) == min(len(cosines), size * FOUND_PAGES) == len(set(ids_of(pages)))
        right = facets([shots[id] for id in cosines], query, here.rules, here.order())
        for page in pages:
            assert (page.total, page.facets) == (len(cosines), tuple(right[:3]))
            assert page.model_version == "tagger@2026.11"
        for result in results:
            id = result.image.image.id
            assert 0 <= result.score == pytest.approx(max(0.0, cosines[id]), abs=1e-5)
            see_matches(result, hits[id], query, here)

    test()


def test_a_varied_result_has_the_same_photos_each_chosen_for_its_relevance_and_variety(
    here: World, examples: int
) -> None:
    shots = here.by_id()

    @settings(TRIES, max_examples=examples // 5)
    @given(queries, viewers, st.sampled_from([37, 100, 300, 500]), seeds, st.booleans())
    def test(query: Part, who: str, size: int, seed: int, with_example: bool) -> None:
        text = query.text(random.Random(seed))
        example: dict[str, Any] = {"example_image": str(seed).encode()} if with_example else {}
        varied = SearchRequest(text, ranking=Ranking.DIVERSE, facets=100, **example)
        plain = SearchRequest(text, facets=100, **example)
        pages, relevant = ([*here.pages(each, by=who, size=size)] for each in (varied, plain))
        rows = [result for page in pages for result in page.results]
        relevance = [(shots[one.image.image.id], one.score) for page in relevant for one in page.results]
        listed = [id for row in rows for id in (row.image.image.id, *row.collapsed_ids)]
        assert len(set(listed)) == len(listed)
        assert set(listed) == {shot.id for shot, _ in relevance}
        assert pages[0].total == len(listed)
        assert pages[0].facets == relevant[0].facets
        see_varied(rows, relevance, set().union(*(here.rules.meant(tag.name) for tag in query.tags())))
        assert here.ids(varied, by=who) == [row.image.image.id for row in rows]  # in whatever pages

    test()


def test_facets_of_many_photos_are_those_of_few(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_FEW", 0)

    @settings(TRIES, max_examples=40)
    @given(trees, viewers, seeds, st.sampled_from([1, 3, 20, 100]))
    def test(query: Part, who: str, seed: int, count: int) -> None:
        wanted = SearchRequest(query.text(random.Random(seed)), facets=count)
        hits = found(here.shots, query, here.rules, viewer=viewer(who))
        right = facets([hit.shot for hit in hits], query, here.rules, here.order())
        assert next(here.pages(wanted, by=who, size=1)).facets == tuple(right[:count])

    test()


def test_all_pages_of_one_photo_each_are_the_whole(here: World) -> None:
    for ranking in (Ranking.RELEVANCE, Ranking.NEWEST, Ranking.DIVERSE):
        wanted = SearchRequest("living\tthing | dog", ranking=ranking)
        for who in ("ann", STRANGER):
            assert here.ids(wanted, by=who, size=1) == here.ids(wanted, by=who)


def test_an_example_is_not_asked_for_the_newest(here: World) -> None:
    for example in ({"example_image": b"1"}, {"example_image_id": here.shots[0].id}):
        with pytest.raises(ArgumentInvalid) as refused:
            next(here.pages(SearchRequest(ranking=Ranking.NEWEST, **example), by="root", size=1))
        assert refused.value.field == "ranking"


def test_whatever_a_stranger_asks_nothing_tells_of_private_photos(here: World) -> None:
    private = {shot.id for shot in here.shots if not shot.shared}
    assert len(private) > len(here.shots) // 4

    @settings(TRIES, max_examples=40)
    @given(leaves, st.sampled_from(list(Ranking)), seeds)
    def test(query: Part, ranking: Ranking, seed: int) -> None:
        text = query.text(random.Random(seed))
        wanted = SearchRequest(text, ranking=ranking, facets=100)
        for page in here.pages(wanted, by=STRANGER, size=500):
            for result in page.results:
                assert not private & {result.image.image.id, *result.collapsed_ids}
            assert page.total <= len(here.shots) - len(private)

    test()
