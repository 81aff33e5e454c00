"""Codes learn from looks and tags: the losses by hand, the same codes every time, and better ones for having learnt."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tagwright_training.refinement.corpus import TagMatrix, normalised
from tagwright_training.search import code_evaluation, hashing, projections
from tagwright_training.search.code_evaluation import hamming, signs
from tagwright_training.search.hashing import Network, Recipe
from tagwright_training.search.words import tag_vectors

WORDS = {"sea": np.eye(50, dtype=np.float32)[0], "dog": np.eye(50, dtype=np.float32)[1]}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # batches are tiny: threads would only wait for each other
    yield
    torch.set_num_threads(before)


Array = NDArray[np.float32]


def made_up(photos: int = 600, size: int = 24, kinds: int = 3) -> tuple[Array, Array, NDArray[np.int64]]:
    """Looks in which a kind is a weak direction among strong ones that mean nothing; tags that tell the kind."""
    rng = np.random.default_rng(1)
    kind = rng.integers(0, kinds, photos)
    noise = rng.standard_normal((photos, size)) * np.linspace(3, 0.3, size)
    x = noise + 2.5 * np.eye(size)[size - kinds + kind]
    w = normalised((np.eye(kinds)[kind] - 1 / kinds).astype(np.float32))
    return normalised(x.astype(np.float32)), w, kind


def alike_among_the_nearest(encoder: hashing.Encoder, x: Array, kind: NDArray[np.int64]) -> float:
    codes = signs(encoder, x)
    order = np.argsort(hamming(codes, codes), axis=1, kind="stable")[:, 1:31]
    return float((kind[order] == kind[:, None]).mean())


def test_pairs_that_differ_in_as_many_bits_as_their_tags_do_cost_nothing() -> None:
    h = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    w = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    assert hashing.pairwise(h, w).item() == pytest.approx(0)
    wrong = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    assert hashing.pairwise(wrong, w).item() == pytest.approx(4 * 0.25 / 9)


def test_a_prediction_nearer_to_others_tags_costs_by_how_much() -> None:
    targets = torch.eye(2)
    assert hashing.hinge(torch.eye(2), targets, 0.2).item() == 0
    assert hashing.hinge(torch.tensor([[0.0, 1.0], [0.0, 1.0]]), targets, 0.2).item() == pytest.approx(1.2 / 2)


def test_the_encoder_gives_the_bits_of_the_network_that_it_comes_from() -> None:
    x, _, _ = made_up(50)
    for recipe in (Recipe(64), Recipe(64, hidden=0)):
        torch.manual_seed(3)
        network = Network(torch.from_numpy(x), 3, recipe)
        h, _ = network(torch.from_numpy(x))
        assert np.array_equal(hashing.encoder_of(network).outputs(x) > 0, h.detach().numpy() > 0.5)


def test_the_same_seed_gives_the_same_codes() -> None:
    x, w, _ = made_up(300)
    recipe = Recipe(32, hidden=16, epochs=2)
    one, other = (hashing.train(x, w, recipe).outputs(x) for _ in range(2))
    assert np.array_equal(one, other)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(16, hidden=32, edges=0.1, epochs=8, batch=64, rate=0.01),
        Recipe(16, hidden=0, start="itq", words=0, edges=0.1, epochs=8, batch=64, rate=0.01),
    ],
)
def test_codes_that_learnt_from_tags_know_what_looks_alone_do_not_tell(recipe: Recipe) -> None:
    x, w, kind = made_up()
    without = alike_among_the_nearest(projections.random_hyperplanes(x, 16), x, kind)
    learnt = alike_among_the_nearest(hashing.train(x, w, recipe), x, kind)
    assert learnt > without + 0.04


def test_photos_without_a_word_have_no_part_in_what_tags_teach() -> None:
    x, w, _ = made_up(40)
    network = Network(torch.from_numpy(x), 3, Recipe(16))
    some = w.copy()
    some[20:] = 0
    recipe = Recipe(16, edges=0.0)
    whole = hashing.loss(network, torch.from_numpy(x), torch.from_numpy(some), recipe)
    half = hashing.loss(network, torch.from_numpy(x[:20]), torch.from_numpy(w[:20]), recipe)
    assert whole.item() == pytest.approx(half.item(), rel=1e-5)


def test_a_hidden_layer_cannot_start_from_a_rotation() -> None:
    x, w, _ = made_up(40)
    with pytest.raises(ValueError, match="no hidden layer"):
        hashing.train(x, w, Recipe(8, start="itq"))


def test_itq_loses_less_to_signs_than_the_components_that_it_turns() -> None:
    x, _, _ = made_up()
    lost = []
    for encoder in (projections.principal_signs(x, 8), projections.rotated(x, 8)):
        projected = encoder.outputs(x)
        lost.append(np.square(np.sign(projected) * np.abs(projected).mean() - projected).sum())
    assert lost[1] < lost[0]
    with pytest.raises(ValueError, match="99 components of 24 numbers"):
        projections.rotated(x, 99)


def test_quantised_distances_rank_nearly_as_exact_ones_do() -> None:
    x, _, _ = made_up()
    distance = code_evaluation.quantised(x, 64)
    exact = code_evaluation.nearest(x, x[:50], 5)
    assert code_evaluation.first_stage_recall(distance, x[:50], exact, [0.1], len(x))[0] > 0.9


def tagged(*lists: Sequence[str]) -> TagMatrix:
    return TagMatrix.from_lists(lists)


def test_a_photos_tags_are_one_vector_around_the_mean_of_all() -> None:
    found = tag_vectors(tagged(["sea"], ["dog"], ["sea", "dog"], ["xyz"], []), WORDS, "mean")
    half = 1 / math.sqrt(2)
    assert found[0, :2] == pytest.approx([half, -half])
    assert found[1, :2] == pytest.approx([-half, half])
    assert np.abs(found[2:]).max() < 1e-6  # the mean itself, and photos without a word


def test_rare_tags_weigh_more_by_itf_and_less_by_tf() -> None:
    tags = tagged(["sea", "dog"], ["sea"], ["sea"], ["xyz"])
    by = {name: tag_vectors(tags, WORDS, name) for name in ("mean", "tf", "itf")}
    share = {name: abs(rows[0, 1]) for name, rows in by.items()}
    assert by["itf"][0, 1] > 0
    assert share["tf"] < share["mean"]
    assert np.linalg.norm(by["itf"][0]) == pytest.approx(1)
