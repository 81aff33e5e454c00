"""An evaluation for people and for programs: terminal tables and JSON.

Promises: what the table says the JSON says, with where and on what it was measured. Never: computes a figure.
"""

from __future__ import annotations

import math
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy
import torch
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tagwright_training.dataset import Dataset
from tagwright_training.metrics import BINS, RESAMPLES, Decisions, Interval
from tagwright_training.results import Measured, ModelFigures

# Measured on 5,000 other photos of MIRFlickr-25k, trained on the 20,000 of which our training part is 70 %.
REFERENCES = (
    ("ridge on frozen Lite0", 0.738, 0.717),
    ("ridge on frozen Lite0 + Lite2", 0.755, 0.741),
    ("Lite0 fine-tuned, rate too high", 0.745, 0.723),
)
AT_LEAST, STRICT_AT_LEAST = 0.755, 0.74
CALIBRATION_AT_MOST = 0.03


@dataclass(frozen=True, slots=True)
class Occasion:
    """On what an evaluation was made: data, photos left out, machine, moment."""

    dataset: Dataset
    left_out: int
    evaluated: int
    unlisted_models: tuple[str, ...]
    """Models that do not say what they have seen."""


def document(occasion: Occasion, measured: Sequence[Measured]) -> dict[str, Any]:
    """The evaluation as plain JSON; a figure that does not exist is null."""
    data = occasion.dataset
    content = {
        "format": 1,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "data": {
            "name": data.name,
            "digest": data.digest(),
            "photos": len(data.photos),
            "left_out_as_seen": occasion.left_out,
            "evaluated": occasion.evaluated,
            "models_without_a_list_of_seen_photos": occasion.unlisted_models,
        },
        "method": {
            "average_precision": "sum over k of (R_k - R_{k-1}) P_k, not interpolated",
            "intervals": f"95 %, percentiles of {RESAMPLES:,} bootstrap draws of the photos",
            "calibration_error": f"sum over {BINS} equal-width bins of n_b / n |share_b - mean score_b|",
        },
        "references": [{"what": what, "map": a, "strict_map": b} for what, a, b in REFERENCES],
        "models": [_model(m) for m in measured],
    }
    plain: dict[str, Any] = plain_json(content)
    return plain


def machine() -> dict[str, Any]:
    """On what a figure was measured."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }


def metrics_of(figures: ModelFigures, evaluated: int) -> dict[str, float]:
    """The few figures a model's manifest carries under "metrics", by the names the contract gives them."""
    spans = {
        f"map_{len(figures.strict)}": figures.strict_mean_average_precision,
        f"map_{len(figures.labels)}": figures.mean_average_precision,
    }
    chosen = {
        **{name: span.value for name, span in spans.items()},
        **{f"{name}_low": span.low for name, span in spans.items()},
        **{f"{name}_high": span.high for name, span in spans.items()},
        "ece": figures.calibration_error,
        "f1": figures.micro.f1,
        "photos": float(evaluated),
    }
    return {name: round(value, 4) for name, value in sorted(chosen.items()) if not math.isnan(value)}


def show(console: Console, occasion: Occasion, measured: Sequence[Measured]) -> None:
    """Print the comparison, then a table of labels for each model."""
    console.print(_comparison(occasion, [m.figures for m in measured]))
    for m in measured:
        console.print(_labels(m.figures))
        console.print(_targets(m.figures))


