"""What the wheels hold, and what they must not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import dists
import pytest

PACKAGES = {
    "tagwright-protos": "tagwright",
    "tagwright-client": "tagwright_client",
    "tagwright-admin": "tagwright_admin",
    "tagwright-server": "tagwright_server",
    "tagwright-training": "tagwright_training",
    "tagwright-web": "tagwright_web",
}
COMMANDS = {
    "tagwright-admin": "tagwright",
    "tagwright-server": "tagwright-server",
    "tagwright-training": "tagwright-train",
    "tagwright-web": "tagwright-web",
}

each = pytest.mark.parametrize("name", dists.FOLDERS)


@each
def test_a_wheel_installs_its_own_package_and_no_other(name: str, wheels: dict[str, Path]) -> None:
    assert {file.partition("/")[0] for file in dists.files(wheels[name])} == {PACKAGES[name]}


@each
def test_a_wheel_is_typed_and_licensed(name: str, wheels: dict[str, Path]) -> None:
    assert f"{PACKAGES[name]}/py.typed" in dists.files(wheels[name])
    with ZipFile(wheels[name]) as archive:
        (licence,) = (file for file in archive.namelist() if file.endswith(".dist-info/licenses/LICENSE"))
        assert archive.read(licence) == (dists.ROOT / "LICENSE").read_bytes()


@each
def test_a_wheel_has_no_leftovers(name: str, wheels: dict[str, Path]) -> None:
    assert [
        file for file in dists.files(wheels[name]) if "__pycache__" in file or file.endswith((".proto", ".in"))
    ] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_wheel_brings_its_command(name: str, wheels: dict[str, Path]) -> None:
    with ZipFile(wheels[name]) as archive:
        (points,) = (file for file in archive.namelist() if file.endswith(".dist-info/entry_points.txt"))
        assert f"{COMMANDS[name]} = {PACKAGES[name]}.__main__:main" in archive.read(points).decode()
    assert f"{PACKAGES[name]}/__main__.py" in dists.files(wheels[name])


def test_only_the_server_carries_networks(wheels: dict[str, Path]) -> None:
    carriers = {name for name, wheel in wheels.items() if any(file.endswith(".pt") for file in dists.files(wheel))}
    assert carriers == {"tagwright-server"}


def test_the_server_carries_the_whole_model_repository(wheels: dict[str, Path]) -> None:
    inside = {
        file
        for file in dists.files(wheels["tagwright-server"])
        if file.startswith("tagwright_server/model_repository/")
    }
    assert inside == {f"tagwright_server/model_repository/{file}" for file in _model_files()}
    assert "tagwright_server/model_repository/tagger/1/model.pt" in inside


def test_the_server_carries_its_migrations(wheels: dict[str, Path]) -> None:
    assert "tagwright_server/store/migrations/0001_accounts.py" in dists.files(wheels["tagwright-server"])


def test_the_servers_sdist_builds_the_same_wheel(wheels: dict[str, Path], tmp_path: Path) -> None:
    build = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        str(tmp_path),
        str(dists.FOLDERS["tagwright-server"]),
    ]
    subprocess.run(build, check=True, capture_output=True)
    (rebuilt,) = tmp_path.glob("*.whl")
    assert dists.files(rebuilt) == dists.files(wheels["tagwright-server"])


def _model_files() -> set[str]:
    repository = dists.ROOT / "model_repository"
    return {
        str(file.relative_to(repository))
        for file in repository.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
