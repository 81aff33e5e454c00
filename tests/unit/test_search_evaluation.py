"""Search is measured as it is served: sources, orders and codes on photos that are made up."""

from __future__ import annotations

import json
import math
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tagwright_server.search.diversity import Variety
from tagwright_training.search import (
    code_evaluation,
    projections,
    ranking_evaluation,
    rankings,
    search_plots,
    search_report,
)
from tagwright_training.search.code_evaluation import CodeFigures, Field
from tagwright_training.search.collection import Collection, Query, StoredTag
from tagwright_training.search.search_report import Outcome, Rankings

SKY = Query("sky", "sky", strict=False)
GIRL = Query("girl", "female", strict=True)


def collection() -> Collection:
    tags = [
        {"sky": StoredTag(0.9, 1), "sea": StoredTag(0.8, 0)},
        {"sky": StoredTag(0.9, 0), "sea": StoredTag(0.8, None)},
        {"sky": StoredTag(0.9, None), "tree": StoredTag(0.85, 0)},
        {"female": StoredTag(0.7, 0)},
        {"sky": StoredTag(0.95, None)},
    ]
    truth = np.array([[1, 0, 1], [1, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 0]], bool)
    return Collection(
        vectors=np.eye(5, dtype=np.float32),
        scores=np.array([[0.1, 0], [0.9, 0], [0.5, 0], [0.5, 0.9], [0.2, 0.1]], np.float32),
        label_names=("sky", "female"),
        typed=(("sea", "sky"), ("sky",), ("tree",), ("girl", "sky"), ()),
        tags=tuple(tags),
        truth=truth,
        plain_names=("sky", "female", "sea"),
        strict=truth[:, 1:2],
        strict_names=("female",),
    )


def test_user_tags_rank_what_was_typed_by_where_it_was_typed() -> None:
    assert rankings.by_user_tags(collection(), SKY).photos.tolist() == [1, 0, 3]
    assert rankings.by_user_tags(collection(), GIRL).photos.tolist() == [3]


def test_the_network_ranks_all_photos_and_equal_ones_by_id() -> None:
    assert rankings.by_network(collection(), SKY).photos.tolist() == [1, 2, 3, 4, 0]


def test_refined_tags_rank_by_score_then_by_where_the_tag_was_typed() -> None:
    assert rankings.by_refined_tags(collection(), SKY).photos.tolist() == [4, 1, 0, 2]
    assert rankings.by_refined_tags(collection(), GIRL).photos.tolist() == [3]  # typed as girl, kept as female


def test_figures_of_a_query_are_of_the_photos_that_its_label_holds_for() -> None:
    (found,) = ranking_evaluation.rank(collection(), [SKY])
    assert found.relevant == 3
    assert found.by["user tags"].precision == pytest.approx(2 / 20)
    assert found.by["user tags"].average_precision == pytest.approx(2 / 3)
    assert found.by["refined tags"].average_precision == pytest.approx((1 / 2 + 2 / 3 + 3 / 4) / 3)


def test_the_querys_own_tag_makes_no_photo_like_another() -> None:
    scores = rankings.tag_scores(collection(), SKY, np.array([0, 2, 4]))
    assert scores.tolist() == pytest.approx(np.array([[0.8, 0], [0, 0.85], [0, 0]]))


@pytest.mark.parametrize("order", [rankings.marginal(0.5, 0.5), rankings.round_robin(0.5), rankings.varied(Variety())])
def test_an_order_has_each_photo_of_the_result_once(order: rankings.Order) -> None:
    result = rankings.by_refined_tags(collection(), SKY)
    found = order(collection(), SKY, result)
    assert sorted(found.tolist()) == sorted(result.photos.tolist())
    assert order(collection(), SKY, result).tolist() == found.tolist()


def two_motifs(photos: int = 40) -> Collection:
    """Relevant photos of two motifs; those of the one are all a little more relevant than those of the other."""
    sea = np.arange(photos) < photos // 2
    tags = [
        {"sky": StoredTag(0.99 - 0.0001 * at, None), ("sea" if mine else "tree"): StoredTag(0.9, None)}
        for at, mine in enumerate(sea.tolist())
    ]
    truth = np.stack([np.ones(photos, bool), ~sea, sea], axis=1)
    vectors = np.where(sea[:, None], [1.0, 0.0], [0.0, 1.0]).astype(np.float32)
    names = ("sky", "tree", "sea")
    return Collection(
        vectors, np.zeros((photos, 1), np.float32), ("sky",), ((),) * photos, tuple(tags), truth, names, truth, names
    )


