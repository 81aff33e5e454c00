"""What the store promises of tags of photos and of lists of tags, on SQLite and on PostgreSQL."""

from __future__ import annotations

import random

import pytest
from image_rows import CONFIRMED, REJECTED, SHARED, SUGGESTED, a_tag, kept
from stores import NOW, OnPostgres, OnSqlite, added, at_once

from tagwright_server.errors import ArgumentInvalid
from tagwright_server.store.image_records import ImageFilter, ImageTag, TagEntry, TagSource
from tagwright_server.store.store import Store


def names(entries: list[TagEntry]) -> list[str]:
    """The names of a list."""
    return [entry.name for entry in entries]


class PhotoTagsContract:
    def test_tags_come_back_as_they_were_written_decided_and_best_ones_first(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        tags = (
            ImageTag("typed", CONFIRMED, TagSource.USER, None, "", 0),
            ImageTag("also typed", CONFIRMED, TagSource.USER, None, "", 1),
            a_tag("b", SUGGESTED, 1.0),
            a_tag("a", SUGGESTED, 0.1 + 0.2),
            a_tag("é", SUGGESTED, 0.3, source=TagSource.REFINEMENT, model_version="other@1"),
            ImageTag("a b", SUGGESTED, TagSource.IMPORT, 0.0),
            a_tag("c", REJECTED, None),
            a_tag("d", REJECTED, None),
        )
        image = kept(store, ada, *random.Random(2).sample(tags, len(tags)))
        assert store.tags.of([image.number, 1 << 60]) == {image.number: tags}
        assert store.tags.of([]) == {}

    def test_a_page_of_photos_has_its_tags_at_once(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        with store.transaction():
            numbers = [kept(store, ada).number for _ in range(520)]
            store.tags.write_many([(number, [a_tag(f"t{number % 7}")], []) for number in numbers])
        found = store.tags.of(numbers)
        assert {number: found[number][0].name for number in numbers} == {number: f"t{number % 7}" for number in numbers}

    def test_what_is_written_again_is_replaced_and_what_is_removed_goes(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        image, other = kept(store, ada, a_tag("a"), a_tag("b"), a_tag("c")), kept(store, ada, a_tag("a"))
        decided = ImageTag("a", CONFIRMED, TagSource.USER, None, "", 3)
        store.tags.write(image.number, [decided, a_tag("b", score=0.9)], ["b", "c", "unknown", "\0"])
        assert store.tags.of([image.number])[image.number] == (decided, a_tag("b", score=0.9))
        assert store.tags.of([other.number])[other.number] == (a_tag("a"),)
        assert store.tags.entry("unknown", None) is None
        store.tags.write_many([])
        store.tags.write(image.number, [], [])

    def test_aliases_mean_their_tag_in_all_that_is_written(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        store.tags.set_rules("cat", ["kitty"], [])
        image = kept(store, ada, a_tag("kitty"), a_tag("dog"))
        assert {tag.name for tag in store.tags.of([image.number])[image.number]} == {"cat", "dog"}
        assert store.tags.resolve(["kitty", "cat", "new", "\0"]) == {
            "kitty": "cat",
            "cat": "cat",
            "new": "new",
            "\0": "\0",
        }
        assert store.images.count(ImageFilter(tag="kitty")) == 1
        store.tags.write(image.number, [], ["kitty"])
        assert {tag.name for tag in store.tags.of([image.number])[image.number]} == {"dog"}
        assert store.tags.resolve([]) == {}

    def test_a_name_with_a_nul_is_not_written(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        image = kept(store, ada)
        for odd in ("a\0", "\ud800"):
            with pytest.raises(ArgumentInvalid):
                store.tags.write(image.number, [a_tag("fine"), a_tag(odd)], [])
        assert store.tags.of([image.number]) == {}

    def test_the_same_new_names_written_at_once_are_there_once(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        images = [kept(store, ada) for _ in range(6)]
        new = [a_tag(f"tag {i}", model_version=f"model {i % 3}") for i in range(30)]

        def write(i: int) -> None:
            store.tags.write(images[i].number, new if i % 2 else new[::-1], [])

        assert at_once(*[lambda i=i: write(i) for i in range(6)]) == [None] * 6
        page = store.tags.page(visible_to=None, after=None, limit=99)
        assert {(entry.name, entry.images) for entry in page} == {(tag.name, 6) for tag in new}

    def test_no_photo_has_an_alias_though_names_are_merged_while_photos_come(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        images = [kept(store, ada, a_tag("seed 0"), a_tag("seed 1"), a_tag("seed 2")) for _ in range(12)]

        def write() -> None:
            for i, image in enumerate(images):
                store.tags.write(image.number, [a_tag(f"seed {(i + n) % 3}", score=None) for n in range(3)], [])

        def change() -> None:
            store.tags.merge(["seed 1"], "seed 0")
            store.tags.rename("seed 2", "third")
            store.tags.merge(["seed 2"], "seed 0")

        assert at_once(write, change, write) == [None, None, None]
        found = store.tags.of([image.number for image in images])
        assert {tag.name for tags in found.values() for tag in tags} == {"seed 0"}
        assert store.tags.page(visible_to=None, after=None, limit=9) == [
            TagEntry("seed 0", ("seed 1", "seed 2", "third"), (), 12, 0)
        ]


class TagListsContract:
    def test_a_tag_tells_what_the_asker_sees_of_it(self, store: Store) -> None:
        ada, bob = added(store, "Ada", "Bob")
        kept(store, ada, a_tag("sea"), a_tag("sky", CONFIRMED))
        kept(store, ada, a_tag("sea", CONFIRMED), a_tag("sky", REJECTED), visibility=SHARED)
        kept(store, bob, a_tag("sea", REJECTED), a_tag("dog"))
        assert store.tags.entry("sea", None) == TagEntry("sea", images=2, confirmed=1)
        assert store.tags.entry("sea", bob.id) == TagEntry("sea", images=1, confirmed=1)
        assert store.tags.entry("sky", ada.id) == TagEntry("sky", images=1, confirmed=1)
        assert store.tags.entry("sky", bob.id) is None
        assert store.tags.entry("none", None) is store.tags.entry("\0", None) is None
        for asker, seen in ((None, ["dog", "sea", "sky"]), (ada.id, ["sea", "sky"]), (bob.id, ["dog", "sea"])):
            page = store.tags.page(visible_to=asker, after=None, limit=9)
            assert names(page) == seen
            assert [store.tags.entry(name, asker) for name in seen] == page
            by_count = store.tags.by_count(visible_to=asker, offset=0, limit=9)
            assert by_count == sorted(page, key=lambda entry: (-entry.images, entry.name))

    def test_names_of_others_private_photos_never_show_unless_they_have_rules(self, store: Store) -> None:
        ada, bob = added(store, "Ada", "Bob")
        image = kept(store, ada, a_tag("my secret"), a_tag("dachshund"), a_tag("rejected", REJECTED))
        assert store.tags.page(visible_to=bob.id, after=None, limit=9) == []
        assert store.tags.by_count(visible_to=bob.id, offset=0, limit=9) == []
        assert store.tags.entry("my secret", bob.id) is None
        ruled = store.tags.set_rules("dachshund", ["sausage dog"], ["dog"])
        assert ruled == TagEntry("dachshund", ("sausage dog",), ("dog",), 1, 0)
        public = TagEntry("dachshund", ("sausage dog",), ("dog",), 0, 0)
        assert store.tags.page(visible_to=bob.id, after=None, limit=9) == [public]
        assert store.tags.by_count(visible_to=bob.id, offset=0, limit=9) == [public]
        assert store.tags.entry("sausage dog", bob.id) == public
        assert store.tags.entry("rejected", None) is None
        store.images.update(image.id, visibility=SHARED, updated=NOW)
        assert names(store.tags.page(visible_to=bob.id, after=None, limit=9)) == ["dachshund", "my secret"]

    def test_pages_go_by_name_in_the_order_of_code_points(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        ordered = ["B", "_", "a", "a b", "ab", "b", "é", "\ud7ff", "\ue000", "🦜", "\U0010ffff", "\U0010ffffa"]
        kept(store, ada, *[a_tag(name) for name in reversed(ordered)])
        found: list[str] = []
        while page := store.tags.page(visible_to=ada.id, after=found[-1] if found else None, limit=5):
            found += names(page)
        assert found == ordered
        for prefix in ("a", "a ", "\ud7ff", "\U0010ffff", "%", "\0"):
            expected = [name for name in ordered if name.startswith(prefix)]
            assert names(store.tags.page(prefix=prefix, visible_to=None, after=None, limit=99)) == expected
            by_count = store.tags.by_count(prefix=prefix, visible_to=ada.id, offset=0, limit=99)
            assert names(by_count) == expected
        assert store.tags.page(visible_to=None, after="\0", limit=9) == []

    def test_pages_go_by_count_and_then_by_name(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        for i in range(4):
            kept(store, ada, *[a_tag(name) for name in ("c", "a", "d", "b")[: i + 1]])
        store.tags.set_rules("rule", ["alias"], [])
        pages = [names(store.tags.by_count(visible_to=ada.id, offset=offset, limit=2)) for offset in (0, 2, 4, 6)]
        assert pages == [["c", "a"], ["d", "b"], ["rule"], []]


class TestPhotoTagsOnSqlite(OnSqlite, PhotoTagsContract):
    pass


class TestPhotoTagsOnPostgres(OnPostgres, PhotoTagsContract):
    pass


class TestTagListsOnSqlite(OnSqlite, TagListsContract):
    pass


class TestTagListsOnPostgres(OnPostgres, TagListsContract):
    pass
