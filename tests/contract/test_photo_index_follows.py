"""What the photo index promises of following the database: the next search knows what was acknowledged, no more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from image_rows import CONFIRMED, MODEL, PRIVATE, REJECTED, SHARED, a_content, a_tag
from indexed import SIZE, Heard, a_vector, expected, found_by, indexed, typed
from stores import NOW, PATIENCE_S, Aside, OnPostgres, OnSqlite, added, at_once

from tagwright_server.domain.keeping import packed
from tagwright_server.store import changes
from tagwright_server.store.image_records import TagSource
from tagwright_server.store.photo_index import PhotoIndex
from tagwright_server.store.records import Account
from tagwright_server.store.store import Store, open_store

Q = a_vector(0)


class FollowingContract:
    @pytest.fixture
    def people(self, store: Store) -> list[Account]:
        return added(store, "Ada", "Bob")

    @pytest.fixture
    def index(self, store: Store, tmp_path: Path) -> PhotoIndex:
        return PhotoIndex(store, MODEL, SIZE, tmp_path / "index")

    @pytest.fixture
    def following(self, index: PhotoIndex) -> Callable[[], PhotoIndex]:
        def follow() -> PhotoIndex:
            index.catch_up()
            return index

        return follow

    def test_an_index_of_nothing_finds_nothing(self, index: PhotoIndex, people: list[Account]) -> None:
        found = index.neighbours(Q, limit=10, visible_to=people[0].id)
        assert (found.numbers.shape, found.similarities.shape, found.ids, found.tags) == ((0,), (0,), (), ())
        assert index.size == 0
        assert list(index.entries()) == []

    def test_a_photo_is_found_by_the_next_search(
        self, store: Store, people: list[Account], following: Callable[[], PhotoIndex]
    ) -> None:
        ada, _ = people
        for seed in range(1, 6):
            image = indexed(store, ada, a_vector(seed), typed("sea"), author=f"author {seed}")
            index = following()
            found = index.neighbours(a_vector(seed), limit=1, visible_to=ada.id)
            assert found.numbers.tolist() == [image.number]
            assert found.similarities[0] == pytest.approx(1, abs=5e-4)
            assert (found.ids, found.authors, found.tags) == ((image.id,), (f"author {seed}",), (("sea",),))
            assert index.size == seed

    def test_a_private_photo_is_found_by_its_owner_and_administrators_alone(
        self, store: Store, people: list[Account], following: Callable[[], PhotoIndex]
    ) -> None:
        ada, bob = people
        private, shared = (indexed(store, ada, a_vector(n), visibility=v) for n, v in ((1, PRIVATE), (2, SHARED)))
        index = following()
        both = {private.number, shared.number}
        assert set(found_by(index, Q, ada)) == set(found_by(index, Q, None)) == both
        assert found_by(index, Q, bob) == [shared.number]
        assert found_by(index, Q, replace(bob, id="who is that")) == [shared.number]
        assert [index.count(visible_to=who) for who in (None, ada.id, bob.id, "who is that")] == [2, 2, 1, 1]
        store.images.update(private.id, visibility=SHARED, updated=NOW)
        store.images.update(shared.id, visibility=PRIVATE, updated=NOW)
        following()
        assert found_by(index, Q, bob) == [private.number]
        assert index.count(visible_to=bob.id) == 1

    def test_a_deleted_photo_is_never_found_again(
        self, store: Store, people: list[Account], following: Callable[[], PhotoIndex]
    ) -> None:
        ada, bob = people
        images = [indexed(store, ada, a_vector(n), visibility=SHARED) for n in range(6)]
        theirs = indexed(store, bob, a_vector(9))
        following()
        store.images.delete(images[0].id)
        store.images.delete_of(ada.id, limit=2)
        left = set(found_by(following(), Q))
        assert len(left) == 4
        store.accounts.delete(ada.id)
        assert found_by(following(), Q) == [theirs.number]
        assert following().count(visible_to=ada.id) == 0

    def test_its_tags_are_those_that_people_gave_and_nobody_rejected_as_typed(
        self, store: Store, people: list[Account], following: Callable[[], PhotoIndex]
    ) -> None:
        tags = [
            typed("zoo", 0),
            typed("ape", 1, state=REJECTED),
            typed("bear", 2, state=CONFIRMED),
            a_tag("cat", score=0.9),
            a_tag("dog", CONFIRMED),
            a_tag("eel", REJECTED),
            a_tag("fox", source=TagSource.IMPORT, position=3),
            a_tag("hen", source=TagSource.IMPORT, position=None),  # only suggested to the photo, from outside
            a_tag("gnu", source=TagSource.REFINEMENT),
        ]
        image = indexed(store, people[0], Q, *tags)
        [found] = following().neighbours(Q, limit=1, visible_to=None).tags
        assert found == ("zoo", "bear", "fox", "dog")
        store.tags.write(image.number, [a_tag("cat", CONFIRMED), a_tag("zoo", REJECTED)], ["fox"])
        assert following().neighbours(Q, limit=1, visible_to=None).tags == (("bear", "cat", "dog"),)

    def test_renamed_and_merged_tags_are_known_by_their_new_names(
        self, store: Store, people: list[Account], following: Callable[[], PhotoIndex]
    ) -> None:
        indexed(store, people[0], Q, typed("see", 0), typed("kuh", 1), typed("ozean", 2))
        following()
        store.tags.rename("kuh", "cow")
        assert following().neighbours(Q, limit=1, visible_to=None).tags == (("see", "cow", "ozean"),)
        store.tags.merge(["ozean"], "see")
        assert following().neighbours(Q, limit=1, visible_to=None).tags == (("see", "cow"),)

    def test_a_photo_counts_from_when_the_model_has_looked_at_it(
        self, store: Store, people: list[Account], following: Callable[[], PhotoIndex]
    ) -> None:
        content = a_content()
        first = indexed(store, people[0], None, content=content)
        second = indexed(store, people[1], None, content=content)
        store.images.put_embedding(content.sha256, "other@1", packed(Q))
        assert following().size == 0
        store.images.put_embedding(content.sha256, MODEL, packed(Q))
        assert found_by(following(), Q) == [first.number, second.number]
        store.images.put_embedding(content.sha256, MODEL, packed(-Q))
        similarities = following().neighbours(Q, limit=2, visible_to=None).similarities
        np.testing.assert_allclose(similarities, -1, atol=1e-4)

    def test_an_embedding_that_does_not_fit_is_left_out(
        self, store: Store, people: list[Account], following: Callable[[], PhotoIndex]
    ) -> None:
        indexed(store, people[0], a_vector(1, SIZE + 1))
        good = indexed(store, people[0], a_vector(1))
        nothing = indexed(store, people[0], np.zeros(SIZE, np.float32))
        assert found_by(following(), a_vector(1)) == [good.number, nothing.number]

    def test_a_search_among_some_photos_finds_those_of_them_that_one_may_see(
        self, store: Store, people: list[Account], following: Callable[[], PhotoIndex]
    ) -> None:
        ada, bob = people
        images = [indexed(store, (ada, bob)[n % 2], a_vector(n)) for n in range(10)]
        some = np.array([images[1].number, images[2].number, images[2].number, images[5].number, 10**12, 0, -1])
        index = following()
        assert set(found_by(index, Q, bob, among=some)) == {images[1].number, images[5].number}
        assert set(found_by(index, Q, among=some)) == {images[n].number for n in (1, 2, 5)}
        assert found_by(index, Q, among=some[:0]) == []
        assert found_by(index, Q, among=some, limit=0) == found_by(index, Q, limit=0) == []

    def test_listeners_hear_of_every_change_and_of_nothing_else(
        self, store: Store, people: list[Account], index: PhotoIndex
    ) -> None:
        heard = Heard()
        index.subscribe(heard)
        image = indexed(store, people[0], Q, typed("sea"))
        index.catch_up()
        store.images.put_embedding(image.content.sha256, MODEL, packed(Q))  # the same again
        store.tags.write(image.number, [a_tag("dog")], [])  # nobody gave it
        index.catch_up()
        assert heard.count == 1
        store.tags.write(image.number, [typed("sun", 1)], [])
        index.catch_up()
        [(tags, vector)] = heard.photos.values()
        assert tags == ("sea", "sun")
        np.testing.assert_allclose(np.frombuffer(vector, np.float32), Q, atol=1e-3)
        store.images.delete(image.id)
        index.catch_up()
        assert (heard.photos, heard.count) == ({}, 3)

    def test_the_entries_are_all_photos(
        self, store: Store, people: list[Account], following: Callable[[], PhotoIndex]
    ) -> None:
        for n in range(5):
            indexed(store, people[0], a_vector(n), typed(f"tag {n}"))
        [some] = following().entries()
        vectors, tags = some.vectors, some.tags
        assert sorted(tags) == [(f"tag {n}",) for n in range(5)]
        for vector, [tag] in zip(vectors, tags, strict=True):
            np.testing.assert_allclose(vector, a_vector(int(tag[-1])), atol=1e-3)

    def test_indexes_of_several_servers_follow_each_other(
        self, store: Store, people: list[Account], index: PhotoIndex, url: str, tmp_path: Path
    ) -> None:
        elsewhere = open_store(url)
        other = PhotoIndex(elsewhere, MODEL, SIZE, tmp_path / "other")
        here = indexed(store, people[0], a_vector(1))
        there = indexed(elsewhere, people[1], a_vector(2))
        for each in (index, other):
            each.catch_up()
            assert set(found_by(each, Q)) == {here.number, there.number}
        elsewhere.close()

    def test_an_index_that_was_left_behind_is_read_anew_and_its_listeners_stay_right(
        self, store: Store, people: list[Account], index: PhotoIndex, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heard = Heard()
        index.subscribe(heard)
        images = [indexed(store, people[0], a_vector(n), typed(f"tag {n}")) for n in range(5)]
        index.catch_up()
        images += [indexed(store, people[0], a_vector(n)) for n in range(5, 9)]
        store.images.delete(images[0].id)
        store.tags.write(images[1].number, [typed("new", 1)], [])
        monkeypatch.setattr(changes, "MOST", 3)
        index.catch_up()
        expected(store, Q, None).see(index.neighbours(Q, limit=1000, visible_to=None))
        assert set(heard.photos) == {image.number for image in images[1:]}
        assert heard.count == 5 + 4 + 2

    def test_searches_and_changes_at_once_do_each_other_no_harm(
        self, store: Store, people: list[Account], index: PhotoIndex
    ) -> None:
        ada, bob = people
        heard = Heard()
        index.subscribe(heard)

        def put(who: Account, seed: int) -> Callable[[], None]:
            def run() -> None:
                for n in range(10):
                    image = indexed(store, who, a_vector(seed + n), typed(f"tag {n}"), author=who.username)
                    index.catch_up()
                    [nearest] = found_by(index, a_vector(seed + n), who, limit=1)
                    assert nearest == image.number
                    if n % 3 == 0:
                        store.images.delete(image.id)

            return run

        def search() -> None:
            for n in range(60):
                index.catch_up()
                found = index.neighbours(a_vector(n), limit=5, visible_to=bob.id)
                assert set(found.authors) <= {"Bob"}
                assert (np.diff(found.similarities) <= 0).all()

        calls = [put(ada, 1000), put(bob, 2000), put(ada, 3000), search, search]
        assert at_once(*calls) == [None] * len(calls)
        index.catch_up()
        expected(store, Q, None).see(index.neighbours(Q, limit=1000, visible_to=None))
        assert set(heard.photos) == set(found_by(index, Q))


class TestFollowingOnSqlite(OnSqlite, FollowingContract):
    pass


class TestFollowingOnPostgres(OnPostgres, FollowingContract):
    def test_a_photo_whose_transaction_ends_after_later_ones_is_not_missed(
        self, store: Store, people: list[Account], index: PhotoIndex, tmp_path: Path
    ) -> None:
        ada, bob = people
        first = indexed(store, bob, a_vector(3))  # and with it the name of the model
        written, go_on = threading.Event(), threading.Event()

        def slowly() -> int:
            with store.transaction():
                image = indexed(store, ada, a_vector(1))
                written.set()
                go_on.wait(PATIENCE_S)
            return image.number

        aside = Aside(slowly)
        assert written.wait(PATIENCE_S)
        quick = indexed(store, bob, a_vector(2))
        index.catch_up()
        assert set(found_by(index, Q)) == {first.number, quick.number}
        index.save()
        go_on.set()
        slow = aside.result()
        assert slow < quick.number
        index.catch_up()
        assert set(found_by(index, Q)) == {first.number, slow, quick.number}
        reopened = PhotoIndex(store, MODEL, SIZE, tmp_path / "index")  # from the file of before
        assert set(found_by(reopened, Q)) == {first.number, slow, quick.number}
