"""Small disks, and how to fill them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MIB = 1024 * 1024


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 24 MiB; only root can make one."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)  # PostgreSQL is another user
        mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", name]
        if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
            pytest.skip("only root can mount a small disk, and not everywhere")
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "--lazy", name], check=True)


def fill(disk: Path, *, but_bytes: int = 0) -> Path:
    """Take all room of a disk, but for so much; return the file that has it."""
    room = os.statvfs(disk)
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(room.f_bavail * room.f_frsize - but_bytes))
    return ballast
