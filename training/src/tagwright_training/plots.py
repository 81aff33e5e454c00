"""An evaluation as pictures: precision-recall curves, AP bars, reliability diagrams, and the most confident mistakes.

Promises: PNGs in the folder that was asked for.
Never: a window, or a photo anywhere else. The contact sheets hold photos of the data set: they stay in a local folder.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tagwright_training.metrics import precision_recall
from tagwright_training.results import Measured

COLOURS = ("#1b6ca8", "#e08214", "#5b8c5a", "#8e5ea2")  # first the best model; told apart by the colour-blind too
_INK, _FAINT = "#333333", "#bbbbbb"
STYLE: Any = {
    "font.size": 9,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """A decision that the annotations contradict: photo `row`, label `column`, and its score."""

    row: int
    column: int
    score: float


def draw(folder: Path, measured: Sequence[Measured], photo: Callable[[int], NDArray[np.uint8]]) -> list[str]:
    """Draw all, with a contact sheet for each model; `photo` gives the pixels of a row. Returns the files' names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    with mpl.rc_context(STYLE):
        for name, figure in (
            ("precision_recall", precision_recall_curves(measured)),
            ("average_precision", average_precision_bars(measured)),
            ("reliability", reliability_diagrams(measured)),
            *((f"mistakes_{m.figures.name}", contact_sheet(m, photo)) for m in measured),
        ):
            names.append(f"{name}.png")
            figure.savefig(folder / names[-1], dpi=150)
    return names


def precision_recall_curves(measured: Sequence[Measured]) -> Figure:
    """One small plot a label, every model in it, the share of photos that hold the label as a dotted line."""
    names = [label.name for label in measured[0].figures.labels]
    columns = min(6, len(names))
    rows = math.ceil(len(names) / columns)
    figure, grid = _grid(rows, columns, size=(2.1 * columns, 2.1 * rows + 0.7), sharex=True, sharey=True)
    for i, name in enumerate(names):
        axes = grid[i]
        axes.set_title(name.replace("_", " "), loc="left", pad=4)
        axes.axhline(measured[0].truth[:, i].mean(), color=_FAINT, linestyle=":", linewidth=1)
        for k, m in enumerate(measured):
            column = _column(m, name)
            if column is None:
                continue
            recall, precision, _ = precision_recall(m.truth[:, column], m.scores[:, column])
            axes.plot(recall, precision, color=COLOURS[k % len(COLOURS)], linewidth=1.4, zorder=9 - k)
            value = m.figures.labels[column].average_precision.value
            axes.text(
                1 - 0.2 * (len(measured) - 1 - k),  # above the plot, where no curve can run through it
                1.03,
                f"{value:.2f}".removeprefix("0"),
                color=COLOURS[k % len(COLOURS)],
                transform=axes.transAxes,
                ha="right",
                fontweight="bold",
            )
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1), xticklabels=("0", ".5", "1"))
        axes.set_yticklabels(("0", ".5", "1"))
    figure.supxlabel("recall", fontsize=9)
    figure.supylabel("precision", fontsize=9)
    _legend(figure, measured, "Precision and recall at every threshold; numbers are average precision, dots chance")
    return figure


def average_precision_bars(measured: Sequence[Measured]) -> Figure:
    """AP of every label, and of every strict label, with 95 % intervals, best label of the first model on top."""
    plain = sorted(measured[0].figures.labels, key=lambda label: np.nan_to_num(label.average_precision.value))
    strict = sorted(measured[0].figures.strict, key=lambda label: np.nan_to_num(label.average_precision.value))
    panels = [([label.name for label in plain], "labels"), ([label.name for label in strict], "strict")]
    panels = [panel for panel in panels if panel[0]]
    tallest = max(len(names) for names, _ in panels)
    figure, grid = _grid(1, len(panels), size=(5.2 * len(panels), 0.32 * tallest + 1.4))
    height = 0.8 / len(measured)
    for axes, (names, attribute) in zip(grid, panels, strict=True):
        for k, m in enumerate(measured):
            found = {label.name: label.average_precision for label in getattr(m.figures, attribute)}
            known = [i for i, name in enumerate(names) if name in found]
            place = np.array(known) + 0.4 - height * (k + 0.5)
            spans = [found[names[i]] for i in known]
            axes.barh(place, [span.value for span in spans], height * 0.92, color=COLOURS[k % len(COLOURS)])
            axes.hlines(place, [span.low for span in spans], [span.high for span in spans], color=_INK, linewidth=0.9)
            mean = (
                m.figures.mean_average_precision if attribute == "labels" else m.figures.strict_mean_average_precision
            )
            axes.axvline(mean.value, color=COLOURS[k % len(COLOURS)], linestyle="--", linewidth=1)
        axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
        axes.set(xlim=(0, 1), ylim=(-0.6, len(names) - 0.4))
        axes.xaxis.grid(True, color="#eeeeee")
        axes.set_axisbelow(True)
        axes.set_title(f"{len(names)} labels" if attribute == "labels" else f"{len(names)} labels in the strict sense")
    _legend(figure, measured, "Average precision with 95 % interval; dashed: mean over labels")
    return figure


