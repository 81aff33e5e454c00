"""Our five distributions, and their wheels as users get them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "tagwright-protos": ROOT / "protos",
    "tagwright-client": ROOT / "clients" / "python",
    "tagwright-admin": ROOT / "clients" / "admin",
    "tagwright-server": ROOT / "server",
    "tagwright-training": ROOT / "training",
    "tagwright-web": ROOT / "clients" / "web",
}


def build_wheels(out: Path) -> dict[str, Path]:
    """Build the wheels of all distributions into `out`, with the locked build tools that are installed here."""
    folders = [str(folder) for folder in FOLDERS.values()]
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-qq",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(out),
    ]
    subprocess.run([*command, *folders], check=True)
    return {name: next(out.glob(f"{name.replace('-', '_')}-*.whl")) for name in FOLDERS}


def files(wheel: Path) -> set[str]:
    """The files in a wheel, without those that only describe it."""
    with ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}
