"""Failpoints: they kill where they are told to, at the pass they are told, and never otherwise."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tagwright_server.store.failpoints import NAMES, VARIABLE

PASS = """
from tagwright_server.store.failpoints import NAMES, failpoint
for i in range(5):
    for name in NAMES:
        print(name, i, flush=True)
        failpoint(name)
"""


def passing(value: str | None) -> tuple[int, list[str], str]:
    """How a process that passes every failpoint five times ends, what it passed, and what it warned of."""
    environment = {name: text for name, text in os.environ.items() if name != VARIABLE}
    environment |= {} if value is None else {VARIABLE: value}
    command = [sys.executable, "-c", PASS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout.splitlines(), done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_process_dies_at_the_pass_that_is_named(name: str) -> None:
    for value, last in ((name, f"{name} 0"), (f"{name}:3", f"{name} 2")):
        code, passed, warned = passing(value)
        assert code == -signal.SIGKILL
        assert passed[-1] == last
        assert value in warned


@pytest.mark.parametrize("value", [None, "", "before-commit:6"])
def test_a_process_lives_where_none_is_named_or_reached(value: str | None) -> None:
    code, passed, _ = passing(value)
    assert (code, len(passed)) == (0, 5 * len(NAMES))


@pytest.mark.parametrize("value", ["no-such", "before-commit:0", "before-commit:x", ":1", "a:-1"])
def test_what_names_no_failpoint_is_warned_of(value: str) -> None:
    code, _, warned = passing(value)
    assert code == 0
    assert "names no failpoint" in warned
