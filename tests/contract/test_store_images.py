"""What the store promises of photos, of what accounts keep, and of contents, on SQLite and on PostgreSQL."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from image_rows import MODEL, SHARED, a_content, a_tag, an_image, kept
from stores import HOUR, NOW, Aside, OnPostgres, OnSqlite, added, an_account, at_once

from tagwright_server.errors import ArgumentInvalid, NotFound
from tagwright_server.store.image_records import Image, ImageFilter, Usage
from tagwright_server.store.store import Store

ALL = ImageFilter()


class ImagesContract:
    def test_a_photo_comes_back_as_it_was_stored_with_a_number_and_its_owners_name(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        content = a_content(perceptual_hash=(1 << 64) - 1, size_bytes=1 << 40)
        image = an_image(ada, content=content, author="Ünal 🦜", file_name="../a\\b.jpg", captured=NOW - HOUR)
        stored = store.images.add(image)
        assert stored == replace(image, number=stored.number if stored else 0, owner="Ada")
        assert stored.number > 0
        assert store.images.get(image.id, visible_to=None) == stored
        assert store.images.many([image.id, "other", "\0"], visible_to=ada.id) == {image.id: stored}
        assert store.images.find(ada.id, [image.source_sha256, b"other"]) == {image.source_sha256: stored}
        assert store.images.content(content.sha256) == content
        assert store.images.last_number() == stored.number

    def test_an_account_has_the_same_bytes_once_and_another_account_has_its_own(self, store: Store) -> None:
        ada, bob = added(store, "Ada", "Bob")
        first = kept(store, ada)
        twin = an_image(ada, source_sha256=first.source_sha256)
        assert store.images.add(twin) is None
        assert store.images.content(twin.content.sha256) is None
        assert store.images.get(twin.id, visible_to=None) is None
        assert store.images.usage(ada.id) == Usage(1, 10_000)
        second = kept(store, bob, source_sha256=first.source_sha256, content=first.content)
        assert second.number > first.number
        assert store.images.find(bob.id, [first.source_sha256]) == {first.source_sha256: second}
        assert store.images.contents(after=None, limit=9) == [first.content]

    def test_a_photo_of_no_account_or_with_a_nul_is_not_stored(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        with pytest.raises(NotFound):
            store.images.add(an_image(an_account("Nobody")))
        with pytest.raises(ArgumentInvalid):
            store.images.add(an_image(ada, author="a\0"))
        with pytest.raises(ArgumentInvalid):
            store.images.add(an_image(ada, file_name="\ud800"))
        with pytest.raises(ValueError, match="64 bits"):
            store.images.add(an_image(ada, content=a_content(perceptual_hash=1 << 64)))
        assert store.images.count(ALL) == 0
        assert store.images.contents(after=None, limit=9) == []

    def test_private_photos_of_others_do_not_exist(self, store: Store) -> None:
        ada, bob = added(store, "Ada", "Bob")
        private, shared = kept(store, ada), kept(store, ada, visibility=SHARED)
        for asker, seen in ((ada.id, [shared, private]), (None, [shared, private]), (bob.id, [shared])):
            which = ImageFilter(visible_to=asker)
            assert store.images.page(which, before=None, limit=9) == seen
            assert store.images.following(which, after=0, last=shared.number, limit=9) == seen[::-1]
            assert store.images.count(which) == len(seen)
            assert (store.images.get(private.id, visible_to=asker) == private) == (private in seen)
            assert store.images.many([private.id, shared.id], visible_to=asker).keys() == {each.id for each in seen}
            for image in (private, shared):
                found = store.images.near(image.content.perceptual_hash, visible_to=asker)
                assert found == ([image.id] if image in seen else [])
                narrow = replace(which, ids=(image.id,), owner_id=ada.id, source_sha256s=(image.source_sha256,))
                assert store.images.count(narrow) == (image in seen)

    def test_what_is_given_is_changed_and_the_rest_stays(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        image = kept(store, ada, author="Ada")
        later = NOW + HOUR
        shared = store.images.update(image.id, visibility=SHARED, updated=later)
        assert shared == replace(image, visibility=SHARED, updated=later)
        assert store.images.update(image.id, author="", model_version="other@1", updated=NOW) == replace(
            shared, author="", model_version="other@1", updated=NOW
        )
        for unknown in ("other", "\0"):
            with pytest.raises(NotFound):
                store.images.update(unknown, updated=NOW)
            with pytest.raises(NotFound):
                store.images.delete(unknown)
        with pytest.raises(ArgumentInvalid):
            store.images.update(image.id, author="\0", updated=later)

    def test_a_photo_that_is_deleted_takes_its_tags_along_and_its_number_never_comes_back(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        kept(store, ada)
        image = kept(store, ada, a_tag("sea"))
        assert store.images.delete(image.id) == image
        assert store.images.get(image.id, visible_to=None) is None
        assert store.tags.of([image.number]) == {}
        assert store.tags.entry("sea", None) is None
        assert kept(store, ada).number > image.number

    def test_an_account_takes_its_photos_along_and_leaves_their_contents_to_be_swept(self, store: Store) -> None:
        ada, bob = added(store, "Ada", "Bob")
        image = kept(store, ada, a_tag("sea"))
        store.images.put_embedding(image.content.sha256, MODEL, b"\0\x3c")
        other = kept(store, bob)
        store.accounts.delete(ada.id)
        assert store.images.page(ALL, before=None, limit=9) == [other]
        assert store.tags.of([image.number]) == {}
        assert store.images.usage(ada.id) == Usage(0, 0)
        assert store.images.unused_contents(limit=9) == [image.content.sha256]

    def test_pages_go_from_the_last_stored_to_the_first_and_back(self, store: Store) -> None:
        ada, bob = added(store, "Ada", "Bob")
        images = [kept(store, random.choice([ada, bob]), visibility=SHARED) for _ in range(7)]
        which = ImageFilter(visible_to=ada.id)
        found: list[Image] = []
        while page := store.images.page(which, before=found[-1].number if found else None, limit=3):
            assert len(page) <= 3
            found += page
        assert found == images[::-1]
        last = images[5].number
        found = []
        while page := store.images.following(which, after=found[-1].number if found else 0, last=last, limit=2):
            found += page
        assert found == images[:6]
        assert store.images.page(which, before=1 << 80, limit=9) == images[::-1]
        assert store.images.page(which, before=-5, limit=9) == []

    def test_what_an_account_keeps_never_drifts(self, store: Store) -> None:
        accounts = added(store, "Ada", "Bob")
        choose = random.Random(7)
        sources = [bytes([i]) * 32 for i in range(8)]
        contents = [a_content(size_bytes=10**i) for i in range(8)]
        there: dict[tuple[str, int], Image] = {}
        for _ in range(80):
            account, i = choose.choice(accounts), choose.randrange(8)
            key = (account.id, i)
            if key in there and choose.random() < 0.6:
                store.images.delete(there.pop(key).id)
            else:
                with store.transaction():
                    image = store.images.add(an_image(account, source_sha256=sources[i], content=contents[i]))
                assert (image is None) == (key in there)
                if image is not None:
                    there[key] = image
            kept_sizes = [image.content.size_bytes for (owner, _), image in there.items() if owner == account.id]
            assert store.images.usage(account.id) == Usage(len(kept_sizes), sum(kept_sizes))

    def test_a_batch_that_fails_leaves_nothing(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        image = an_image(ada)
        with suppress(KeyError), store.transaction():
            stored = store.images.add(image)
            assert stored is not None
            store.tags.write(stored.number, [a_tag("sea")], [])
            raise KeyError
        assert store.images.count(ALL) == 0
        assert store.images.usage(ada.id) == Usage(0, 0)
        assert store.images.content(image.content.sha256) is None

    def test_the_same_photos_added_at_once_are_there_once(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        images = [an_image(ada, created=NOW + timedelta(seconds=i)) for i in range(4)]

        def add(order: int) -> list[Image | None]:
            with store.transaction():
                for sha256 in sorted(image.content.sha256 for image in images):
                    store.images.hold_content(sha256)
                return [store.images.add(replace(image, id=f"{order}-{i}")) for i, image in enumerate(images[::order])]

        results = at_once(*[lambda order=order: add(order) for order in (1, -1, 1, -1)])
        assert all(isinstance(result, list) for result in results), results
        assert store.images.count(ALL) == 4
        assert store.images.usage(ada.id) == Usage(4, 40_000)
        assert len(store.images.contents(after=None, limit=9)) == 4

    def test_the_same_content_of_several_accounts_added_at_once_is_there_once(self, store: Store) -> None:
        accounts = added(store, "Ada", "Bob", "Cem", "Dan")
        content = a_content()
        results = at_once(*[lambda account=account: kept(store, account, content=content) for account in accounts])
        assert all(isinstance(result, Image) for result in results), results
        assert store.images.contents(after=None, limit=9) == [content]
        assert store.images.count(ALL) == 4

    def test_a_photo_that_is_read_in_a_transaction_waits_for_nobody_else_to_change_it(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        image = kept(store, ada)
        with store.transaction():
            assert store.images.get(image.id, visible_to=ada.id) == image
            changing = Aside(lambda: store.images.update(image.id, author="rival", updated=NOW))
            assert store.images.update(image.id, visibility=SHARED, updated=NOW).author == ""
        assert changing.result() == replace(image, visibility=SHARED, author="rival")


class DeletedBitByBitContract:
    def test_the_photos_of_one_account_go_so_many_at_a_time(self, store: Store) -> None:
        ada, bob = added(store, "Ada", "Bob")
        for owner in (ada, ada, ada, bob):
            kept(store, owner, a_tag("dog"))
        assert [store.images.delete_of(ada.id, limit=2) for _ in range(3)] == [2, 1, 0]
        assert store.images.usage(ada.id) == Usage(0, 0)
        assert [image.owner for image in store.images.page(ImageFilter(), before=None, limit=9)] == ["Bob"]
        assert store.images.usage(bob.id).photos == 1


class NearContract:
    def test_photos_within_three_bits_are_found_the_most_alike_first(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        choose = random.Random(3)
        for _ in range(12):
            hash = choose.getrandbits(64)
            images = {}
            for bits in (5, 4, 3, 2, 1, 0):
                other = hash
                for bit in choose.sample(range(64), bits):
                    other ^= 1 << bit
                images[bits] = kept(store, ada, content=a_content(perceptual_hash=other)).id
            assert store.images.near(hash, visible_to=ada.id) == [images[bits] for bits in range(4)]
            assert store.images.near(hash, distance=1, visible_to=None) == [images[0], images[1]]
            assert store.images.near(hash, visible_to=None, limit=1) == [images[0]]

    def test_the_last_stored_of_equals_comes_first(self, store: Store) -> None:
        ada, bob = added(store, "Ada", "Bob")
        content = a_content(perceptual_hash=0)
        older = kept(store, ada, content=content)
        newer = kept(store, bob, content=content, visibility=SHARED)
        assert store.images.near(0, visible_to=ada.id) == [newer.id, older.id]
        with pytest.raises(ValueError, match="three bits"):
            store.images.near(0, distance=4, visible_to=None)

    def test_flat_pictures_by_the_thousand_stay_bounded(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        with store.transaction():
            for i in range(1500):
                store.images.add(an_image(ada, content=a_content(perceptual_hash=i << 48)))
            flat = [store.images.add(an_image(ada, content=a_content(perceptual_hash=0))) for _ in range(1100)]
        found = store.images.near(0, visible_to=ada.id)
        assert found == [image.id for image in flat[:-21:-1] if image]


class ContentsContract:
    def test_a_content_goes_only_when_no_photo_uses_it(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        image = kept(store, ada)
        sha256 = image.content.sha256
        store.images.put_embedding(sha256, MODEL, b"\0\x3c")
        with store.transaction():
            store.images.hold_content(sha256)
            assert not store.images.drop_content(sha256)
        assert store.images.unused_contents(limit=9) == []
        store.images.delete(image.id)
        assert store.images.unused_contents(limit=9) == [sha256]
        assert store.images.unused_contents(limit=0) == []
        for _ in range(2):
            with store.transaction():
                store.images.hold_content(sha256)
                assert store.images.drop_content(sha256)
        assert store.images.content(sha256) is None
        assert store.images.embeddings([sha256], MODEL) == {}
        for verb in (store.images.hold_content, store.images.drop_content):
            with pytest.raises(RuntimeError):
                verb(sha256)

    def test_who_adds_a_content_and_who_sweeps_it_take_turns(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        content = a_content()
        store.images.delete(kept(store, ada, content=content).id)
        with store.transaction():
            store.images.hold_content(content.sha256)
            adding = Aside(lambda: kept(store, ada, content=content))
            assert store.images.drop_content(content.sha256)
        image = adding.result()
        assert store.images.get(image.id, visible_to=None) == image
        assert store.images.content(content.sha256) == content

    def test_contents_are_listed_in_order_and_known_ones_told_from_others(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        contents = sorted((kept(store, ada).content for _ in range(5)), key=lambda content: content.sha256)
        assert store.images.contents(after=None, limit=3) == contents[:3]
        assert store.images.contents(after=contents[2].sha256, limit=3) == contents[3:]
        known = [content.sha256 for content in contents]
        assert store.images.contents_known([*known, b"other", *[bytes([i]) * 32 for i in range(255)] * 5]) == set(known)
        assert store.images.contents_known([]) == set()

    def test_embeddings_are_kept_of_each_model_and_replaced(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        a, b = (kept(store, ada).content.sha256 for _ in range(2))
        store.images.put_embedding(a, MODEL, b"first")
        store.images.put_embedding(a, MODEL, bytes(range(256)))
        store.images.put_embedding(a, "other@1", b"other")
        store.images.put_embedding(b, MODEL, b"b")
        assert store.images.embeddings([a, b, b"none"], MODEL) == {a: bytes(range(256)), b: b"b"}
        assert store.images.embeddings([a, b], "other@1") == {a: b"other"}
        assert store.images.embeddings([a], "no@1") == store.images.embeddings([], MODEL) == {}
        with pytest.raises(NotFound):
            store.images.put_embedding(b"none", MODEL, b"")


class TestImagesOnSqlite(OnSqlite, ImagesContract):
    pass


class TestImagesOnPostgres(OnPostgres, ImagesContract):
    pass


class TestNearOnSqlite(OnSqlite, NearContract):
    pass


class TestNearOnPostgres(OnPostgres, NearContract):
    pass


class TestContentsOnSqlite(OnSqlite, ContentsContract):
    pass


class TestContentsOnPostgres(OnPostgres, ContentsContract):
    pass


class TestDeletedBitByBitOnSqlite(OnSqlite, DeletedBitByBitContract):
    """In a file."""


class TestDeletedBitByBitOnPostgres(OnPostgres, DeletedBitByBitContract):
    """On a server."""
