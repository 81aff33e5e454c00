"""Neighbours and graphs of the batch refiners: exact where promised, sparse, and with known spectra."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tagwright_training.refinement.corpus import TagMatrix
from tagwright_training.refinement.graph import (
    Neighbours,
    Votes,
    cooccurrences,
    image_graph,
    neighbours,
    tag_graph,
    tag_sums,
)

pytestmark = pytest.mark.unit


def _vectors(count: int, size: int = 16, clusters: int = 20, seed: int = 3) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, size))
    found = centres[rng.integers(clusters, size=count)] + 0.6 * rng.normal(size=(count, size))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def _dense(near: Neighbours) -> NDArray[Any]:
    graph = image_graph(near)
    identity = np.eye(len(near.rows), dtype=np.float32)
    return graph.times(0, len(near.rows), identity)


def test_neighbours_are_the_nearest_others_and_never_the_photo_itself() -> None:
    x = _vectors(300)
    near = neighbours(x, 7)
    cosines = x @ x.T
    np.fill_diagonal(cosines, -2)
    assert np.array_equal(near.rows, np.argsort(-cosines, axis=1, kind="stable")[:, :7])
    assert np.allclose(near.cosines, -np.sort(-cosines, axis=1)[:, :7], atol=1e-3)


def test_there_are_no_more_neighbours_than_other_photos() -> None:
    assert neighbours(_vectors(3), 10).rows.shape == (3, 2)
    assert neighbours(_vectors(1), 10).rows.shape == (1, 0)


def test_two_photos_with_the_same_vector_are_neighbours() -> None:
    x = np.repeat(_vectors(5), 2, axis=0)
    assert neighbours(x, 1).rows[:, 0].tolist() == [1, 0, 3, 2, 5, 4, 7, 6, 9, 8]


def test_cells_find_nearly_all_neighbours_that_comparing_every_pair_finds() -> None:
    x = _vectors(4_000, clusters=200)
    exact, found = neighbours(x, 10), neighbours(x, 10, exact=1_000, cell=40, probes=12)
    shared = [len(np.intersect1d(a, b)) for a, b in zip(exact.rows[::20], found.rows[::20], strict=True)]
    assert np.mean(shared) >= 9.0


def test_the_image_graph_is_symmetric_and_its_greatest_eigenvalue_is_one() -> None:
    graph = _dense(neighbours(_vectors(120), 5))
    assert np.allclose(graph, graph.T, atol=1e-6)
    values = np.linalg.eigvalsh(graph.astype(np.float64))
    assert values[-1] == pytest.approx(1, abs=1e-5)
    assert values[0] >= -1 - 1e-5


def test_the_image_graph_of_three_photos_is_what_the_formula_says() -> None:
    near = Neighbours(np.array([[1], [0], [1]], np.int32), np.array([[0.5], [0.5], [0.0]], np.float16))
    # d^2 = 1, 1, 2; median 1: W = e^-1, e^-1, e^-2; (W + W')/2 links 0-1 by e^-1 and 1-2 by e^-2 / 2.
    a, b = np.exp(-1), np.exp(-2) / 2
    degrees = np.array([a, a + b, b])
    expected = np.array([[0, a, 0], [a, 0, b], [0, b, 0]]) / np.sqrt(np.outer(degrees, degrees))
    assert np.allclose(_dense(near), expected, atol=1e-6)


def test_a_neighbour_that_was_not_found_weighs_nothing() -> None:
    near = Neighbours(np.array([[1, 0], [0, 0]], np.int32), np.array([[0.5, -1], [0.5, -1]], np.float16))
    assert np.allclose(_dense(near), [[0, 1], [1, 0]], atol=1e-6)


def test_votes_are_the_neighbours_tags_weighted_by_their_distance() -> None:
    tags = TagMatrix.from_lists([["a"], ["b"], ["a", "b"]], names=["a", "b"])
    near = Neighbours(np.array([[1, 2], [0, 2], [0, 1]], np.int32), np.full((3, 2), 0.5, np.float16))
    near.cosines[0] = (0.5, 0.0)
    # the median of d^2 is 1; photo 0: weights e^-1 (b) and e^-2 (a, b), scaled to 1
    votes = Votes.of(near, tags).rows(0, 3)
    share = np.exp(-2) / (np.exp(-1) + np.exp(-2))
    assert np.allclose(votes, [[share, 1], [1, 0.5], [0.5, 0.5]], atol=1e-3)


def test_photos_without_tags_give_no_votes() -> None:
    tags = TagMatrix.from_lists([[], ["a"], []], names=["a"])
    assert tag_sums(tags, np.array([[0, 2], [0, 1]], np.int32), np.ones((2, 2), np.float32)).tolist() == [[0], [1]]


def test_tags_on_the_same_photos_are_linked_and_no_tag_is_linked_to_itself() -> None:
    tags = TagMatrix.from_lists([["a", "b"], ["a", "b"], ["b", "c"], ["c"]], names=["a", "b", "c"])
    assert cooccurrences(tags).tolist() == [[2, 2, 0], [2, 3, 1], [0, 1, 2]]
    ab, bc = 2 / 5, 1 / 5
    expected = np.array([[0, ab / np.sqrt(ab * (ab + bc)), 0], [0, 0, bc / np.sqrt(bc * (ab + bc))], [0, 0, 0]])
    assert np.allclose(tag_graph(tags), expected + expected.T, atol=1e-6)


def test_a_tag_that_stands_alone_leaves_the_tag_graph_finite() -> None:
    tags = TagMatrix.from_lists([["a"], ["b"]], names=["a", "b"])
    assert tag_graph(tags).tolist() == [[0, 0], [0, 0]]
