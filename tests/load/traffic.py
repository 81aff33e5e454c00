"""One measurement of a server under callers: what they saw, and what every program on the machine spent meanwhile."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from .child import Child
from .figures import Completion, rate
from .machine import cores
from .processor_time import look, look_at_machine, spent
from .serving import Serving

STAGES = ("decode", "queue", "inference")
_SETTLE_S = 0.5  # until the callers are out of step with each other and the queues are as full as they get


@dataclass(frozen=True, slots=True)
class Measured:
    """What a stretch of traffic showed."""

    photos_per_s: float | None
    took_ms: tuple[float, ...]
    stages_ms: Mapping[str, float]  # means of what the server says of itself
    processor_ms: Mapping[str, float]  # a photo, by program; client, others and idle included: together all the cores
    errors: Mapping[str, int]


def measure(serving: Serving, client: Child, *, callers: int, batch: int = 0, seconds: float) -> Measured:
    """Let `callers` call for `seconds`; `batch` photos a call with TagImages, 0: one, with TagImage."""
    client.ask(do="start", callers=callers, batch=batch)
    time.sleep(_SETTLE_S + min(seconds / 5, 1.0))
    process = psutil.Process(client.pid)
    since, machine = time.monotonic(), look_at_machine()
    server, caller = look(serving.pid), _own(process)
    time.sleep(seconds)
    until, machine_after = time.monotonic(), look_at_machine()
    programs, client_s = spent(server, look(serving.pid)), _own(process) - caller
    answer = client.ask(do="stop", since=since, until=until)

    calls = [Completion(at_s, took_ms, photos) for at_s, took_ms, photos, _ in answer["calls"]]
    ended = [call for call in answer["calls"] if call[0] <= until]  # others only count with a part of them
    photos_per_s = rate(calls, since, until)
    busy_s = machine_after.busy_s - machine.busy_s
    capacity_s = (until - since) * cores()
    seconds_of = {"client": client_s, **programs}
    seconds_of["others"] = max(0.0, busy_s - sum(seconds_of.values()))
    seconds_of["idle"] = max(0.0, capacity_s - sum(seconds_of.values()))
    photos = (photos_per_s or 0.0) * (until - since)
    return Measured(
        photos_per_s=photos_per_s,
        took_ms=tuple(took for _, took, _, _ in ended),
        stages_ms={stage: _mean([stages[at] for *_, stages in ended]) for at, stage in enumerate(STAGES)},
        processor_ms={name: value * 1000 / photos for name, value in seconds_of.items()} if photos else {},
        errors=answer["errors"],
    )


def warm_up(client: Child, seconds: float) -> None:
    """Let a new server settle: connections, pools and allocators grow with the first photos."""
    client.ask(do="start", callers=8, batch=0)
    time.sleep(seconds)
    client.ask(do="stop", since=0.0, until=0.0)


def _own(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
