"""Photos and tags that are not stored yet, and stored ones, for tests of the store."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any
from uuid import uuid4

from stores import NOW

from tagwright_server.store.image_records import Content, Image, ImageTag, TagSource, TagState, Visibility
from tagwright_server.store.records import Account
from tagwright_server.store.store import Store

MODEL = "tagger@2026.11"
SHARED = Visibility.SHARED
PRIVATE = Visibility.PRIVATE
CONFIRMED = TagState.CONFIRMED
SUGGESTED = TagState.SUGGESTED
REJECTED = TagState.REJECTED


def a_content(**changes: Any) -> Content:
    """A content of its own."""
    content = Content(secrets.token_bytes(32), 10_000, "JPEG", 500, 375, secrets.randbits(64))
    return replace(content, **changes)


def an_image(account: Account, **changes: Any) -> Image:
    """A photo of its own, private."""
    image = Image(
        id=uuid4().hex,
        owner_id=account.id,
        source_sha256=secrets.token_bytes(32),
        content=a_content(),
        visibility=PRIVATE,
        created=NOW,
        updated=NOW,
        model_version=MODEL,
    )
    return replace(image, **changes)


def a_tag(name: str, state: TagState = SUGGESTED, score: float | None = 0.5, **changes: Any) -> ImageTag:
    """A tag that the model suggested."""
    return replace(ImageTag(name, state, TagSource.MODEL, score, MODEL), **changes)


def kept(store: Store, account: Account, *tags: ImageTag, **changes: Any) -> Image:
    """Store a photo with these tags."""
    with store.transaction():
        image = an_image(account, **changes)
        store.images.hold_content(image.content.sha256)
        stored = store.images.add(image)
        assert stored is not None
        store.tags.write(stored.number, tags, [])
    return stored
