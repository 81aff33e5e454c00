"""How many photos with each tag somebody sees: those that everybody sees, and their own. Not locked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

EVERYBODY = ""


class TagCounts:
    """Counts of photos by tag, and by who sees them: an account, or EVERYBODY."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {EVERYBODY: Counter()}

    def add(self, seen_by: str, tags: Iterable[str]) -> None:
        """Count a photo in."""
        self._counts.setdefault(seen_by, Counter()).update(dict.fromkeys(tags, 1))

    def remove(self, seen_by: str, tags: Iterable[str]) -> None:
        """Count a photo out that was counted in."""
        counts = self._counts[seen_by]
        for tag in dict.fromkeys(tags):
            counts[tag] -= 1
            if not counts[tag]:
                del counts[tag]
        if not counts and seen_by != EVERYBODY:
            del self._counts[seen_by]

    def seen(self, viewer: str, tag: str) -> int:
        """Return how many photos with a tag an account sees."""
        own = self._counts.get(viewer) if viewer != EVERYBODY else None
        return self._counts[EVERYBODY][tag] + (own[tag] if own is not None else 0)
