"""A library to search: photos of several people in a store, the same photos in plain lists, and the searches of app.py
over both indexes, with stand-ins for what looks at photos."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from hypothesis import strategies as st
from image_rows import MODEL, PRIVATE, SHARED, a_content
from indexed import SIZE, Vector, a_vector, indexed
from searched import FORMS, All, Filter, Given, Negated, Part, Rules, Shot, Tag, quoted, sizes, span
from searched import Any as AnyOf
from stores import PATIENCE_S, added

from tagwright_server.clock import SystemClock
from tagwright_server.domain.access import SCOPES_OF, Caller
from tagwright_server.domain.accounts import Accounts
from tagwright_server.domain.deadline import Deadline
from tagwright_server.domain.examples import Examples
from tagwright_server.domain.indexes import KeptIndex
from tagwright_server.domain.library import Library
from tagwright_server.domain.models import Models
from tagwright_server.domain.search_values import SearchPage, SearchRequest
from tagwright_server.domain.searching import Searching
from tagwright_server.domain.suggesting import Suggesting
from tagwright_server.domain.tagging import Timings
from tagwright_server.domain.turns import Turns
from tagwright_server.store.image_records import Image, ImageTag, TagSource, TagState
from tagwright_server.store.photo_index import PhotoIndex
from tagwright_server.store.records import Account, Role
from tagwright_server.store.store import Store
from tagwright_server.store.tag_index import TagIndex

OWNERS, STRANGER, ADMINISTRATOR = ("ann", "bob", "eve"), "cyd", "root"
VIEWERS = (*OWNERS, STRANGER, ADMINISTRATOR)
RULES = Rules(
    aliases={"kitty": "cat", "hound": "dog", "sea side": "beach", "beast": "animal"},
    parents={
        **{"dog": ("animal", "pet"), "cat": ("animal", "pet"), "poodle": ("dog",), "black cat": ("cat",)},
        **{"animal": ("living thing",), "beach": ("sand & sea",)},
    },
)
ODD = ("and", "untagged", "size", "a:b", 'say "hi"', "back\\slash", "100%", "_", "'; drop table tag; --", "🐕", "كلب")
PLAIN = ("dog", "cat", "poodle", "black cat", "animal", "living thing", "beach", "sun", "tree", "red", "night", "dogma")
TAGS = (*PLAIN, *ODD)
NAMES = (*TAGS, *RULES.aliases, "pet", "sand & sea", "unicorn", "no such tag")
AUTHORS = ("", "", "Jane Doe", "JANE  doe", "Joe", 'O"Neill & Sons')
DAYS = ("2024", "2025", "2024-02", "2024-02-29", "2024-12-31", "2025-01-01", "1969", "1969-12-31", "0001", "9999")
SIDES = (1, 100, 500, 639, 640, 641, 4000)
SCORES = (None, None, 0.0, 0.3, 0.5, 0.7, 0.85, 0.9, 0.99999999, 1.0, 0.123456789)
MOMENTS = tuple(
    datetime.fromisoformat(when).replace(tzinfo=timezone.utc)
    for when in (
        *("2024-01-01", "2023-12-31T23:59:59.999999", "2024-02-29T12:00:00", "2024-12-31T23:59:59.999999"),
        *("2025-01-01", "2025-06-01T03:04:05.000006", "1969-12-31T23:59:59", "1970-01-01", "1969-12-31T23:55:00"),
    )
)


class Looker:
    """Stands in for the Tagger: a photo that is sent is the seed of its vector."""

    def tag(self, photo: Any, deadline: Deadline) -> Any:
        return SimpleNamespace(look=SimpleNamespace(embedding=a_vector(int(photo.image)))), Timings()


@dataclass
class World:
    """A store, the same photos as plain values, and searches."""

    store: Store
    accounts: dict[str, Account]
    searching: Searching
    suggesting: Suggesting
    tags: KeptIndex[TagIndex]
    shots: list[Shot] = field(default_factory=list)
    rules: Rules = field(default_factory=lambda: Rules(dict(RULES.aliases), dict(RULES.parents)))
    draw: random.Random = field(default_factory=lambda: random.Random(20261126))

    def caller(self, name: str) -> Caller:
        account = self.accounts[name]
        return Caller(account, SCOPES_OF[account.role], "test")

    def seen(self, name: str) -> list[Shot]:
        """The photos that somebody sees."""
        return [shot for shot in self.shots if shot.seen_by(viewer(name))]

    def by_id(self) -> dict[str, Shot]:
        return {shot.id: shot for shot in self.shots}

    def looked(self, seed: int) -> tuple[float, ...]:
        """The look of a photo that is sent."""
        return tuple(a_vector(seed).astype(np.float64).tolist())

    def order(self) -> dict[str, int]:
        """The tags in the order in which they were first used."""
        return {name: number for number, name, _ in self.store.tags.all_names()}

    def fill(self, photos: int) -> None:
        """Store photos, some of which look the same, are of a burst or of no known moment."""
        with self.store.transaction():
            for name, parents in self.rules.parents.items():
                aliases = [alias for alias, tag in self.rules.aliases.items() if tag == name]
                self.store.tags.set_rules(name, aliases, parents)
            for _ in range(photos):
                self.add()

    def add(self, **said: Any) -> Shot:
        """Store one more photo, at random but for what is said."""
        draw = self.draw
        like = draw.choice(self.shots) if self.shots and not draw.randrange(4) else None
        captured = draw.choice([None, *MOMENTS, like.captured if like else None])
        if captured is not None:
            captured += timedelta(seconds=draw.choice([0, 0, -300, 299, 600, 601, 86_400]))
        hash = like.hash ^ sum(1 << draw.randrange(64) for _ in range(draw.randrange(5))) if like else None
        side, other = draw.choice(SIDES), draw.choice(SIDES)
        shot = Shot(
            number=0,
            id="",
            owner=draw.choice(OWNERS),
            shared=draw.random() < 0.4,
            author=draw.choice([*AUTHORS, like.author if like else ""]),
            captured=captured,
            created=draw.choice(MOMENTS) + timedelta(seconds=draw.choice([0, 0, 1, -86_400])),
            side=max(side, other),
            hash=draw.getrandbits(64) if hash is None else hash & (1 << 64) - 1,
            tags=self.some_tags(),
            vector=None,
        )
        for name, value in said.items():
            setattr(shot, name, value)
        vector: Vector | None = None
        if draw.randrange(12):
            near = like is not None and like.vector is not None and draw.randrange(2)
            vector = np.array(like.vector, np.float32) if near and like else a_vector(draw.getrandbits(32))
        shot.vector = None if vector is None else rounded(vector)
        stored = self._stored(shot, vector, min(side, other))
        shot.number, shot.id = stored.number, stored.id
        self.shots.append(shot)
        return shot

    def some_tags(self) -> dict[str, Given]:
        """Tags that a photo might have."""
        names = self.draw.sample(TAGS, self.draw.choice([0, 1, 2, 3, 5, 8]))
        typed = iter(range(len(names)))
        return {
            name: Given(
                self.draw.choice(list(TagState)),
                self.draw.choice(SCORES),
                next(typed) if self.draw.randrange(2) else None,
            )
            for name in names
        }

    def write(self, shot: Shot, tags: dict[str, Given], gone: Sequence[str] = ()) -> None:
        """Give a photo tags, and take others away."""
        self.store.tags.write(shot.number, list(map(image_tag, tags, tags.values())), list(gone))
        shot.tags = {name: tag for name, tag in (shot.tags | tags).items() if name in tags or name not in gone}

    def _stored(self, shot: Shot, vector: Vector | None, shorter: int) -> Image:
        wide = self.draw.randrange(2)
        width, height = (shot.side, shorter) if wide else (shorter, shot.side)
        return indexed(
            self.store,
            self.accounts[shot.owner],
            vector,
            *map(image_tag, shot.tags, shot.tags.values()),
            content=a_content(width=width, height=height, perceptual_hash=shot.hash),
            visibility=SHARED if shot.shared else PRIVATE,
            author=shot.author,
            captured=shot.captured,
            created=shot.created,
        )

    def pages(self, wanted: SearchRequest, *, by: str, size: int, most: int = 10**6) -> Iterator[SearchPage]:
        """The pages of a search, `most` of them at most."""
        after: str | None = None
        while after != "" and most > 0:
            page, _ = self.searching.search(wanted, after=after, limit=size, deadline=soon(), by=self.caller(by))
            assert len(page.results) == size or not page.next_place
            yield page
            after, most = page.next_place, most - 1

    def ids(self, wanted: SearchRequest, *, by: str, size: int = 500) -> list[str]:
        """All that a search finds."""
        pages = self.pages(wanted, by=by, size=size)
        return [result.image.image.id for page in pages for result in page.results]


def soon() -> Deadline:
    return Deadline(PATIENCE_S, SystemClock())


def viewer(name: str) -> str | None:
    """Whose eyes they are; None: an administrator's."""
    return None if name == ADMINISTRATOR else name


