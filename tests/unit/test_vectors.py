"""Vectors in lists: nearest ones beside looking at all of them, through growth, removal and putting together again."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tagwright_server.store.photo_index import vectors
from tagwright_server.store.photo_index.vectors import Vectors

SIZE = 32


def made(count: int, seed: int = 1) -> NDArray[np.float16]:
    """Vectors of length 1 around forty centres, as photos' embeddings lie."""
    rng = np.random.default_rng(seed)
    around = rng.standard_normal((40, SIZE))[rng.integers(40, size=count)]
    found = around + 0.7 * rng.standard_normal((count, SIZE))
    unit: NDArray[np.float16] = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)
    return unit


def slots(count: int, start: int = 0) -> NDArray[np.int32]:
    return np.arange(start, start + count, dtype=np.int32)


def truth(all_of: NDArray[np.float16], query: NDArray[np.float32], limit: int) -> list[int]:
    """Looking at every one."""
    best = np.argsort(-(all_of.astype(np.float32) @ query), kind="stable")[:limit]
    return [int(each) for each in best]


def recall(held: Vectors, all_of: NDArray[np.float16], wanted: NDArray[np.bool_] | None, limit: int = 10) -> float:
    """Share of the nearest that are found, over fifty questions."""
    there = np.arange(len(all_of)) if wanted is None else np.flatnonzero(wanted)
    found = 0
    for query in made(50, seed=2).astype(np.float32):
        right = {int(there[each]) for each in truth(all_of[there], query, limit)}
        found += len(right & set(held.nearest(query, limit=limit, wanted=wanted)[0].tolist()))
    return found / (50 * limit)


@pytest.fixture
def grouped(monkeypatch: pytest.MonkeyPatch) -> tuple[Vectors, NDArray[np.float16]]:
    """Four thousand in sixty-four lists, of which a question looks at a few."""
    monkeypatch.setattr(vectors, "EXACT", 500)
    monkeypatch.setattr(vectors, "LOOKED_AT", 800)
    held, all_of = Vectors(SIZE), made(4000)
    held.put(slots(4000), all_of)
    assert held.outgrown
    held = held.regrouped()
    assert not held.outgrown
    assert len(held.centres) == 64
    return held, all_of


def test_few_are_all_looked_at() -> None:
    held, all_of = Vectors(SIZE), made(300)
    held.put(slots(300), all_of)
    query = made(1, seed=3)[0].astype(np.float32)
    found, similarities = held.nearest(query, limit=20)
    assert found.tolist() == truth(all_of, query, 20)
    np.testing.assert_allclose(similarities, (all_of.astype(np.float32) @ query)[found], atol=1e-6)


def test_of_many_nearly_all_are_found(grouped: tuple[Vectors, NDArray[np.float16]]) -> None:
    assert recall(*grouped, None) > 0.95


@pytest.mark.parametrize("share", [0.5, 0.25, 0.05])
def test_of_those_that_are_wanted_nearly_all_are_found(
    grouped: tuple[Vectors, NDArray[np.float16]], share: float
) -> None:
    wanted = np.random.default_rng(4).random(4000) < share
    assert recall(*grouped, wanted) > 0.95


def test_what_is_wanted_is_found_also_where_it_lies_far_from_what_is_asked(
    grouped: tuple[Vectors, NDArray[np.float16]],
) -> None:
    held, all_of = grouped
    query = made(1, seed=5)[0].astype(np.float32)
    wanted = np.zeros(4000, np.bool_)
    farthest = np.argsort(all_of.astype(np.float32) @ query)[:600]  # more than are all looked at
    wanted[farthest] = True
    assert len(held.nearest(query, limit=600, wanted=wanted)[0]) == 600


def test_the_same_vectors_are_equally_similar_wherever_they_lie() -> None:
    held = Vectors(SIZE)
    held.put(slots(37), np.repeat(made(1), 37, axis=0))
    assert len(set(held.nearest(made(1, seed=6)[0].astype(np.float32), limit=37)[1].tolist())) == 1


def test_what_is_removed_is_gone_and_its_slot_free(grouped: tuple[Vectors, NDArray[np.float16]]) -> None:
    held, all_of = grouped
    query = all_of[17].astype(np.float32)
    held.remove(17)
    assert 17 not in held.nearest(query, limit=100)[0]
    assert len(held) == 3999
    held.put(slots(1, 17), made(1, seed=9))
    assert np.array_equal(held.of(slots(1, 17)), made(1, seed=9))


def test_put_together_again_they_are_the_same(grouped: tuple[Vectors, NDArray[np.float16]]) -> None:
    held, all_of = grouped
    again = Vectors.of_lists(held.centres, list(held.lists()))
    assert len(again) == 4000
    assert np.array_equal(again.of(slots(4000)), all_of)
    query = made(1, seed=7)[0].astype(np.float32)
    one, other = held.nearest(query, limit=50), again.nearest(query, limit=50)
    assert np.array_equal(one[0], other[0])
    assert np.array_equal(one[1], other[1])
    again.remove(3)
    again.put(slots(1, 4000), made(1, seed=8))
    assert len(again) == 4000


def test_of_nothing_nothing_is_found() -> None:
    held = Vectors(SIZE)
    query = made(1)[0].astype(np.float32)
    assert held.nearest(query, limit=5)[0].tolist() == []
    held.put(slots(3), made(3))
    assert held.nearest(query, limit=0)[0].tolist() == []
    assert held.nearest(query, limit=5, wanted=np.zeros(3, np.bool_))[0].tolist() == []
    assert len(held.nearest(query, limit=5)[0]) == 3
