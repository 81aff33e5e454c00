"""What lies in store-0002.sqlite3 and store-0002.sql: what the first schema keeps, and a little of all about photos.

Frozen, like those files: every later version has to find all of it.
"""

from __future__ import annotations

from dataclasses import replace

from data import store_0001
from data.store_0001 import ACCOUNTS, HOUR, NOW

from tagwright_server.store.image_records import (
    Content,
    Image,
    ImageFailure,
    ImageFilter,
    ImageTag,
    Operation,
    OperationState,
    TagChange,
    TagEntry,
    TagSource,
    TagState,
    Usage,
    Visibility,
)
from tagwright_server.store.store import Store

CONTENTS = [
    Content(bytes(range(32)), 12_345, "JPEG", 4000, 3000, (1 << 64) - 1),
    Content(bytes(range(32, 64)), 1 << 40, "PNG", 1, 16_384, 0),
]
IMAGES = [
    Image(
        id="5" * 32,
        owner_id=ACCOUNTS[0].id,
        source_sha256=bytes(range(64, 96)),
        content=CONTENTS[0],
        visibility=Visibility.PRIVATE,
        created=NOW,
        updated=NOW + HOUR,
        model_version="tagger@2026.11",
        author="Ünal 🦜",
        file_name="../a\\b.jpg",
        captured=NOW - 1000 * HOUR,
        owner="Ada",
        number=1,
    ),
    Image(
        id="6" * 32,
        owner_id=ACCOUNTS[2].id,
        source_sha256=bytes(range(64, 96)),
        content=CONTENTS[0],
        visibility=Visibility.SHARED,
        created=NOW + HOUR,
        updated=NOW + HOUR,
        model_version="other@1",
        owner="Ωmega-Straße",
        number=2,
    ),
    Image(
        id="7" * 32,
        owner_id=ACCOUNTS[2].id,
        source_sha256=bytes(range(96, 128)),
        content=CONTENTS[1],
        visibility=Visibility.PRIVATE,
        created=NOW + HOUR,
        updated=NOW + HOUR,
        model_version="other@1",
        owner="Ωmega-Straße",
        number=3,
    ),
]
TAGS = {
    1: (
        ImageTag("sea", TagState.CONFIRMED, TagSource.USER, None, "", 0),
        ImageTag("plant_life", TagState.SUGGESTED, TagSource.MODEL, 0.1 + 0.2, "tagger@2026.11"),
        ImageTag("dog", TagState.REJECTED, TagSource.REFINEMENT, 0.9, "other@1"),
    ),
    2: (ImageTag("морe", TagState.SUGGESTED, TagSource.IMPORT),),
}
ENTRIES = [
    TagEntry("dachshund", ("sausage dog",), ("dog",)),
    TagEntry("plant_life", images=1),
    TagEntry("sea", ("ocean",), ("water",), 1, 1),
    TagEntry("морe", images=1),
]
OPERATIONS = [
    Operation(
        id="8" * 32,
        state=OperationState.FAILED,
        account_id=ACCOUNTS[0].id,
        username="Ada",
        created=NOW,
        updated=NOW + HOUR,
        filter=ImageFilter(ids=("5" * 32,), source_sha256s=(bytes(32),), created_from=NOW, tag="морe"),
        filter_text=bytes(range(256)),
        model_version="tagger@2026.11",
        validate_only=True,
        total=10,
        last=3,
        cursor=2,
        done=1,
        failed=1,
        ended=NOW + HOUR,
        cancelling=True,
        error_reason="MODEL_UNAVAILABLE",
        error_text="no answer 🦜",
        changes={"sea": TagChange(1, 2, 3)},
        failures=(ImageFailure("6" * 32, "INTERNAL", "no"),),
    ),
    Operation(
        id="9" * 32,
        state=OperationState.PENDING,
        account_id=ACCOUNTS[0].id,
        username="Ada",
        created=NOW + HOUR,
        updated=NOW + HOUR,
        filter=ImageFilter(),
        filter_text=b"",
        model_version="other@1",
        validate_only=False,
        total=3,
        last=3,
    ),
]


def fill(store: Store) -> None:
    """Put all of it into an empty store."""
    store_0001.fill(store)
    with store.transaction():
        for image in IMAGES:
            store.images.add(replace(image, number=0, owner=""))
        store.images.put_embedding(CONTENTS[0].sha256, "tagger@2026.11", bytes(range(256)) * 10)
        store.tags.set_rules("sea", ["ocean"], ["water"])
        store.tags.set_rules("dachshund", ["sausage dog"], ["dog"])
        store.tags.write_many([(number, tags, []) for number, tags in TAGS.items()])
        for operation in OPERATIONS:
            store.operations.add(operation)


def check(store: Store) -> None:
    """Find all of it, and that new things can be added to it."""
    everything = ImageFilter()
    assert store.images.page(everything, before=None, limit=9) == IMAGES[::-1]
    assert store.images.contents(after=None, limit=9) == CONTENTS
    assert store.images.embeddings([CONTENTS[0].sha256], "tagger@2026.11") == {
        CONTENTS[0].sha256: bytes(range(256)) * 10
    }
    assert store.images.near(1, visible_to=None) == [IMAGES[2].id]
    assert store.images.usage(ACCOUNTS[2].id) == Usage(2, 12_345 + (1 << 40))
    assert store.tags.of([1, 2, 3]) == TAGS
    assert store.tags.page(visible_to=None, after=None, limit=9) == ENTRIES
    assert store.operations.page(before=None, limit=9) == OPERATIONS[::-1]
    claimed = store.operations.claim("a", at=NOW, lease_until=NOW + HOUR)
    assert claimed is not None
    assert claimed.id == OPERATIONS[1].id
    assert store.images.delete(IMAGES[2].id) == IMAGES[2]
    again = store.images.add(replace(IMAGES[2], owner="", number=0))
    assert again is not None
    assert again.number > IMAGES[2].number
    store.tags.write(again.number, [*TAGS[2], *TAGS[1]], [])
    store_0001.check(store)  # which deletes the first account
    assert store.images.page(everything, before=None, limit=9) == [again, IMAGES[1]]
    assert store.images.usage(ACCOUNTS[0].id) == Usage(0, 0)
