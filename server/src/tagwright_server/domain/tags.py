"""From a network's scores to the tags of one photo: pure functions; the same input gives the same tags, in order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagwright_server.domain.quoting import quoted
from tagwright_server.errors import ArgumentInvalid
from tagwright_server.inference.bundle import Bundle

MOST_NAMES = 256  # include_tags and exclude_tags each; the contract says so (tagging_service.proto)
_SAME_PRECISION = 1e-6  # requests carry float32, manifests decimal text: 0.9 comes as 0.89999998


@dataclass(frozen=True, slots=True)
class TaggingOptions:
    """What an answer shall hold; the defaults are those of a request that says nothing."""

    min_score: float | None = None
    max_tags: int = 0
    target_precision: float | None = None
    include_tags: tuple[str, ...] = ()
    exclude_tags: tuple[str, ...] = ()
    model: str = ""
    include_embedding: bool = False
    include_evidence: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reason for a score: the model's `value`, held against `threshold`, None where there was none to reach."""

    text: str
    value: float
    threshold: float | None


@dataclass(frozen=True, slots=True)
class Tag:
    """One label of one photo; `score` is the calibrated probability that it is right.

    `reached` is whether that is enough; a label that the request names comes along without.
    """

    name: str
    score: float
    evidence: tuple[Evidence, ...] = ()
    reached: bool = True


def check_options(model: Bundle, options: TaggingOptions) -> None:
    """Raise ArgumentInvalid, naming the field, for options that make no sense or that `model` cannot meet."""
    if (
        options.min_score is not None and not 0.0 <= options.min_score <= 1.0
    ):  # NaN compares false, so it is refused too
        raise ArgumentInvalid(f"must be from 0 to 1, not {options.min_score:g}", field="options.min_score")
    if options.max_tags < 0:
        raise ArgumentInvalid(f"must not be negative, not {options.max_tags}", field="options.max_tags")
    if options.target_precision is not None:
        if options.min_score is not None:
            raise ArgumentInvalid("cannot be combined with min_score", field="options.target_precision")
        _precision(model, options.target_precision)
    for field, names in (("include_tags", options.include_tags), ("exclude_tags", options.exclude_tags)):
        if len(names) > MOST_NAMES:
            raise ArgumentInvalid(f"has {len(names)} names, at most {MOST_NAMES} are taken", field=f"options.{field}")
    labels = {label.name for label in model.labels}
    for index, name in enumerate(options.include_tags):
        if name not in labels:
            raise ArgumentInvalid(
                f"{quoted(name)} is not a label of model {model.name!r}", field=f"options.include_tags[{index}]"
            )


def choose_tags(model: Bundle, scores: NDArray[np.float32], options: TaggingOptions) -> tuple[Tag, ...]:
    """Return the tags of one photo, best first, equal scores by name.

    `scores` is float32 [labels]. A label counts from its threshold on: `min_score`, else the one fitted for
    `target_precision`, else its default. `include_tags` are returned whatever their score and take the first of the
    `max_tags` places; `exclude_tags` never. The options have passed `check_options`.
    """
    thresholds = _thresholds(model, options)
    included, excluded = frozenset(options.include_tags), frozenset(options.exclude_tags)
    # float32 on both sides: a client that sends a listed threshold back gets the same tags.
    reached = scores >= thresholds  # never where the threshold is NaN: no score reaches that precision
    found = [
        (name not in included, -score, name, index)
        for index, (name, score, counts) in enumerate(
            zip((label.name for label in model.labels), scores.tolist(), reached.tolist(), strict=True)
        )
        if (counts or name in included) and name not in excluded
    ]
    if options.max_tags and len(found) > options.max_tags:
        found = sorted(found)[: options.max_tags]
    return tuple(
        Tag(
            name,
            -score,
            (_evidence(-score, float(thresholds[index]), options),) if options.include_evidence else (),
            reached=bool(reached[index]),
        )
        for _, score, name, index in sorted(found, key=lambda entry: entry[1:])
    )


def precisions(model: Bundle) -> list[str]:
    """Return the target precisions that `model` has thresholds for, as the manifest writes them, ascending."""
    return sorted({precision for label in model.labels for precision in label.thresholds}, key=float)


def _precision(model: Bundle, wanted: float) -> str:
    fitted = precisions(model)
    for precision in fitted:
        if abs(float(precision) - wanted) < _SAME_PRECISION:
            return precision
    there = ", ".join(fitted) or "none"
    raise ArgumentInvalid(
        f"model {model.name!r} has no thresholds for {wanted:g}; it has them for: {there}",
        field="options.target_precision",
    )


def _thresholds(model: Bundle, options: TaggingOptions) -> NDArray[np.float32]:
    if options.min_score is not None:
        return np.full(len(model.labels), options.min_score, dtype=np.float32)
    if options.target_precision is None:
        return np.array([label.default_threshold for label in model.labels], dtype=np.float32)
    precision = _precision(model, options.target_precision)
    fitted = (label.thresholds.get(precision) for label in model.labels)
    return np.array([math.nan if threshold is None else threshold for threshold in fitted], dtype=np.float32)


def _evidence(score: float, threshold: float, options: TaggingOptions) -> Evidence:
    if math.isnan(threshold):
        why = f"no score of this label reaches precision {options.target_precision:g}, but the request names it"
        return Evidence(f"the model gives {score:.3f}; {why}", score, None)
    if options.min_score is not None:
        kind = "the smallest score asked for"
    elif options.target_precision is not None:
        kind = f"the threshold for precision {options.target_precision:g}"
    else:
        kind = "this label's threshold"
    if score < threshold:
        text = f"the model gives {score:.3f}, below {kind}, {threshold:.3f}, but the request names it"
    else:
        text = f"the model gives {score:.3f}, {kind} is {threshold:.3f}"
    return Evidence(text, score, threshold)
