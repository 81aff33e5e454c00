"""Named places at which a test kills this process: TAGWRIGHT_FAILPOINT=NAME[:N] does it at the Nth pass (default: 1st).

Without that variable a failpoint costs a look at a cached value. Nothing that callers send can set it.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import threading
from dataclasses import dataclass

from tagwright_server.settings import ENV_PREFIX

BLOB_SYNCED = "blob-synced"  # a photo's bytes are on disk, no row uses them yet
BEFORE_COMMIT = "before-commit"  # the last statement inside the transaction that adds a photo
AFTER_COMMIT = "after-commit"  # right behind it: kept, but not answered yet
NAMES = (BLOB_SYNCED, BEFORE_COMMIT, AFTER_COMMIT)
VARIABLE = f"{ENV_PREFIX}FAILPOINT"

_log = logging.getLogger(__name__)
_counting = threading.Lock()


def failpoint(name: str) -> None:
    """End this process by SIGKILL if the environment asks for it here."""
    armed = _armed()
    if armed is not None and armed.name == name and armed.reached():
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class _Armed:
    name: str
    passes_left: int

    def reached(self) -> bool:
        with _counting:
            self.passes_left -= 1
            return self.passes_left == 0


@functools.cache
def _armed() -> _Armed | None:
    value = os.environ.get(VARIABLE)
    if not value:
        return None
    name, _, passes = value.partition(":")
    if name not in NAMES or (passes and not passes.isdecimal()) or passes == "0":
        # A test that meant to kill would otherwise see nothing happen, and not why.
        _log.warning("%s=%s names no failpoint; there are %s", VARIABLE, value, ", ".join(NAMES))
        return None
    _log.warning("this process kills itself at %s", value)
    return _Armed(name, int(passes or 1))
