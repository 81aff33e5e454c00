"""Files stay of a size to read, and the repository of a size to clone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import dists

MIB = 1024 * 1024
LINES_MAX = 400
SKIPPED = {".git", ".venv", ".venv-proto", "__pycache__", "build", "dist", "runs", "out", "mirflickr25k"}


def tracked() -> Iterator[Path]:
    """The files of the repository, without what builds and tools leave behind."""
    for folder, folders, names in os.walk(dists.ROOT):
        folders[:] = [name for name in folders if name not in SKIPPED and not name.endswith(("_cache", ".egg-info"))]
        yield from (Path(folder, name) for name in names)


def test_no_source_file_is_too_long_to_read() -> None:
    sources = [path for path in tracked() if path.suffix == ".py" and "_pb2" not in path.name]
    assert len(sources) > 50
    assert {str(path): lines for path in sources if (lines := len(path.read_text().splitlines())) > LINES_MAX} == {}


def test_the_models_and_everything_else_stay_small() -> None:
    sizes = {path: path.stat().st_size for path in tracked() if not path.is_symlink()}
    models = sum(size for path, size in sizes.items() if "model_repository" in path.parts)
    assert models <= 50 * MIB  # 25 for the default model, and the small one beside it
    assert {str(path) for path, size in sizes.items() if size > 25 * MIB} == set()
    assert sum(sizes.values()) - models <= 25 * MIB
