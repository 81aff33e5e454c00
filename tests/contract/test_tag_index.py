"""Whatever is done to a library, in whatever order: the tag index has what the store has, in whole photos."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import chain, count
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_rows import CONFIRMED, PRIVATE, REJECTED, SHARED, SUGGESTED, a_content, a_tag, kept
from indexed import typed
from stores import HOUR, NOW, PATIENCE_S, OnPostgres, OnSqlite, added

from tagwright_server.errors import NotFound
from tagwright_server.search import facets as facets_module
from tagwright_server.store.image_records import Image, ImageFilter, ImageTag, Visibility
from tagwright_server.store.store import Store
from tagwright_server.store.tag_index import NO_POSITION, NO_SCORE, TaggedPhotos, TagIndex
from tagwright_server.store.tag_index import bits as bits_module
from tagwright_server.store.tag_index import index as index_module
from tagwright_server.store.tag_index import photos as photos_module

NAMES = ["sea", "sun", "dog", "cat"]
NOBODY, LONG_AGO = -1, -(1 << 62)  # an author's number; in microseconds
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
TRIES = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
numbers = st.integers(0, 30)
names = st.sampled_from(NAMES)
states = st.sampled_from([CONFIRMED, SUGGESTED, REJECTED])
adding = st.tuples(st.just("add"), numbers, st.booleans(), st.lists(names, max_size=3, unique=True))
tagging = st.tuples(st.just("tag"), numbers, names, states, st.booleans())
steps = st.one_of(
    adding,
    adding,
    tagging,
    tagging,
    st.tuples(st.just("delete"), numbers),
    st.tuples(st.just("delete account"), numbers),
    st.tuples(st.just("untag"), numbers, names),
    st.tuples(st.just("show"), numbers, st.booleans()),
    st.tuples(st.just("author"), numbers, names),
    st.tuples(st.just("merge"), names, names),
    st.tuples(st.just("see")),
    st.tuples(st.just("see")),
    st.tuples(st.just("make it anew")),
    st.tuples(st.just("have it read anew")),
)


@dataclass
class World:
    """A store, and an index that follows it; what is done to it is done to the store alone."""

    store: Store
    index: TagIndex
    people: int = 0

    def do(self, step: tuple[Any, ...]) -> None:
        what, *values = step
        if what == "see":
            self.see()
        elif what == "make it anew":
            self.index = TagIndex(self.store)
        elif what == "have it read anew":
            self.store.changes.start_anew()
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
            self.add(number, *values)
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
            score = (None, 0.0, 0.5, 0.99999999, 1.0)[number % 5]
            tags.write(image.number, [typed(name, number, state=state) if user else a_tag(name, state, score)], [])
        elif what == "untag":
            tags.write(image.number, [], values)
        elif what == "show":
            images.update(image.id, visibility=SHARED if values[0] else PRIVATE, updated=NOW)
        elif what == "author":
            images.update(image.id, author=f" {values[0].upper()}  x", updated=NOW)

    def add(self, number: int, shared: bool, given: list[str]) -> None:
        accounts = self.store.accounts.page(after=None, limit=99)
        if len(accounts) <= number % 3:
            self.people += 1
            accounts += added(self.store, f"person {self.people}")
        kept(
            self.store,
            accounts[number % len(accounts)],
            *(typed(name, place) for place, name in enumerate(given)),
            visibility=SHARED if shared else PRIVATE,
            content=a_content(width=100 * number, height=1000),
            captured=None if number % 3 == 0 else EPOCH + (number - 15) * HOUR,
            created=NOW + timedelta(days=number),
        )

    def see(self) -> None:
        """Fail where the index is not what is there."""
        self.index.catch_up()
        images = self.store.images.page(ImageFilter(), before=None, limit=9999)
        tags = self.store.tags.of([image.number for image in images])
        known = {name: number for number, name, _ in self.store.tags.all_names()}
        accounts = [account.id for account in self.store.accounts.page(after=None, limit=99)]
        with self.index.reading() as photos:
            assert photos.size == self.index.size == len(images)
            assert photos.end >= photos.size
            assert photos.last_number >= max((image.number for image in images), default=0)
            for image in images:
                see_photo(photos, image, tags.get(image.number, ()), known)
            for viewer in [None, *accounts, "nobody"]:
                seen = [
                    each for each in images if viewer in (None, each.owner_id) or each.visibility is Visibility.SHARED
                ]
                found = photos.numbers[: photos.end][photos.seen(slice(0, photos.end), viewer)]
                assert sorted(found.tolist()) == sorted(image.number for image in seen)
                counts = photos.counts(viewer)
                for name, number in known.items():
                    there = sum(
                        any(tag.name == name and tag.state is not REJECTED for tag in tags.get(image.number, ()))
                        for image in seen
                    )
                    assert (counts[number] if number < len(counts) else 0) == there
            for name, number in known.items():
                see_lists(
                    photos, number, {image: {tag.name: tag for tag in some}.get(name) for image, some in tags.items()}
                )


def see_photo(photos: TaggedPhotos, image: Image, tags: tuple[ImageTag, ...], known: dict[str, int]) -> None:
    """Fail where a photo's columns are not what they should be."""
    slot = photos.slot(image.number)
    assert slot is not None
    one = np.array([slot], np.int32)
    assert photos.slots(np.array([image.number], np.int64)).tolist() == [slot]
    assert photos.live[slot]
    assert photos.numbers[slot] == image.number
    assert photos.people[int(photos.owners[slot])] == image.owner_id
    assert photos.shared[slot] == (image.visibility is Visibility.SHARED)
    author = int(photos.author[slot])
    assert ("" if author == NOBODY else photos.authors[author]) == " ".join(image.author.split()).casefold()
    assert photos.created_us[slot] == us(image.created)
    captured_us = int(photos.captured_us[slot])
    assert captured_us < LONG_AGO if image.captured is None else captured_us == us(image.captured)
    assert photos.sides[slot] == max(image.content.width, image.content.height)
    assert photos.hashes[slot] == image.content.perceptual_hash
    suit = {known[tag.name]: tag for tag in tags if tag.state is not REJECTED}
    numbers, scores, lengths = photos.tags_of(one)
    assert lengths.tolist() == [len(suit)]
    assert dict(zip(numbers.tolist(), scores.tolist(), strict=True)) == {
        number: NO_SCORE if tag.score is None else float(np.float32(tag.score)) for number, tag in suit.items()
    }
    assert photos.untagged(one).tolist() == [not suit]


