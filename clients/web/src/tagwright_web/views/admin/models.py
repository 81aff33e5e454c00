"""The models that the server can run, and how good they were measured to be, label by label."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.responses import Response

from tagwright_client import Model
from tagwright_web.visits import Visit

_MEANINGS = {
    "ece": "expected calibration error: how far scores are from how often they are right",
    "f1": "F1 at the default thresholds, over all tags of all photos",
    "photos": "photos that this was measured on; training never saw them",
}
_MEAN = re.compile(r"map_(\d+)(?:_(low|high))?")
_BOUNDS = {"low": "lower end of its 95 % interval", "high": "upper end of its 95 % interval"}


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure of a model, and what it says, where that is known."""

    name: str
    text: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A model as it is shown: its figures, its labels with the best one first, the precisions with thresholds."""

    model: Model
    figures: tuple[Measured, ...]
    by_precision: tuple[Row, ...]
    targets: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A label with its average precision; `thresholds` are in the order of the model's target precisions."""

    name: str
    average_precision: float
    default_threshold: float
    thresholds: tuple[float | None, ...]


def show(visit: Visit) -> Response:
    """Show the models, the default one first."""
    served = visit.client.models()
    return visit.show("admin/models.html", served=served, shown=[_shown(model) for model in served])


def meaning(name: str) -> str:
    """Return what a figure of a model says; empty where that is not known here."""
    mean = _MEAN.fullmatch(name)
    if mean is None:
        return _MEANINGS.get(name, "")
    what = f"mean average precision of {mean[1]} labels"
    return f"{what}: {_BOUNDS[mean[2]]}" if mean[2] else what


def _shown(model: Model) -> Shown:
    targets = tuple(sorted({target for label in model.labels for target in label.thresholds}))
    rows = (
        Row(
            label.name,
            label.average_precision,
            label.default_threshold,
            tuple(label.thresholds.get(target) for target in targets),
        )
        for label in model.labels
    )
    figures = (Measured(name, _text(value), meaning(name)) for name, value in sorted(model.metrics.items()))
    return Shown(model, tuple(figures), tuple(sorted(rows, key=lambda row: -row.average_precision)), targets)


def _text(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) and abs(value) > 1 else f"{value:.4f}"
