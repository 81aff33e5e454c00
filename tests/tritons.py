"""What tests of a real Triton share: when there can be none, which processes it is, and when it became ready."""

from __future__ import annotations

import os
import queue
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tagwright_server.inference.child import why_no_triton

needs_triton = pytest.mark.skipif(why_no_triton() is not None, reason=why_no_triton() or "")


class Readiness:
    """A backend's `on_change`, to wait on."""

    def __init__(self) -> None:
        self._changes: queue.Queue[bool] = queue.Queue()

    def __call__(self, ready: bool) -> None:
        self._changes.put(ready)

    def seconds_until(self, ready: bool, *, at_most_s: float) -> float:
        """Wait for the next change to `ready` and return how long that took; fail the test after `at_most_s`."""
        started = time.monotonic()
        while (left_s := started + at_most_s - time.monotonic()) > 0:
            try:
                if self._changes.get(timeout=left_s) is ready:
                    return time.monotonic() - started
            except queue.Empty:
                break
        pytest.fail(f"did not become {'ready' if ready else 'not ready'} within {at_most_s} s")

    def forget(self) -> None:
        """Drop the changes so far."""
        while not self._changes.empty():
            self._changes.get_nowait()


def processes_below(pid: int) -> dict[int, str]:
    """Return every live descendant of `pid` with the name of its program."""
    parents: dict[int, list[tuple[int, str]]] = {}
    for child, parent, name in _processes():
        parents.setdefault(parent, []).append((child, name))
    found: dict[int, str] = {}
    unseen = [pid]
    while unseen:
        for child, name in parents.get(unseen.pop(), []):
            found[child] = name
            unseen.append(child)
    return found


def our_triton(program: str) -> list[int]:
    """Return the processes running `program` ("tritonserver", "triton_python_backend_stub") that we brought up."""
    return [pid for pid, name in processes_below(os.getpid()).items() if name == program]


def kill(pids: list[int], number: int = signal.SIGKILL) -> None:
    """Signal processes that a test has found to be its own."""
    assert pids, "nothing to kill: the test would prove nothing"
    for pid in pids:
        os.kill(pid, number)


def _processes() -> Iterator[tuple[int, int, str]]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            program = (folder / "cmdline").read_bytes().partition(b"\0")[0].decode()
        except OSError:
            continue  # ended while we looked
        if state != "Z":
            yield int(folder.name), int(parent), Path(program).name
