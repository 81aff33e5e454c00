"""A process of its own for whatever is measured, so that nothing shares an interpreter with it.

`Child` is our end, `answer_lines` the other one: one line of JSON in, one out. A child ends when its standard input
does, so none outlives the bench.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

_PATH = Path(__file__).resolve().parents[len(__package__.split("."))]  # where the package that holds us lies
_STOP_S = 10.0


class Child:
    """A running `python -m <this package>.MODULE`."""

    def __init__(
        self, module: str, options: Mapping[str, Any], *, environment: Mapping[str, str] | None = None
    ) -> None:
        python_path = os.pathsep.join(filter(None, (str(_PATH), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.{module}", json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {}), "PYTHONPATH": python_path},
            start_new_session=True,  # Ctrl-C is for the bench, which then stops its children
        )

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def tell(self, **command: Any) -> None:
        """Send a command without waiting for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Wait for the next answer."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process of the bench ended with {self._process.wait()}; see the lines above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self.tell(**command)
        return self.hear()

    def close(self) -> None:
        """End it; idempotent."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Child:
        """Return itself; leaving the block ends the process."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self.close()


def answer_lines(handle: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """Answer one command a line until standard input ends. Whatever a library prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        answers.write(json.dumps(handle(json.loads(line))) + "\n")
        answers.flush()
