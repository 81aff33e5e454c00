"""What a scenario yields, and the little statistics it needs.

A `Row` belongs to a table of its scenario and holds figures under names that carry their unit (`photos_per_s`,
`p99_ms`). What could not be measured says why; it is never left out and never made up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np

Figure = float | int | str | None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of one table."""

    table: str
    name: str
    figures: Mapping[str, Figure] = field(default_factory=dict)
    not_measured: str = ""  # why, where there are no figures


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence under a scenario's tables."""

    text: str


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure somebody promised: `measured` is to be at least and at most what is given of the two."""

    what: str
    at_least: float | None
    measured: float | None
    at_most: float | None = None

    @property
    def met(self) -> bool:
        """Whether it is; what was not measured is not met."""
        if self.measured is None:
            return False
        enough = self.at_least is None or self.measured >= self.at_least
        return enough and (self.at_most is None or self.measured <= self.at_most)


@dataclass(frozen=True, slots=True)
class Completion:
    """A call that ended: when (monotonic seconds), how long it took, how many photos it brought."""

    at_s: float
    took_ms: float
    photos: int


def latency(took_ms: Sequence[float]) -> dict[str, Figure]:
    """Return the median and the 99th percentile, in milliseconds."""
    if not took_ms:
        return {"p50_ms": None, "p99_ms": None}
    p50, p99 = np.percentile(took_ms, (50, 99))
    return {"p50_ms": float(p50), "p99_ms": float(p99)}


def spread(values: Sequence[float], unit: str) -> dict[str, Figure]:
    """Return the median and what 95 % are within, in whatever the values are in."""
    if not values:
        return {f"median_{unit}": None, f"p95_{unit}": None}
    middle, most = np.percentile(values, (50, 95))
    return {f"median_{unit}": float(middle), f"p95_{unit}": float(most)}


def rate(completions: Sequence[Completion], since_s: float, until_s: float) -> float | None:
    """Return photos a second between two moments; None where there were none.

    A call counts by the part of it that lies between them. Counting ends of calls would jump by up to 64 photos, and
    counting from one end to another would be too high: the photos of a batch end together.
    """
    photos = 0.0
    for call in completions:
        took_s = call.took_ms / 1000
        inside_s = min(call.at_s, until_s) - max(call.at_s - took_s, since_s)
        photos += call.photos * max(0.0, inside_s) / took_s
    return photos / (until_s - since_s) if photos else None


def middle(values: Sequence[float | None]) -> float | None:
    """Return the median of the values that are there, None where none is."""
    there = [value for value in values if value is not None]
    return median(there) if there else None


def shares(measured: Sequence[float | None], reference: Sequence[float | None]) -> list[float]:
    """Return measured / reference for every pair that was taken together: the machine's moods cancel out."""
    pairs = zip(measured, reference, strict=True)
    return [one / other for one, other in pairs if one is not None and other]
