"""What a process that runs networks on a CPU is told beforehand: to keep freed memory, and to let threads wait asleep.

A CNN's activations are large and live for microseconds. By default glibc maps each afresh and the kernel zeroes its
pages every time, which costs a CPU about half its speed (tests/load/cpu_settings.py measures it). The price: the
process keeps the memory of its largest batch, which is bounded.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Mapping

_LARGE = 1 << 30
_M_TRIM_THRESHOLD = -1  # numbers of glibc's malloc.h
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8

CHILD_ENVIRONMENT: Mapping[str, str] = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(_LARGE),
    # Threads of one forward pass wait for each other asleep: spinning, they take the cores that decode and gRPC need,
    # which costs several times the network's own work as soon as anything else runs (docs/speed.md).
    "OMP_WAIT_POLICY": "PASSIVE",
}


def keep_freed_memory() -> bool:
    """Set this process up so; before it starts threads that allocate much. False where there is no glibc.

    One arena for all threads: the others are made of maps of 64 MiB, which glibc gives back whatever it was told.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_ARENA_MAX, 1) and mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _LARGE))
