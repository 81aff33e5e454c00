"""Finding photos by tags and by look: the use case around the query language, the two indexes and the store.

What a caller may not see is left out by the indexes and, once more, by the database, which the photos of a page are
read from: so also where one was hidden or deleted a moment ago.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tagwright_server.clock import Clock
from tagwright_server.domain.access import Caller
from tagwright_server.domain.accounts import Accounts
from tagwright_server.domain.deadline import Deadline
from tagwright_server.domain.examples import Example, Examples
from tagwright_server.domain.indexes import KeptIndex
from tagwright_server.domain.keeping import visible_to
from tagwright_server.domain.library import Library, TaggedImage
from tagwright_server.domain.matched_tags import asked_for, matched
from tagwright_server.domain.result_pages import Cursor, Ranked, Row, in_order, varied
from tagwright_server.domain.search_values import Ranking, SearchPage, SearchRequest, SearchResult, Similar, SimilarPage
from tagwright_server.domain.tag_names import tag_name
from tagwright_server.domain.tagging import Timings
from tagwright_server.domain.turns import Turns
from tagwright_server.errors import ArgumentInvalid
from tagwright_server.search.facets import facets
from tagwright_server.search.matching import Meaning, Names, Some, matches
from tagwright_server.search.parser import parse
from tagwright_server.search.query import Everything, Node, OwnerFilter, TagTerm, leaves, renamed
from tagwright_server.search.ranking import keys, nearness
from tagwright_server.store.image_records import Image, ImageTag, TagMeaning
from tagwright_server.store.photo_index import PhotoIndex, Wanted
from tagwright_server.store.store import Store
from tagwright_server.store.tag_index import TaggedPhotos, TagIndex

NEAREST = 1000  # photos that an example finds; the contract says so (search_service.proto)
_SAME_MAX = 1000  # near-duplicates that are looked for
_FEW = 200  # tags that are named one by one


class Searching:
    """Searches photos that are kept; looks are compared by the default model's embeddings."""

    def __init__(
        self,
        store: Store,
        tags: KeptIndex[TagIndex],
        looks: KeptIndex[PhotoIndex],
        *,
        examples: Examples,
        accounts: Accounts,
        library: Library,
        turns: Turns,
        clock: Clock,
    ) -> None:
        self._store = store
        self._tags = tags
        self._looks = looks
        self._examples = examples
        self._accounts = accounts
        self._library = library
        self._turns = turns
        self._clock = clock

    def search(
        self, wanted: SearchRequest, *, after: str | None, limit: int, deadline: Deadline, by: Caller
    ) -> tuple[SearchPage, Timings]:
        """Return the results behind a place; raises QueryInvalid, NotFound, and what looking at an example raises."""
        query = parse(wanted.query, tag_name=partial(tag_name, field="query"))
        if wanted.has_example and wanted.ranking is Ranking.NEWEST:
            raise ArgumentInvalid("cannot be RANKING_NEWEST with an example", field="ranking")
        cursor = Cursor.of(after)
        example, looks = self._example(wanted, deadline, by)
        index = self._tags.current(deadline, self._clock)
        with self._turns.take(deadline, "its turn came"):
            return self._search(wanted, query, cursor, example, index, looks, limit=limit, deadline=deadline, by=by)

    def _search(
        self,
        wanted: SearchRequest,
        query: Node,
        cursor: Cursor,
        example: Example | None,
        index: TagIndex,
        looks: PhotoIndex | None,
        *,
        limit: int,
        deadline: Deadline,
        by: Caller,
    ) -> tuple[SearchPage, Timings]:
        begun_s = self._clock.monotonic_s()
        meanings, names = self._names(query)
        viewer = visible_to(by)
        with index.reading() as photos:
            up_to = cursor.up_to  # None on the first page, and then all there is
            if example is not None and looks is not None:
                among = _among(query, photos, names, viewer, up_to)
                whole = wanted.facets or wanted.ranking is Ranking.DIVERSE or cursor.behind is not None
                most = NEAREST if whole else limit + 1
                ranked, total = _by_look(photos, looks, example, Wanted(viewer, among, up_to), most=most)
            else:
                found = matches(query, photos, names, viewer=viewer, up_to=up_to)
                ranked = _by_tags(photos, found, newest=wanted.ranking is Ranking.NEWEST)
                among, total = ranked.numbers, len(ranked.numbers)
            if up_to is None:
                cursor = Cursor(photos.last_seen(viewer) if among is None else int(among.max(initial=0)))
            of_query = frozenset(tag for meaning in names.tags.values() for tag in meaning.tags)
            if looks is not None and wanted.ranking is Ranking.DIVERSE:
                rows = varied(photos, looks, ranked, cursor, limit=limit + 1, but=of_query)
            else:
                rows = in_order(ranked, cursor, limit=limit + 1)
            counted = []
            if wanted.facets:
                counted = facets(
                    photos,
                    ranked.slots,
                    photos.counts(viewer),
                    count=wanted.facets,
                    but=of_query,
                    go_on=lambda: deadline.check("facets were counted"),
                )
        found_s = self._clock.monotonic_s()
        results = self._results(rows[:limit], wanted, query, meanings, by)
        facet_names = self._store.tags.names([tag for tag, _ in counted])
        page = SearchPage(
            results,
            next_place=str(rows[limit - 1].place) if len(rows) > limit else "",
            total=total,
            facets=tuple((facet_names[tag], count) for tag, count in counted if tag in facet_names),
            understood=str(renamed(query, {name: meaning.name for name, meaning in meanings.items()})),
            model_version=self._examples.model_version if example is not None else "",
        )
        return page, self._timings(example, begun_s, found_s)

    def similar(
        self, image_id: str, *, after: str | None, limit: int, include_tags: bool, deadline: Deadline, by: Caller
    ) -> tuple[SimilarPage, Timings]:
        """Return the photos that look most like one that is kept; raises NotFound."""
        cursor = Cursor.of(after)
        looks = self._looks.current(deadline, self._clock)
        example = self._examples.kept(image_id, looks, deadline, by=by)
        index = self._tags.current(deadline, self._clock)
        with self._turns.take(deadline, "its turn came"):
            return self._similar(example, index, looks, cursor, limit=limit, tags=include_tags, by=by)

    def _similar(
        self,
        example: Example,
        index: TagIndex,
        looks: PhotoIndex,
        cursor: Cursor,
        *,
        limit: int,
        tags: bool,
        by: Caller,
    ) -> tuple[SimilarPage, Timings]:
        assert example.image is not None
        begun_s = self._clock.monotonic_s()
        with index.reading() as photos:
            who = Wanted(visible_to(by), up_to=cursor.up_to)
            most = limit + 1 if cursor.behind is None else NEAREST
            ranked, _ = _by_look(photos, looks, example, who, most=most)
            if cursor.up_to is None:
                cursor = Cursor(photos.last_seen(visible_to(by)))
        rows = in_order(ranked, cursor, limit=limit + 1)
        found_s = self._clock.monotonic_s()
        same = self._store.images.near(
            example.image.content.perceptual_hash, visible_to=visible_to(by), limit=_SAME_MAX
        )
        images = self._images([row.number for row in rows[:limit]], by, tags=tags)
        page = SimilarPage(
            tuple(
                Similar(images[row.number], row.score, images[row.number].image.id in same)
                for row in rows[:limit]
                if row.number in images
            ),
            next_place=str(rows[limit - 1].place) if len(rows) > limit else "",
            model_version=self._examples.model_version,
        )
        return page, self._timings(example, begun_s, found_s)

    def _example(
        self, wanted: SearchRequest, deadline: Deadline, by: Caller
    ) -> tuple[Example | None, PhotoIndex | None]:
        if wanted.example_image is not None:
            example = self._examples.sent(wanted.example_image, deadline)
            return example, self._looks.current(deadline, self._clock)
        if wanted.example_image_id is None and wanted.ranking is not Ranking.DIVERSE:
            return None, None
        looks = self._looks.current(deadline, self._clock)
        if wanted.example_image_id is None:
            return None, looks
        return self._examples.kept(wanted.example_image_id, looks, deadline, by=by), looks

    def _names(self, query: Node) -> tuple[Mapping[str, TagMeaning], Names]:
        terms = list(leaves(query))
        meanings = self._store.tags.meanings([term.name for term in terms if isinstance(term, TagTerm)])
        owners = {term.name: self._accounts.id_of(term.name) for term in terms if isinstance(term, OwnerFilter)}
        tags = {name: Meaning(meaning.number, tuple(meaning.below)) for name, meaning in meanings.items()}
        return meanings, Names(tags, owners)

    def _results(
        self,
        rows: Sequence[Row],
        wanted: SearchRequest,
        query: Node,
        meanings: Mapping[str, TagMeaning],
        by: Caller,
    ) -> tuple[SearchResult, ...]:
        numbers = [row.number for row in rows]
        images = self._images(numbers, by, tags=wanted.include_tags)
        together = self._numbered([number for row in rows for number in row.collapsed], by)
        asked = asked_for(query, meanings)
        tags = self._tags_of_query(numbers, [meanings[each.term.name] for each in asked])
        return tuple(
            SearchResult(
                images[row.number],
                row.score,
                matched(asked, tags.get(row.number, ()), evidence=wanted.include_evidence),
                tuple(together[number].id for number in row.collapsed if number in together),
            )
            for row in rows
            if row.number in images
        )

    def _tags_of_query(
        self, numbers: Sequence[int], meanings: Sequence[TagMeaning]
    ) -> Mapping[int, tuple[ImageTag, ...]]:
        meant = {tag for meaning in meanings for tag in (meaning.number, *meaning.below) if tag is not None}
        if not meant:
            return {}
        return self._store.tags.of(numbers, only=sorted(meant) if len(meant) <= _FEW else None)

    def _images(self, numbers: Sequence[int], by: Caller, *, tags: bool) -> dict[int, TaggedImage]:
        images = list(self._numbered(numbers, by).values())
        return {found.image.number: found for found in self._library.tagged(images, by, tags=tags)}

    def _numbered(self, numbers: Sequence[int], by: Caller) -> dict[int, Image]:
        return self._store.images.numbered(numbers, visible_to=visible_to(by)) if numbers else {}

    def _timings(self, example: Example | None, begun_s: float, found_s: float) -> Timings:
        spent = example.timings if example is not None else Timings()
        return replace(spent, search_s=found_s - begun_s, store_s=self._clock.monotonic_s() - found_s)