def see_lists(photos: TaggedPhotos, number: int, tags: dict[int, ImageTag | None]) -> None:
    """Fail where the lists of a tag are not of the photos that have it; `tags` are each photo's, None for none."""
    for lists, rejected in ((photos.postings, False), (photos.rejected, True)):
        posting = lists.of(number)
        assert (np.diff(posting.slots) > 0).all()
        live = photos.live[posting.slots]
        found = {
            int(photos.numbers[slot]): (weight, confirmed, position)
            for slot, weight, confirmed, position in zip(
                posting.slots[live].tolist(),
                posting.weights[live].tolist(),
                posting.confirmed[live].tolist(),
                posting.positions[live].tolist(),
                strict=True,
            )
        }
        right = {image: tag for image, tag in tags.items() if tag is not None and (tag.state is REJECTED) == rejected}
        assert found.keys() == right.keys()
        for image, tag in right.items():
            weight, confirmed, position = found[image]
            assert confirmed == (tag.state is CONFIRMED)
            assert position == (NO_POSITION if tag.position is None else tag.position)
            if not rejected:
                score = 0.85 if tag.score is None else tag.score
                assert weight == pytest.approx(1.0 if confirmed else score, abs=1e-6)
                assert (weight == 1.0) == confirmed


def us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


class TagIndexContract:
    @pytest.mark.parametrize("left_min", [0, 20_000])
    def test_it_has_what_the_store_has(
        self, store: Store, examples: int, left_min: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(photos_module, "_LEFT_MIN", left_min)  # 0: it is made compact all the time
        monkeypatch.setattr(index_module, "_AT_A_TIME", 7)
        monkeypatch.setattr(index_module, "_WRITTEN", 3)

        @settings(TRIES, max_examples=examples)
        @given(st.tuples(st.lists(adding, min_size=8, max_size=30), st.lists(steps, min_size=10, max_size=40)))
        def test(done: tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]) -> None:
            for account in store.accounts.page(after=None, limit=99):
                store.accounts.delete(account.id)
            world = World(store, TagIndex(store))
            for step in chain(*done):
                world.do(step)
            world.see()
            if not left_min:
                with world.index.reading() as photos:
                    assert photos.end <= photos.size + photos.size // 4

        test()

    def test_tags_are_counted_as_they_are_however_it_grows(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bits_module, "_FEWEST", 0)  # the commonest tags are kept as bits
        monkeypatch.setattr(facets_module, "_FEW", 0)  # and are counted by these
        [ann] = added(store, "ann")
        for _ in range(10):
            kept(store, ann, a_tag("dog"))
        index = TagIndex(store)
        known = {name: number for number, name, _ in store.tags.all_names()}
        counts = Counter({"dog": 10, "sun": 1})
        kept(store, ann, a_tag("sun"))  # the only one: the rarest tag is counted, too
        for tags in (["cat"], [], ["cat", "sea"], ["dog"]):
            images = [kept(store, ann, *map(a_tag, tags)) for _ in range(70)]
            store.images.delete(images[0].id)
            counts.update(tags * 69)
            index.catch_up()
            known |= {name: number for number, name, _ in store.tags.all_names()}
            with index.reading() as photos:
                slots = np.flatnonzero(photos.seen(slice(0, photos.end), None)).astype(np.int32)
                for but in ((), (known["dog"],)):
                    found = facets_module.facets(photos, slots, photos.counts(None), count=10, but=but)
                    right = {known[name]: count for name, count in counts.items() if known[name] not in but}
                    assert dict(found) == right

    def test_who_reads_meanwhile_sees_whole_photos(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each photo has either all four tags or none, and is shared just when it has them."""
        monkeypatch.setattr(photos_module, "_LEFT_MIN", 0)
        [ann] = added(store, "ann")
        images = [kept(store, ann) for _ in range(12)]
        store.tags.write(images[0].number, [a_tag(name) for name in NAMES], [])
        store.images.update(images[0].id, visibility=SHARED, updated=NOW)
        index = TagIndex(store)
        known = {name: number for number, name, _ in store.tags.all_names()}
        ended, wrong = threading.Event(), []
        looks = count()
        looked = threading.Semaphore(0)

        def look() -> None:
            while not ended.is_set():
                try:
                    with index.reading() as photos:
                        see_whole(photos, known)
                    next(looks)
                except BaseException as err:
                    wrong.append(err)
                    return
                finally:
                    looked.release()

        readers = [threading.Thread(target=look) for _ in range(3)]
        followers = [threading.Thread(target=lambda: [index.catch_up() for _ in iter(ended.is_set, True)])]
        for thread in (*readers, *followers):
            thread.start()
        for turn in range(40):
            image = images[turn * 7 % len(images)]
            has = turn % 3 != 0
            with store.transaction():
                store.tags.write(image.number, [a_tag(name) for name in NAMES] if has else [], [] if has else NAMES)
                store.images.update(image.id, visibility=SHARED if has else PRIVATE, updated=NOW)
            index.catch_up()
            assert looked.acquire(timeout=PATIENCE_S)
        ended.set()
        for thread in (*readers, *followers):
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
        assert not wrong, wrong
        assert next(looks) >= 40
        World(store, index).see()


def see_whole(photos: TaggedPhotos, known: dict[str, int]) -> None:
    shared = photos.numbers[: photos.end][photos.seen(slice(0, photos.end), "nobody")]
    for name in NAMES:
        slots = photos.postings.of(known[name]).slots
        having = photos.numbers[slots[photos.live[slots]]]
        assert sorted(having.tolist()) == sorted(shared.tolist())
        assert photos.counts(None)[known[name]] == photos.counts("nobody")[known[name]] == len(shared)
    assert photos.size == 12


class TestTagIndexOnSqlite(OnSqlite, TagIndexContract):
    @pytest.fixture
    def examples(self) -> int:
        return 8


class TestTagIndexOnPostgres(OnPostgres, TagIndexContract):
    @pytest.fixture
    def examples(self) -> int:
        return 3
