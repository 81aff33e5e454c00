"""What follows from what, by the rules that there are and those that are proposed. It never has a circle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class RuleGraph:
    """Tags with their parents, in which several tags may become one."""

    def __init__(self, parents: Mapping[str, Iterable[str]]) -> None:
        self._parents = {name: set(above) for name, above in parents.items()}

    def parents(self, name: str) -> frozenset[str]:
        """Return what follows from a tag directly."""
        return frozenset(self._parents.get(name, ()))

    def implies(self, name: str, other: str) -> bool:
        """Whether one tag follows from another, over any number of rules; each follows from itself."""
        seen, newest = {name}, [name]
        while newest:
            if other in seen:
                return True
            newest = [above for each in newest for above in self._parents.get(each, ()) if above not in seen]
            seen.update(newest)
        return other in seen

    def merge(self, source: str, target: str) -> bool:
        """Make two tags one, unless something follows from one of them by the other; return whether it was done."""
        if self.implies(source, target) or self.implies(target, source):
            return False
        self._parents.setdefault(target, set()).update(self._parents.pop(source, ()))
        for above in self._parents.values():
            if source in above:
                above.remove(source)
                above.add(target)
        return True

    def add(self, name: str, parent: str) -> bool:
        """Let one tag follow from another, unless that would make a circle; return whether it was done."""
        if self.implies(parent, name):
            return False
        self._parents.setdefault(name, set()).add(parent)
        return True

    def needless(self, name: str, parent: str) -> bool:
        """Whether a parent follows from another parent of the tag already."""
        return any(self.implies(other, parent) for other in self.parents(name) if other != parent)
