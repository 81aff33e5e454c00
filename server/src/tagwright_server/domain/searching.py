"""Finding photos by tags and by look: the use case around the query language, the two indexes and the store.

What a caller may not see is left out by the indexes and, once more, by the database, which the photos of a page are
read from: so also where one was hidden or deleted a moment ago.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

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
from tagwright_server.errors import ArgumentInvalid
from tagwright_server.search.facets import facets
from tagwright_server.search.matching import Meaning, Names, Some, matches
from tagwright_server.search.parser import parse
from tagwright_server.search.query import Everything, Node, OwnerFilter, TagTerm, leaves, renamed
from tagwright_server.search.ranking import keys, nearness
from tagwright_server.store.image_records import Image, TagMeaning
from tagwright_server.store.photo_index import PhotoIndex, Wanted
from tagwright_server.store.store import Store
from tagwright_server.store.tag_index import TaggedPhotos, TagIndex

NEAREST = 1000  # photos that an example finds; the contract says so (search_service.proto)
_SAME_MAX = 1000  # near-duplicates that are looked for


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
        clock: Clock,
    ) -> None:
        self._store = store
        self._tags = tags
        self._looks = looks
        self._examples = examples
        self._accounts = accounts
        self._library = library
        self._clock = clock

    def search(
        self, wanted: SearchRequest, *, after: str | None, limit: int, deadline: Deadline, by: Caller
    ) -> tuple[SearchPage, Timings]:
        """Return the results behind a place; raises QueryInvalid, NotFound, and what looking at an example raises."""
        query = parse(wanted.query, tag_name=partial(tag_name, field="query"))
        if wanted.has_example and wanted.ranking is Ranking.NEWEST:
            raise ArgumentInvalid("cannot be RANKING_NEWEST with an example", field="ranking")
        cursor = Cursor.of(after)
        meanings, names = self._names(query)
        example, looks = self._example(wanted, deadline, by)
        begun_s = self._clock.monotonic_s()
        viewer = visible_to(by)
        index = self._tags.current(deadline, self._clock)
        with index.reading() as photos:
            if cursor.up_to is None:
                cursor = Cursor(photos.last_number)
            found = matches(query, photos, names, viewer=viewer, up_to=cursor.up_to)
            if example is not None and looks is not None:
                who = Wanted(
                    viewer, None if isinstance(query, Everything) else photos.numbers[found.slots], cursor.up_to
                )
                ranked = _by_look(photos, looks, example, who)
            else:
                ranked = _by_tags(photos, found, newest=wanted.ranking is Ranking.NEWEST)
            of_query = frozenset(tag for meaning in names.tags.values() for tag in meaning.tags)
            if looks is not None and wanted.ranking is Ranking.DIVERSE:
                rows = varied(photos, looks, ranked, cursor, limit=limit + 1, but=of_query)
            else:
                rows = in_order(ranked, cursor, limit=limit + 1)
            counted = []
            if wanted.facets:
                counted = facets(photos, ranked.slots, photos.counts(viewer), count=wanted.facets, but=of_query)
        found_s = self._clock.monotonic_s()
        results = self._results(rows[:limit], query, meanings, by, evidence=wanted.include_evidence)
        facet_names = self._store.tags.names([tag for tag, _ in counted])
        page = SearchPage(
            results,
            next_place=str(rows[limit - 1].place) if len(rows) > limit else "",
            total=len(ranked.numbers),
            facets=tuple((facet_names[tag], count) for tag, count in counted if tag in facet_names),
            understood=str(renamed(query, {name: meaning.name for name, meaning in meanings.items()})),
            model_version=self._examples.model_version if example is not None else "",
        )
        return page, self._timings(example, begun_s, found_s)

    def similar(
        self, image_id: str, *, after: str | None, limit: int, deadline: Deadline, by: Caller
    ) -> tuple[SimilarPage, Timings]:
        """Return the photos that look most like one that is kept; raises NotFound."""
        cursor = Cursor.of(after)
        looks = self._looks.current(deadline, self._clock)
        example = self._examples.kept(image_id, looks, deadline, by=by)
        assert example.image is not None
        begun_s = self._clock.monotonic_s()
        index = self._tags.current(deadline, self._clock)
        with index.reading() as photos:
            if cursor.up_to is None:
                cursor = Cursor(photos.last_number)
            ranked = _by_look(photos, looks, example, Wanted(visible_to(by), up_to=cursor.up_to))
        rows = in_order(ranked, cursor, limit=limit + 1)
        found_s = self._clock.monotonic_s()
        same = self._store.images.near(
            example.image.content.perceptual_hash, visible_to=visible_to(by), limit=_SAME_MAX
        )
        images = self._images([row.number for row in rows[:limit]], by)
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
        self, rows: Sequence[Row], query: Node, meanings: Mapping[str, TagMeaning], by: Caller, *, evidence: bool
    ) -> tuple[SearchResult, ...]:
        images = self._images([row.number for row in rows], by)
        together = [number for row in rows for number in row.collapsed]
        ids = {number: image.id for number, image in self._numbered(together, by).items()}
        terms = asked_for(query)
        return tuple(
            SearchResult(
                images[row.number],
                row.score,
                matched(terms, meanings, images[row.number].tags, evidence=evidence),
                tuple(ids[number] for number in row.collapsed if number in ids),
            )
            for row in rows
            if row.number in images
        )

    def _images(self, numbers: Sequence[int], by: Caller) -> dict[int, TaggedImage]:
        images = list(self._numbered(numbers, by).values())
        return {found.image.number: found for found in self._library.tagged(images, by)}

    def _numbered(self, numbers: Sequence[int], by: Caller) -> dict[int, Image]:
        return self._store.images.numbered(numbers, visible_to=visible_to(by)) if numbers else {}

    def _timings(self, example: Example | None, begun_s: float, found_s: float) -> Timings:
        spent = example.timings if example is not None else Timings()
        return replace(spent, search_s=found_s - begun_s, store_s=self._clock.monotonic_s() - found_s)


def _by_tags(photos: TaggedPhotos, found: Some, *, newest: bool) -> Ranked:
    scores = np.asarray(found.scores, np.float32)
    return Ranked(photos.numbers[found.slots], keys(found, newest=newest), scores, found.slots)


def _by_look(photos: TaggedPhotos, looks: PhotoIndex, example: Example, who: Wanted) -> Ranked:
    numbers, similarities = looks.nearest(example.embedding, limit=NEAREST + 1, wanted=who)
    its_own = -1 if example.image is None else example.image.number
    slots = [photos.slot(number) for number in numbers.tolist()]  # None: changed between the two indexes
    here = np.array([slot is not None and number != its_own for slot, number in zip(slots, numbers, strict=True)], bool)
    here[np.flatnonzero(here)[NEAREST:]] = False
    near = similarities[here]
    kept = np.array([slot for slot, fits in zip(slots, here.tolist(), strict=True) if fits], np.int32)
    return Ranked(numbers[here], nearness(near), np.clip(near, 0.0, 1.0), kept)
