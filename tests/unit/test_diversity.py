"""Variety: each choice is relevant and unlike those before it, the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from tagwright_server.search.diversity import Variety, diversify, traits

LOOKS = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
TAGS = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], np.float32)


def test_a_like_photo_waits_for_an_unlike_one_that_is_a_little_less_relevant() -> None:
    relevance = np.array([0.9, 0.88, 0.8, 0.1], np.float32)
    rows = traits(LOOKS, TAGS, look=1.0)
    assert diversify(relevance, rows, count=4, weight=0.7) == [0, 2, 1, 3]
    assert diversify(relevance, rows, count=4, weight=1.0) == [0, 1, 2, 3]


def test_of_equal_choices_the_first_is_taken() -> None:
    relevance = np.full(4, 0.5, np.float32)
    same = np.zeros((4, 2), np.float32)
    assert diversify(relevance, same, count=3, weight=0.5) == [0, 1, 2]
    assert diversify(relevance[:0], same[:0], count=3, weight=0.5) == []


def test_a_longer_page_begins_like_a_shorter_one() -> None:
    rng = np.random.default_rng(1)
    relevance = -np.sort(-rng.random(60).astype(np.float32))
    rows = traits(
        rng.standard_normal((60, 8)).astype(np.float32), rng.random((60, 5)).astype(np.float32), look=Variety().look
    )
    longer = diversify(relevance, rows, count=60, weight=Variety().relevance)
    assert longer[:20] == diversify(relevance, rows, count=20, weight=Variety().relevance)
    assert sorted(longer) == list(range(60))


@pytest.mark.parametrize(("look", "alike"), [(1.0, [1, 1, 0, 0]), (0.0, [1, 0, 1, 0]), (0.5, [1, 0.5, 0.5, 0])])
def test_look_and_tags_have_their_shares_in_what_is_alike(look: float, alike: list[float]) -> None:
    rows = traits(LOOKS, TAGS, look=look)
    assert rows @ rows[0] == pytest.approx(alike)
