"""Every command that the documentation tells people to type exists, with the flags it is told to have."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import dists
import pytest

PAGES = [dists.ROOT / "README.md", *sorted((dists.ROOT / "docs").rglob("*.md"))]
OURS = ("tagwright", "tagwright-server", "tagwright-train", "tagwright-web")
BIN = Path(sys.executable).parent
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:make|tagwright|tagwright-server|tagwright-train|tagwright-web) [^`\n]+)`")
ASSIGNMENT = re.compile(r"([A-Z_]+)=.*")


@dataclass(frozen=True)
class Command:
    """One command line and the page it is on."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"


def commands() -> list[Command]:
    """All command lines of the documentation that call make or one of our programs."""
    found: dict[Command, None] = {}  # each once, in their order
    for page in PAGES:
        text = page.read_text()
        for line in [*_lines(FENCE.findall(text)), *INLINE.findall(FENCE.sub("", text))]:
            for words in _split(line):
                while words and ASSIGNMENT.fullmatch(words[0]):
                    words = words[1:]
                name = Path(words[0]).name if words else ""
                if name in ("make", *OURS):
                    found[Command(page.name, (name, *words[1:]))] = None
    return list(found)


@cache
def help_text(program: str) -> str:
    """What `PROGRAM --help` prints, wide enough that no flag is cut."""
    name, *verbs = program.split()
    environment = os.environ | {"COLUMNS": "200", "TERMINAL_WIDTH": "200", "NO_COLOR": "1", "TERM": "dumb"}
    ended = subprocess.run([BIN / name, *verbs, "--help"], check=False, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, f"{program} --help: {ended.stderr or ended.stdout}"
    return ended.stdout


def _verbs(told: str) -> list[str]:
    return re.findall(r"^[│|]? *([a-z]+(?:-[a-z]+)*)  +\S", told.partition("Commands")[2], re.MULTILINE)


def _negated(told: str) -> set[str]:
    return {f"--no-{flag}" for flag in re.findall(r"--\[no-\]([\w-]+)", told)}


def _lines(blocks: list[str]) -> Iterator[str]:
    for block in blocks:
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            yield line.strip().removeprefix("$ ")


def _split(line: str) -> Iterator[list[str]]:
    """The words of each command in a line; a line that is no shell (a program's output) has none."""
    try:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError:
        return
    start = 0
    for end, word in enumerate([*words, ";"]):
        if word in (";", "&", "&&", "|", "||", ">", ">>"):
            yield words[start:end]
            start = end + 1


COMMANDS = commands()


def test_the_documentation_tells_people_to_type_something() -> None:
    assert {"make", "tagwright"} <= {command.words[0] for command in COMMANDS}


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.words[0] == "make"], ids=str)
def test_a_documented_verb_of_make_exists(command: Command) -> None:
    makefile = (dists.ROOT / "Makefile").read_text()
    verbs = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    variables = set(re.findall(r"^([A-Z]+) \?=", makefile, re.MULTILINE)) | {"PYTHON"}
    for word in command.words[1:]:
        assignment = ASSIGNMENT.fullmatch(word)
        if assignment:
            assert assignment[1] in variables
        elif not word.startswith("-"):
            assert word in verbs


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.words[0] in OURS], ids=str)
def test_a_documented_command_and_its_flags_exist(command: Command) -> None:
    program, *rest = command.words
    told = help_text(program)
    verbs = _verbs(told)
    while verbs and rest and not rest[0].startswith("-"):
        assert rest[0] in verbs
        program, rest = f"{program} {rest[0]}", rest[1:]
        told = help_text(program)
        verbs = _verbs(told)
    flags = {word.partition("=")[0] for word in rest if word.startswith("-") and word.strip("-")}
    assert flags - {"--help", "--version"} <= set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", told)) | _negated(told)
