"""Whatever is done to a library, in whatever order: the photo index finds what looking at every photo finds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_rows import CONFIRMED, MODEL, PRIVATE, REJECTED, SHARED, SUGGESTED, a_tag
from indexed import SIZE, a_vector, expected, indexed, typed
from stores import NOW, OnPostgres, OnSqlite, added

from tagwright_server.domain.keeping import packed
from tagwright_server.errors import NotFound
from tagwright_server.store.image_records import ImageFilter
from tagwright_server.store.photo_index import Entry, PhotoIndex, vectors, wrong_indexes
from tagwright_server.store.store import Store

NAMES = ["sea", "sun", "dog", "cat"]
Heard = Counter[tuple[tuple[str, ...], bytes]]
numbers = st.integers(0, 30)
names = st.sampled_from(NAMES)
adding = st.tuples(st.just("add"), numbers, numbers, st.booleans(), st.lists(names, max_size=3, unique=True))
steps = st.one_of(
    adding,
    adding,
    adding,
    st.tuples(st.just("delete"), numbers),
    st.tuples(st.just("delete account"), numbers),
    st.tuples(st.just("tag"), numbers, names, st.sampled_from([CONFIRMED, SUGGESTED, REJECTED]), st.booleans()),
    st.tuples(st.just("untag"), numbers, names),
    st.tuples(st.just("show"), numbers, st.booleans()),
    st.tuples(st.just("author"), numbers, names),
    st.tuples(st.just("look"), numbers, numbers),
    st.tuples(st.just("merge"), names, names),
    st.tuples(st.just("catch up")),
    st.tuples(st.just("start again")),
)


def in_it(index: PhotoIndex) -> Heard:
    """All of an index."""
    return Counter(
        (each, vector.tobytes())
        for some in index.entries()
        for vector, each in zip(some.vectors, some.tags, strict=True)
    )


@dataclass
class World:
    """A store and an index that follows it; what is done to it is done to the store alone."""

    store: Store
    folder: Path
    index: PhotoIndex = field(init=False)
    heard: Heard = field(init=False)  # what there was at its start, and what its listener heard since
    people: int = 0

    def __post_init__(self) -> None:
        self.start_again()

    def start_again(self) -> None:
        self.index = PhotoIndex(self.store, MODEL, SIZE, self.folder)
        self.heard = in_it(self.index)
        self.index.subscribe(self.hear)

    def hear(self, before: Entry | None, after: Entry | None) -> None:
        if before is not None:
            self.heard[before.tags, before.vector.tobytes()] -= 1
        if after is not None:
            self.heard[after.tags, after.vector.tobytes()] += 1

    def do(self, step: tuple[Any, ...]) -> None:
        what, *values = step
        if what == "catch up":
            self.index.catch_up()
        elif what == "start again":
            if self.people % 2:
                self.index.save()
            self.start_again()
        elif what == "merge":
            self.merge(*values)
        else:
            self.change(what, *values)

    def merge(self, source: str, target: str) -> None:
        """Make one tag of two; the name is free again after that, as otherwise there would soon be one tag only."""
        try:
            if source != target:
                self.store.tags.merge([source], target)
                self.store.tags.set_rules(target, [], [])
        except NotFound:
            pass

    def change(self, what: str, number: int, *values: Any) -> None:
        images, tags = self.store.images, self.store.tags
        if what == "add":
            seed, shared, given = values
            accounts = self.store.accounts.page(after=None, limit=99)
            if len(accounts) <= number % 3:
                self.people += 1
                accounts += added(self.store, f"person {self.people}")
            vector = None if seed == 30 else a_vector(seed)
            given_tags = [typed(name, position) for position, name in enumerate(given)]
            visibility = SHARED if shared else PRIVATE
            indexed(self.store, accounts[number % len(accounts)], vector, *given_tags, visibility=visibility)
            return
        here = images.page(ImageFilter(), before=None, limit=99)
        if not here:
            return
        image = here[number % len(here)]
        if what == "delete":
            images.delete(image.id)
        elif what == "delete account":
            self.store.accounts.delete(image.owner_id)
        elif what == "tag":
            name, state, user = values
            tags.write(image.number, [typed(name, number, state=state) if user else a_tag(name, state)], [])
        elif what == "untag":
            tags.write(image.number, [], values)
        elif what == "show":
            images.update(image.id, visibility=SHARED if values[0] else PRIVATE, updated=NOW)
        elif what == "author":
            images.update(image.id, author=values[0], updated=NOW)
        elif what == "look":
            images.put_embedding(image.content.sha256, MODEL, packed(a_vector(values[0] + 100)))

    def see(self) -> None:
        """Fail where the index does not find what is there."""
        self.index.catch_up()
        viewers = [None, *self.store.accounts.page(after=None, limit=99)]
        every_other = np.arange(0, self.store.images.last_number() + 1, 2)
        query = a_vector(77)
        for viewer in viewers:
            options: dict[str, Any] = {"limit": 1000, "visible_to": None if viewer is None else viewer.id}
            right = expected(self.store, query, viewer)
            right.see(self.index.neighbours(query, **options))
            assert self.index.count(visible_to=options["visible_to"]) == len(right.rows)
            some = set(every_other.tolist())
            expected(self.store, query, viewer, among=some).see(
                self.index.neighbours(query, among=every_other, **options)
            )
        assert self.heard == in_it(self.index)
        self.index.save()
        assert wrong_indexes(self.store, self.folder) == []


class RandomContract:
    def test_it_finds_what_is_there(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, examples: int
    ) -> None:
        monkeypatch.setattr(vectors, "EXACT", 4)  # so that there are lists, new ones too, and some come to be empty
        monkeypatch.setattr(vectors, "LOOKED_AT", 10**6)  # and all of them are looked at
        worlds = iter(range(10**6))

        @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.tuples(st.lists(adding, min_size=8, max_size=30), st.lists(steps, min_size=10, max_size=40)))
        def test(done: tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]) -> None:
            for account in store.accounts.page(after=None, limit=99):
                store.accounts.delete(account.id)
            world = World(store, tmp_path / str(next(worlds)))
            for step in chain(*done):
                world.do(step)
            world.see()

        test()


class TestRandomOnSqlite(OnSqlite, RandomContract):
    @pytest.fixture
    def examples(self) -> int:
        return 60


class TestRandomOnPostgres(OnPostgres, RandomContract):
    @pytest.fixture
    def examples(self) -> int:
        return 15
