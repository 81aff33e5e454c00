"""The locks hold what the .in files and our distributions ask for, and nothing that belongs to one machine."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path

import dists
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REQUIREMENTS = dists.ROOT / "requirements"
LOCKS = sorted(path.stem for path in REQUIREMENTS.glob("*.in"))
SHARED = ("run", "triton", "train", "dev")  # the layers of .venv
# torch installs these; what only torch needs is as much its own business as torch is.
TORCHS_OWN = re.compile(
    r"torch(vision|audio)?|triton|nvidia-(?!pytriton).*|cuda-.*|networkx|fsspec|setuptools|filelock"
)
MACHINES = [
    {
        "python_full_version": f"{python}.9",
        "python_version": python,
        "sys_platform": system,
        "platform_machine": machine,
    }
    for python in ("3.10", "3.11", "3.12")
    for system, machine in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"))
]


@cache
def pins(lock: str) -> tuple[tuple[Requirement, int], ...]:
    """The pins of a lock with how many hashes each has."""
    text = (REQUIREMENTS / f"{lock}.txt").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return tuple((Requirement(line.partition(" --hash")[0]), line.count("--hash=sha256:")) for line in lines)


def asked(file: Path) -> Iterator[Requirement]:
    """The requirements of an .in file, those of the files it names included."""
    for line in file.read_text().splitlines():
        if line.startswith("-r "):
            yield from asked(file.parent / line[3:])
        elif line and not line.startswith("#"):
            yield Requirement(line)


def applies(requirement: Requirement, machine: dict[str, str]) -> bool:
    """Whether a requirement counts on a machine."""
    return requirement.marker is None or requirement.marker.evaluate(dict(machine))


def version(locks: tuple[str, ...], name: str, machine: dict[str, str]) -> str:
    """The one version of a package that the locks give a machine."""
    found = {
        str(pin.specifier).removeprefix("==")
        for lock in locks
        for pin, _ in pins(lock)
        if canonicalize_name(pin.name) == canonicalize_name(name) and applies(pin, machine)
    }
    assert len(found) == 1, f"{name}: {sorted(found) or 'not locked'} in {locks} on {machine}"
    return found.pop()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_a_hash_for_everything_and_names_no_index(lock: str) -> None:
    assert [str(pin) for pin, hashes in pins(lock) if not hashes] == []
    text = (REQUIREMENTS / f"{lock}.txt").read_text()
    assert re.findall(r"^\s*-(?!-hash).*|https?:.*|file:.*", text, re.MULTILINE) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_fits_every_machine(lock: str) -> None:
    assert [str(pin) for pin, _ in pins(lock) if re.search(r"\+", str(pin.specifier))] == []
    if lock != "proto":  # grpcio-tools needs setuptools for itself
        assert [pin.name for pin, _ in pins(lock) if TORCHS_OWN.fullmatch(canonicalize_name(pin.name))] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_gives_what_its_in_file_asks_for(lock: str) -> None:
    for machine in MACHINES:
        for requirement in asked(REQUIREMENTS / f"{lock}.in"):
            if applies(requirement, machine):
                assert requirement.specifier.contains(version((lock,), requirement.name, machine)), requirement


def test_the_layers_of_one_environment_agree_with_each_other() -> None:
    for machine in MACHINES:
        for name in {pin.name for lock in SHARED for pin, _ in pins(lock) if applies(pin, machine)}:
            version(SHARED, name, machine)


@pytest.mark.parametrize("name", dists.FOLDERS)
def test_the_locks_give_what_a_distribution_asks_for(name: str) -> None:
    project = tomllib.loads((dists.FOLDERS[name] / "pyproject.toml").read_text())["project"]
    extras = [line for lines in project.get("optional-dependencies", {}).values() for line in lines]
    wanted = [Requirement(line) for line in project["dependencies"] + extras]
    torch = next(asked(REQUIREMENTS / "torch.txt"))
    theirs = [requirement for requirement in wanted if requirement.name not in dists.FOLDERS]
    for requirement, machine in product(theirs, MACHINES):
        if requirement.name == "torch":
            assert requirement.specifier.contains(str(torch.specifier).removeprefix("=="))
        elif applies(requirement, machine):
            assert requirement.specifier.contains(version(SHARED, requirement.name, machine)), requirement


def test_torch_has_its_own_file_and_no_other_line_in_it() -> None:
    assert [str(line) for line in asked(REQUIREMENTS / "torch.txt")] == ["torch==2.13.0"]
