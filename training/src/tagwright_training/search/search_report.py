"""An evaluation of search for people and for programs: terminal tables and JSON.

Promises: what the tables say the JSON says, with where and on what it was measured. Never: computes a figure that it
does not name as a mean of those it was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tagwright_training.dataset import Dataset
from tagwright_training.refinement.refinement_report import Goal
from tagwright_training.report import commit, machine, new_table, number, plain_json
from tagwright_training.search.code_evaluation import (
    BITS,
    CLAIMED_BITS,
    EXACT,
    HYPERPLANES,
    SERVED,
    SHARES,
    CodeFigures,
)
from tagwright_training.search.ranking_evaluation import LOSS, QueryFigures, VarietyFigures
from tagwright_training.search.rankings import SOURCES
from tagwright_training.search.search_metrics import COUNT, mean

USER, NETWORK, REFINED = SOURCES
SHORT = {USER: "user", NETWORK: "network", REFINED: "refined"}
MORE_CLUSTERS = 1.25
FIRST_STAGE = "0.05"


@dataclass(frozen=True, slots=True)
class Occasion:
    """On what an evaluation was made."""

    library: Dataset
    library_photos: int
    test: Dataset
    photos: int
    whole_photos: int
    fitted_photos: int
    model: str
    seen_is_known: bool
    seed: int


@dataclass(frozen=True, slots=True)
class Rankings:
    """Queries and orders of variety, over unseen photos and over all of the folder."""

    unseen: tuple[QueryFigures, ...]
    whole: tuple[QueryFigures, ...]
    variety: tuple[VarietyFigures, ...]
    whole_variety: tuple[VarietyFigures, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that came of one run; `tagger` is the field whose embedding is served."""

    rankings: Rankings
    codes: tuple[CodeFigures, ...]
    tagger: str


def relevance_of(orders: Sequence[VarietyFigures]) -> VarietyFigures:
    """The order that the others are compared with."""
    return next(each for each in orders if each.way == "relevance")


def goals(outcome: Outcome) -> list[Goal]:
    """What the issue wants, for what was measured."""
    found = []
    for what, figures in (("unseen photos", outcome.rankings.unseen), ("all photos", outcome.rankings.whole)):
        strict = [each for each in figures if each.strict]
        better = sum(each.by[REFINED].precision > each.by[USER].precision for each in strict)
        if len(strict) == 14:
            found.append(Goal(f"tags of 14 whose P@{COUNT} beats user tags', {what}", REFINED, float(better), 12))
    for photos, orders in (("unseen", outcome.rankings.variety), ("all", outcome.rankings.whole_variety)):
        before = relevance_of(orders)
        for each in [each for each in orders if each.way == "as served"]:
            for queries, a, b in (
                (f"14, {photos}", each.strict, before.strict),
                (f"24, {photos}", each.plain, before.plain),
            ):
                gain = a.cluster_recall / b.cluster_recall
                found.append(
                    Goal(f"cluster recall, of that by relevance, {queries} queries", each.way, gain, MORE_CLUSTERS)
                )
                loss = 1 - a.precision / b.precision
                found.append(Goal(f"P@{COUNT} lost by variety, {queries} queries", each.way, loss, LOSS, at_most=True))
    for field in dict.fromkeys(each.field for each in outcome.codes):
        of = {each.way: each for each in outcome.codes if each.field == field and each.bits == CLAIMED_BITS}
        for way in [way for way in of if way.startswith("WDHT") or way == SERVED]:
            text = f"mAP of labels at {CLAIMED_BITS} bits, {field}, beside hyperplanes'"
            found.append(Goal(text, way, of[way].label_map, of[HYPERPLANES].label_map))
    for code in outcome.codes:
        if code.field == outcome.tagger and code.way == SERVED:
            text = f"of the nearest {EXACT}, by {code.bits} bits, 5 % looked at"
            found.append(Goal(text, code.way, code.recall[FIRST_STAGE], 0.95))
    return found


