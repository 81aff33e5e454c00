"""A user who wants only the client gets only the client."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import dists
import pytest

OURS = {"tagwright-client", "tagwright-protos"}
# typing-extensions: grpcio asks for it.
THIRD_PARTY = {"grpcio", "protobuf", "googleapis-common-protos", "typing-extensions"}
HEAVY = ("torch", "peewee", "PIL", "numpy", "pydantic", "rich", "typer")


@pytest.fixture(scope="module")
def python(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment in which pip resolved `tagwright-client` by itself."""
    folder = tmp_path_factory.mktemp("client")
    lock = (dists.ROOT / "requirements" / "client.txt").read_text()
    constraints = folder / "constraints.txt"  # the lock's versions; its hashes would have to cover our wheels too
    constraints.write_text("\n".join(re.findall(r"^[a-z0-9-]+==\S+", lock, re.MULTILINE)))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "-qq", "--constraint", str(constraints)]
    near = ["--find-links", str(wheels["tagwright-client"].parent)]
    subprocess.run([*install, *near, str(wheels["tagwright-client"])], check=True)
    return python


def test_installing_the_client_brings_these_packages_and_no_others(python: Path) -> None:
    listing = [sys.executable, "-m", "pip", "--python", str(python), "list", "--format", "json"]
    said = subprocess.run(listing, check=True, stdout=subprocess.PIPE).stdout
    assert {package["name"].lower().replace("_", "-") for package in json.loads(said)} == OURS | THIRD_PARTY


def test_the_installed_client_imports(python: Path) -> None:
    subprocess.run([python, "-I", "-W", "error", "-c", "import tagwright_client; tagwright_client.Client"], check=True)


def test_importing_the_client_loads_nothing_heavy_where_it_could() -> None:
    script = f"import sys, tagwright_client; print([name for name in {HEAVY} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert said.strip() == "[]"
