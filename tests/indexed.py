"""Photos with embeddings for tests of the photo index, and what it should find, worked out the long way."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from image_rows import MODEL, an_image
from numpy.typing import NDArray

from tagwright_server.domain.keeping import packed
from tagwright_server.store.image_records import Image, ImageFilter, ImageTag, TagSource, TagState, Visibility
from tagwright_server.store.photo_index import Entry, Found, PhotoIndex
from tagwright_server.store.records import Account
from tagwright_server.store.store import Store

SIZE = 16
Vector = NDArray[np.float32]


def a_vector(seed: int, size: int = SIZE) -> Vector:
    """A vector of length 1, the same for the same seed."""
    vector = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def typed(name: str, position: int | None = 0, **changes: Any) -> ImageTag:
    """A tag that the owner typed."""
    return ImageTag(name, changes.pop("state", TagState.SUGGESTED), TagSource.USER, position=position, **changes)


def indexed(store: Store, account: Account, vector: Vector | None, *tags: ImageTag, **changes: Any) -> Image:
    """Store a photo that the model has looked at, unless `vector` is None."""
    with store.transaction():
        image = an_image(account, **changes)
        store.images.hold_content(image.content.sha256)
        stored = store.images.add(image)
        assert stored is not None
        store.tags.write(stored.number, tags, [])
        if vector is not None:
            store.images.put_embedding(stored.content.sha256, MODEL, packed(vector))
    return stored


def found_by(index: PhotoIndex, vector: Vector, viewer: Account | None = None, **options: Any) -> list[int]:
    """The numbers of the photos that an account finds, all of them unless there is a limit."""
    options = {"limit": 1000, "visible_to": None if viewer is None else viewer.id, **options}
    numbers: list[int] = index.neighbours(vector, **options).numbers.tolist()
    return numbers


@dataclass(frozen=True, slots=True)
class Expected:
    """What is to be found: photos, nearest first, each with its similarity, id, author and tags."""

    rows: list[tuple[int, float, str, str, tuple[str, ...]]]

    def see(self, found: Found) -> None:
        """Fail where that is not what was found; the order of photos that are equally near does not matter."""
        assert [row[0] for row in self.rows] == found.numbers.tolist()
        np.testing.assert_allclose(found.similarities, [row[1] for row in self.rows], atol=1e-4)
        assert [row[2:] for row in self.rows] == list(zip(found.ids, found.authors, found.tags, strict=True))


def expected(
    store: Store, vector: Vector, viewer: Account | None, *, among: Collection[int] | None = None, limit: int = 1000
) -> Expected:
    """Look at every photo of the store, through its verbs alone."""
    images = store.images.page(ImageFilter(), before=None, limit=100_000)
    embeddings = store.images.embeddings([image.content.sha256 for image in images], MODEL)
    tags = store.tags.of([image.number for image in images])
    rows = []
    for image in images:
        seen = viewer is None or image.owner_id == viewer.id or image.visibility is Visibility.SHARED
        if not seen or image.content.sha256 not in embeddings or (among is not None and image.number not in among):
            continue
        stored = np.frombuffer(embeddings[image.content.sha256], "<f2").astype(np.float64)
        stored = (stored / np.linalg.norm(stored)).astype(np.float16).astype(np.float64)  # as the index rounds it
        similarity = float(stored @ vector / np.linalg.norm(vector))
        rows.append((image.number, similarity, image.id, image.author, people_gave(tags.get(image.number, ()))))
    return Expected(sorted(rows, key=lambda row: (-row[1], row[0]))[:limit])


def people_gave(tags: Collection[ImageTag]) -> tuple[str, ...]:
    """The names of the tags that people gave and nobody rejected, as typed."""
    given = [
        tag
        for tag in tags
        if tag.state is TagState.CONFIRMED
        or (tag.state is TagState.SUGGESTED and tag.source is TagSource.USER)
        or (tag.state is TagState.SUGGESTED and tag.source is TagSource.IMPORT and tag.position is not None)
    ]
    return tuple(tag.name for tag in sorted(given, key=lambda tag: (tag.position is None, tag.position, tag.name)))


class Heard:
    """What a listener was told, and what it knows after that."""

    def __init__(self) -> None:
        self.count = 0
        self.photos: dict[int, tuple[tuple[str, ...], bytes]] = {}

    def __call__(self, before: Entry | None, after: Entry | None) -> None:
        self.count += 1
        if before is not None:
            assert self.photos.pop(before.number) == (before.tags, before.vector.tobytes())
        if after is not None:
            assert after.number not in self.photos
            self.photos[after.number] = (after.tags, after.vector.tobytes())
