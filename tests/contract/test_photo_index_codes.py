"""A coder chooses whom to compare where a large library is searched among few of its photos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from image_rows import MODEL
from indexed import SIZE, a_vector, indexed
from numpy.typing import NDArray
from stores import added

from tagwright_server.search.codes import Encoder, Layer
from tagwright_server.store.photo_index import PhotoIndex, Wanted, library
from tagwright_server.store.records import Account
from tagwright_server.store.store import Store, open_store

PHOTOS = 120
BITS = 64


class Coder(Encoder):
    """Signs of projections, that tell how many codes they were asked to choose from."""

    asked: list[int] = []  # noqa: RUF012  (set anew by each test)

    def closest(self, code: NDArray[np.uint8], codes: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
        self.asked.append(len(codes))
        return super().closest(code, codes, count)


@pytest.fixture
def coder(monkeypatch: pytest.MonkeyPatch) -> Coder:
    monkeypatch.setattr(library, "EXACT", 50)
    monkeypatch.setattr(library, "ALL", 24)
    rng = np.random.default_rng(3)
    made = Coder((Layer(rng.standard_normal((SIZE, BITS)).astype(np.float32), np.zeros(BITS, np.float32)),))
    Coder.asked = []
    return made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite://{tmp_path / 'store.sqlite3'}")
    yield store
    store.close()


@pytest.fixture
def account(store: Store) -> Account:
    [account] = added(store, "ada")
    return account


def found(index: PhotoIndex, vector: NDArray[np.float32], among: list[int], limit: int = 3) -> list[int]:
    numbers, _ = index.nearest(vector, limit=limit, wanted=Wanted(None, np.array(among, np.int64)))
    nearest: list[int] = numbers.tolist()
    return nearest


def test_the_nearest_are_found_by_code_also_after_photos_changed(
    store: Store, account: Account, coder: Coder, tmp_path: Path
) -> None:
    images = [indexed(store, account, a_vector(seed)) for seed in range(PHOTOS)]
    index = PhotoIndex(store, MODEL, SIZE, tmp_path / "index", coder)
    some = [image.number for image in images[::2]]
    for seed in range(0, 40, 2):
        assert found(index, a_vector(seed), some)[0] == images[seed].number
    assert Coder.asked == [len(some)] * 20
    store.images.delete(images[0].id)
    late = indexed(store, account, a_vector(1000))  # it gets the slot of the one that went
    index.catch_up()
    assert found(index, a_vector(1000), [*some, late.number])[0] == late.number
    assert images[0].number not in found(index, a_vector(0), some)
    index.save()
    read = PhotoIndex(store, MODEL, SIZE, tmp_path / "index", coder)
    for seed in range(2, 40, 2):
        assert found(read, a_vector(seed), some)[0] == images[seed].number


def test_few_photos_or_many_that_are_asked_for_are_all_compared(
    store: Store, account: Account, coder: Coder, tmp_path: Path
) -> None:
    images = [indexed(store, account, a_vector(seed)) for seed in range(PHOTOS)]
    index = PhotoIndex(store, MODEL, SIZE, tmp_path / "index", coder)
    exact = PhotoIndex(store, MODEL, SIZE, tmp_path / "other")
    numbers = [image.number for image in images]
    for among, limit in ((numbers[:20], 3), (numbers[::2], 40), (numbers, PHOTOS)):
        for seed in (500, 501, 502):
            assert found(index, a_vector(seed), among, limit) == found(exact, a_vector(seed), among, limit)
    assert not Coder.asked
    everybody = index.neighbours(a_vector(3), limit=3, visible_to=None)
    assert everybody.numbers[0] == images[3].number
    assert not Coder.asked
