"""A disk that forgets what was not synced, and a recorder of the system calls that it is driven by.

A file keeps what it held at its last fsync; a folder keeps the names that it had at its last fsync, each with the file
that it then meant. It is harsher than any real file system, which may write earlier, and writes names in order.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Step = tuple[Any, ...]  # a call's name, paths for descriptors, and what else counts


class Recorder:
    """Stands in for the module `os`: does every call and notes those that change or sync something."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._paths: dict[int, Path] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        made = bool(flags & os.O_CREAT) and not path.exists()
        descriptor = os.open(path, flags, mode)
        self._paths[descriptor] = path
        if made:
            self.steps.append(("create", path))
        return descriptor

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        os.mkdir(path, mode)
        self.steps.append(("mkdir", path))

    def write(self, descriptor: int, data: memoryview) -> int:
        written = os.write(descriptor, data[: len(data) // 2 + 1])  # in parts, as it may
        self.steps.append(("write", self._paths[descriptor], bytes(data[:written])))
        return written

    def fsync(self, descriptor: int) -> None:
        os.fsync(descriptor)
        self.steps.append(("fsync", self._paths[descriptor]))

    def link(self, old: Path, new: Path) -> None:
        os.link(old, new)
        self.steps.append(("link", old, new))

    def rename(self, old: Path, new: Path) -> None:
        os.rename(old, new)
        self.steps.append(("rename", old, new))

    def unlink(self, path: Path) -> None:
        os.unlink(path)
        self.steps.append(("unlink", path))


@dataclass
class _File:
    now: bytes = b""
    synced: bytes = b""


@dataclass
class _Folder:
    now: dict[str, _File | _Folder] = field(default_factory=dict)
    synced: dict[str, _File | _Folder] = field(default_factory=dict)


class ModelDisk:
    """What steps have made of a disk on which `root` was there before."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._top = _Folder()

    def replay(self, steps: Sequence[Step]) -> ModelDisk:
        """Do the steps."""
        for name, *arguments in steps:
            getattr(self, f"_{name}")(*arguments)
        return self

    def cut(self, path: Path) -> bytes | None:
        """Return what a file holds after a power cut, None if it is not there."""
        found: _File | _Folder | None = self._top
        for part in path.relative_to(self._root).parts:
            found = found.synced.get(part) if isinstance(found, _Folder) else None
        return found.synced if isinstance(found, _File) else None

    def _create(self, path: Path) -> None:
        self._folder(path.parent).now[path.name] = _File()

    def _mkdir(self, path: Path) -> None:
        self._folder(path.parent).now[path.name] = _Folder()

    def _write(self, path: Path, data: bytes) -> None:
        file = self._find(path)
        assert isinstance(file, _File)
        file.now += data

    def _fsync(self, path: Path) -> None:
        found = self._find(path)
        if isinstance(found, _File):
            found.synced = found.now
        else:
            found.synced = dict(found.now)

    def _link(self, old: Path, new: Path) -> None:
        self._folder(new.parent).now[new.name] = self._find(old)

    def _rename(self, old: Path, new: Path) -> None:
        self._link(old, new)
        self._unlink(old)

    def _unlink(self, path: Path) -> None:
        del self._folder(path.parent).now[path.name]

    def _find(self, path: Path) -> _File | _Folder:
        found: _File | _Folder = self._top
        for part in path.relative_to(self._root).parts:
            assert isinstance(found, _Folder)
            found = found.now[part]
        return found

    def _folder(self, path: Path) -> _Folder:
        found = self._find(path)
        assert isinstance(found, _Folder)
        return found
