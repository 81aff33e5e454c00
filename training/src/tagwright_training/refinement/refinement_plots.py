"""An evaluation of refinement as pictures: mean average precision, wrong tags found, labels added, precision by tag.

Promises: PNGs in the folder that was asked for, both columns side by side, methods in the same colour everywhere.
Never: a window, or a photo.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tagwright_training.plots import STYLE
from tagwright_training.refinement.cases import COLUMNS, Column
from tagwright_training.refinement.evaluation import ADDED, ConceptFigures, Figures
from tagwright_training.refinement.refinement_report import TITLES
from tagwright_training.refinement.served import Served

COLOURS = {"without": "#e08214", "with": "#1b6ca8"}
_INK, _FAINT = "#333333", "#bbbbbb"
# the curves that are told apart, in this order; all others are faint
_SHOWN = {
    "online": "#1b6ca8",
    "network": "#5b8c5a",
    "words": "#8e5ea2",
    "wdnl": "#c0392b",
    "probe": "#e08214",
    "vote": "#17a2a2",
}
_STEPS = 20  # decisions that a precision is counted over at least, as drawn: fewer only zigzag


def draw(folder: Path, figures: Sequence[Figures], served: Served | None) -> list[str]:
    """Draw all; returns the files' names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    with mpl.rc_context(STYLE):
        for name, figure in (
            ("refinement_map", map_bars(figures)),
            ("refinement_removal", removal_curves(figures, served)),
            ("refinement_addition", additions(figures)),
            ("refinement_tags", tag_heat(figures)),
        ):
            names.append(f"{name}.png")
            figure.savefig(folder / names[-1], dpi=150)
    return names


def map_bars(figures: Sequence[Figures]) -> Figure:
    """MAP of every method on the 14 and the 24 tags, both columns, with intervals; the best of all methods on top."""
    panels: list[tuple[str, Callable[[Figures], ConceptFigures | None]]] = [
        ("14 tags, strict labels", lambda f: f.concepts_14),
        ("24 tags, plain labels", lambda f: f.concepts_24),
    ]
    panels = [panel for panel in panels if any(panel[1](f) is not None for f in figures)]
    rows = _ranked(figures, panels[0][1])
    columns = _columns(figures)
    figure, grid = _grid(1, len(panels), (5.0 * len(panels) + 1.2, 0.34 * len(rows) + 1.5), sharey=True)
    height = 0.78 / len(columns)
    for axes, (title, of) in zip(grid, panels, strict=True):
        for k, column in enumerate(reversed(columns)):
            for place, (entry, _) in enumerate(rows):
                found = _find(figures, entry, column)
                concepts = of(found) if found else None
                if concepts is None:
                    continue
                span, y = concepts.mean_average_precision, place + 0.39 - height * (k + 0.5)
                axes.barh(y, span.value, height * 0.9, color=COLOURS[column], zorder=2)
                axes.hlines(y, span.low, span.high, color=_INK, linewidth=0.9, zorder=3)
                axes.text(span.high + 0.008, y, _short(span.value), va="center", fontsize=7, color=COLOURS[column])
        axes.set(xlim=(0, 1), ylim=(-0.6, len(rows) - 0.4), xticks=np.arange(0, 1.01, 0.2))
        axes.xaxis.grid(True, color="#eeeeee")
        axes.set_axisbelow(True)
        axes.set_title(title, loc="left", fontweight="bold")
        axes.set_yticks(range(len(rows)), [title for _, title in rows])
    _legend(figure, columns, "Mean average precision of refined tags, with 95 % interval")
    return figure