def reliability_diagrams(measured: Sequence[Measured]) -> Figure:
    """Share that holds against mean score in each bin, and below it how many decisions each bin has."""
    n = len(measured)
    figure = Figure(figsize=(4.4 * n, 6.0), layout="constrained")
    grid = figure.subplots(2, n, sharex=True, squeeze=False, height_ratios=(3, 1))
    for k, m in enumerate(measured):
        colour, bins = COLOURS[k % len(COLOURS)], m.reliability
        filled = bins.counts > 0
        top, bottom = grid[0][k], grid[1][k]
        width = 1 / len(bins.counts)
        left = np.arange(len(bins.counts)) * width
        top.plot((0, 1), (0, 1), color=_FAINT, linestyle="--", linewidth=1, zorder=1)
        top.bar(left[filled], bins.share[filled], width * 0.94, align="edge", color=colour, alpha=0.25, zorder=2)
        # 95 % of a share of n decisions, taken as independent: how far a point may lie off by chance
        margin = 1.96 * np.sqrt(bins.share * (1 - bins.share) / np.maximum(bins.counts, 1))
        top.errorbar(
            bins.mean_score[filled],
            bins.share[filled],
            yerr=margin[filled],
            color=colour,
            marker="o",
            markersize=4,
            linewidth=1.2,
            elinewidth=0.9,
            zorder=3,
        )
        top.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that holds" if k == 0 else "")
        error = f"{m.figures.calibration_error:.3f}".removeprefix("0")
        top.set_title(f"{m.figures.name} {m.figures.version}: calibration error {error}")
        bottom.bar(left, bins.counts, width * 0.94, align="edge", color=colour)
        bottom.set(yscale="log", xlabel="score", ylabel="decisions" if k == 0 else "", ylim=(0.8, None))
    return figure


def contact_sheet(measured: Measured, photo: Callable[[int], NDArray[np.uint8]], *, each: int = 16) -> Figure:
    """The photos where a model is surest and the annotations say otherwise: what it said, then what it did not."""
    names = [label.name.replace("_", " ") for label in measured.figures.labels]
    sections = (
        ("Said, but not annotated", mistakes(measured, holding=False, most=each)),
        ("Annotated, but scored low", mistakes(measured, holding=True, most=each)),
    )
    columns = 8
    heights = [max(1, math.ceil(len(found) / columns)) for _, found in sections]
    figure = Figure(figsize=(1.6 * columns + 0.2, 1.82 * sum(heights) + 1.3))
    figure.set_layout_engine("constrained", h_pad=0.05, w_pad=0.04, hspace=0.02)
    parts = figure.subfigures(2, 1, height_ratios=heights, squeeze=False).ravel()
    for part, height, (title, found) in zip(parts, heights, sections, strict=True):
        part.suptitle(title, x=0.005, ha="left", fontweight="bold", fontsize=11)
        grid = part.subplots(height, columns, squeeze=False).ravel()
        for axes in grid:
            axes.set_axis_off()
        for axes, mistake in zip(grid, found, strict=False):
            axes.imshow(photo(mistake.row), interpolation="lanczos")
            axes.set_title(f"{names[mistake.column]}  {mistake.score:.2f}".replace(" 0.", " ."), fontsize=9, pad=3)
    figure.suptitle(f"{measured.figures.name} {measured.figures.version}: most confident mistakes", fontsize=12)
    return figure


def mistakes(measured: Measured, *, holding: bool, most: int, a_label: int = 2) -> list[Mistake]:
    """The surest mistakes first, at most `a_label` of one label and one of a photo, so that they show different things.

    `holding`: labels that hold, with the lowest scores; otherwise labels that do not, with the highest.
    """
    holds = measured.truth > 0
    wrong = np.argwhere(holds if holding else ~holds)
    score = measured.scores[tuple(wrong.T)]
    order = np.argsort(score if holding else -score, kind="stable")
    chosen: list[Mistake] = []
    labels: Counter[int] = Counter()
    rows: set[int] = set()
    for row, column in wrong[order].tolist():
        if len(chosen) == most:
            break
        if labels[column] < a_label and row not in rows:
            labels[column] += 1
            rows.add(row)
            chosen.append(Mistake(row, column, float(measured.scores[row, column])))
    return chosen


def _grid(rows: int, columns: int, **options: Any) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=options.pop("size"), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, **options)
    axes: list[Axes] = list(grid.ravel())
    return figure, axes


def _legend(figure: Figure, measured: Iterable[Measured], title: str) -> None:
    handles = [
        mpl.lines.Line2D([], [], color=COLOURS[k % len(COLOURS)], linewidth=4, label=_called(m))
        for k, m in enumerate(measured)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), title=title)


def _called(measured: Measured) -> str:
    figures = measured.figures
    return f"{figures.name} {figures.version}, mAP {figures.mean_average_precision.value:.3f}".replace(" 0.", " .")


def _column(measured: Measured, name: str) -> int | None:
    names = [label.name for label in measured.figures.labels]
    return names.index(name) if name in names else None