def document(occasion: Occasion, outcome: Outcome) -> dict[str, Any]:
    """The evaluation as plain JSON; a figure that does not exist is null."""
    content: dict[str, Any] = {
        "format": 1,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "data": {
            "library": {"name": occasion.library.name, "digest": occasion.library.digest()},
            "library_photos": occasion.library_photos,
            "test": {"name": occasion.test.name, "digest": occasion.test.digest()},
            "photos": occasion.photos,
            "whole_photos": occasion.whole_photos,
            "photos_that_variety_is_fitted_on": occasion.fitted_photos,
            "model": occasion.model,
            "model_says_what_it_has_seen": occasion.seen_is_known,
            "seed": occasion.seed,
        },
        "method": {
            "user tags": "photos whose owner typed the very tag, by the place at which it was typed, then by id",
            "network": "all photos by the calibrated score of the label",
            "refined tags": "photos that have the tag once tagged and refined as the server does, by its score",
            "precision": f"relevant photos of the first {COUNT} over {COUNT}; an empty place counts as wrong",
            "average_precision": "over all relevant photos; those that are not in the result count 0",
            "whole": "includes photos that the tagger was trained or calibrated on",
            "clusters": "patterns of the other plain labels among relevant photos; of fewer than 5 photos: the nearest",
            "cluster_recall": f"clusters in the first {COUNT} over the lesser of {COUNT} and all clusters",
            "label_map": "relevant: photos with the label; the mean over queries with it, then over labels",
            "shared_map": "relevant: photos that share any label with the query; the mean over queries",
            "recall": f"of the {EXACT} nearest by cosine, by share of the library looked at; ties by place",
        },
        "goals": [asdict(goal) | {"reached": goal.reached} for goal in goals(outcome)],
        "unseen": [asdict(each) for each in outcome.rankings.unseen],
        "whole": [asdict(each) for each in outcome.rankings.whole],
        "variety": [asdict(each) for each in outcome.rankings.variety],
        "whole_variety": [asdict(each) for each in outcome.rankings.whole_variety],
        "codes": [asdict(each) for each in outcome.codes],
    }
    plain: dict[str, Any] = plain_json(content)
    return plain


def show(console: Console, occasion: Occasion, outcome: Outcome) -> None:
    """Print the tables, and what was wanted."""
    known = "none of them seen by the tagger" if occasion.seen_is_known else "PERHAPS SEEN BY THE TAGGER"
    console.print(
        f"{occasion.photos:,} photos of {escape(occasion.test.name)}, {known}; a library of "
        f"{occasion.library_photos:,} photos of {escape(occasion.library.name)}",
        highlight=False,
    )
    rankings = outcome.rankings
    for strict, sense in ((True, "14 tags, strict labels"), (False, "24 tags, plain labels")):
        figures = [each for each in rankings.unseen if each.strict is strict]
        if figures:
            console.print(queries_table(f"{sense}, {occasion.photos:,} unseen photos", figures))
    seen = f"14 tags, all {occasion.whole_photos:,} photos, MOST OF THEM SEEN BY THE TAGGER"
    if whole := [each for each in rankings.whole if each.strict]:
        console.print(queries_table(seen, whole))
    console.print(variety_table(f"{occasion.photos:,} unseen photos", rankings.variety, occasion))
    console.print(variety_table(f"all {occasion.whole_photos:,}, most of them SEEN", rankings.whole_variety, occasion))
    for field in dict.fromkeys(each.field for each in outcome.codes):
        figures_of = [each for each in outcome.codes if each.field == field]
        console.print(codes_table(field, figures_of, expert=field == outcome.tagger))
        if field == outcome.tagger:
            console.print(first_stage_table(figures_of, occasion.library_photos))
    console.print(_goals(goals(outcome)))


def queries_table(title: str, figures: Sequence[QueryFigures]) -> Table:
    """P@20, NDCG@20 and average precision of each query by each source."""
    table = new_table(title)
    table.add_column("tag", no_wrap=True)
    for head in ("relevant", "typed"):
        table.add_column(head, justify="right")
    for head in (f"P@{COUNT}", f"NDCG@{COUNT}", "AP"):
        for place, source in enumerate(SOURCES):
            table.add_column(f"[dim]{'' if place else head}[/]\n{SHORT[source]}", justify="right", no_wrap=True)
    for at, each in enumerate(figures):
        cells = [
            number(value)
            for name in ("precision", "ndcg", "average_precision")
            for value in (getattr(each.by[source], name) for source in SOURCES)
        ]
        row = (each.tag, f"{each.relevant:,}", f"{each.by[USER].found:,}", *cells)
        table.add_row(*row, end_section=at == len(figures) - 1)
    means = [
        number(mean([getattr(each.by[source], name) for each in figures]))
        for name in ("precision", "ndcg", "average_precision")
        for source in SOURCES
    ]
    table.add_row("mean", "", "", *means)
    table.caption = f"typed: photos whose owner typed the tag; of fewer than {COUNT}, empty places count as wrong."
    return table


