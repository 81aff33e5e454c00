"""The figures of refinement, against cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tagwright_training.refinement.refinement_metrics import (
    addition_precisions,
    image_precisions,
    mean_image_precision,
    mean_with_interval,
    recall_at_precision,
    recall_intervals,
    roc_area,
)

TRUTH = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]])
SCORES = np.array([[0.9, 0.5, 0.2], [0.1, 0.2, 0.3], [0.3, 0.3, 0.1]])


def test_a_photos_ranking_is_its_average_precision_and_ties_are_one_step() -> None:
    found = image_precisions(TRUTH, SCORES)
    assert found[0] == pytest.approx((1 + 2 / 3) / 2)
    assert np.isnan(found[1])
    assert found[2] == pytest.approx(0.5)


def test_photos_without_a_concept_count_as_nothing_or_not_at_all() -> None:
    found = image_precisions(TRUTH, SCORES)
    both = (5 / 6 + 0.5) / 2
    assert mean_image_precision(found, none_is_zero=False).value == pytest.approx(both)
    assert mean_image_precision(found, none_is_zero=True).value == pytest.approx(both * 2 / 3)


def test_a_method_that_says_nothing_gains_nothing_by_the_order_of_concepts() -> None:
    assert image_precisions(np.array([[1, 0, 0, 0]]), np.zeros((1, 4)))[0] == pytest.approx(0.25)


def test_recall_at_precision_is_the_most_that_is_found_at_that_precision() -> None:
    wrong, suspicion = np.array([1, 1, 0, 1, 0, 0]), np.array([6, 5, 4, 3, 2, 1])
    assert recall_at_precision(wrong, suspicion, [1.0, 0.75, 0.5, 0.2]) == pytest.approx([2 / 3, 1.0, 1.0, 1.0])
    assert recall_at_precision(wrong, -suspicion, [0.9]) == [0.0]


def test_tags_of_equal_suspicion_are_found_together() -> None:
    assert recall_at_precision(np.array([1, 0]), np.array([1.0, 1.0]), [0.9, 0.5]) == [0.0, 1.0]


def test_where_nothing_is_wrong_nothing_is_found() -> None:
    assert recall_at_precision(np.zeros(3), np.arange(3.0), [0.5]) == [0.0]


def test_an_interval_holds_its_figure() -> None:
    rng = np.random.default_rng(1)
    wrong = rng.random(300) < 0.2
    suspicion = wrong + rng.normal(0, 1, 300)
    [found] = recall_intervals(wrong, suspicion, np.arange(300) // 2, [0.3])
    assert found.low <= found.value <= found.high
    mean = mean_with_interval(np.arange(10.0))
    assert mean.value == 4.5
    assert mean.low < 4.5 < mean.high


def test_additions_are_the_best_labels_that_were_not_given() -> None:
    given = np.array([[1, 0, 0], [0, 0, 0], [1, 1, 1]])
    one, two = addition_precisions(TRUTH, SCORES, given, [1, 2])
    assert one[0] == 0.0
    assert two[0] == 0.5
    assert (one[1], two[1]) == (0.0, 0.0)
    assert np.isnan(one[2])
    assert np.isnan(two[2])


def test_a_photo_with_few_labels_left_counts_with_those() -> None:
    [found] = addition_precisions(np.array([[0, 1]]), np.array([[1.0, 0.5]]), np.array([[1, 0]]), [5])
    assert found.tolist() == [1.0]


def test_the_area_under_the_roc_curve_counts_pairs_and_ties_as_half() -> None:
    assert roc_area(np.array([1, 0, 1, 0]), np.array([0.9, 0.5, 0.4, 0.4])) == pytest.approx(2.5 / 4)
    assert np.isnan(roc_area(np.ones(3), np.arange(3.0)))
