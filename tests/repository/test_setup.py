"""Setting up says in one line what is missing."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import dists
import pytest

SETUP = str(dists.ROOT / "requirements" / "venv.sh")


def fake_python(folder: Path, name: str, script: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("script", ["exit 127", "echo 'pyenv: no such command' >&2; exit 1"])
def test_without_a_python_that_fits_one_line_says_which_would(tmp_path: Path, script: str) -> None:
    environment = os.environ | {"PYTHON": fake_python(tmp_path, "python3", script)}
    ended = subprocess.run(
        ["sh", SETUP, str(tmp_path / "venv")], check=False, capture_output=True, text=True, env=environment
    )
    assert ended.returncode == 1
    assert re.fullmatch(
        r"Tagwright needs Python 3\.10, 3\.11 or 3\.12 .*python3\. Name another with .*\n", ended.stderr
    )
    assert not (tmp_path / "venv").exists()


def test_a_shim_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3.12", "exit 127")
    fake_python(tmp_path, "python3.11", "exit 127")
    fake_python(tmp_path, "python3.10", 'case "$1" in -m) echo "made $3" ;; --version) echo Python 3.10.9 ;; esac')
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    made = subprocess.run(
        ["sh", SETUP, str(tmp_path / "venv")], check=True, capture_output=True, text=True, env=environment
    )
    assert made.stdout.splitlines() == [
        f"{tmp_path}/venv: a virtual environment with Python 3.10.9",
        f"made {tmp_path}/venv",
    ]


def test_every_verb_says_what_it_does() -> None:
    said = subprocess.run(["make", "-s", "help"], check=True, cwd=dists.ROOT, stdout=subprocess.PIPE, text=True).stdout
    told = dict(re.findall(r"^make (\S+) +(\S.*)$", said, re.MULTILINE))
    declared = re.search(r"^VERBS := (.*)$", (dists.ROOT / "Makefile").read_text(), re.MULTILINE)
    assert declared is not None
    assert set(told) == set(declared[1].split())
