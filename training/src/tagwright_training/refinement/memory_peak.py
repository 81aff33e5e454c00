"""How much memory a piece of work takes beyond what the process holds already, as Linux counts it."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

_SELF = Path("/proc/self")


class PeakMemory:
    """Context manager: afterwards `bytes` is the greatest resident size within, less that at the start; None: unknown.

    It resets the process's own high-water mark, so one must not lie within another.
    """

    def __init__(self) -> None:
        self.bytes: int | None = None
        self._before: int | None = None

    def __enter__(self) -> PeakMemory:
        try:
            (_SELF / "clear_refs").write_text("5", encoding="ascii")
            self._before = _kibibytes("VmRSS")
        except (OSError, KeyError):
            self._before = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            self.bytes = max(0, _kibibytes("VmHWM") - self._before) * 1024


def _kibibytes(field: str) -> int:
    lines = (_SELF / "status").read_text(encoding="ascii", errors="replace").splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(fields[field].split()[0])
