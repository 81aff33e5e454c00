"""The figures of search, against cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tagwright_training.search.search_metrics import (
    average_precision_of,
    cluster_recall_at,
    clusters_of,
    distance_at,
    mean,
    ndcg_at,
    precision_at,
)

RELEVANT = np.array([True, False, True, False, True, False])
RESULT = np.array([2, 1, 0, 3])


def test_precision_counts_empty_places_as_wrong() -> None:
    assert precision_at(RELEVANT, RESULT, 2) == 0.5
    assert precision_at(RELEVANT, RESULT, 4) == 0.5
    assert precision_at(RELEVANT, RESULT, 8) == 0.25
    assert precision_at(RELEVANT, np.empty(0, np.int64), 8) == 0


def test_ndcg_is_that_of_the_hand_worked_case() -> None:
    gained = 1 + 1 / math.log2(4)
    assert ndcg_at(RELEVANT, RESULT, 4) == pytest.approx(gained / (1 + 1 / math.log2(3) + 1 / math.log2(4)))
    assert ndcg_at(RELEVANT, RESULT, 2) == pytest.approx(1 / (1 + 1 / math.log2(3)))
    assert ndcg_at(RELEVANT, np.array([0, 4, 2]), 20) == pytest.approx(1)
    assert math.isnan(ndcg_at(np.zeros(3, bool), RESULT[:2], 2))


def test_average_precision_counts_what_is_not_found() -> None:
    assert average_precision_of(RELEVANT, RESULT) == pytest.approx((1 + 2 / 3) / 3)
    assert average_precision_of(RELEVANT, np.empty(0, np.int64)) == 0
    assert math.isnan(average_precision_of(np.zeros(6, bool), RESULT))


def test_small_patterns_join_the_nearest_and_of_equally_near_ones_the_largest() -> None:
    patterns = [[1, 0, 0]] * 3 + [[0, 1, 1]] * 4 + [[1, 0, 1]] + [[0, 0, 1]] * 2 + [[1, 1, 1]]
    found = clusters_of(np.array(patterns, bool), least=3)
    one, other = set(found[:3].tolist()), set(found[3:7].tolist())
    assert len(one) == len(other) == 1
    assert one != other
    assert {found[7]} == one  # 1 bit from 100, 2 from 011
    assert set(found[8:10].tolist()) == other  # 2 bits from 100, 1 from 011
    assert {found[10]} == other
    tied = clusters_of(np.array([[1, 0]] * 3 + [[0, 1]] * 4 + [[1, 1]], bool), least=3)
    assert tied[7] == tied[3]


def test_without_a_large_pattern_there_is_one_cluster() -> None:
    assert clusters_of(np.eye(4, dtype=bool), least=5).tolist() == [0, 0, 0, 0]


def test_cluster_recall_is_of_as_many_clusters_as_there_could_be() -> None:
    clusters = np.array([0, -1, 1, -1, 2, -1])
    assert cluster_recall_at(clusters, RELEVANT, RESULT, 4) == pytest.approx(2 / 3)
    assert cluster_recall_at(clusters, RELEVANT, RESULT, 1) == 1  # one place holds one cluster
    assert cluster_recall_at(clusters, RELEVANT, np.array([1, 3, 5]), 3) == 0  # clusters of what is relevant alone
    assert math.isnan(cluster_recall_at(clusters, np.zeros(6, bool), RESULT, 4))


def test_the_distance_of_a_result_is_the_mean_over_its_pairs() -> None:
    vectors = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    assert distance_at(vectors, np.array([0, 1, 2])) == pytest.approx((1 + 1 + 2) / 3)
    assert math.isnan(distance_at(vectors, np.array([0])))


def test_a_mean_is_of_the_figures_that_exist() -> None:
    assert mean([1.0, float("nan"), 0.0]) == 0.5
    assert math.isnan(mean([float("nan")]))
