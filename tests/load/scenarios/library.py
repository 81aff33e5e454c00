"""A library of real size: `tagwright import-mirflickr` fills a fresh server, beside how fast it tags the same photos.

How to read it: tagging is measured before and after on a few hundred of the photos, in calls of eight, the way that is
quickest; the rate of the import is over its whole run, reading the photos and starting the command line included.
Memory is that of the server with its decoding processes and, where it has one, its Triton. It needs
--library FOLDER and takes some minutes for 20,000 photos; sent once more, they show what resuming costs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ..child import Child
from ..figures import Aim, Note, Row
from ..scenario import Yielded
from ..serving import Engine, NotServed, Serving, serve
from ..setup import Setup
from ..traffic import measure, warm_up

NAME = "library"
TITLE = "a library of real size is filled: how fast, in how much memory, how large"
ORDER = 70

_TAGGED = 300  # photos that tagging is measured on
_CALLERS, _BATCH = 4, 8
_AIM = 0.8
_FLAT = 1.1
_SIZES = (500, 1_000, 5_000, 10_000, 20_000)
_MIB = 2**20
_IMPORT, _MEMORY, _DISK = "The import", "Memory of the server", "On disk, when all are kept"


@dataclass
class _Import:
    """How one import went."""

    seconds: float = 0.0
    photos: int = 0
    failed: int = 0
    sent_bytes: int = 0
    memory_bytes: dict[int, int] = field(default_factory=dict)


def run(setup: Setup) -> Iterator[Yielded]:
    """Fill a library with every engine."""
    if setup.library is None:
        yield Row(_IMPORT, "all", not_measured="say where a library is: --library FOLDER")
        return
    for engine in setup.engines:
        try:
            yield from _measure(setup, engine, setup.library)
        except NotServed as err:
            yield Row(_IMPORT, engine.name, not_measured=str(err))
    yield Note(f"Tagging: TagImages, {_CALLERS} callers with {_BATCH} photos a call, on {_TAGGED} of the same photos.")


def _measure(setup: Setup, engine: Engine, library: Path) -> Iterator[Yielded]:
    files = _some_photos(library, setup.scratch / "library", _TAGGED)
    setup.step(f"starting a server, {engine.name}")
    with serve(engine, setup.repository, [f"--default-model={setup.model.parent.name}"]) as serving:
        before = _tagging(setup, serving, files)
        setup.step(f"{NAME}, {engine.name}: importing {setup.library_photos:,} photos")
        first = _import(setup, serving, library)
        after = _tagging(setup, serving, files)
        setup.step(f"{NAME}, {engine.name}: the same photos once more")
        again = _import(setup, serving, library)
        disk = _disk(serving.data)
    tagging = [rate for rate in (before, after) if rate is not None]
    rate = first.photos / first.seconds
    ratio = rate / (sum(tagging) / len(tagging)) if tagging else None
    yield Row(
        _IMPORT,
        engine.name,
        {
            "photos": first.photos,
            "failed": first.failed,
            "seconds": first.seconds,
            "photos_per_s": rate,
            "tagging_before_per_s": before,
            "tagging_after_per_s": after,
            "ratio": ratio,
            "sent_MB": first.sent_bytes / 1e6,
        },
    )
    name = f"{engine.name}, once more"
    yield Row(
        _IMPORT,
        name,
        {
            "photos": again.photos,
            "failed": again.failed,
            "seconds": again.seconds,
            "photos_per_s": again.photos / again.seconds,
            "sent_MB": again.sent_bytes / 1e6,
        },
    )
    yield Row(_MEMORY, engine.name, {f"MiB_at_{at}": size / _MIB for at, size in first.memory_bytes.items()})
    yield Row(_DISK, engine.name, disk)
    sizes = list(first.memory_bytes.values())
    yield Aim(f"{engine.name}: import / tagging, photos a second", _AIM, ratio)
    growth = sizes[-1] / sizes[-2] if len(sizes) > 1 else None
    yield Aim(f"{engine.name}: memory at the end / half-way", None, growth, at_most=_FLAT)


def _tagging(setup: Setup, serving: Serving, files: list[Path]) -> float | None:
    options = {"address": serving.address, "photos": [str(file) for file in files]}
    with Child("callers", options, environment=serving.environment) as client:
        setup.step(f"{NAME}: tagging without keeping")
        warm_up(client, min(setup.seconds, 3.0))
        return measure(serving, client, callers=_CALLERS, batch=_BATCH, seconds=setup.seconds * 2).photos_per_s


def _import(setup: Setup, serving: Serving, library: Path) -> _Import:
    command = [sys.executable, "-m", "tagwright_admin", "import-mirflickr", str(library), "--json", "--no-journal"]
    command += [f"--limit={setup.library_photos}", f"--url=grpc://{serving.address}"]
    failures = setup.scratch / "failures.jsonl"
    done = _Import()
    begun_s = time.monotonic()
    with subprocess.Popen(
        [*command, f"--failures={failures}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **serving.environment},
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            photo = json.loads(line)
            done.photos += "image_id" in photo
            done.failed += "error" in photo
            done.sent_bytes += photo.get("sent_bytes", 0)
            if done.photos + done.failed in _SIZES:
                done.memory_bytes[done.photos + done.failed] = _memory(serving.pid)
    done.seconds = time.monotonic() - begun_s
    return done


def _memory(pid: int) -> int:
    server = psutil.Process(pid)
    return sum(process.memory_info().rss for process in (server, *server.children(recursive=True)))


def _disk(data: Path) -> dict[str, float]:
    photos = [file.stat().st_size for file in (data / "photos").rglob("*") if file.is_file()]
    database = sum(file.stat().st_size for file in data.glob("tagwright.sqlite3*"))
    return {
        "database_MB": database / 1e6,
        "photos_MB": sum(photos) / 1e6,
        "files": len(photos),
        "database_bytes_a_photo": database / max(1, len(photos)),
    }


def _some_photos(library: Path, folder: Path, count: int) -> list[Path]:
    """Return photos of the library as files, out of its zips where it has them."""
    plain = sorted(library.rglob("im*.jpg"))[:count]
    if plain:
        return plain
    folder.mkdir(exist_ok=True)
    files: list[Path] = []
    for archive in sorted(library.glob("*.zip")):
        with zipfile.ZipFile(archive) as photos:
            for name in photos.namelist():
                if len(files) < count and name.endswith(".jpg"):
                    files.append(folder / f"{len(files)}.jpg")
                    files[-1].write_bytes(photos.read(name))
    return files
