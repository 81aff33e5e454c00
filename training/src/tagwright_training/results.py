"""From scores and annotations to a model's figures.

Promises: every figure of every model comes from the same photos and, for its interval, from the same draws of them.
Never: prints, draws or reads a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagwright_training import metrics
from tagwright_training.dataset import Photo, targets
from tagwright_training.metrics import Decisions, Interval, Reliability
from tagwright_training.scoring import Scored


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """One label: how well photos are ranked by its score, and what comes of its default threshold."""

    name: str
    holds: int
    average_precision: Interval
    threshold: float
    decisions: Decisions
    calibration_error: float


@dataclass(frozen=True, slots=True)
class StrictFigures:
    """One label in the strict sense, by an output of its own if the network has one, else by the plain label's."""

    name: str
    holds: int
    average_precision: Interval
    own_output: bool


@dataclass(frozen=True, slots=True)
class TargetFigures:
    """What the thresholds fitted for a target precision reach on these photos."""

    target: str
    labels: int
    """How many labels have such a threshold at all."""
    pooled: Decisions
    """All labels' decisions together; labels without a threshold are never said, but count towards recall."""
    reached: int
    """For how many of those labels precision on these photos is at least the target."""


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """Everything that is measured of one model."""

    name: str
    version: str
    digest: str
    architecture: str
    mean_average_precision: Interval
    strict_mean_average_precision: Interval
    calibration_error: float
    """Over all decisions of all labels together."""
    mean_calibration_error: float
    """Each label's own, averaged; above zero even for perfect probabilities, since bins of few photos scatter."""
    micro: Decisions
    macro_precision: float
    macro_recall: float
    macro_f1: float
    labels: tuple[LabelFigures, ...]
    strict: tuple[StrictFigures, ...]
    targets: tuple[TargetFigures, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """A model's figures, with what the plots need to draw them."""

    figures: ModelFigures
    scores: NDArray[np.float32]
    truth: NDArray[np.float32]
    reliability: Reliability


def measure(scored: Scored, photos: Sequence[Photo], *, strict_labels: Sequence[str] = (), seed: int = 1) -> Measured:
    """All figures of one model over `photos`; `strict_labels` are those the data set annotates."""
    bundle, scores = scored.bundle, scored.scores
    names = [label.name for label in bundle.labels]
    truth = targets(photos, names)
    values, samples = metrics.average_precisions(truth, scores), metrics.bootstrap(truth, scores, seed=seed)
    defaults = [label.default_threshold for label in bundle.labels]
    decisions = metrics.decide(truth, scores, defaults)
    labels = tuple(
        LabelFigures(
            name=name,
            holds=int(truth[:, i].sum()),
            average_precision=metrics.interval(values[i], samples[:, i]),
            threshold=defaults[i],
            decisions=decisions[i],
            calibration_error=metrics.reliability(truth[:, i], scores[:, i]).error(),
        )
        for i, name in enumerate(names)
    )
    strict, strict_mean = _strict(scored, photos, strict_labels, seed)
    pooled = metrics.reliability(truth, scores)
    figures = ModelFigures(
        name=bundle.name,
        version=bundle.version,
        digest=bundle.digest,
        architecture=bundle.architecture,
        mean_average_precision=metrics.mean_interval(values, samples),
        strict_mean_average_precision=strict_mean,
        calibration_error=pooled.error(),
        mean_calibration_error=float(np.mean([label.calibration_error for label in labels])),
        micro=metrics.pool(decisions),
        macro_precision=metrics.macro([d.precision for d in decisions]),
        macro_recall=metrics.macro([d.recall for d in decisions]),
        macro_f1=metrics.macro([d.f1 for d in decisions]),
        labels=labels,
        strict=strict,
        targets=_targets(scored, truth),
    )
    return Measured(figures, scores, truth, pooled)


def _strict(
    scored: Scored, photos: Sequence[Photo], strict_labels: Sequence[str], seed: int
) -> tuple[tuple[StrictFigures, ...], Interval]:
    plain = {label.name: scored.scores[:, i] for i, label in enumerate(scored.bundle.labels)}
    own = {name: scored.strict_scores[:, i] for i, name in enumerate(scored.strict_labels)}
    names = [name for name in strict_labels if name in own or name in plain]
    if not names:
        return (), Interval(float("nan"), float("nan"), float("nan"))
    scores = np.stack([own[name] if name in own else plain[name] for name in names], axis=1)
    truth = targets(photos, names, strict=True)
    values, samples = metrics.average_precisions(truth, scores), metrics.bootstrap(truth, scores, seed=seed)
    figures = (
        StrictFigures(name, int(truth[:, i].sum()), metrics.interval(values[i], samples[:, i]), name in own)
        for i, name in enumerate(names)
    )
    return tuple(figures), metrics.mean_interval(values, samples)


def _targets(scored: Scored, truth: NDArray[Any]) -> tuple[TargetFigures, ...]:
    labels = scored.bundle.labels
    wanted = sorted({target for label in labels for target in label.thresholds}, key=float)
    figures = []
    for target in wanted:
        thresholds = [label.thresholds.get(target) for label in labels]
        decisions = metrics.decide(truth, scored.scores, thresholds)
        reached = sum(d.precision >= float(target) for d in decisions if d.said)
        fitted = sum(threshold is not None for threshold in thresholds)
        figures.append(TargetFigures(target, fitted, metrics.pool(decisions), reached))
    return tuple(figures)
