"""The figures: against cases by hand, against scikit-learn, and where they do not exist."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

from tagwright_training import metrics
from tagwright_training.metrics import Decisions


def draw(
    seed: int, *, photos: int = 300, labels: int = 4, grain: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Truth and scores that have something to do with each other; `grain` rounds scores so that many are equal."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((photos, labels)) < 0.2).astype(np.float32)
    scores = np.clip(truth * 0.3 + rng.random((photos, labels)) * 0.7, 0, 1).astype(np.float32)
    return truth, scores.round(grain) if grain else scores


def test_average_precision_by_hand() -> None:
    # Ranked: yes, no, yes, no. Precision at the first yes 1/1, at the second 2/3; each adds half of recall.
    value = metrics.average_precision(np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1]))
    assert value == pytest.approx((1 + 2 / 3) / 2)


def test_photos_of_equal_score_count_as_one_step() -> None:
    # One step to recall 1 at precision 2/4, whatever the order the photos come in.
    for truth in ([1, 1, 0, 0], [0, 0, 1, 1]):
        assert metrics.average_precision(np.array(truth), np.full(4, 0.5)) == pytest.approx(0.5)


@pytest.mark.parametrize("grain", [0, 1])
@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_scikit_learn_s(seed: int, grain: int) -> None:
    truth, scores = draw(seed, grain=grain)
    expected = [average_precision_score(truth[:, i], scores[:, i]) for i in range(truth.shape[1])]
    np.testing.assert_allclose(metrics.average_precisions(truth, scores), expected, rtol=1e-12)


def test_average_precision_of_a_label_that_no_photo_holds_does_not_exist() -> None:
    assert math.isnan(metrics.average_precision(np.zeros(3), np.array([0.1, 0.2, 0.3])))


def test_average_precision_of_a_perfect_ranking_is_one() -> None:
    assert metrics.average_precision(np.array([0, 1, 1]), np.array([0.1, 0.2, 0.3])) == 1


@pytest.mark.parametrize("grain", [0, 1])
def test_a_bootstrap_draw_is_the_average_precision_of_the_photos_drawn(grain: int) -> None:
    truth, scores = draw(7, grain=grain)
    samples = metrics.bootstrap(truth, scores, resamples=5, seed=3)
    rng = np.random.default_rng(3)
    for sample in samples:
        rows = rng.integers(len(truth), size=len(truth))
        expected = [average_precision_score(truth[rows, i], scores[rows, i]) for i in range(truth.shape[1])]
        np.testing.assert_allclose(sample, expected, rtol=1e-12)


def test_an_interval_holds_the_figure_and_narrows_with_more_photos() -> None:
    widths = []
    for photos in (200, 3200):
        truth, scores = draw(1, photos=photos)
        values = metrics.average_precisions(truth, scores)
        found = metrics.mean_interval(values, metrics.bootstrap(truth, scores, resamples=200))
        assert found.low < found.value < found.high
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 2.5  # 16 times the photos: about a quarter


def test_labels_that_no_photo_holds_are_left_out_of_the_mean_and_its_interval() -> None:
    truth, scores = draw(2)
    truth[:, 0] = 0
    every = metrics.mean_interval(
        metrics.average_precisions(truth, scores), metrics.bootstrap(truth, scores, resamples=50)
    )
    truth, scores = truth[:, 1:], scores[:, 1:]
    assert every == metrics.mean_interval(
        metrics.average_precisions(truth, scores), metrics.bootstrap(truth, scores, resamples=50)
    )


def test_a_mean_over_nothing_does_not_exist() -> None:
    found = metrics.mean_interval(np.array([np.nan]), np.full((5, 1), np.nan))
    assert [math.isnan(value) for value in (found.value, found.low, found.high)] == [True, True, True]


def test_a_label_missing_from_some_draws_keeps_its_interval() -> None:
    truth, scores = np.zeros((20, 1)), np.linspace(0, 1, 20)[:, None]
    truth[19] = 1
    samples = metrics.bootstrap(truth, scores, resamples=100)
    assert np.isnan(samples).any()
    assert metrics.interval(1.0, samples[:, 0]) == metrics.Interval(1.0, 1.0, 1.0)


def test_precision_recall_and_f1_at_thresholds_are_scikit_learn_s() -> None:
    truth, scores = draw(4)
    thresholds = [0.3, 0.5, 0.6, 0.7]
    decisions = metrics.decide(truth, scores, thresholds)
    said = scores >= np.array(thresholds)
    for i, found in enumerate(decisions):
        assert found.precision == pytest.approx(precision_score(truth[:, i], said[:, i]))
        assert found.recall == pytest.approx(recall_score(truth[:, i], said[:, i]))
        assert found.f1 == pytest.approx(f1_score(truth[:, i], said[:, i]))
    pooled = metrics.pool(decisions)
    assert pooled.f1 == pytest.approx(f1_score(truth, said, average="micro"))
    assert metrics.macro([d.f1 for d in decisions]) == pytest.approx(f1_score(truth, said, average="macro"))


def test_a_score_on_the_threshold_is_said() -> None:
    assert metrics.decide(np.array([[1.0]]), np.array([[0.5]]), [0.5]) == [Decisions(said=1, holds=1, right=1)]


def test_a_label_without_a_threshold_is_never_said_and_costs_recall() -> None:
    found = metrics.decide(np.array([[1.0], [0.0]]), np.array([[1.0], [1.0]]), [None])
    assert found == [Decisions(said=0, holds=1, right=0)]
    assert math.isnan(found[0].precision)
    assert (found[0].recall, found[0].f1) == (0, 0)


def test_calibration_error_by_hand() -> None:
    # Two of ten bins are filled. Scores of .25: half hold, off by .25. Scores of .95: all hold, off by .05.
    truth, scores = np.array([1, 0, 1, 1, 1, 1]), np.array([0.25, 0.25, 0.95, 0.95, 0.95, 0.95])
    found = metrics.reliability(truth, scores, bins=10)
    assert found.counts.tolist() == [0, 0, 2, 0, 0, 0, 0, 0, 0, 4]
    assert found.error() == pytest.approx(2 / 6 * 0.25 + 4 / 6 * 0.05)


def test_scores_on_the_edge_of_a_bin_belong_to_the_lower_one() -> None:
    assert metrics.reliability(np.zeros(4), np.array([0.0, 0.5, 0.50001, 1.0]), bins=2).counts.tolist() == [2, 2]


def test_probabilities_that_hold_as_often_as_they_say_have_little_calibration_error() -> None:
    rng = np.random.default_rng(5)
    scores = rng.random(200_000)
    truth = rng.random(200_000) < scores
    assert metrics.reliability(truth, scores).error() < 0.005
    assert metrics.reliability(truth, scores**2).error() > 0.1
