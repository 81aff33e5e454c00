"""The method without expert labels: words that mean or imply a tag, a probe, and the photo's own words."""

from __future__ import annotations

import numpy as np
import pytest

from tagwright_training.refinement.baselines import fit_ridge
from tagwright_training.refinement.corpus import CONCEPTS_24, Embedded, TagMatrix, normalised
from tagwright_training.refinement.weak import KINDS, WordsAndProbe, any_of, same_words, side_by_side

VECTORS = normalised(np.array([[1, 0], [1, 0.1], [1, 0.2], [0, 1], [0.1, 1], [0.2, 1]], np.float32))
LIBRARY = Embedded(VECTORS, TagMatrix.from_lists([["puppy"], ["dogs"], [], ["sea"], [], ["sea"]]))


def photos(*lists: list[str]) -> Embedded:
    """Photos halfway between both kinds."""
    return Embedded(normalised(np.ones((len(lists), 2), np.float32)), TagMatrix.from_lists(lists))


def test_a_tag_is_learnt_from_photos_whose_words_mean_it_though_none_carries_it() -> None:
    like = Embedded(VECTORS[[0, 3]], TagMatrix.from_lists([[], []]))
    scores = WordsAndProbe().scores(LIBRARY, like, ("dog",))
    assert scores[0, 0] > 0 > scores[1, 0]


def test_own_words_add_what_the_probe_confirms_and_implied_ones_half_of_it() -> None:
    method = WordsAndProbe(ridge=2, own_weight=0.5)
    scores = method.scores(LIBRARY, photos([], ["dog"], ["terrier"], ["terrier", "puppies"]), ("dog",))[:, 0]
    typed = np.array([[1], [1], [0], [0], [0], [0]], np.float32)
    seen = fit_ridge(VECTORS, typed, 2).predict(VECTORS)[:, 0]
    confirmed = ((seen[:2] - seen.mean()) / seen.std()).mean()
    assert confirmed > 0.5
    assert (scores - scores[0]).tolist() == pytest.approx([0, confirmed / 2, confirmed / 4, confirmed / 2], abs=1e-5)


def test_a_tag_that_nobody_uses_scores_0_even_if_typed() -> None:
    assert WordsAndProbe().scores(LIBRARY, photos([], ["qwertz"]), ("qwertz",)).tolist() == [[0], [0]]


def test_words_that_mean_the_same_come_from_the_published_map() -> None:
    assert same_words("woman") == same_words("girl")
    assert same_words("nikon") == ("nikon",)


def test_every_group_is_asked_for_once() -> None:
    tags = TagMatrix.from_lists([["a", "b"], ["c"], []])
    assert any_of(tags, [("a", "c", "a"), ("d",), ()]).tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_the_table_of_kinds_speaks_of_evaluated_tags_and_repeats_no_word() -> None:
    assert set(KINDS) == set(CONCEPTS_24)
    for tag, words in KINDS.items():
        assert len(words) == len(set(words)), tag
        assert not set(words) & set(same_words(tag)), tag


def test_networks_side_by_side_weigh_the_same() -> None:
    one, other = np.array([[100, 0]], np.float32), np.array([[0, 0, 0.1]], np.float32)
    joined = side_by_side(one, other)
    assert joined[0].tolist() == pytest.approx([0.5**0.5, 0, 0, 0, 0.5**0.5])