def image_tag(name: str, tag: Given) -> ImageTag:
    source = TagSource.MODEL if tag.position is None and tag.score is not None else TagSource.USER
    return ImageTag(name, tag.state, source, tag.score, MODEL if tag.score is not None else "", tag.position)


def rounded(vector: Vector) -> tuple[float, ...]:
    """A vector as it is stored, and as the index has it."""
    stored = vector.astype(np.float16).astype(np.float64)
    return tuple((stored / np.linalg.norm(stored)).astype(np.float16).astype(np.float64).tolist())


@contextmanager
def world(store: Store, folder: Path) -> Iterator[World]:
    """An empty library, and its searches."""
    accounts = {account.username: account for account in added(store, *OWNERS, STRANGER)}
    accounts |= {account.username: account for account in added(store, ADMINISTRATOR, role=Role.ADMIN)}
    clock, stand_in = SystemClock(), cast("Any", None)
    tags = KeptIndex("tags", partial(TagIndex, store))
    looks = KeptIndex("looks", partial(PhotoIndex, store, MODEL, SIZE, folder))
    bundle: Any = SimpleNamespace(name=MODEL.partition("@")[0], version=MODEL.partition("@")[2])
    models = Models([bundle], default=MODEL)
    searching = Searching(
        store,
        tags,
        looks,
        examples=Examples(store, stand_in, tagger=cast("Any", Looker()), models=models),
        accounts=Accounts(store, clock=clock),
        library=Library(store, stand_in, keeper=stand_in, decoder=stand_in, sweep=stand_in, clock=clock),
        clock=clock,
        turns=Turns(4),
    )
    for index in (tags, looks):
        index.start()
    try:
        yield World(store, accounts, searching, Suggesting(store, tags, looks, turns=Turns(4), clock=clock), tags)
    finally:
        for index in (tags, looks):
            index.stop()