def removal_curves(figures: Sequence[Figures], served: Served | None) -> Figure:
    """How many of the wrong tags are found, and how often that is right, as ever more tags are doubted."""
    columns = _columns(figures)
    figure, grid = _grid(1, len(columns), (5.4 * len(columns), 4.9), sharey=True)
    for axes, column in zip(grid, columns, strict=True):
        mine = [f for f in figures if f.column == column and len(f.curve.recall) > 1]
        texts = []
        for found in sorted(mine, key=lambda f: f.entry in _SHOWN):
            recall, precision = _smooth(found)
            if not len(recall):
                continue
            colour = _SHOWN.get(found.entry)
            axes.plot(
                recall,
                precision,
                color=colour or "#d9d9d9",
                linewidth=1.8 if colour else 0.9,
                zorder=3 if colour else 1,
            )
            if colour:
                texts.append((found.title, colour, _at(recall, precision, 0.97)))
        if served is not None and column == "with":
            points = [t for t in served.targets if t.removed.said]
            axes.scatter(
                [t.removed.recall for t in points], [t.removed.precision for t in points],
                s=34, color="white", edgecolor=_SHOWN["online"], linewidth=1.6, zorder=5,
            )  # fmt: skip
            for target in points:
                place = target.removed.recall, target.removed.precision
                axes.annotate(
                    target.precision.removeprefix("0"), place,
                    xytext=(6, 5 if place[1] < 0.93 else -12), textcoords="offset points",
                    fontsize=8, color=_SHOWN["online"], fontweight="bold",
                )  # fmt: skip
        handles = [mpl.lines.Line2D([], [], color=colour, linewidth=2.4, label=title) for title, colour, _ in texts]
        handles.append(mpl.lines.Line2D([], [], color="#d9d9d9", linewidth=1.2, label="other methods"))
        axes.legend(handles=list(reversed(handles[:-1])) + handles[-1:], loc="upper right", fontsize=8)
        axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="share of the wrong tags that is found")
        axes.grid(True, color="#f0f0f0")
        axes.set_title(TITLES[column], loc="left", fontweight="bold", color=COLOURS[column])
    grid[0].set_ylabel("share of those found that is wrong")
    note = "; rings: the thresholds that are served, by the precision asked for" if served is not None else ""
    figure.suptitle(f"Wrong user tags found{note}", fontsize=10)
    return figure


def additions(figures: Sequence[Figures]) -> Figure:
    """Precision of each photo's best, three best and five best labels that its owner did not give."""
    columns = _columns(figures)
    rows = [row for row in _ranked(figures, _first_addition) if any(_adds(figures, row[0]))]
    figure, grid = _grid(1, len(columns), (4.6 * len(columns) + 1.2, 0.29 * len(rows) + 1.5), sharey=True)
    for axes, column in zip(grid, columns, strict=True):
        for place, (entry, _) in enumerate(rows):
            found = _find(figures, entry, column)
            if found is None or not found.additions:
                continue
            spans = [found.additions[str(count)] for count in ADDED]
            axes.plot([s.value for s in spans], [place] * len(spans), color=COLOURS[column], alpha=0.3, linewidth=3)
            axes.hlines(place, spans[0].low, spans[0].high, color=_INK, linewidth=0.9, zorder=3)
            for size, alpha, span in zip((52, 30, 16), (1.0, 0.75, 0.5), spans, strict=True):
                axes.scatter(span.value, place, s=size, color=COLOURS[column], alpha=alpha, linewidth=0, zorder=4)
            axes.text(max(s.high for s in spans) + 0.015, place, _short(spans[0].value), va="center", fontsize=8)
        axes.set(xlim=(0, 1.05), ylim=(-0.6, len(rows) - 0.4), xticks=np.arange(0, 1.01, 0.2))
        axes.xaxis.grid(True, color="#eeeeee")
        axes.set_axisbelow(True)
        axes.set_title(TITLES[column], loc="left", fontweight="bold", color=COLOURS[column])
    grid[0].set_yticks(range(len(rows)), [title for _, title in rows])
    figure.suptitle(
        "Labels added that hold: the best (large dot, with 95 % interval), 3 best, 5 best of a photo", fontsize=10
    )
    return figure


