"""An evaluation of search as pictures: precision by source, variety beside relevance, what codes find.

Promises: PNG and SVG in the folder that was asked for, a source and a way in the same colour everywhere.
Never: a window, or a photo.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from tagwright_training.plots import STYLE
from tagwright_training.search.code_evaluation import BITS, EXACT, HYPERPLANES, SERVED, SHARES
from tagwright_training.search.ranking_evaluation import LOSS, OrderFigures, QueryFigures, VarietyFigures
from tagwright_training.search.search_metrics import COUNT
from tagwright_training.search.search_report import (
    MORE_CLUSTERS,
    NETWORK,
    REFINED,
    USER,
    Outcome,
    Rankings,
    relevance_of,
)

COLOURS = {USER: "#e08214", NETWORK: "#9db7a0", REFINED: "#1b6ca8"}
WAYS = {
    HYPERPLANES: "#bbbbbb",
    "ITQ": "#5b8c5a",
    "product quantisation": "#8e5ea2",
    "WDHT, L3 at .1": "#e08214",
    SERVED: "#1b6ca8",
}
_INK, _FAINT = "#333333", "#bbbbbb"


def draw(folder: Path, outcome: Outcome) -> list[str]:
    """Draw all; returns the files' names."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {"search_precision": precision_dots(outcome.rankings), "search_variety": variety_points(outcome.rankings)}
    if any(each.field == outcome.tagger for each in outcome.codes):
        figures["search_codes"] = first_stage_curves(outcome)
    names = []
    with mpl.rc_context({"svg.hashsalt": "search"}):  # the same figures give the same file
        for name, figure in figures.items():
            for suffix in ("png", "svg"):
                names.append(f"{name}.{suffix}")
                figure.savefig(folder / names[-1], dpi=150, metadata={"Date": None} if suffix == "svg" else None)
    return names


