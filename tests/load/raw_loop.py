"""The raw loop: how an engineer might arrange decode and network by hand; we are held to the fastest way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import fmean, median
from types import TracebackType
from typing import Any

from tagwright_server.inference.allocator import CHILD_ENVIRONMENT

from .child import Child
from .machine import cores
from .processor_time import look_at_machine

ONE_A_CORE = "one process a core"
ONE = "one process"


@dataclass(frozen=True, slots=True)
class Arrangement:
    """A way to lay the work out: which processes, and what each does."""

    name: str
    processes: str
    what: str


ARRANGEMENTS = (
    Arrangement("one process a core, each decodes a batch, then runs it", ONE_A_CORE, "in turn"),
    Arrangement("one process, decode threads and network take turns", ONE, "threads in turn"),
    Arrangement("one process, decode threads work ahead of the network", ONE, "threads ahead"),
)


@dataclass(frozen=True, slots=True)
class Speed:
    """Photos a second, and the processor milliseconds of all cores a photo: the loop's, other programs', nobody's."""

    photos_per_s: float
    processor_ms: float
    others_ms: float
    idle_ms: float


def between(one: Speed, other: Speed) -> Speed:
    """The mean of two measurements, for what was measured between them."""
    return Speed(*(fmean(pair) for pair in zip(astuple(one), astuple(other), strict=True)))


class RawLoop:
    """The processes of all arrangements, waiting: those that are not measured use no processor time."""

    def __init__(self, model: Path, photos: Sequence[Path], cores: int) -> None:
        self._stack = ExitStack()
        self._fastest: Arrangement | None = None
        options = {"model": str(model), "photos": [str(photo) for photo in photos]}

        def start(threads: int, decoders: int) -> Child:
            child = Child(
                "raw_worker", {**options, "threads": threads, "decoders": decoders}, environment=CHILD_ENVIRONMENT
            )
            return self._stack.enter_context(child)

        try:
            self._processes = {ONE_A_CORE: [start(1, 1) for _ in range(cores)], ONE: [start(cores, cores)]}
        except BaseException:
            self.close()
            raise

    def measure(self, what: str, processes: str, seconds: float, **more: Any) -> Speed:
        """Have all of `processes` do `what` for `seconds`."""
        # Time for all of them to hear of it, and for what an earlier measurement left running ahead to end.
        start_at = time.monotonic() + (1.0 if what == "onnx" else 0.3)
        children = self._processes[processes]
        for child in children:
            child.tell(do="measure", what=what, seconds=seconds, start_at=start_at, **more)
        time.sleep(max(0.0, start_at - time.monotonic()))
        before = look_at_machine()
        answers = [child.hear() for child in children]
        busy_s = look_at_machine().busy_s - before.busy_s

        photos_per_s = sum(answer["photos"] / answer["seconds"] for answer in answers)
        photos = sum(answer["photos"] for answer in answers)
        processor_s = sum(answer["processor_s"] for answer in answers)
        processor_ms, others_ms = processor_s * 1000 / photos, max(0.0, busy_s - processor_s) * 1000 / photos
        idle_ms = max(0.0, cores() * 1000 / photos_per_s - processor_ms - others_ms)
        return Speed(photos_per_s, processor_ms, others_ms, idle_ms)

    def run(self, arrangement: Arrangement, seconds: float) -> Speed:
        """Measure one arrangement of the whole loop."""
        return self.measure(arrangement.what, arrangement.processes, seconds)

    def choose(self, seconds: float, rounds: int = 3) -> dict[Arrangement, list[Speed]]:
        """Measure every arrangement in turns and remember the fastest."""
        speeds: dict[Arrangement, list[Speed]] = {arrangement: [] for arrangement in ARRANGEMENTS}
        for _ in range(rounds):
            for arrangement, measured in speeds.items():
                measured.append(self.run(arrangement, seconds))
        self._fastest = max(speeds, key=lambda one: median(speed.photos_per_s for speed in speeds[one]))
        return speeds

    def fastest(self, seconds: float) -> Arrangement:
        """Return the fastest arrangement; measures them briefly where `choose` has not."""
        if self._fastest is None:
            self.choose(seconds / 2)
        assert self._fastest is not None
        return self._fastest

    def export_onnx(self, path: Path) -> dict[str, Any]:
        """Write the network as ONNX; the answer holds `difference` or `not_measured`."""
        return self._processes[ONE][0].ask(do="export_onnx", path=str(path))

    def close(self) -> None:
        """End the processes."""
        self._stack.close()

    def __enter__(self) -> RawLoop:
        """Return itself; leaving the block ends the processes."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes."""
        self.close()