def variety_table(title: str, orders: Sequence[VarietyFigures], occasion: Occasion) -> Table:
    """P@20 and cluster recall of every order, and what they are of those by relevance."""
    table = new_table(f"Variety among the first {COUNT}, refined tags, {title}")
    table.add_column("order", no_wrap=True)
    table.add_column("w", justify="right")
    table.add_column("look", justify="right")
    for queries in ("14 tags", "24 tags"):
        for head in (f"P@{COUNT}", "", f"CR@{COUNT}", "", "apart"):
            table.add_column(
                f"[dim]{queries if head.startswith('P') else ''}[/]\n{head}", justify="right", no_wrap=True
            )
    before = relevance_of(orders)
    for each in orders:
        cells = []
        for a, b in ((each.strict, before.strict), (each.plain, before.plain)):
            precision, recall = a.precision / b.precision - 1, a.cluster_recall / b.cluster_recall - 1
            cells += [
                number(a.precision),
                f"{precision:+.1%}",
                number(a.cluster_recall),
                f"{recall:+.1%}",
                number(a.distance),
            ]
        two = ("", "") if each.variety is None else (number(each.variety.relevance), number(each.variety.look))
        table.add_row(each.way, *two, *cells)
    table.caption = (
        f"w and look fitted on {occasion.fitted_photos:,} photos of the library; apart: mean 1 - cosine of pairs."
    )
    return table


def codes_table(field: str, figures: Sequence[CodeFigures], *, expert: bool) -> Table:
    """Both kinds of mAP of every way at every length."""
    labels = "embedding trained with expert labels" if expert else "no expert label had a part"
    table = new_table(f"Codes of {field} ({labels}): mAP of Hamming ranking")
    table.add_column("", no_wrap=True)
    for head in ("label mAP", "shared mAP"):
        for place, bits in enumerate(BITS):
            table.add_column(f"[dim]{'' if place else head}[/]\n{bits} bits", justify="right", no_wrap=True)
    table.add_column("s", justify="right")
    for way in dict.fromkeys(each.way for each in figures):
        mine = {each.bits: each for each in figures if each.way == way}
        if None in mine:
            only = mine[None]
            table.add_row(way, number(only.label_map), "", "", number(only.shared_map), "", "", "", end_section=True)
            continue
        maps = [
            number(getattr(mine[bits], name)) if bits in mine else ""
            for name in ("label_map", "shared_map")
            for bits in BITS
        ]
        table.add_row(way, *maps, f"{mine[CLAIMED_BITS].seconds:,.1f}")
    table.caption = (
        "label: relevant is what has the label, mean over labels; shared: what shares any label with the query.\n"
        f"s: to train {CLAIMED_BITS} bits."
    )
    return table


def first_stage_table(figures: Sequence[CodeFigures], photos: int) -> Table:
    """Share of the exact nearest found, by share of the library looked at."""
    table = new_table(f"The exact nearest {EXACT} of {photos:,} that are among the photos looked at by code")
    table.add_column("", no_wrap=True)
    table.add_column("bits", justify="right")
    for share in SHARES:
        table.add_column(f"{share:.1%}".replace(".0%", "%"), justify="right")
    for bits in BITS:
        mine = [each for each in figures if each.bits == bits]
        for at, each in enumerate(mine):
            table.add_row(
                each.way,
                str(bits),
                *(number(each.recall[str(share)]) for share in SHARES),
                end_section=at == len(mine) - 1,
            )
    return table


def _goals(wanted: Sequence[Goal]) -> Table:
    table = new_table("What is wanted")
    for head in ("", "by", "reached", "wanted"):
        table.add_column(head, justify="right" if head in ("reached", "wanted") else "left")
    for goal in wanted:
        sign = "≤" if goal.at_most else "≥"
        said = [f"{value:g}" if goal.wanted > 2 else number(value) for value in (goal.value, goal.wanted)]
        table.add_row(goal.what, goal.by, f"[{'green' if goal.reached else 'yellow'}]{said[0]}[/]", f"{sign} {said[1]}")
    return table
