"""Where the time of a client's calls goes: a recorder that every call passes, and what it tells as a tree.

A call that nobody profiles costs one look at an empty tuple. Nothing in here knows grpc.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

# In the order in which a call passes them. "network" is what the server did not spend, "other" what nobody knows.
STAGES = ("network", "decode", "queue", "inference", "refinement", "search", "store", "other")
_BAR_CHARS = 20


@dataclass(frozen=True, slots=True)
class StageProfile:
    """What one stage takes of a call, on average: milliseconds, and its share of the whole, 0 to 1.

    "network" is what the client waited and the server did not report: the way, packing and unpacking, and tries that
    failed before. "decode", "queue", "inference", "refinement", "search" and "store" are the server's own. "other" is
    what a newer server reports besides, and all of the calls of which it reports nothing.
    """

    stage: str
    mean_ms: float
    share: float


@dataclass(frozen=True, slots=True)
class CallProfile:
    """All calls of one name, in milliseconds as this client saw them; `failed` of them ended with an error.

    `p95_ms`: nineteen in twenty took no longer. `stages` has those that took any time.
    """

    name: str
    count: int
    failed: int
    median_ms: float
    p95_ms: float
    max_ms: float
    total_ms: float
    stages: tuple[StageProfile, ...]


class Profile:
    """Collects the calls that a client begins, in any thread, while the `with` block runs; printed, it is a tree.

    A stream (an upload, a photo's bytes) is one call, from its beginning to its end.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._lock = threading.Lock()
        self._calls: dict[str, _Calls] = {}

    def __enter__(self) -> Profile:
        """Begin to collect."""
        self._recorder.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Collect no more but what has begun."""
        self._recorder.remove(self)

    @property
    def calls(self) -> tuple[CallProfile, ...]:
        """What was collected so far, the calls that took most time in all first."""
        with self._lock:
            found = [calls.told(name) for name, calls in self._calls.items()]
        return tuple(sorted(found, key=lambda call: -call.total_ms))

    def add(self, name: str, *, total_ms: float, stages: Mapping[str, float], failed: bool) -> None:
        """Add a call that has ended."""
        with self._lock:
            self._calls.setdefault(name, _Calls()).add(total_ms, stages, failed=failed)

    def __str__(self) -> str:
        """Draw the tree."""
        return "\n".join(line for call in self.calls for line in _lines(call)) or "no calls"


class Recording:
    """One call under way, which has ended with the first `end`."""

    __slots__ = ("_name", "_profiles", "_started_s")

    def __init__(self, name: str, profiles: tuple[Profile, ...]) -> None:
        self._name = name
        self._profiles = list(profiles)
        self._started_s = time.perf_counter()

    def end(self, stages: Mapping[str, float], *, failed: bool) -> float:
        """Tell the profiles that were open when the call began, and return what it took, in milliseconds.

        `stages` is what its trailing metadata told.
        """
        total_ms = (time.perf_counter() - self._started_s) * 1000
        with contextlib.suppress(IndexError):  # none is left, or another thread ends it as well
            while True:
                profile = self._profiles.pop()
                profile.add(self._name, total_ms=total_ms, stages=stages, failed=failed)
        return total_ms


class Recorder:
    """Knows which profiles are open. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: tuple[Profile, ...] = ()

    def add(self, profile: Profile) -> None:
        """Have what begins from now on collected by `profile` too."""
        with self._lock:
            self._open = (*self._open, profile)

    def remove(self, profile: Profile) -> None:
        """Have it collect no more."""
        with self._lock:
            self._open = tuple(each for each in self._open if each is not profile)

    def begin(self, name: str) -> Recording:
        """Begin a call of that name."""
        return Recording(name, self._open)


class _Calls:
    """All calls of one name so far; of each only its total is kept, eight bytes."""

    def __init__(self) -> None:
        self._totals_ms = array("d")
        self._stages_ms = dict.fromkeys(STAGES, 0.0)
        self._failed = 0

    def add(self, total_ms: float, stages: Mapping[str, float], *, failed: bool) -> None:
        self._totals_ms.append(total_ms)
        self._failed += failed
        told_ms = {stage: ms for stage, ms in stages.items() if math.isfinite(ms) and ms > 0}
        for stage, ms in told_ms.items():
            self._stages_ms[stage if stage in STAGES else "other"] += ms
        # Stages side by side may come to more than the whole; then nothing is left for the way.
        self._stages_ms["network" if stages else "other"] += max(total_ms - sum(told_ms.values()), 0.0)

    def told(self, name: str) -> CallProfile:
        totals_ms = sorted(self._totals_ms)
        count, total_ms = len(totals_ms), sum(totals_ms)
        whole_ms = sum(self._stages_ms.values())
        return CallProfile(
            name=name,
            count=count,
            failed=self._failed,
            median_ms=(totals_ms[(count - 1) // 2] + totals_ms[count // 2]) / 2,
            p95_ms=totals_ms[math.ceil(0.95 * count) - 1],
            max_ms=totals_ms[-1],
            total_ms=total_ms,
            stages=tuple(
                StageProfile(stage=stage, mean_ms=ms / count, share=ms / whole_ms)
                for stage, ms in self._stages_ms.items()
                if ms > 0
            ),
        )


def _lines(call: CallProfile) -> list[str]:
    failed = f" ({call.failed} failed)" if call.failed else ""
    head = (
        f"{call.name}: {call.count} {'calls' if call.count > 1 else 'call'}{failed}, median {_shown(call.median_ms)}, "
        f"95 % within {_shown(call.p95_ms)}, longest {_shown(call.max_ms)}, in all {_shown(call.total_ms)}"
    )
    stages = (
        f"  {each.stage:<10} {_shown(each.mean_ms):>9} {each.share:>5.0%}  {'#' * round(each.share * _BAR_CHARS)}"
        for each in call.stages
    )
    return [head, *(line.rstrip() for line in stages)]


def _shown(ms: float) -> str:
    return f"{ms / 1000:.2f} s" if ms >= 1000 else f"{ms:.1f} ms"
