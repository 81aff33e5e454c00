"""Files that are there only once they are complete."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO


@contextmanager
def replacing(path: str) -> Iterator[IO[str]]:
    """Give a file that takes the place of the one at `path` when the block ends well. Raises OSError."""
    if not path:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    if os.path.lexists(path) and not os.path.isfile(path):  # a device would be gone for everybody
        raise OSError(errno.EINVAL, "it is no plain file", path)
    number, temporary = tempfile.mkstemp(prefix=".tagwright-", dir=os.path.dirname(os.path.abspath(path)))
    try:
        # newline="": whoever writes ends its lines itself.
        with os.fdopen(number, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
