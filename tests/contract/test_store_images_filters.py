"""Filters of photos find what a plain reading of them finds, on SQLite and on PostgreSQL; SQLite uses its indexes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from image_rows import CONFIRMED, PRIVATE, REJECTED, SHARED, SUGGESTED, a_tag, an_image, kept
from stores import HOUR, NOW, OnPostgres, OnSqlite, added

from tagwright_server.store.image_records import Image, ImageFilter, ImageTag
from tagwright_server.store.records import Account
from tagwright_server.store.store import Store

Photo = tuple[Image, Sequence[ImageTag]]


class FiltersContract:
    def test_any_combination_of_filters_finds_what_each_of_them_lets_through(self, store: Store) -> None:
        choose = random.Random(11)
        accounts = added(store, "Ada", "Bob", "Cem")
        photos = some_photos(store, accounts, choose)
        store.tags.set_rules("sea", ["ocean"], ["water"])
        sizes = []
        for _ in range(150):
            which = a_filter(photos, accounts, choose)
            expected = [image for image, tags in photos if lets_through(which, image, tags)]
            sizes.append(len(expected))
            assert store.images.page(which, before=None, limit=99) == expected[::-1], which
            assert store.images.count(which) == len(expected), which
            middle = photos[len(photos) // 2][0].number
            below = [image for image in expected if image.number < middle]
            assert store.images.page(which, before=middle, limit=3) == below[::-1][:3], which
            above = [image for image in expected if 5 < image.number <= middle]
            assert store.images.following(which, after=5, last=middle, limit=4) == above[:4], which
        assert sum(size > 0 for size in sizes) > 50

    def test_text_that_cannot_be_stored_is_found_nowhere(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        image = kept(store, ada)
        for odd in (ImageFilter(tag="\0"), ImageFilter(ids=("\0",)), ImageFilter(model_version="\ud800")):
            assert store.images.count(odd) == 0
        assert store.images.page(ImageFilter(except_model_version="\0"), before=None, limit=9) == [image]
        assert store.images.page(ImageFilter(except_model_version="none@1"), before=None, limit=9) == [image]

    def test_five_hundred_of_a_kind_are_asked_for_at_once(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        image = kept(store, ada)
        ids = (*(f"{i:032x}" for i in range(499)), image.id)
        sources = (*(bytes([i % 256, i // 256]) * 16 for i in range(499)), image.source_sha256)
        which = ImageFilter(ids=ids, source_sha256s=sources, visible_to=ada.id)
        assert store.images.page(which, before=None, limit=500) == [image]


class TestFiltersOnSqlite(OnSqlite, FiltersContract):
    def test_no_list_scans_or_sorts_all_photos(self, store: Store) -> None:
        ada, *others = added(store, "Ada", "Bob")
        some_photos(store, [ada, *others], random.Random(1))
        images, tags = store.images, store.tags
        with plans(store) as told:
            for which in (ImageFilter(), ImageFilter(visible_to=ada.id), ImageFilter(owner_id=ada.id)):
                images.page(which, before=9, limit=5)
                images.following(which, after=3, last=9, limit=5)
            images.page(ImageFilter(visible_to=ada.id, tag="sea"), before=9, limit=5)
            images.page(ImageFilter(model_version="a@1"), before=9, limit=5)
            images.page(ImageFilter(ids=("1", "2"), visible_to=ada.id), before=9, limit=5)
            images.page(ImageFilter(source_sha256s=(b"1", b"2")), before=9, limit=5)
            images.get("1", visible_to=ada.id)
            images.find(ada.id, [b"1", b"2"])
            images.near(7, visible_to=ada.id)
            images.count(ImageFilter(visible_to=ada.id, tag="sea"))
            tags.of([1, 2, 3])
            tags.entry("sea", ada.id)
        assert len(told) > 25
        for sql, plan in told:
            scanned = [step for step in plan if step.startswith("SCAN")]
            # The names of models are a few, and so are the newest contents, which the query itself limits.
            assert scanned == [] or 'FROM "model"' in sql or scanned == ["SCAN newest"], (sql, plan)
            if "ORDER BY" in sql and " IN (" not in sql:
                assert not any("TEMP B-TREE" in step for step in plan), (sql, plan)


class TestFiltersOnPostgres(OnPostgres, FiltersContract):
    pass


def some_photos(store: Store, accounts: Sequence[Account], choose: random.Random) -> list[Photo]:
    """Store forty photos with tags of all states."""
    photos: list[Photo] = []
    for i in range(40):
        tags = [
            a_tag(name, choose.choice([CONFIRMED, SUGGESTED, REJECTED]))
            for name in choose.sample(["sea", "sky", "dog"], choose.randrange(4))
        ]
        owner = choose.choice(accounts)
        model, visibility = choose.choice(["a@1", "b@1"]), choose.choice([SHARED, PRIVATE])
        image = an_image(owner, created=NOW + i * HOUR, model_version=model, visibility=visibility)
        photos.append((kept(store, owner, *tags, **{name: getattr(image, name) for name in CHOSEN}), tags))
    return photos


CHOSEN = ("created", "model_version", "visibility", "id")


def a_filter(photos: Sequence[Photo], accounts: Sequence[Account], choose: random.Random) -> ImageFilter:
    """Set each field once in a few times."""
    images = [image for image, _ in photos]
    fields: dict[str, Any] = {
        "ids": tuple(image.id for image in choose.sample(images, 12)),
        "source_sha256s": tuple(image.source_sha256 for image in choose.sample(images, 12)),
        "owner_id": choose.choice(accounts).id,
        "created_from": choose.choice(images).created,
        "created_before": choose.choice(images).created,
        "model_version": choose.choice(["a@1", "none@1"]),
        "except_model_version": choose.choice(["a@1", "none@1"]),
        "untagged": True,
        "tag": choose.choice(["sea", "ocean", "sky", "none"]),
    }
    chosen = {name: value for name, value in fields.items() if choose.random() < 0.2}
    return ImageFilter(visible_to=choose.choice([None, *(account.id for account in accounts)]), **chosen)


def lets_through(which: ImageFilter, image: Image, tags: Sequence[ImageTag]) -> bool:
    """Read a filter plainly."""
    suiting = {tag.name for tag in tags if tag.state is not REJECTED}
    tag = {"ocean": "sea"}.get(which.tag, which.tag)
    return all(
        [
            which.ids is None or image.id in which.ids,
            which.source_sha256s is None or image.source_sha256 in which.source_sha256s,
            which.owner_id in (None, image.owner_id),
            which.created_from is None or image.created >= which.created_from,
            which.created_before is None or image.created < which.created_before,
            which.model_version in ("", image.model_version),
            which.except_model_version != image.model_version,
            not which.untagged or not suiting,
            not tag or tag in suiting,
            which.visible_to in (None, image.owner_id) or image.visibility is SHARED,
        ]
    )


@contextmanager
def plans(store: Store) -> Iterator[list[tuple[str, list[str]]]]:
    """Collect the SQL of every SELECT that runs, and what SQLite says it does for it."""
    told: list[tuple[str, list[str]]] = []
    with store.database.starting() as queries:
        pass
    run: Any = queries.execute_sql

    def explained(sql: str, params: Any = None) -> Any:
        if sql.startswith("SELECT"):
            told.append((sql, [row[3] for row in run(f"EXPLAIN QUERY PLAN {sql}", params).fetchall()]))
        return run(sql, params)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queries, "execute_sql", explained)
        yield told
