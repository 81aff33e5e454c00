"""Tags by themselves: which there are, and their rules. Rules are everybody's, so administrators alone change them."""

from __future__ import annotations

from collections.abc import Sequence

from tagwright_server.clock import Clock
from tagwright_server.domain.access import Caller
from tagwright_server.domain.keeping import visible_to
from tagwright_server.domain.tag_names import tag_name, tag_names
from tagwright_server.errors import ArgumentInvalid
from tagwright_server.store.image_records import TagEntry
from tagwright_server.store.store import Store

MOST_SOURCES = 100  # all three as the contract says (tagging_service.proto)
MOST_ALIASES = 100
MOST_PARENTS = 32


class Vocabulary:
    """The tags and their rules; what changes something is to be called inside transaction()."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def page(self, *, prefix: str, after: str | None, limit: int, by: Caller) -> list[TagEntry]:
        """Return tags by name."""
        return self._store.tags.page(prefix=_prefix(prefix), visible_to=visible_to(by), after=after, limit=limit)

    def by_count(self, *, prefix: str, offset: int, limit: int, by: Caller) -> list[TagEntry]:
        """Return tags, those of most photos first."""
        return self._store.tags.by_count(prefix=_prefix(prefix), visible_to=visible_to(by), offset=offset, limit=limit)

    def rename(self, name: str, new_name: str, *, by: Caller) -> TagEntry:
        """Give a tag another name; raises NotFound and NameTaken."""
        old, new = tag_name(name, field="name"), tag_name(new_name, field="new_name")
        entry = self._store.tags.rename(old, new)
        return self._changed("tag.rename", old, {"new_name": new}, entry, by)

    def merge(self, sources: Sequence[str], target: str, *, by: Caller) -> TagEntry:
        """Make several tags one; raises NotFound and ArgumentInvalid."""
        names = tag_names(sources, field="sources", most=MOST_SOURCES)
        if not names:
            raise ArgumentInvalid("names no tag", field="sources")
        stays = tag_name(target, field="target")
        if stays in names:
            raise ArgumentInvalid("holds the target itself", field="sources")
        entry = self._store.tags.merge(names, stays)
        return self._changed("tag.merge", stays, {"sources": ", ".join(names)}, entry, by)

    def set_rules(self, name: str, *, aliases: Sequence[str], parents: Sequence[str], by: Caller) -> TagEntry:
        """Replace a tag's aliases and parents; raises NameTaken and ArgumentInvalid."""
        tag = tag_name(name, field="name")
        new_aliases = tag_names(aliases, field="aliases", most=MOST_ALIASES)
        new_parents = tag_names(parents, field="parents", most=MOST_PARENTS)
        if tag in new_aliases:
            raise ArgumentInvalid("holds the tag itself", field="aliases")
        entry = self._store.tags.set_rules(tag, aliases=new_aliases, parents=new_parents)
        details = {"aliases": ", ".join(new_aliases), "parents": ", ".join(new_parents)}
        return self._changed("tag.rules", tag, details, entry, by)

    def _changed(self, action: str, target: str, details: dict[str, str], entry: TagEntry, by: Caller) -> TagEntry:
        self._store.audit.add(by.actor.did(action, target, at=self._clock.now(), details=details))
        return entry


def _prefix(written: str) -> str:
    return tag_name(written, field="prefix") if written.strip() else ""
