"""Deep matrix factorisation: each step by its formula and never uphill; a photo is folded in as it is fitted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tagwright_training.refinement.corpus import Embedded, TagMatrix
from tagwright_training.refinement.graph import image_graph, neighbours, tag_graph
from tagwright_training.refinement.lowrank import Checkpoint
from tagwright_training.refinement.network import Learning, begin, improve
from tagwright_training.refinement.wdmf import Wdmf, guesses

pytestmark = pytest.mark.unit

SMALL = Wdmf(rank=4, confidence=3.0, ridge=0.5, pull=2.0, image_graph=0.7, tag_graph=0.4, neighbours=3, sweeps=2,
             learning=Learning(hidden=(8, 6), epochs=1, ridge=1.0))  # fmt: skip


def _library(photos: int = 90, tags: int = 7, size: int = 6, seed: int = 5) -> Embedded:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(photos, size))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    likely = x @ rng.normal(size=(size, tags)) + 0.3 * rng.normal(size=(photos, tags)) > 0.8
    names = [f"tag{i}" for i in range(tags)]
    lists = [[names[j] for j in np.flatnonzero(row)] for row in likely]
    return Embedded(vectors=x, tags=TagMatrix.from_lists(lists, names=names))


def _factors(library: Embedded, rank: int, seed: int = 2) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(seed)
    n, c = library.tags.shape
    return tuple(rng.normal(size=(rows, rank)).astype(np.float32) for rows in (n, c, n))  # type: ignore[return-value]


def _silent(done: int, total: int) -> None:
    pass


def test_one_number_a_factor_is_what_the_formulas_give_by_hand() -> None:
    """Two photos, one tag on the first, rank 1, no graphs: a = 3, l = 0.5, q = 2, v = 2, f = (1, -1), s = 0.5."""
    method = replace(SMALL, rank=1, tag_graph=0.0)
    tags = TagMatrix.from_lists([["a"], []], names=["a"])
    u, v, guess = (np.array(rows, np.float32) for rows in ([[0.0], [0.0]], [[2.0]], [[1.0], [-1.0]]))
    scale = np.array([0.5], np.float32)
    found = method.photo_step(u, v, tags, scale, guess, None)
    # (4 + 3 * 4 + 0.5 + 2) u = 4 * 2 / 0.5 + 2 * 1 ; (4 + 0.5 + 2) u = 2 * -1
    assert np.allclose(found, [[18 / 18.5], [-2 / 6.5]], atol=1e-6)
    # u = (1, 2): (1 + 4 + 3 * 1 + 0.5) v = 4 * 1 / 0.5
    found = method.tag_step(np.array([[1.0], [2.0]], np.float32), v, tags, scale, np.zeros((1, 1), np.float32))
    assert np.allclose(found, [[8 / 8.5]], atol=1e-6)


def test_without_a_graph_the_photo_step_is_where_the_objective_is_least() -> None:
    library = _library()
    u, v, guess = _factors(library, 4)
    scale = np.linspace(0.5, 1.5, 7, dtype=np.float32)
    method = replace(SMALL, image_graph=0.0)
    best = method.photo_step(u, v, library.tags, scale, guess, None)
    least = method.objective(best, v, library.tags, scale, guess, None, tag_graph(library.tags))
    rng = np.random.default_rng(0)
    for _ in range(20):
        near = best + 0.03 * rng.normal(size=best.shape).astype(np.float32)
        assert method.objective(near, v, library.tags, scale, guess, None, tag_graph(library.tags)) > least


@pytest.mark.parametrize("seed", range(3))
def test_neither_step_ever_raises_the_objective(seed: int) -> None:
    library = _library(seed=seed)
    u, v, guess = _factors(library, 4, seed)
    scale = np.linspace(0.5, 1.5, 7, dtype=np.float32)
    images, together = image_graph(neighbours(library.vectors, 3)), tag_graph(library.tags)
    method = replace(SMALL, image_graph=20.0, tag_graph=20.0)
    values = [method.objective(u, v, library.tags, scale, guess, images, together)]
    for _ in range(8):
        u = method.photo_step(u, v, library.tags, scale, guess, images)
        values.append(method.objective(u, v, library.tags, scale, guess, images, together))
        v = method.tag_step(u, v, library.tags, scale, together)
        values.append(method.objective(u, v, library.tags, scale, guess, images, together))
    assert np.all(np.diff(values) <= 1e-5 * values[0])
    assert values[-1] < 0.5 * values[0]


def test_a_fitted_photo_is_folded_in_as_the_fit_left_it_where_there_is_no_image_graph() -> None:
    library = _library()
    model = replace(SMALL, image_graph=0.0).fit(library, _silent)
    folded = model.fold_in(library.vectors, library.tags)
    assert np.allclose(folded, model.refined(np.arange(90)), atol=1e-4)


def test_the_image_graph_draws_neighbours_together() -> None:
    library = _library()
    near = neighbours(library.vectors, 3).rows

    def apart(weight: float) -> float:
        scores = replace(SMALL, image_graph=weight).fit(library, _silent).refined(np.arange(90))
        return float(np.abs(scores[near] - scores[:, None]).mean() / scores.std())

    assert apart(30.0) < 0.9 * apart(0.0)


def test_a_tag_is_scored_higher_for_photos_that_look_like_its_own() -> None:
    library = _library(600)
    model = Wdmf(rank=6, sweeps=2).fit(Embedded(library.vectors, library.tags), _silent)
    empty = TagMatrix.from_lists([[]] * 600, names=library.tags.names)
    scores, truth = model.fold_in(library.vectors, empty), library.tags.rows(0, 600) > 0
    assert scores[truth].mean() > scores[~truth].mean() + 0.1


def test_the_network_begins_as_the_ridge_regression_and_learning_brings_it_nearer() -> None:
    library = _library(400)
    rng = np.random.default_rng(3)
    wanted = np.maximum(library.vectors @ rng.normal(size=(6, 3)), 0).astype(np.float32)
    learning = Learning(hidden=(32, 16), epochs=40, rate=3e-3, batch=32, ridge=1.0, sparse=0.0)
    start = begin(library.vectors, lambda a, b: wanted[a:b], learning)
    assert np.allclose(start(library.vectors), library.vectors @ start.linear + start.bias, atol=1e-6)
    after = improve(start, library.vectors, lambda rows: wanted[rows], learning)
    before, later = (float(((net(library.vectors) - wanted) ** 2).mean()) for net in (start, after))
    assert later < 0.5 * before


def test_a_sparse_first_layer_drops_features_that_say_nothing() -> None:
    library = _library(400)
    noise = 0.1 * np.random.default_rng(3).normal(size=(400, 4))
    x = np.hstack([library.vectors, noise]).astype(np.float32)
    wanted = library.vectors[:, :2].copy()
    learning = Learning(hidden=(4, 4), epochs=80, rate=3e-3, batch=32, ridge=1.0, sparse=1.2)
    network = improve(begin(x, lambda a, b: wanted[a:b], learning), x, lambda rows: wanted[rows], learning)
    norms = np.linalg.norm(np.hstack([network.first, network.linear]), axis=1)
    assert norms[6:].max() == 0
    assert norms[:2].min() > 0


def test_an_interrupted_fit_ends_as_one_that_was_not(tmp_path: Path) -> None:
    library = _library()
    whole = SMALL.fit(library, _silent)
    checkpoint = Checkpoint.of(tmp_path / "state.npz", SMALL)
    replace(SMALL, sweeps=1).fit(library, _silent, checkpoint=checkpoint)
    resumed = SMALL.fit(library, _silent, checkpoint=checkpoint)
    assert np.allclose(resumed.refined(np.arange(90)), whole.refined(np.arange(90)), atol=1e-5)


def test_guesses_are_the_networks_answers_by_blocks() -> None:
    library = _library(2_100)
    network = begin(library.vectors, lambda a, b: library.vectors[a:b], Learning(hidden=(4, 4)))
    assert np.allclose(guesses(network, library.vectors), network(library.vectors), atol=1e-6)