def _owner(name: str) -> Filter:
    return Filter(f"owner:{name}", lambda shot: shot.owner == name.strip('"').lower())


def _author(name: str) -> Filter:
    folded = " ".join(name.split()).casefold()
    plain = name.isalnum()
    return Filter(
        f"author:{name if plain else quoted(name)}", lambda shot: " ".join(shot.author.split()).casefold() == folded
    )


_days = st.sampled_from(DAYS)
_moments = {
    "date": lambda shot: shot.captured or shot.created,
    "taken": lambda shot: shot.captured,
    "stored": lambda shot: shot.created,
}
_spans = st.builds(
    lambda what, form, first, last: span(what, form, _moments[what], first, last),
    st.sampled_from(list(_moments)),
    st.sampled_from(FORMS),
    _days.filter(lambda day: day != "9999"),
    _days.filter(lambda day: day != "9999"),
)
_sizes = st.builds(sizes, st.sampled_from(FORMS), st.sampled_from(SIDES), st.sampled_from(SIDES))
_tags = st.builds(
    Tag,
    st.sampled_from(PLAIN) | st.sampled_from(NAMES),
    st.just("") | st.sampled_from(["confirmed", "suggested", "rejected"]),
)
leaves: st.SearchStrategy[Part] = st.one_of(
    _tags,
    _tags,
    _tags,
    st.sampled_from([*OWNERS, STRANGER, "nobody", '"ann"', "BOB"]).map(_owner),
    st.sampled_from([*filter(None, AUTHORS), "jane doe", "nobody at all"]).map(_author),
    _spans,
    _sizes,
    st.just(Filter("untagged", lambda shot: not shot.names())),
)
trees: st.SearchStrategy[Part] = st.recursive(
    leaves,
    lambda parts: st.one_of(
        st.lists(parts, min_size=2, max_size=4).map(lambda some: All(tuple(some))),
        st.lists(parts, min_size=2, max_size=4).map(lambda some: AnyOf(tuple(some))),
        parts.map(Negated),
    ),
    max_leaves=8,
)
