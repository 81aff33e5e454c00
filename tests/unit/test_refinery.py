"""The refinery's statistics while several things change at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

import bundles
import pytest
from refiners import STARTER, write_refiner

from tagwright_server.domain import refinery
from tagwright_server.domain.indexes import KeptIndex
from tagwright_server.domain.refinery import Refinery
from tagwright_server.refinement import artefact
from tagwright_server.store.photo_index import Entries, PhotoIndex

pytestmark = pytest.mark.unit


class Rules:
    """Names as a test has them."""

    def __init__(self) -> None:
        self.meant: dict[str, str] = {}

    def aliases(self) -> Mapping[str, str]:
        return dict(self.meant)

    def parents(self, names: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        return {}


class NoPhotos:
    """An index without photos."""

    def still(self) -> AbstractContextManager[None]:
        return nullcontext()

    def with_tags(self, tags: object) -> Iterator[Entries]:
        return iter(())


def test_a_tag_that_gets_its_column_while_names_change_knows_of_all_its_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = bundles.write_bundle(tmp_path, network=False)
    write_refiner(bundle)
    made = artefact.load(
        bundle.path / artefact.FOLDER,
        model=f"{bundle.name}@{bundle.version}",
        model_digest=bundle.digest,
        embedding_size=bundle.embedding_size,
    )
    rules, index = Rules(), cast(PhotoIndex, NoPhotos())
    held = Refinery(made, KeptIndex("photos", lambda: index), rules)
    rules.meant = {"beach": "seaside"}
    monkeypatch.setattr(refinery, "_AT_ONCE", 1)
    admitting = threading.Thread(target=held._admit, args=(index,))
    add, added = held._add, 0

    def adding(*photo: Any) -> None:
        nonlocal added
        add(*photo)
        added += 1

    class Lock:
        """Lets another thread try between two photos, once enough have the new name."""

        def __init__(self) -> None:
            self.lock = threading.Lock()

        def __enter__(self) -> None:
            self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()
            if added == STARTER // 4 and not admitting.ident:
                admitting.start()
                admitting.join(0.2)  # it has to wait for the names

    monkeypatch.setattr(held, "_add", adding)
    monkeypatch.setattr(held, "_lock", Lock())
    held._follow_names()
    admitting.join()
    assert held._statistics.known("seaside")
    assert held._statistics.cooccurrences(["seaside"], ["seaside", "sky"]).tolist() == [[STARTER // 2] * 2]