def tag_heat(figures: Sequence[Figures]) -> Figure:
    """Average precision of each of the 14 tags by each method (of the 24 where no strict label is known)."""
    strict = any(f.concepts_14 is not None for f in figures)

    def of(found: Figures) -> ConceptFigures | None:
        return found.concepts_14 if strict else found.concepts_24

    some = next(concepts for f in figures if (concepts := of(f)) is not None)
    columns = _columns(figures)
    rows = list(reversed(_ranked(figures, of)))
    order = sorted(range(len(some.tags)), key=lambda i: -max(_values(f, of)[i] for f in figures))
    figure, grid = _grid(1, len(columns), (0.44 * len(order) * len(columns) + 2.2, 0.29 * len(rows) + 1.7), sharey=True)
    shade = mpl.colors.LinearSegmentedColormap.from_list("ap", ["#ffffff", "#cfe1f2", "#1b6ca8", "#0b3556"])
    for axes, column in zip(grid, columns, strict=True):
        table = np.full((len(rows), len(order)), np.nan)
        for place, (entry, _) in enumerate(rows):
            if found := _find(figures, entry, column):
                table[place] = _values(found, of)[order]
        axes.imshow(np.ma.masked_invalid(table), cmap=shade, vmin=0, vmax=1, aspect="auto")
        for (y, x), value in np.ndenumerate(table):
            if not np.isnan(value):
                best = value >= np.nanmax(table[:, x])
                axes.text(
                    x, y, f"{value:.2f}".removeprefix("0"), ha="center", va="center", fontsize=7,
                    color="white" if value > 0.55 else _INK, fontweight="bold" if best else "normal",
                )  # fmt: skip
        names = [f"{some.tags[i].tag}" for i in order]
        axes.set_xticks(range(len(order)), names, rotation=45, ha="left", rotation_mode="anchor")
        axes.xaxis.tick_top()
        axes.set_yticks(range(len(rows)), [title for _, title in rows])
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_xlabel(TITLES[column], fontweight="bold", color=COLOURS[column], fontsize=10)
    sense = "14 tags in the strict sense" if strict else "tags"
    figure.suptitle(f"Average precision by tag, {sense}; the best of each column in bold", fontsize=10)
    return figure


def _columns(figures: Sequence[Figures]) -> list[Column]:
    return [column for column in COLUMNS if any(f.column == column for f in figures)]


def _find(figures: Sequence[Figures], entry: str, column: Column) -> Figures | None:
    return next((f for f in figures if f.entry == entry and f.column == column), None)


def _ranked(figures: Sequence[Figures], of: Callable[[Figures], Any]) -> list[tuple[str, str]]:
    """Keys and titles of the methods, the worst first, by the better of their columns."""
    best: dict[tuple[str, str], float] = {}
    for f in figures:
        concepts = of(f)
        value = 0.0 if concepts is None else getattr(concepts, "mean_average_precision", concepts).value
        key = (f.entry, f.title)
        best[key] = max(best.get(key, 0.0), float(np.nan_to_num(value)))
    return sorted(best, key=lambda key: best[key])


def _values(figures: Figures, of: Callable[[Figures], ConceptFigures | None]) -> Any:
    concepts = of(figures)
    assert concepts is not None
    return np.nan_to_num([tag.average_precision.value for tag in concepts.tags])


def _first_addition(figures: Figures) -> Any:
    return figures.additions.get(str(ADDED[0]))


def _adds(figures: Sequence[Figures], entry: str) -> list[bool]:
    return [bool(f.additions) for f in figures if f.entry == entry]


def _smooth(figures: Figures) -> tuple[Any, Any]:
    """The curve from where enough tags are found."""
    recall, precision = np.array(figures.curve.recall), np.array(figures.curve.precision)
    wrong = 1 / recall[recall > 0].min() if (recall > 0).any() else 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(precision > 0, recall * wrong / precision, 0)
    kept = found >= min(_STEPS, found.max(initial=0))
    return recall[kept], precision[kept]


def _at(x: Any, y: Any, where: float) -> float:
    return float(y[min(len(y) - 1, int(np.searchsorted(x, where)))])


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def _grid(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(grid.ravel())


def _legend(figure: Figure, columns: Sequence[Column], title: str) -> None:
    handles = [mpl.lines.Line2D([], [], color=COLOURS[column], linewidth=6, label=TITLES[column]) for column in columns]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), title=title)
