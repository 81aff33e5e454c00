"""An evaluation of refinement for people and for programs: terminal tables and JSON.

Promises: what the tables say the JSON says, with where and on what it was measured. Never: computes a figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tagwright_training.dataset import Dataset
from tagwright_training.metrics import RESAMPLES, Decisions, Interval
from tagwright_training.refinement.cases import COLUMNS, DROPPED, SWAPPED, Column
from tagwright_training.refinement.evaluation import ADDED, PRECISIONS, Failed, Figures
from tagwright_training.refinement.served import Removals, Served
from tagwright_training.report import commit, machine, new_table, number, plain_json

TITLES: Mapping[Column, str] = {"without": "without expert labels", "with": "with expert labels"}

Cells = Callable[[Figures], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Occasion:
    """On what an evaluation was made."""

    library: Dataset
    library_photos: int
    test: Dataset
    photos: int
    left_out: int
    """Photos of the test folder that lie in the library or that the tagger has seen."""
    model: str
    seen_is_known: bool
    """Whether the model says which photos it has seen."""
    seed: int
    judged_tags: int
    wrong_tags: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that came of one run."""

    figures: tuple[Figures, ...]
    failed: tuple[Failed, ...]
    served: Served | None


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that is wanted, and what was reached, by what."""

    what: str
    by: str
    value: float
    wanted: float
    at_most: bool = False

    @property
    def reached(self) -> bool:
        """Whether the figure is as good as wanted; what does not exist is not."""
        return self.value <= self.wanted if self.at_most else self.value >= self.wanted


def goals(outcome: Outcome) -> list[Goal]:
    """What issue and design want of the whole, for what was measured."""
    found: list[Goal] = []
    for column, least in (("without", 0.66), ("with", 0.76)):
        ranked = [f for f in outcome.figures if f.column == column and f.concepts_14 is not None]
        if ranked:
            best = max(ranked, key=_map_14)
            found.append(Goal(f"MAP, 14 tags, {TITLES[best.column]}", best.title, _map_14(best), least))
            found += _beside_tag_vote(ranked)
    for figures in outcome.figures:
        if figures.entry == "online":
            for precision, least in (("0.8", 0.20), ("0.7", 0.42)):
                value = figures.removal[precision].value
                found.append(Goal(f"wrong tags found at precision {precision[1:]}", figures.title, value, least))
            if "1" in figures.additions:
                found.append(Goal("the best addition holds", figures.title, figures.additions["1"].value, 0.90))
    if outcome.served is not None:
        stress = outcome.served.stress
        found += [
            Goal("stress: strangers removed or unsure", "online refiner", stress.strangers.touched_share, 0.70),
            Goal("stress: right tags removed", "online refiner", stress.right.removed_share, 0.10, at_most=True),
            Goal("invisible tags removed", "online refiner", float(max(_invisible(outcome.served))), 0.0, at_most=True),
        ]
    return found


def _beside_tag_vote(figures: Sequence[Figures]) -> list[Goal]:
    """The weakest of the batch methods of a column; RobustPCA on the raw matrix is there as the ablation."""
    vote = next((f for f in figures if f.entry == "vote"), None)
    batch = [f for f in figures if f.entry.startswith(("rpca", "wdmf", "wdnl")) and f.entry != "rpca-raw"]
    if vote is None or not batch:
        return []
    worst = min(batch, key=_map_14)
    return [Goal(f"the least of batch, as TagVote, {TITLES[vote.column]}", worst.title, _map_14(worst), _map_14(vote))]


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
            "left_out": occasion.left_out,
            "model": occasion.model,
            "model_says_what_it_has_seen": occasion.seen_is_known,
            "seed": occasion.seed,
            "judged_user_tags": occasion.judged_tags,
            "wrong_user_tags": occasion.wrong_tags,
        },
        "method": {
            "without": "ImageNet features (EfficientNet-Lite0 and Lite2) and user tags; no expert label touched either",
            "with": "embedding and calibrated scores of the tagger, which was trained on expert labels",
            "map": "mean over tags of average precision, sum over k of (R_k - R_{k-1}) P_k; 14 tags: strict labels",
            "miap": "mean over photos of the average precision of their tags; photos without any as 0, or left out",
            "removal": "user tags that mean a label; wrong: the label is absent; recall where precision is reached",
            "additions": "share of the n best labels that the owner gave no tag for that hold",
            "stress": f"{DROPPED:.0%} of each photo's tags dropped, {SWAPPED:.0%} of the rest swapped for others'",
            "intervals": f"95 %, percentiles of {RESAMPLES:,} bootstrap draws of the photos",
        },
        "goals": [asdict(goal) | {"reached": goal.reached} for goal in goals(outcome)],
        "methods": [asdict(figures) for figures in outcome.figures],
        "failed": [asdict(failed) for failed in outcome.failed],
        "served": None if outcome.served is None else _served(outcome.served),
    }
    plain: dict[str, Any] = plain_json(content)
    return plain


def show(console: Console, occasion: Occasion, outcome: Outcome) -> None:
    """Print the tables, what failed, and what was wanted."""
    known = "none of them seen by the tagger" if occasion.seen_is_known else "PERHAPS SEEN BY THE TAGGER"
    console.print(
        f"{occasion.photos:,} photos of {escape(occasion.test.name)}, {known}; a library of "
        f"{occasion.library_photos:,} photos of {escape(occasion.library.name)}\n"
        f"{occasion.judged_tags:,} user tags mean a label, {occasion.wrong_tags:,} of them are wrong",
        highlight=False,
    )
    if outcome.figures:
        for table in tables(outcome.figures):
            console.print(table)
    if outcome.served is not None:
        console.print(_targets(outcome.served))
        console.print(_stress(outcome.served))
    for failed in outcome.failed:
        text = f"{failed.title}, {TITLES[failed.column]}: {failed.error}"
        console.print(f"[red]failed:[/] {escape(text)}", soft_wrap=True, highlight=False)
    if wanted := goals(outcome):
        console.print(_goals(wanted))


def tables(figures: Sequence[Figures]) -> list[Table]:
    """The comparisons, each with both columns side by side."""
    shares = [f"@{number(precision)}" for precision in PRECISIONS]
    counts = [f"P@{count}" for count in ADDED]
    return [
        _pairs("Mean average precision", ["14 tags", "24 tags"], _maps, figures),
        _pairs(
            "Mean image average precision", ["14, none 0", "none out", "24, none 0", "none out"], _image_maps, figures
        ),
        _pairs("Wrong user tags found at a precision", shares, lambda f: _spread(f.removal, PRECISIONS), figures),
        _pairs("Labels added, the best n", counts, lambda f: _spread(f.additions, ADDED), figures),
        _pairs("Stress: ROC area, AP; time, peak memory", ["ROC", "AP", "s", "MB"], _costs, figures),
    ]


def _pairs(title: str, heads: Sequence[str], cells: Cells, figures: Sequence[Figures]) -> Table:
    table = new_table(title)
    table.add_column("", no_wrap=True)
    columns = [column for column in COLUMNS if any(f.column == column for f in figures)]
    for column in columns:
        for place, head in enumerate(heads):
            above = f"[dim]{column} labels[/]" if not place else ""
            table.add_column(f"{above}\n{head}", justify="right", no_wrap=True)
    for entry, name in dict.fromkeys((f.entry, f.title) for f in figures):
        row = [name]
        for column in columns:
            mine = next((f for f in figures if f.entry == entry and f.column == column), None)
            row += [""] * len(heads) if mine is None else cells(mine)
        table.add_row(*row)
    return table


def _maps(figures: Figures) -> list[str]:
    first = "–" if figures.concepts_14 is None else _span(figures.concepts_14.mean_average_precision)
    return [first, _span(figures.concepts_24.mean_average_precision)]


def _image_maps(figures: Figures) -> list[str]:
    found: list[str] = []
    for concepts in (figures.concepts_14, figures.concepts_24):
        both = (None, None) if concepts is None else (concepts.image_none_zero, concepts.image_none_out)
        found += ["–" if figure is None else number(figure.value) for figure in both]
    return found


def _spread(spans: Mapping[str, Interval], keys: Sequence[float]) -> list[str]:
    return [number(spans[str(key)].value) if str(key) in spans else "–" for key in keys]


def _costs(figures: Figures) -> list[str]:
    stress = figures.stress
    told = ["–", "–"] if stress is None else [number(stress.roc_area), number(stress.average_precision)]
    memory = "–" if figures.peak_bytes is None else f"{figures.peak_bytes / 1e6:,.0f}"
    return [*told, f"{figures.seconds:,.1f}", memory]


def _targets(served: Served) -> Table:
    table = new_table("Online refiner: what the served thresholds give")
    for head in (
        "wanted",
        "removed",
        "precision",
        "recall",
        "right lost",
        "right unsure",
        "added",
        "precision",
        "recall",
    ):
        table.add_column(head, justify="right")
    for target in served.targets:
        removed, added = target.removed, target.added
        table.add_row(
            target.precision + (" *" if target.precision == served.default_precision else "  "),
            f"{removed.said:,}", number(removed.precision), number(removed.recall),
            number(target.right.removed_share), number(target.right.touched_share - target.right.removed_share),
            f"{added.said:,}", number(added.precision), number(added.recall),
        )  # fmt: skip
    invisible = served.targets[0].invisible.tags
    table.caption = (
        "* unless something else is asked for. Removed: user tags that mean a label; recall: of the wrong ones.\n"
        f"Of {invisible:,} user tags that cannot be seen, {max(_invisible(served)):,} are removed."
    )
    return table


def _stress(served: Served) -> Table:
    stress = served.stress
    table = new_table(f"Online refiner under stress: {DROPPED:.0%} of tags dropped, {SWAPPED:.0%} of the rest swapped")
    for head in ("visible tags", "how many", "removed", "unsure", "either"):
        table.add_column(head, justify="right" if head != "visible tags" else "left")
    rows: Sequence[tuple[str, Removals]] = (
        ("strangers, a label says", stress.strangers_with_label),
        ("strangers, no label says", stress.strangers_without),
        ("strangers", stress.strangers),
        ("right, a label says", stress.right_with_label),
        ("the owner's, no label says", stress.right_without),
        ("right", stress.right),
    )
    for place, (name, found) in enumerate(rows):
        unsure = found.unsure / found.tags if found.tags else float("nan")
        shares = (found.removed_share, unsure, found.touched_share)
        table.add_row(name, f"{found.tags:,}", *map(number, shares), end_section=place == 2)
    return table


def _goals(wanted: Sequence[Goal]) -> Table:
    table = new_table("What is wanted")
    for head in ("", "by", "reached", "wanted"):
        table.add_column(head, justify="right" if head in ("reached", "wanted") else "left")
    for goal in wanted:
        colour = "green" if goal.reached else "yellow"
        sign = "≤" if goal.at_most else "≥"
        table.add_row(goal.what, goal.by, f"[{colour}]{number(goal.value)}[/]", f"{sign} {number(goal.wanted)}")
    return table


def _served(served: Served) -> dict[str, Any]:
    content = asdict(served)
    del content["decisions"]  # thousands of reasons: the page shows some
    for target, of in zip(content["targets"], served.targets, strict=True):
        for name, found in (("removed", of.removed), ("added", of.added)):
            target[name] |= _ratios(found)
    for name in ("strangers", "right"):
        found_all: Removals = getattr(served.stress, name)
        content["stress"][name] = asdict(found_all) | {
            "removed_share": found_all.removed_share,
            "removed_or_unsure_share": found_all.touched_share,
        }
    return content


def _ratios(decisions: Decisions) -> dict[str, float]:
    return {"precision": decisions.precision, "recall": decisions.recall}


def _invisible(served: Served) -> list[int]:
    return [target.invisible.removed for target in served.targets]


def _map_14(figures: Figures) -> float:
    return figures.concepts_14.mean_average_precision.value if figures.concepts_14 else 0.0


def _span(figure: Interval) -> str:
    return f"{number(figure.value)} [dim]{number(figure.low)}–{number(figure.high)}[/]"
