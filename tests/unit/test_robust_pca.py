"""RobustPCA: its proximal maps by their formulas, a split that is known, a first step worked by hand, its blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tagwright_training.refinement.corpus import Embedded, TagMatrix
from tagwright_training.refinement.folding import ridge
from tagwright_training.refinement.graph import image_graph, neighbours, tag_graph
from tagwright_training.refinement.lowrank import Checkpoint, LowRank, row_shrink, shrink, soft_threshold
from tagwright_training.refinement.robust_pca import Graphs, RobustPca, Sparse

pytestmark = pytest.mark.unit


def _library(photos: int = 200, tags: int = 12, size: int = 8, seed: int = 5) -> Embedded:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(photos, size))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    likely = x @ rng.normal(size=(size, tags)) + 0.5 * rng.normal(size=(photos, tags)) > 0.8
    names = [f"tag{i}" for i in range(tags)]
    lists = [[names[j] for j in np.flatnonzero(row)] for row in likely]
    return Embedded(vectors=x, tags=TagMatrix.from_lists(lists, names=names))


def _svd_shrink(matrix: NDArray[Any], threshold: float) -> NDArray[Any]:
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    return np.asarray(u * np.maximum(s - threshold, 0) @ v)


def _silent(done: int, total: int) -> None:
    pass


def test_soft_threshold_moves_towards_zero_and_no_further() -> None:
    assert soft_threshold(np.array([3, -3, 0.5, -0.5, 0], np.float32), 1).tolist() == [2, -2, 0, 0, 0]


def test_row_shrink_shortens_rows_and_drops_short_ones() -> None:
    # ||(3, 4)|| = 5, shortened by 1 to 4; ||(0.6, 0)|| < 1
    assert np.allclose(
        row_shrink(np.array([[3.0, 4.0], [0.6, 0.0], [0, 0]]), 1), np.array([[2.4, 3.2], [0, 0], [0, 0]])
    )


def test_singular_values_shrink_by_the_threshold() -> None:
    matrix = np.random.default_rng(1).normal(size=(2_500, 9)).astype(np.float32)  # three blocks of rows
    low = shrink(lambda a, b: matrix[a:b], 2_500, 9, 45.0, 9)
    expected = _svd_shrink(matrix.astype(np.float64), 45.0)
    assert np.allclose(low.rows(0, 2_500), expected, atol=1e-3)
    assert low.singular.sum() == pytest.approx(np.linalg.norm(expected, "nuc"), rel=1e-5)
    assert low.norm() == pytest.approx(np.linalg.norm(expected), rel=1e-5)


def test_the_closest_matrix_of_a_rank_is_kept_where_nothing_is_shrunk() -> None:
    matrix = np.random.default_rng(1).normal(size=(60, 9)).astype(np.float32)
    low = shrink(lambda a, b: matrix[a:b], 60, 9, 0.0, 3)
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    assert np.allclose(low.rows(0, 60), (u[:, :3] * s[:3]) @ v[:3], atol=1e-4)


def test_a_matrix_of_zeros_has_rank_zero() -> None:
    low = shrink(lambda a, b: np.zeros((b - a, 4), np.float32), 10, 4, 0.0, 4)
    assert low.basis.shape == (4, 0)
    assert low.rows(0, 10).tolist() == [[0] * 4] * 10


def test_the_distance_of_two_low_rank_matrices_is_that_of_their_cells() -> None:
    rng = np.random.default_rng(2)
    one, other = (rng.normal(size=(40, 6)).astype(np.float32) for _ in range(2))
    first = shrink(lambda a, b: one[a:b], 40, 6, 1.0, 3)
    second = shrink(lambda a, b: other[a:b], 40, 6, 1.0, 3)
    assert first.distance(second) == pytest.approx(np.linalg.norm(first.rows(0, 40) - second.rows(0, 40)), rel=1e-4)


def test_the_first_step_is_the_published_one() -> None:
    """From A = E = 0: G_A = D / Lf and G_E = D / Lf, shrunk by mu / Lf and l1 mu / Lf."""
    d = np.random.default_rng(4).random((30, 5)).astype(np.float32)
    method = RobustPca(iterations=1, sparse=0.5, first_mu=0.7, graph=0.2, rank=5)
    library = _library(30, 5)
    graphs = Graphs(image_graph(neighbours(library.vectors, 3)), tag_graph(library.tags))
    low, noise = method.decompose(lambda a, b: d[a:b], (30, 5), graphs)
    lipschitz = np.sqrt(4 * (2 * 0.7 * 0.2) ** 2 + 4 * (2 * 0.7 * 0.2) ** 2 + 6)
    assert np.allclose(low.rows(0, 30), _svd_shrink(d / lipschitz, 0.7 / lipschitz), atol=1e-5)
    cells = np.zeros((30, 5), np.float32)
    noise.add_to(cells, 0, 1)
    assert np.allclose(cells, soft_threshold(d / lipschitz, float(0.35 / lipschitz)), atol=1e-6)


def test_later_steps_are_those_of_dense_matrices() -> None:
    d = np.random.default_rng(4).random((40, 6)).astype(np.float64)
    library = _library(40, 6)
    graphs = Graphs(image_graph(neighbours(library.vectors, 3)), tag_graph(library.tags))
    method = RobustPca(iterations=6, sparse=0.3, graph=0.5, rank=6, last_mu=1e-9, tolerance=0)
    low, noise = method.decompose(lambda a, b: d[a:b].astype(np.float32), (40, 6), graphs)

    images = np.eye(40) - graphs.images.times(0, 40, np.eye(40, dtype=np.float32))
    tags = np.eye(6) - graphs.tags
    a = a_before = e = e_before = np.zeros_like(d)
    momentum, momentum_before, mu = 1.0, 1.0, 1.0
    for _ in range(6):
        lipschitz = np.sqrt(8 * (2 * mu * 0.5) ** 2 + 6)
        ahead = (momentum_before - 1) / momentum
        y_a, y_e = a + ahead * (a - a_before), e + ahead * (e - e_before)
        g_a = y_a - (mu * 0.5 * (images @ y_a + y_a @ tags) + y_a + y_e - d) / lipschitz
        g_e = y_e - (y_a + y_e - d) / lipschitz
        a, a_before = _svd_shrink(g_a, mu / lipschitz), a
        e, e_before = np.sign(g_e) * np.maximum(np.abs(g_e) - 0.3 * mu / lipschitz, 0), e
        momentum, momentum_before, mu = (1 + np.sqrt(1 + 4 * momentum**2)) / 2, momentum, 0.9 * mu
    cells = np.zeros((40, 6), np.float32)
    noise.add_to(cells, 0, 1)
    assert np.allclose(low.rows(0, 40), a, atol=1e-4)
    assert np.allclose(cells, e, atol=1e-4)


def test_a_matrix_of_rank_one_with_a_few_wrong_cells_is_split_into_the_two() -> None:
    rng = np.random.default_rng(0)
    truth = np.outer(rng.random(60) + 0.5, rng.random(20) + 0.5)
    wrong = np.zeros_like(truth)
    cells = rng.choice(truth.size, 36, replace=False)  # 3 %
    wrong.ravel()[cells] = rng.choice([-3.0, 3.0], 36)
    d = (truth + wrong).astype(np.float32)
    # 1 / sqrt(60): the weight that provably separates them (Candes et al. 2011)
    method = RobustPca(sparse=60**-0.5, graph=0.0, first_mu=5.0, last_mu=1e-4, iterations=200, tolerance=0, rank=20)
    low, noise = method.decompose(lambda a, b: d[a:b], (60, 20))
    found = np.zeros_like(d)
    noise.add_to(found, 0, 1)
    assert np.abs(low.rows(0, 60) - truth).max() < 0.05
    assert set(np.flatnonzero(np.abs(found) > 0.5)) == set(cells.tolist())


def test_sparse_cells_come_back_from_a_checkpoint() -> None:
    rows = np.array([[0, 2, 0], [0, 0, 0], [-1, 0, 3]], np.float32)
    sparse = Sparse.of(Sparse.from_rows([rows[:2], rows[2:]], 3).arrays("e"), "e", 3)
    found = np.zeros((2, 3), np.float32)
    sparse.add_to(found, 1, 2)
    assert found.tolist() == [[0, 0, 0], [-2, 0, 6]]


def test_ridge_is_the_closed_form_with_the_means_left_free() -> None:
    rng = np.random.default_rng(1)
    x, t = rng.normal(size=(50, 4)).astype(np.float32), rng.normal(size=(50, 3)).astype(np.float32)
    head, bias = ridge(x, lambda a, b: t[a:b], 2.0)
    centred = x - x.mean(0)
    expected = np.linalg.solve(centred.T @ centred + 2 * np.eye(4), centred.T @ (t - t.mean(0)))
    assert np.allclose(head, expected, atol=1e-5)
    assert np.allclose(bias, t.mean(0) - x.mean(0) @ expected, atol=1e-5)


def test_a_photo_of_the_raw_matrix_is_folded_in_as_it_was_fitted() -> None:
    """With l1 this great E is 0, and A is D with its singular values shrunk: the same linear map for every row."""
    library = _library()
    method = RobustPca(propagate=False, graph=0.0, sparse=1e3, last_mu=1.0, iterations=300, tolerance=0, balance=0.0)
    model = method.fit(library, _silent)
    folded = model.fold_in(library.vectors, library.tags)
    assert np.allclose(model.refined(np.arange(200)), _svd_shrink(library.tags.rows(0, 200), 1.0), atol=1e-3)
    assert np.abs(folded - model.refined(np.arange(200))).max() < 1e-3


def test_neighbours_tags_reach_a_photo_that_has_none() -> None:
    library = _library(300)
    bare = TagMatrix.from_lists([[]] * 50 + [library.tags.typed(i) for i in range(50, 300)], names=library.tags.names)
    model = RobustPca(voters=20, own=0.1).fit(Embedded(library.vectors, bare), _silent)
    truth = library.tags.rows(0, 50)
    for scores in (model.refined(np.arange(50)), model.fold_in(library.vectors[:50], bare.take(np.arange(50)))):
        assert scores[truth > 0].mean() > scores[truth == 0].mean() + 0.1


def test_a_fit_that_was_interrupted_goes_on_where_it_was(tmp_path: Path) -> None:
    library = _library()
    method = RobustPca(voters=20, iterations=8, sparse=0.2)
    whole = method.fit(library, _silent)
    checkpoint = Checkpoint.of(tmp_path / "state.npz", method)

    def give_up(done: int, total: int) -> None:
        if (done, total) == (6, 8):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        method.fit(library, give_up, checkpoint=checkpoint)
    saved = checkpoint.load()
    assert saved is not None
    assert saved[0] == 5
    resumed = method.fit(library, _silent, checkpoint=checkpoint)
    assert np.allclose(resumed.refined(np.arange(200)), whole.refined(np.arange(200)), atol=1e-5)


def test_the_state_of_another_fit_or_a_broken_file_is_not_taken_up(tmp_path: Path) -> None:
    Checkpoint.of(tmp_path / "state.npz", "one").save(3, {"u": np.zeros(2)})
    assert Checkpoint.of(tmp_path / "state.npz", "other").load() is None
    (tmp_path / "state.npz").write_bytes(b"no archive")
    assert Checkpoint.of(tmp_path / "state.npz", "one").load() is None


def test_zero_is_a_low_rank_matrix() -> None:
    assert LowRank.zero(3, 2).rows(0, 3).tolist() == [[0, 0]] * 3