@mpl.rc_context(STYLE)
def precision_dots(rankings: Rankings) -> Figure:
    """P@20 of every query by the three sources, both senses side by side; the tag that gains most on top."""
    panels = [
        (title, sorted((each for each in rankings.unseen if each.strict is strict), key=_gain))
        for strict, title in ((True, "14 tags, strict labels"), (False, "24 tags, plain labels"))
    ]
    panels = [panel for panel in panels if panel[1]]
    tallest = max(len(rows) for _, rows in panels)
    figure = Figure(figsize=(4.8 * len(panels), 0.27 * tallest + 1.4), layout="constrained")
    for axes, (title, rows) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for place, each in enumerate(rows):
            values = {source: ranked.precision for source, ranked in each.by.items()}
            axes.plot([values[USER], values[REFINED]], [place, place], color=COLOURS[REFINED], alpha=0.3, linewidth=2.5)
            for source, size, layer in ((USER, 44, 3), (REFINED, 44, 4), (NETWORK, 16, 5)):
                axes.scatter(values[source], place, s=size, color=COLOURS[source], zorder=layer, linewidth=0)
        axes.set_yticks(range(len(rows)), [each.tag for each in rows])
        axes.set(
            xlim=(-0.02, 1.03), ylim=(-0.7, len(rows) - 0.3), xlabel=f"share of the first {COUNT} that is relevant"
        )
        axes.xaxis.grid(True, color="#eeeeee")
        axes.set_axisbelow(True)
        axes.set_title(title, loc="left", fontweight="bold")
    handles = [
        mpl.lines.Line2D([], [], color=COLOURS[source], marker="o", linewidth=0, label=source) for source in COLOURS
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


@mpl.rc_context(STYLE)
def variety_points(rankings: Rankings) -> Figure:
    """Cluster recall gained and precision lost by every order; what is wanted as a corner."""
    before = relevance_of(rankings.whole_variety)
    figure = Figure(figsize=(9.2, 4.2), layout="constrained")
    for axes, (title, of) in zip(
        figure.subplots(1, 2, sharey=True),
        (("14 tags, strict labels", _strict), ("24 tags, plain labels", _plain)),
        strict=True,
    ):
        start = of(before)
        points = [
            (each.way, 1 - of(each).precision / start.precision, of(each).cluster_recall / start.cluster_recall - 1)
            for each in rankings.whole_variety
        ]
        right = max(0.05, *(loss for _, loss, _ in points)) * 1.5
        top = max(0.3, *(gain for _, _, gain in points)) * 1.2
        left = min(-0.005, *(loss for _, loss, _ in points)) * 1.3
        axes.axhspan(MORE_CLUSTERS - 1, 9, xmax=(LOSS - left) / (right - left), color="#1b6ca8", alpha=0.08)
        names: dict[tuple[float, float], list[str]] = {}
        for way, loss, gain in points:
            names.setdefault((round(loss, 4), round(gain, 4)), []).append(way)
        for at, ((loss, gain), ways) in enumerate(sorted(names.items(), key=lambda each: each[0][1])):
            served = "as served" in ways
            colour = "#1b6ca8" if served else _INK if "relevance" in ways else "#e08214"
            axes.scatter(loss, gain, s=60 if served else 30, color=colour, zorder=3 + served)
            text = axes.annotate(
                ", ".join(ways), (loss, gain), xytext=(8, -9 if at % 2 else 3), textcoords="offset points", fontsize=7,
                color=colour, fontweight="bold" if served else "normal",
            )  # fmt: skip
            text.set_in_layout(False)
        axes.set(xlim=(left, right), ylim=(min(-0.05, *(g for *_, g in points)) * 1.2, top), xlabel=f"P@{COUNT} lost")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:.0%}")
        axes.grid(True, color="#f0f0f0")
        axes.set_axisbelow(True)
        axes.set_title(title, loc="left", fontweight="bold")
        axes.yaxis.set_tick_params(labelleft=True)
        axes.set_ylabel(f"cluster recall@{COUNT} gained")
    figure.suptitle("Variety beside relevance, all photos; shaded: what is wanted", fontsize=10)
    return figure


@mpl.rc_context(STYLE)
def first_stage_curves(outcome: Outcome) -> Figure:
    """Share of the exact nearest found by the share of the library looked at, a panel for each length."""
    mine = [each for each in outcome.codes if each.field == outcome.tagger]
    figure = Figure(figsize=(3.6 * len(BITS), 3.7), layout="constrained")
    for axes, bits in zip(figure.subplots(1, len(BITS), sharey=True), BITS, strict=True):
        axes.axhline(0.95, color=_FAINT, linestyle=":", linewidth=1)
        axes.axvline(0.05, color=_FAINT, linestyle=":", linewidth=1)
        for way, colour in WAYS.items():
            for each in mine:
                if each.way == way and each.bits == bits:
                    shares = [each.recall[str(share)] for share in SHARES]
                    axes.plot(SHARES, shares, color=colour, marker="o", markersize=3.5, linewidth=1.8, label=way)
        axes.set(xscale="log", xlim=(SHARES[0] * 0.9, SHARES[-1] * 1.1), ylim=(0, 1.01), xlabel="share looked at")
        axes.set_xticks(SHARES, [f"{share:.1%}".replace(".0%", "%") for share in SHARES])
        axes.minorticks_off()
        axes.grid(True, color="#f0f0f0")
        axes.set_axisbelow(True)
        axes.set_title(f"{bits} bits", loc="left", fontweight="bold")
    figure.axes[0].set_ylabel(f"share of the nearest {EXACT} found")
    handles, labels = figure.axes[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(handles))
    return figure


def _gain(each: QueryFigures) -> float:
    return each.by[REFINED].precision - each.by[USER].precision


def _strict(each: VarietyFigures) -> OrderFigures:
    return each.strict


def _plain(each: VarietyFigures) -> OrderFigures:
    return each.plain
