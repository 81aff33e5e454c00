"""How long one waits before the first photo: for the client's import, and for a server until health says SERVING."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from statistics import median

from ..figures import Figure, Row
from ..scenario import Yielded
from ..serving import NotServed, serve
from ..setup import Setup

NAME = "import"
TITLE = "import of the client, start of the server"
ORDER = 40

_INTERPRETERS = 10
_STARTS = 2
_TABLE = "Until it can be used"
_PROGRAM = """
import time
at, used = time.perf_counter(), time.process_time()
import {0}
print(time.perf_counter() - at, time.process_time() - used)
"""


def run(setup: Setup) -> Iterator[Yielded]:
    """Measure fresh interpreters, then fresh servers."""
    setup.step("import of tagwright_client")
    for module in ("tagwright_client", "grpc"):
        took = [_import_s(module) for _ in range(_INTERPRETERS)]
        yield Row(_TABLE, f"import {module}", _figures([wall for wall, _ in took], [used for _, used in took]))
    for engine in setup.engines:
        started: list[float] = []
        try:
            for _ in range(_STARTS):
                setup.step(f"start of a server, {engine.name}")
                with serve(engine, setup.repository, [f"--default-model={setup.model.parent.name}"]) as serving:
                    started.append(serving.start_s)
        except NotServed as err:
            yield Row(_TABLE, f"server, {engine.name}", not_measured=str(err))
            continue
        yield Row(_TABLE, f"server ready, {serving.engine}", _figures(started))


def _figures(took_s: list[float], processor_s: list[float] | None = None) -> dict[str, Figure]:
    return {
        "median_ms": median(took_s) * 1000,
        "longest_ms": max(took_s) * 1000,
        "processor_ms": median(processor_s) * 1000 if processor_s else None,
        "times": len(took_s),
    }


def _import_s(module: str) -> tuple[float, float]:
    """Return seconds and processor seconds of one import in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM.format(module)], capture_output=True, text=True, check=True)
    took, used = done.stdout.split()
    return float(took), float(used)
