"""The non-negative low-rank model: its step by the formulas, what it promises of F, fold-in like fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tagwright_training.refinement.corpus import Embedded, TagMatrix
from tagwright_training.refinement.graph import image_graph, neighbours, tag_graph
from tagwright_training.refinement.lowrank import Checkpoint, LowRank, shrink
from tagwright_training.refinement.network import Learning
from tagwright_training.refinement.wdnl import Wdnl

pytestmark = pytest.mark.unit

SMALL = Wdnl(nuclear=3.0, given=0.4, absent=0.05, image_graph=0.5, tag_graph=0.2, neighbours=3, rank=7, rounds=2,
             balance=0.0, learning=Learning(hidden=(8, 6), epochs=1, ridge=1.0))  # fmt: skip


def _library(photos: int = 90, tags: int = 7, size: int = 6, seed: int = 5) -> Embedded:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(photos, size))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    likely = x @ rng.normal(size=(size, tags)) + 0.3 * rng.normal(size=(photos, tags)) > 0.8
    names = [f"tag{i}" for i in range(tags)]
    lists = [[names[j] for j in np.flatnonzero(row)] for row in likely]
    return Embedded(vectors=x, tags=TagMatrix.from_lists(lists, names=names))


def _low(matrix: NDArray[Any]) -> LowRank:
    n, c = matrix.shape
    return shrink(lambda a, b: matrix[a:b], n, c, 0.0, c)


def _silent(done: int, total: int) -> None:
    pass


def test_a_step_of_one_photo_and_one_tag_is_what_the_formulas_give_by_hand() -> None:
    """No graphs, so s = 1; a = 30 (1 / 10,000)^.5 = .3. From F = 0.2 and f = 0.5, G is 0.5.

    A tag that is given: 1 + soft(0.5 - 1, 0.4) = 0.9, shrunk by 0.3 to 0.6.
    """
    method = replace(SMALL, nuclear=30.0, image_graph=0.0, tag_graph=0.0)
    one = np.ones((1, 1), np.float32)

    def step(guess: float, given: float) -> float:
        found = method.truth_step(
            _low(0.2 * one), lambda a, b: guess * one[a:b], lambda a, b: given * one[a:b], None, 0 * one
        )
        return float(found.rows(0, 1)[0, 0])

    assert step(0.5, 1.0) == pytest.approx(0.6, abs=1e-6)
    # not given: soft(0.5, 0.05) = 0.45, shrunk by 0.3 to 0.15
    assert step(0.5, 0.0) == pytest.approx(0.15, abs=1e-6)
    # given and believed nearly enough: 0.8 is within 0.4 of 1, so it becomes 1 before the shrink
    assert step(0.8, 1.0) == pytest.approx(0.7, abs=1e-6)


def test_a_step_with_graphs_is_that_of_dense_matrices() -> None:
    library = _library(1_300)  # two blocks of rows
    rng = np.random.default_rng(1)
    f, guess = (rng.normal(size=(1_300, 7)).astype(np.float32) for _ in range(2))
    images, together = image_graph(neighbours(library.vectors, 3)), tag_graph(library.tags)
    y = library.tags.rows(0, 1_300)
    found = SMALL.truth_step(_low(f), lambda a, b: guess[a:b], lambda a, b: y[a:b], images, together)
    at, step = np.maximum(f, 0), 1 / (1 + 2 * 0.5 + 2 * 0.2)
    around = images.times(0, 1_300, at)
    moved = at - step * ((at - guess) + 0.5 * (at - around) + 0.2 * (at - at @ together))
    away, threshold = moved - y, step * np.where(y > 0, 0.4, 0.05)
    moved = y + np.sign(away) * np.maximum(np.abs(away) - threshold, 0)
    u, s, v = np.linalg.svd(moved, full_matrices=False)
    assert np.allclose(found.rows(0, 1_300), u * np.maximum(s - step * 3.0 * 0.13**0.5, 0) @ v, atol=1e-3)


def test_the_objective_never_rises_without_the_nuclear_norm() -> None:
    """Then the three maps are two, of which one is the exact proximal map and the other keeps F >= 0 by rows."""
    library = _library()
    method = replace(SMALL, nuclear=0.0)
    images, together = image_graph(neighbours(library.vectors, 3)), tag_graph(library.tags)
    guess = np.abs(np.random.default_rng(1).normal(size=(90, 7))).astype(np.float32)
    y = library.tags.rows(0, 90)

    def objective(low: LowRank) -> float:
        f = np.maximum(low.rows(0, 90), 0)
        smooth = 0.5 * ((f - guess) ** 2).sum() + 0.25 * (f * (f - images.times(0, 90, f))).sum()
        return float(smooth + 0.1 * (f * (f - f @ together)).sum() + (np.where(y > 0, 0.4, 0.05) * abs(f - y)).sum())

    low = _low(np.random.default_rng(2).random((90, 7)).astype(np.float32))
    values = [objective(low)]
    for _ in range(12):
        low = method.truth_step(low, lambda a, b: guess[a:b], lambda a, b: y[a:b], images, together)
        values.append(objective(low))
    assert np.all(np.diff(values) <= 1e-3)
    assert values[-1] < values[0]


def test_refined_scores_are_never_negative_and_of_low_rank() -> None:
    library = _library(300)
    model = replace(SMALL, nuclear=50.0).fit(library, _silent)
    assert model.refined(np.arange(300)).min() >= 0
    assert model.fold_in(library.vectors, library.tags).min() >= 0
    assert model.left.shape[1] < 7


def test_a_fitted_photo_is_folded_in_as_the_fit_left_it_where_only_its_own_row_counts() -> None:
    library = _library()
    method = replace(SMALL, nuclear=0.0, image_graph=0.0, steps=60, fold_steps=60)
    model = method.fit(library, _silent)
    assert np.allclose(model.fold_in(library.vectors, library.tags), model.refined(np.arange(90)), atol=2e-3)


def test_a_tag_that_was_given_raises_its_own_score() -> None:
    library = _library()
    model = SMALL.fit(library, _silent)
    x = np.repeat(library.vectors[:1], 2, axis=0)
    scores = model.fold_in(x, TagMatrix.from_lists([[], ["tag3"]], names=library.tags.names))
    assert scores[1, 3] > scores[0, 3]


def test_an_interrupted_fit_ends_as_one_that_was_not(tmp_path: Path) -> None:
    library = _library()
    whole = SMALL.fit(library, _silent)
    checkpoint = Checkpoint.of(tmp_path / "state.npz", SMALL)
    replace(SMALL, rounds=1).fit(library, _silent, checkpoint=checkpoint)
    resumed = SMALL.fit(library, _silent, checkpoint=checkpoint)
    assert np.allclose(resumed.refined(np.arange(90)), whole.refined(np.arange(90)), atol=1e-5)
