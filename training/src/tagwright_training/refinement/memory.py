"""How much memory a batch refiner's fit takes, by photos: `python -m tagwright_training.refinement.memory`.

Every size is fitted in a process of its own, to made-up photos with tags as many and as uneven as people's, and its
peak is asked of the operating system. Nothing is kept whole that a library of a million photos would make anew. The
straight line through the peaks says what a million photos take.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from tagwright_training.dataset import write_atomically
from tagwright_training.refinement import lowrank
from tagwright_training.refinement.corpus import Embedded, TagMatrix
from tagwright_training.refinement.refine import METHODS

SIZES = (5_000, 10_000, 20_000, 40_000, 80_000)
MILLION = 1_000_000

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Peak:
    """What one fit took; bytes are the process's greatest resident size, before the fit and after it."""

    photos: int
    before_bytes: int
    peak_bytes: int
    seconds: float


def command(
    method: Annotated[list[str] | None, typer.Option(help="Methods; all of them if none is named.")] = None,
    sizes: Annotated[str, typer.Option(help="Numbers of photos.")] = ",".join(map(str, SIZES)),
    tags: Annotated[int, typer.Option(help="Tags of the vocabulary.")] = 1000,
    size: Annotated[int, typer.Option(help="Numbers of an embedding.")] = 256,
    iterations: Annotated[int, typer.Option(help="Of the fit; its memory does not grow with them beyond 2.")] = 2,
    out: Annotated[Path, typer.Option(help="JSON file for the figures.")] = Path("runs/refine-memory.json"),
) -> None:
    """Measure the memory of fits of growing size and say what a million photos take."""
    console = Console()
    found: dict[str, Any] = {}
    for name in method or METHODS:
        peaks = [_in_a_process(name, int(photos), tags, size, iterations) for photos in sizes.split(",")]
        slope, offset = line(peaks)
        table = Table("photos", "before, MB", "peak, MB", "seconds", title=f"{name}, {tags:,} tags, {size} numbers")
        for peak in peaks:
            table.add_row(
                f"{peak.photos:,}", f"{peak.before_bytes / 1e6:,.0f}", f"{peak.peak_bytes / 1e6:,.0f}",
                f"{peak.seconds:.0f}",
            )  # fmt: skip
        console.print(table)
        million = (offset + slope * MILLION) / 2**30
        console.print(f"{slope:,.0f} bytes a photo; a million photos: {million:.1f} GiB")
        found[name] = {
            "bytes_per_photo": slope,
            "million_gib": million,
            "sizes": {str(peak.photos): [peak.before_bytes, peak.peak_bytes, peak.seconds] for peak in peaks},
        }
        write_atomically(out, (json.dumps(found, indent=1) + "\n").encode())


def line(peaks: list[Peak]) -> tuple[float, float]:
    """Bytes a photo and bytes at no photo: the least-squares line, without the smaller half where there are over three.

    At the smallest sizes the temporaries of a block outweigh what grows with the photos.
    """
    used = peaks[len(peaks) // 2 :] if len(peaks) > 3 else peaks
    slope, offset = np.polyfit([peak.photos for peak in used], [peak.peak_bytes for peak in used], 1)
    return float(slope), float(offset)


def made_up(photos: int, tags: int, size: int, seed: int = 1) -> Embedded:
    """Photos of 64 subjects; 0 to 60 tags each, 5 in the mean, tag r as often as r^-0.9, half of them the subject's."""
    rng = np.random.default_rng(seed)
    subjects = rng.normal(size=(64, size)).astype(np.float32)
    subject = rng.integers(64, size=photos)
    vectors = rng.standard_normal((photos, size), np.float32)
    vectors += subjects[subject]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    often = np.arange(1, tags + 1) ** -0.9
    counts = np.minimum(rng.geometric(1 / 6, photos) - 1, 60)
    indptr = np.zeros(photos + 1, np.int64)
    anyone = rng.choice(tags, int(counts.sum()), p=often / often.sum())
    own = (np.repeat(subject, counts) + 64 * rng.integers(max(1, tags // 64), size=len(anyone))) % tags
    chosen = np.where(rng.random(len(anyone)) < 0.5, anyone, own)
    cells = np.unique(np.repeat(np.arange(photos), counts) * tags + chosen)
    np.cumsum(np.bincount(cells // tags, minlength=photos), out=indptr[1:])
    names = tuple(f"tag{i}" for i in range(tags))
    return Embedded(vectors=vectors, tags=TagMatrix(indptr, (cells % tags).astype(np.int32), names))


def measure(method: str, photos: int, tags: int, size: int, iterations: int) -> Peak:
    """Fit in this process; its peak only means something in a process that did nothing else."""
    library = made_up(photos, tags, size)
    chosen: Any = METHODS[method]()
    # Shrinks are turned off so that the rank, which memory goes with, is the greatest it can be from the first step on.
    # RobustPCA's noise keeps the threshold of its first step: over all 50 it has 0 to 3 cells a photo: nothing.
    settings: dict[str, Any] = {
        "robust-pca": {"iterations": iterations, "first_mu": 1e-4, "sparse": 1e4},
        "wdmf": {"sweeps": iterations},
        "wdnl": {"rounds": iterations, "nuclear": 0.0},
    }
    lowrank.CACHE_BYTES = 0
    before, begun = _peak_bytes(), time.monotonic()
    replace(chosen, **settings[method]).fit(library, lambda done, total: None)
    return Peak(photos, before, _peak_bytes(), time.monotonic() - begun)


def _in_a_process(*arguments: Any) -> Peak:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, arguments)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    typer.run(command)
