"""`tagwright-server` in a process of its own, on a free port, with all that it said."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from servers import PATIENCE_S


@dataclass
class Process:
    """A running `tagwright-server`."""

    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Read its log up to a line that matches."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip())
            if match := re.search(pattern, line):
                return match
        raise AssertionError(f"it never said {pattern!r} but:\n" + "\n".join(self.said))

    def end(self) -> tuple[int, str]:
        """Wait for its end; return its exit code and what it said since."""
        _, rest = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, rest


@contextmanager
def started(*flags: object, **options: Any) -> Iterator[Process]:
    """Start it with these flags; it is gone after the block."""
    command = [sys.executable, "-m", "tagwright_server", *map(str, flags)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    try:
        yield Process(process)
    finally:
        process.kill()
        process.communicate()


@contextmanager
def serving(repository: Path, *flags: object, **options: Any) -> Iterator[tuple[Process, str]]:
    """Serve the models of `repository`; returns with its address once it is ready."""
    where = ("--listen", "127.0.0.1:0", "--inference", "local", "--model-repository", repository, "--decode-workers", 1)
    with started(*where, *flags, **options) as process:
        yield process, process.wait_for(r"READY on (\S+),")[1]


def ends_saying(*flags: object, **options: Any) -> tuple[int, str, str]:
    """Start what ends by itself; return its exit code, its output and its log."""
    with started(*flags, **options) as process:
        out, err = process.process.communicate(timeout=PATIENCE_S)
        return process.process.returncode, out, err