def test_variety_finds_the_motif_that_relevance_leaves_to_the_second_page() -> None:
    wanted = ranking_evaluation.targets(two_motifs(), [SKY])
    before = ranking_evaluation.measure_order(two_motifs(), wanted, rankings.plain)
    after = ranking_evaluation.measure_order(two_motifs(), wanted, rankings.varied(Variety()))
    assert (before.cluster_recall, after.cluster_recall) == (0.5, 1.0)
    assert after.precision == before.precision == 1
    fitted = ranking_evaluation.fit(two_motifs(), wanted, wanted)
    assert ranking_evaluation.measure_order(two_motifs(), wanted, rankings.varied(fitted)).cluster_recall == 1


def field(photos: int = 400) -> Field:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((photos, 32)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    labels = np.stack([x[:, 0] > 0, x[:, 1] > 0], axis=1)
    return Field("made-up", x[50:], labels[50:], np.zeros((photos - 50, 50), np.float32), x[:50], labels[:50])


def test_a_first_stage_that_looks_at_everything_finds_everything_and_ties_go_by_place() -> None:
    made = field()
    exact = code_evaluation.nearest(made.library, made.queries)
    assert code_evaluation.first_stage_recall(
        lambda rows: -(rows @ made.library.T), made.queries, exact, [20 / 350, 1.0], 350
    ) == [1.0, 1.0]
    first = np.tile(np.arange(20), (50, 1))  # with all distances equal, it is the first places that are looked at
    same = code_evaluation.first_stage_recall(
        lambda rows: np.zeros((len(rows), 350), np.int16), made.queries, first, [20 / 350, 10 / 350], 350
    )
    assert same == [1.0, 0.5]


def test_hamming_distances_are_those_of_packed_codes() -> None:
    made = field()
    encoder = projections.rotated(made.library, 32)
    codes = code_evaluation.signs(encoder, made.library)
    packed = encoder.codes(made.library)
    by_bits = np.unpackbits(packed[:5, None] ^ packed[None], axis=2).sum(axis=2)
    assert np.array_equal(code_evaluation.hamming(codes[:5], codes), by_bits)


def code(way: str, bits: int | None, value: float) -> CodeFigures:
    recall = {str(share): value for share in code_evaluation.SHARES}
    return CodeFigures("tagger", way, bits, value, value, recall, 1.0)


def outcome() -> Outcome:
    made = two_motifs()
    queries = [SKY, Query("sky", "sky", strict=True)]
    compared = tuple(
        ranking_evaluation.compare(made, {True: queries[1:], False: queries[:1]}, {"as served": Variety()})
    )
    figures = tuple(ranking_evaluation.rank(made, queries))
    codes = [code("embedding itself", None, 1.0)]
    for bits in code_evaluation.BITS:
        codes += [code(code_evaluation.HYPERPLANES, bits, 0.5), code(code_evaluation.SERVED, bits, 0.96)]
    return Outcome(Rankings(figures, figures, compared, compared), tuple(codes), "tagger")


def test_what_is_wanted_is_told_with_what_was_reached() -> None:
    found = {goal.what: goal for goal in search_report.goals(outcome())}
    assert found["cluster recall, of that by relevance, 24, all queries"].value == pytest.approx(2)
    assert found["of the nearest 20, by 64 bits, 5 % looked at"].reached
    assert not any(math.isnan(goal.value) for goal in found.values())


def test_tables_fit_a_terminal_and_plots_are_files(tmp_path: Path) -> None:
    made = outcome()
    paper = Console(width=120, file=StringIO())
    for table in (
        search_report.queries_table("x", made.rankings.unseen),
        search_report.codes_table("tagger", made.codes, expert=True),
        search_report.first_stage_table(made.codes, 350),
    ):
        paper.print(table)
        assert paper.measure(table).maximum <= 120
    names = search_plots.draw(tmp_path, made)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert {name.rpartition(".")[2] for name in names} == {"png", "svg"}
    assert json.dumps([each.recall for each in made.codes])