def _among(
    query: Node, photos: TaggedPhotos, names: Names, viewer: str | None, up_to: int | None
) -> NDArray[np.int64] | None:
    """Return the photos that a query holds for, by number; None: it says nothing."""
    if isinstance(query, Everything):
        return None
    return photos.numbers[matches(query, photos, names, viewer=viewer, up_to=up_to).slots]


def _by_tags(photos: TaggedPhotos, found: Some, *, newest: bool) -> Ranked:
    scores = np.asarray(found.scores, np.float32)
    return Ranked(photos.numbers[found.slots], keys(found, newest=newest), scores, found.slots)


def _by_look(
    photos: TaggedPhotos, looks: PhotoIndex, example: Example, who: Wanted, *, most: int
) -> tuple[Ranked, int]:
    """Return the `most` nearest photos, more where the last are equally near, and how many the whole result has."""
    most = min(most, NEAREST)
    numbers, similarities = looks.nearest(example.embedding, limit=most + 1, wanted=who)
    its_own = -1 if example.image is None else example.image.number
    slots = photos.slots_in_order(numbers)
    here = np.flatnonzero((slots >= 0) & (numbers != its_own))[:most]  # some may have changed between the indexes
    near = similarities[here]
    found = Ranked(numbers[here], nearness(near), np.clip(near, 0.0, 1.0), slots[here])
    if 1 < len(here) == most < NEAREST and near[-1] == near[-2]:
        # Which of those that are equally near are among so few is chance: the next page would not know.
        return _by_look(photos, looks, example, who, most=NEAREST)
    if len(here) < most or most == NEAREST:
        return found, len(here)
    itself = int(np.count_nonzero(numbers == its_own))  # the nearest there is, if it may be found at all
    return found, min(NEAREST, looks.how_many(who) - itself)
