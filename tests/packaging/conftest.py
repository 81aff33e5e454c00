"""The wheels, built once a session."""

from __future__ import annotations

from pathlib import Path

import dists
import pytest


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return dists.build_wheels(tmp_path_factory.mktemp("wheels"))
