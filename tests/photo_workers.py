"""Processes that keep and delete photos until they are killed, and what they said was done."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keeping
from stores import PATIENCE_S


class Worker:
    """A process that keeps and deletes photos. `deleting` are those that it has at least begun to delete."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.kept: set[str] = set()
        self.deleting: set[str] = set()
        self.ended = False
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def hear(self, lines: int) -> None:
        """Take in so many lines of what it says."""
        for _ in range(lines):
            self._take(self._lines.get(timeout=PATIENCE_S))

    def hear_so_far(self) -> None:
        """Take in what it has said by now, and one line more."""
        for _ in range(self._lines.qsize() + 1):
            self._take(self._lines.get(timeout=PATIENCE_S))

    def end(self) -> int:
        """Take in all it said, and return how it ended."""
        while not self.ended:
            self._take(self._lines.get(timeout=PATIENCE_S))
        return self.process.wait(PATIENCE_S)

    def _take(self, line: str) -> None:
        self.ended = self.ended or not line
        what, _, id = line.rstrip().partition(" ")
        if line.endswith("\n") and id:
            (self.kept if what == "kept" else self.deleting).add(id)

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")


@contextmanager
def working(url: str, folder: Path, name: str, **environment: str) -> Iterator[Worker]:
    """Have such a process; it is killed after the block."""
    command = [sys.executable, keeping.__file__, url, str(folder), name]
    paths = {"PYTHONPATH": str(Path(keeping.__file__).parent)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | paths | environment) as process:
        worker = Worker(process)
        try:
            worker.hear(1)
            yield worker
        finally:
            process.kill()
            worker.end()