def _comparison(occasion: Occasion, models: Sequence[ModelFigures]) -> Table:
    seen = "PERHAPS SEEN BY A MODEL" if occasion.unlisted_models else "none of them seen by a model"
    table = new_table(f"{occasion.evaluated:,} photos of {escape(occasion.dataset.name)}, {seen}")
    table.add_column("")
    for model in models:
        table.add_column(f"{model.name} {model.version}\n[dim]{model.architecture}[/]", justify="right")
    table.add_column("wanted", justify="right", style="dim")
    first = models[0]
    rows = [
        (f"mAP, {len(first.labels)} labels", [_span(m.mean_average_precision, AT_LEAST) for m in models], "≥ .755"),
        (
            f"mAP, {len(first.strict)} labels, strict",
            [_span(m.strict_mean_average_precision, STRICT_AT_LEAST) for m in models],
            "≥ .740",
        ),
        ("calibration error, all", [_at_most(m.calibration_error, CALIBRATION_AT_MOST) for m in models], "≤ .030"),
        ("calibration error, by label", [number(m.mean_calibration_error) for m in models], ""),
        ("precision, pooled", [number(m.micro.precision) for m in models], ""),
        ("recall, pooled", [number(m.micro.recall) for m in models], ""),
        ("F1, pooled", [number(m.micro.f1) for m in models], ""),
        ("precision, mean of labels", [number(m.macro_precision) for m in models], ""),
        ("recall, mean of labels", [number(m.macro_recall) for m in models], ""),
        ("F1, mean of labels", [number(m.macro_f1) for m in models], ""),
    ]
    for i, (what, values, wanted) in enumerate(rows):
        table.add_row(what, *values, wanted, end_section=i in (1, 3, len(rows) - 1))
    blank = [""] * (len(models) - 1)
    for what, plain, strict in REFERENCES:
        table.add_row(f"[dim]{what}[/]", f"[dim]{number(plain)} / {number(strict)}[/]", *blank, "")
    own = [model.name for model in models if any(label.own_output for label in model.strict)]
    table.caption = escape(
        "[95 % bootstrap interval]. Strict: photos annotated as NAME_r1, by "
        + (f"outputs of their own in {', '.join(own)}, else by " if own else "")
        + "the plain label's.\nLast three rows: EfficientNet features, mAP plain / strict, on 5,000 other photos."
    )
    return table


def _labels(model: ModelFigures) -> Table:
    table = new_table(f"{model.name} {model.version}, by label")
    table.add_column("label", no_wrap=True)
    for name in ("photos", "AP", "95 %", "strict", "from", "P", "R", "F1", "ECE"):
        table.add_column(name, justify="right", no_wrap=True)
    table.caption = "strict: AP in the strict sense. P, R, F1: saying the label from its default threshold on."
    strict = {label.name: label for label in model.strict}
    for label in sorted(model.labels, key=lambda label: -_finite(label.average_precision.value)):
        ap, d = label.average_precision, label.decisions
        table.add_row(
            label.name,
            f"{label.holds:,}",
            number(ap.value),
            f"{number(ap.low)}–{number(ap.high)}",
            number(strict[label.name].average_precision.value) if label.name in strict else "",
            number(label.threshold),
            *(number(value) for value in (d.precision, d.recall, d.f1, label.calibration_error)),
        )
    return table


def _targets(model: ModelFigures) -> Table:
    table = new_table(f"{model.name} {model.version}, thresholds fitted for a precision")
    for name in ("wanted", "reached", "recall", "labels with one", "of them at least that"):
        table.add_column(name, justify="right")
    for target in model.targets:
        pooled: Decisions = target.pooled
        table.add_row(
            number(float(target.target)),
            number(pooled.precision),
            number(pooled.recall),
            f"{target.labels} of {len(model.labels)}",
            f"{target.reached}",
        )
    return table


def new_table(title: str) -> Table:
    """A table in the looks of all our reports."""
    return Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_style="bold", caption_justify="left")


def number(value: float) -> str:
    """.755 rather than 0.755, as the field writes shares; a dash for what does not exist."""
    return "–" if math.isnan(value) else f"{value:.3f}".removeprefix("0")


def _span(figure: Interval, at_least: float) -> str:
    colour = "green" if figure.value >= at_least else "yellow"
    low_high = escape(f"[{number(figure.low)}–{number(figure.high)}]")
    return f"[{colour}]{number(figure.value)}[/] [dim]{low_high}[/]"


def _at_most(value: float, limit: float) -> str:
    return f"[{'green' if value <= limit else 'yellow'}]{number(value)}[/]"


def _finite(value: float) -> float:
    return -1.0 if math.isnan(value) else value


def _model(measured: Measured) -> dict[str, Any]:
    figures = measured.figures
    content = asdict(figures)
    for label, found in zip(content["labels"], figures.labels, strict=True):
        label["decisions"] |= _ratios(found.decisions)
    for target, of in zip(content["targets"], figures.targets, strict=True):
        target["pooled"] |= _ratios(of.pooled)
    content["micro"] |= _ratios(figures.micro)
    return content


def _ratios(decisions: Decisions) -> dict[str, float]:
    return {"precision": decisions.precision, "recall": decisions.recall, "f1": decisions.f1}


def plain_json(value: Any) -> Any:
    """The same value with lists for tuples, six decimals, and null for what does not exist."""
    if isinstance(value, dict):
        return {key: plain_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(entry) for entry in value]
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 6)
    return value


def commit() -> str | None:
    """The commit of the code that measures, marked if files differ from it; None outside a git checkout."""

    def git(*arguments: str) -> str:
        words = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + (" and changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
