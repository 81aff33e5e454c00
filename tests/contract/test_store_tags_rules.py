"""What the store promises of renaming and merging tags, and of their aliases and parents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from image_rows import CONFIRMED, REJECTED, a_tag, kept
from stores import OnPostgres, OnSqlite, added, at_once

from tagwright_server.errors import ArgumentInvalid, NameTaken, NotFound
from tagwright_server.store import merging
from tagwright_server.store.image_records import ImageTag, TagEntry, TagSource
from tagwright_server.store.store import Store


def tags_of(store: Store, number: int) -> Sequence[ImageTag]:
    """The tags of one photo."""
    return store.tags.of([number]).get(number, ())


class RenameContract:
    def test_a_tag_gets_another_name_on_all_photos_and_the_old_one_means_it(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        image = kept(store, ada, a_tag("auto"))
        store.tags.set_rules("auto", ["motorcar"], ["vehicle"])
        expected = TagEntry("car", ("auto", "motorcar"), ("vehicle",), 1, 0)
        assert store.tags.rename("auto", "car") == expected
        assert tags_of(store, image.number) == (a_tag("car"),)
        for name in ("car", "auto", "motorcar"):
            assert store.tags.entry(name, None) == expected
            assert store.tags.rename(name, "car") == expected

    def test_its_own_alias_may_become_its_name_and_back(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        kept(store, ada, a_tag("auto"))
        store.tags.rename("auto", "car")
        assert store.tags.rename("car", "auto") == TagEntry("auto", ("car",), (), 1, 0)
        assert store.tags.rename("car", "auto") == TagEntry("auto", ("car",), (), 1, 0)

    def test_a_name_that_is_taken_stays_with_its_tag(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        kept(store, ada, a_tag("auto"), a_tag("used"), a_tag("no", REJECTED))
        store.tags.set_rules("dog", ["hound"], ["animal"])
        before = store.tags.page(visible_to=None, after=None, limit=99)
        for taken in ("used", "no", "dog", "hound", "animal"):
            with pytest.raises(NameTaken):
                store.tags.rename("auto", taken)
        for name in ("unknown", "\0"):
            with pytest.raises(NotFound):
                store.tags.rename(name, "new")
        with pytest.raises(ArgumentInvalid):
            store.tags.rename("auto", "\0")
        assert store.tags.page(visible_to=None, after=None, limit=99) == before

    def test_a_name_that_is_left_over_is_free_and_is_no_tag(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        image = kept(store, ada, a_tag("auto"), a_tag("left"))
        store.tags.write(image.number, [], ["left"])
        with pytest.raises(NotFound):
            store.tags.rename("left", "new")
        assert store.tags.rename("auto", "left") == TagEntry("left", ("auto",), (), 1, 0)


class MergeContract:
    def test_photos_keep_one_tag_of_those_that_become_one(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        cases: list[tuple[list[ImageTag], ImageTag]] = [
            ([a_tag("a", score=0.3)], a_tag("cat", score=0.3)),
            ([a_tag("a", REJECTED, 0.9), a_tag("cat", CONFIRMED, 0.2)], a_tag("cat", CONFIRMED, 0.9)),
            ([a_tag("a", CONFIRMED, 0.1), a_tag("cat", score=0.2)], a_tag("cat", CONFIRMED, 0.2)),
            ([a_tag("a", CONFIRMED), a_tag("b", REJECTED)], a_tag("cat", CONFIRMED)),
            ([a_tag("b", REJECTED, None), a_tag("a", score=None)], a_tag("cat", REJECTED, None)),
            (
                [
                    ImageTag("a", CONFIRMED, TagSource.USER, None, "", 4),
                    a_tag("b", score=0.7, model_version="b@1", position=2),
                ],
                ImageTag("cat", CONFIRMED, TagSource.USER, 0.7, "b@1", 2),
            ),
            (
                [a_tag("b", score=0.7), a_tag("cat", score=0.1, source=TagSource.IMPORT)],
                a_tag("cat", score=0.7, source=TagSource.IMPORT),
            ),
        ]
        images = [kept(store, ada, *tags, a_tag("other")) for tags, _ in cases]
        entry = store.tags.merge(["a", "b", "a"], "cat")
        assert entry == TagEntry("cat", ("a", "b"), (), 6, 4)
        for image, (_, expected) in zip(images, cases, strict=True):
            assert {tag.name: tag for tag in tags_of(store, image.number)} == {
                "cat": expected,
                "other": a_tag("other"),
            }
        assert store.tags.merge(["a", "b"], "cat") == entry

    def test_rules_come_along(self, store: Store) -> None:
        store.tags.set_rules("cat", ["kitty"], ["pet"])
        store.tags.set_rules("felid", ["feline"], ["animal"])
        store.tags.set_rules("lynx", [], ["felid"])
        store.tags.set_rules("puss", [], ["cat", "pet"])
        merged = store.tags.merge(["feline", "puss"], "kitty")
        assert merged == TagEntry("cat", ("felid", "feline", "kitty", "puss"), ("animal", "pet"))
        assert store.tags.entry("lynx", None) == TagEntry("lynx", (), ("cat",))
        assert store.tags.entry("puss", None) == merged

    def test_a_tag_is_never_its_own_ancestor_nor_merged_into_itself(self, store: Store) -> None:
        store.tags.set_rules("dachshund", [], ["dog"])
        store.tags.set_rules("dog", [], ["animal"])
        for sources, target in ((["animal"], "dachshund"), (["dachshund"], "animal"), (["dog", "dog"], "dog")):
            with pytest.raises(ArgumentInvalid):
                store.tags.merge(sources, target)
        for sources, target in ((["none"], "dog"), (["dog"], "none"), (["dog", "\0"], "animal")):
            with pytest.raises(NotFound):
                store.tags.merge(sources, target)
        assert store.tags.entry("dachshund", None) == TagEntry("dachshund", (), ("dog",))
        assert store.tags.merge(["dog"], "dachshund") == TagEntry("dachshund", ("dog",), ("animal",))

    def test_many_photos_are_moved_in_pieces(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(merging, "_AT_ONCE", 3)
        [ada] = added(store, "Ada")
        with store.transaction():
            for state in (CONFIRMED, REJECTED):
                for _ in range(7):
                    kept(store, ada, a_tag("a", state))
            kept(store, ada, a_tag("cat"))
        assert store.tags.merge(["a"], "cat") == TagEntry("cat", ("a",), (), 8, 7)


class SetRulesContract:
    def test_rules_are_replaced_and_a_tag_is_made_where_there_is_none(self, store: Store) -> None:
        expected = TagEntry("dog", ("doggo", "hound"), ("animal", "pet"))
        assert store.tags.set_rules("dog", ["hound", "doggo", "hound"], ["pet", "animal"]) == expected
        assert store.tags.entry("hound", None) == expected
        assert store.tags.set_rules("hound", ["hound"], ["pet"]) == TagEntry("dog", ("hound",), ("pet",))
        assert store.tags.entry("doggo", None) is None
        assert store.tags.resolve(["doggo"]) == {"doggo": "doggo"}
        store.tags.set_rules("wolf", ["doggo"], [])
        store.tags.set_rules("dog", [], [])
        assert [entry.name for entry in store.tags.page(visible_to=None, after=None, limit=9)] == ["wolf"]

    def test_the_parents_of_tags_come_with_theirs_all_the_way_up(self, store: Store) -> None:
        store.tags.set_rules("collie", [], ["dog"])
        store.tags.set_rules("dog", [], ["animal", "pet"])
        store.tags.set_rules("animal", [], ["being"])
        store.tags.set_rules("car", [], ["vehicle"])
        animals = {"dog": ("animal", "pet"), "animal": ("being",)}
        assert store.tags.parents(["collie", "unknown", "\0"]) == {"collie": ("dog",)} | animals
        assert store.tags.parents(["dog", "car"]) == animals | {"car": ("vehicle",)}
        assert store.tags.parents([]) == {}

    def test_a_parent_named_by_an_alias_is_its_tag(self, store: Store) -> None:
        store.tags.set_rules("animal", ["beast"], [])
        assert store.tags.set_rules("dog", [], ["beast", "animal"]) == TagEntry("dog", (), ("animal",))

    def test_names_that_are_taken_and_circles_change_nothing(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        kept(store, ada, a_tag("used"), a_tag("no", REJECTED))
        store.tags.set_rules("dog", ["hound"], ["animal"])
        store.tags.set_rules("dachshund", [], ["dog"])
        before = store.tags.page(visible_to=None, after=None, limit=99)
        for alias in ("used", "no", "hound", "dog", "animal", "dachshund"):
            with pytest.raises(NameTaken):
                store.tags.set_rules("cat", ["fine", alias], [])
        wrong: list[tuple[str, list[str], list[str], str]] = [
            ("dog", [], ["dog"], "parents"),
            ("dog", ["hound"], ["hound"], "parents"),
            ("animal", [], ["dachshund"], "parents"),
            ("dog", ["dog"], [], "aliases"),
            ("a\0", [], [], "name"),
            ("a", ["\0"], [], "aliases"),
            ("a", [], ["\ud800"], "parents"),
        ]
        for name, aliases, parents, field in wrong:
            with pytest.raises(ArgumentInvalid) as told:
                store.tags.set_rules(name, aliases, parents)
            assert told.value.field == field
        assert store.tags.page(visible_to=None, after=None, limit=99) == before

    def test_rules_set_at_once_never_make_a_circle(self, store: Store) -> None:
        results: Sequence[Any] = at_once(
            *[lambda a=a, b=b: store.tags.set_rules(a, [], [b]) for a, b in ("ab", "bc", "ca", "ba")]
        )
        assert all(isinstance(each, TagEntry | ArgumentInvalid) for each in results), results
        parents = {entry.name: entry.parents for entry in store.tags.page(visible_to=None, after=None, limit=9)}

        def above(name: str) -> set[str]:
            return {up for parent in parents.get(name, ()) for up in (parent, *above(parent))}

        assert all(name not in above(name) for name in "abc")


class TestRenameOnSqlite(OnSqlite, RenameContract):
    pass


class TestRenameOnPostgres(OnPostgres, RenameContract):
    pass


class TestMergeOnSqlite(OnSqlite, MergeContract):
    pass


class TestMergeOnPostgres(OnPostgres, MergeContract):
    pass


class TestSetRulesOnSqlite(OnSqlite, SetRulesContract):
    pass


class TestSetRulesOnPostgres(OnPostgres, SetRulesContract):
    pass
