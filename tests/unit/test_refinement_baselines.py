"""Each baseline against a case worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tagwright_training.refinement.baselines import (
    Frequency,
    Knn,
    LinearProbe,
    TagCooccur,
    TagVote,
    UserTags,
    fit_ridge,
    nearest,
)
from tagwright_training.refinement.corpus import Embedded, TagMatrix, normalised
from tagwright_training.refinement.methods import Method
from tagwright_training.refinement.som import SelfOrganizingMap, tag_profiles, train
from tagwright_training.refinement.tagprop import TagProp, fit_tagprop, group_votes, project_to_simplex, rank_groups


def at(degrees: list[float]) -> NDArray[np.float32]:
    """Vectors of length 1 in the plane."""
    angles = np.radians(np.array(degrees, np.float64))
    return np.asarray(np.stack([np.cos(angles), np.sin(angles)], 1), np.float32)


def embedded(degrees: list[float], lists: list[list[str]], authors: list[int] | None = None) -> Embedded:
    who = None if authors is None else np.array(authors, np.int64)
    return Embedded(at(degrees), TagMatrix.from_lists(lists), authors=who)


# Photos at 0 to 40 degrees; the query at -1 sees them in that order.
LIBRARY = embedded([0, 10, 20, 30, 40], [["dog"], ["dog", "sea"], ["sea"], ["sea"], []])
PHOTO = embedded([-1], [["sea", "x", "dog", "y"]])


def test_user_tags_score_by_their_place() -> None:
    assert UserTags().scores(LIBRARY, PHOTO, ("dog", "sea", "sky")).tolist() == [[0.5, 1, 0]]


def test_frequency_is_the_share_of_the_library() -> None:
    assert Frequency().scores(LIBRARY, PHOTO, ("dog", "sea", "sky"))[0].tolist() == pytest.approx([2 / 5, 3 / 5, 0])


def test_knn_counts_the_nearest_photos_that_carry_the_tag() -> None:
    assert Knn(k=3).scores(LIBRARY, PHOTO, ("dog", "sea", "sky")).tolist() == [[2, 2, 0]]


def test_tagvote_takes_away_what_chance_would_give() -> None:
    scores = TagVote(k=3).scores(LIBRARY, PHOTO, ("dog", "sea"))
    assert scores[0].tolist() == pytest.approx([2 - 3 * 2 / 5, 2 - 3 * 3 / 5])


def test_tagvote_gives_an_author_one_vote_that_of_the_nearest_photo() -> None:
    by = embedded([0, 10, 20, 30, 40], [["dog"], ["dog", "sea"], ["sea"], ["sea"], []], authors=[7, 7, 7, 8, 9])
    scores = TagVote(k=2).scores(by, PHOTO, ("dog", "sea"))  # photos 0 and 3 vote
    assert scores[0].tolist() == pytest.approx([1 - 2 * 2 / 5, 1 - 2 * 3 / 5])


def test_tagvote_expects_less_where_fewer_authors_than_k_are_found() -> None:
    by = embedded([0, 10, 20, 30, 40], [["dog"], ["dog", "sea"], ["sea"], ["sea"], []], authors=[7] * 5)
    assert TagVote(k=3).scores(by, PHOTO, ("dog",))[0].tolist() == pytest.approx([1 - 1 * 2 / 5])


def test_tagcooccur_is_the_formula_worked_by_hand() -> None:
    # f: a 4, b 2, c 1. a's list: a (4), b (2), c (1); b's list: b (2), a (2); c is on one photo, with a.
    library = embedded([0, 10, 20, 30], [["a", "b"], ["a", "b"], ["a", "c"], ["a"]])
    photo = embedded([0], [["b", "a", "unheard"]])
    stab = {"a": 9 / (9 + 7), "b": 9 / (9 + 8)}  # |9 - log2 4|, |9 - log2 2|
    descr = {"a": 11 / (11 + 9), "b": 11 / (11 + 10), "c": 11 / (11 + 11)}
    scores = TagCooccur(min_photos=1).scores(library, photo, ("a", "b", "c"))
    second, third = 4 / (4 + 2 - 1), 4 / (4 + 3 - 1)
    assert scores[0].tolist() == pytest.approx(
        [
            (stab["a"] * descr["a"] + second * stab["b"] * descr["a"]) / 2,
            (second * stab["a"] * descr["b"] + stab["b"] * descr["b"]) / 2,
            third * stab["a"] * descr["c"] / 2,
        ]
    )


def test_tagcooccur_looks_no_further_than_the_first_m_and_knows_no_rare_tag() -> None:
    library = embedded([0, 10, 20, 30], [["a", "b"], ["a", "b"], ["a", "c"], ["a"]])
    photo = embedded([0], [["a"]])
    assert TagCooccur(m=2, min_photos=1).scores(library, photo, ("b", "c"))[0, 1] == 0
    assert TagCooccur(min_photos=2).scores(library, photo, ("b", "c"))[0, 1] == 0
    assert TagCooccur().scores(library, embedded([0], [[]]), ("a",)).tolist() == [[0]]


def test_tagcooccur_plus_divides_by_the_rank_under_tagvote() -> None:
    library = embedded([0, 10, 20, 90], [["a", "b"], ["a", "b"], ["a", "c"], ["a"]])
    photo = embedded([19], [["a"]])
    plain = TagCooccur(min_photos=1).scores(library, photo, ("a", "b", "c"))
    plus = TagCooccur(votes=TagVote(k=1), min_photos=1).scores(library, photo, ("a", "b", "c"))
    # One vote, of photo 2: a 1 - 4/4 = 0, b 0 - 2/4, c 1 - 1/4. So c is first, a second, b third.
    assert plus[0].tolist() == pytest.approx((plain[0] / [2, 3, 1]).tolist())
    assert TagCooccur(votes=TagVote()).name == "TagCooccur+"


def test_the_ridge_is_the_formula_worked_by_hand() -> None:
    # Centred x = -1, 0, 1 and y = -1/3, -1/3, 2/3: X'y = 1, X'X = 2, with a penalty of half the variance w = 1/3.
    x = np.array([[1], [2], [3]], np.float32)
    fitted = fit_ridge(x, np.array([[0], [0], [1]], np.float32), 0.5)
    assert fitted.weights.tolist() == [[pytest.approx(1 / 3)]]
    assert fitted.predict(np.array([[2], [5]], np.float32))[:, 0].tolist() == pytest.approx([1 / 3, 4 / 3])


def test_the_linear_probe_finds_the_direction_of_a_tag() -> None:
    scores = LinearProbe().scores(LIBRARY, embedded([0, 40], [[], []]), ("dog",))
    assert scores[0, 0] > scores[1, 0]


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 10_000))
def test_neighbours_are_exact_and_ties_come_in_the_librarys_order(size: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    library = normalised(rng.integers(-1, 2, (size, 3)).astype(np.float32))
    queries = normalised(rng.integers(-1, 2, (5, 3)).astype(np.float32))
    ((start, stop, rows),) = nearest(library, queries, k)
    far = -(queries @ library.T)
    assert (start, stop) == (0, 5)
    assert np.array_equal(rows, np.argsort(far, axis=1, kind="stable")[:, :k])


def test_tagprop_learns_that_only_the_first_neighbour_knows() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random((200, 2)) < 0.4).astype(np.float32)
    votes = (rng.random((200, 2, 3)) < 0.4).astype(np.float32)
    votes[:, :, 0] = np.where(rng.random((200, 2)) < 0.9, targets, 1 - targets)
    fit = fit_tagprop(votes, targets, rounds=20)
    assert fit.ranks[0] > 0.8
    assert fit.ranks.sum() == pytest.approx(1)
    assert (fit.ranks >= 0).all()
    assert (fit.slopes > 0).all()
    assert all(later >= earlier for earlier, later in zip(fit.likelihoods, fit.likelihoods[1:], strict=False))
    assert fit.likelihoods[-1] > 2 * 2 * math.log(0.5)  # better than not knowing: two tags, two sides of weight 1 each


def test_tagprop_scores_are_the_sigmoid_of_weighted_votes() -> None:
    library = embedded([0, 1, 50, 51, 100, 101], [["dog"], ["dog"], ["sea"], ["sea"], [], []])
    scores = TagProp(k=1).scores(library, embedded([0.4, 50.4], [[], []]), ("dog", "sea", "sky"))
    assert scores[0, 0] > 0.5 > scores[1, 0]
    assert scores[1, 1] > 0.5 > scores[0, 1]
    assert ((scores >= 0) & (scores <= 1)).all()


def test_ranks_are_tied_in_groups_that_grow() -> None:
    groups = rank_groups(12)
    assert groups.tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 10]
    tags = np.array([[1], [0], [0], [1]], np.float32)
    near = np.array([[3, 1, 2, 0, 1, 2, 0, 1, 3, 3, 0, 2]])
    assert group_votes(tags, near, groups)[0, 0].tolist() == [1, 0, 0, 1, 0, 0, 0.5, 1, 0.5]


@pytest.mark.parametrize(
    ("point", "nearest_on_it"),
    [([0.2, 0.8], [0.2, 0.8]), ([1, 1], [0.5, 0.5]), ([2, 0, -1], [1, 0, 0]), ([0.9, 0.5, -3], [0.7, 0.3, 0])],
)
def test_projection_onto_the_simplex(point: list[float], nearest_on_it: list[float]) -> None:
    assert project_to_simplex(np.array(point)).tolist() == pytest.approx(nearest_on_it)


def test_a_map_of_one_unit_is_the_mean_and_its_profile_the_frequency() -> None:
    som = train(LIBRARY.vectors, 1, epochs=3, sigma=1)
    assert som.prototypes[0].tolist() == pytest.approx(LIBRARY.vectors.mean(0).tolist(), abs=1e-6)
    profiles = tag_profiles(som, som.units(LIBRARY.vectors), LIBRARY.tags, 1)
    assert profiles[0].tolist() == pytest.approx([3 / 5, 2 / 5])  # sea, dog


def test_a_batch_step_is_the_weighted_mean_worked_by_hand() -> None:
    # Two units one apart, one photo on each after the plane: h = exp(-1/2) between them.
    vectors = np.array([[1, 0], [0, 1]], np.float32)
    som = train(vectors, 2, epochs=1, sigma=1)
    units = som.units(vectors)
    assert units[0] != units[1]
    apart = ((som.places[units[0]] - som.places[units[1]]) ** 2).sum()
    h = math.exp(-apart / 2)
    assert som.prototypes[units[0]].tolist() == pytest.approx([1 / (1 + h), h / (1 + h)], abs=1e-5)


def test_a_map_lifts_the_tag_of_photos_that_lie_together() -> None:
    degrees = [0.0, 1, 2, 3, 90, 91, 92, 93]
    library = embedded(degrees, [["dog"]] * 4 + [["sea"]] * 4)
    photos = embedded([1.5, 91.5], [[], []])
    scores = SelfOrganizingMap(side=3, sigma=0.5).scores(library, photos, ("dog", "sea"))
    assert scores[0, 0] > 1.5 > scores[0, 1]
    assert scores[1, 1] > 1.5 > scores[1, 0]


def test_a_map_does_not_depend_on_the_order_of_the_photos() -> None:
    vectors = normalised(np.random.default_rng(3).normal(size=(60, 4)).astype(np.float32))
    one = train(vectors, 3, epochs=5, sigma=1).prototypes
    other = train(vectors[::-1].copy(), 3, epochs=5, sigma=1).prototypes
    assert np.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize(
    "method",
    [
        UserTags(), Frequency(), Knn(k=3), TagVote(k=3), TagCooccur(), TagCooccur(votes=TagVote(k=3)), LinearProbe(),
        TagProp(k=3), SelfOrganizingMap(side=2),
    ],
    ids=lambda method: method.name,
)  # fmt: skip
def test_every_baseline_answers_for_a_tag_that_nobody_uses(method: Method) -> None:
    photos = embedded([5, 35], [["sea"], []])
    scores = method.scores(LIBRARY, photos, ("sea", "never used"))
    assert scores.shape == (2, 2)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    again = method.scores(LIBRARY, photos, ("sea", "never used"))
    assert np.array_equal(scores, again)
