"""How much processor time each program of a server took: what stays true on a machine that others use as well.

A process that ends between two looks is not lost: its time shows among its parent's children. Only decode workers end
while a server runs well (they are replaced now and then), so ended children are told apart by whose they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import psutil

# What a program is, by a word of its command line; the first that fits.
_PROGRAMS = (("triton_python_backend_stub", "model"), ("tritonserver", "triton"), ("images.sandbox", "decode"))
SERVER = "server"
PROGRAMS = (SERVER, "decode", "triton", "model", "other")
_CHILDREN_OF = {SERVER: "decode", "triton": "model"}  # what ended children were, by their parent's program


@dataclass(frozen=True, slots=True)
class Used:
    """Processor seconds of one process, and those of its children that have ended."""

    program: str
    own_s: float
    ended_children_s: float


@dataclass(frozen=True, slots=True)
class Machine:
    """Processor seconds of the whole machine since it started: in use, and of all cores together."""

    busy_s: float
    total_s: float


def look(pid: int) -> dict[int, Used]:
    """Return every process of the tree under `pid`."""
    root = psutil.Process(pid)
    found: dict[int, Used] = {}
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
            program = SERVER if process.pid == pid else _program(" ".join(process.cmdline()))
        except psutil.Error:  # it ended just now
            continue
        ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        found[process.pid] = Used(program, times.user + times.system, ended)
    return found


def look_at_machine() -> Machine:
    """Return the machine's counters."""
    times = psutil.cpu_times()
    total = times.user + times.system + times.idle
    total += sum(getattr(times, name, 0.0) for name in ("nice", "iowait", "irq", "softirq", "steal"))
    return Machine(busy_s=total - times.idle - getattr(times, "iowait", 0.0), total_s=total)


def spent(before: Mapping[int, Used], after: Mapping[int, Used]) -> dict[str, float]:
    """Return the processor seconds of each program between two looks."""
    seconds = dict.fromkeys(PROGRAMS, 0.0)
    for pid, now in after.items():
        then = before.get(pid, Used(now.program, 0.0, 0.0))
        seconds[now.program] += now.own_s - then.own_s
        seconds[_CHILDREN_OF.get(now.program, "other")] += now.ended_children_s - then.ended_children_s
    for pid, then in before.items():
        if pid not in after:  # its parent's counter holds its whole life, the part before the first look included
            seconds[then.program] -= then.own_s
    return {program: max(0.0, value) for program, value in seconds.items()}


def _program(command: str) -> str:
    return next((program for word, program in _PROGRAMS if word in command), "other")
