"""What an import says about a photo, and how it is found: plans without changing anything.

An import sets what its file says and takes nothing away: tags that the file does not name stay as they are, and what
people decided here is not undone by a suggestion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tagwright_admin.tag_names import folded
from tagwright_admin.tag_records import CONFIRMED, REJECTED, SUGGESTED, PhotoRecord, TagRecord
from tagwright_client import Client, Image, Tag

_AT_ONCE = 200  # photos asked for in one list; the contract takes 500 digests and 500 ids
_IMPORT = "IMPORT"  # the source of suggestions that an import made
_SAME_SCORE = 1e-5  # a file holds six digits


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be said about one photo; `decided` counts suggestions that people here have judged already."""

    confirm: tuple[str, ...] = ()
    reject: tuple[str, ...] = ()
    add: tuple[str, ...] = ()
    suggest: tuple[tuple[str, float | None], ...] = ()
    decided: int = 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to say."""
        return not (self.confirm or self.reject or self.add or self.suggest)


def plan(image: Image, record: PhotoRecord, *, meant: Callable[[str], str] = folded) -> Plan:
    """Return what makes the photo's tags what the record says; `meant` returns the tag that a name stands for."""
    here = {folded(tag.name): tag for tag in image.tags}
    confirm, reject, add, suggest = [], [], [], []
    decided = 0
    for name, tag in _each_once(record.tags, meant).items():
        now = here.get(name)
        if tag.state == SUGGESTED:
            # A tag that the owner or a model gave stays theirs, with its score: the server changes nothing there.
            if now is None or _other_score(now, tag):
                suggest.append((tag.name, tag.score))
            elif now.state != SUGGESTED:
                decided += 1
        elif now is not None and now.state == tag.state:
            continue
        elif tag.state == REJECTED:
            reject.append(tag.name)
        elif now is not None:
            confirm.append(tag.name)
        else:
            add.append(tag.name)
    return Plan(tuple(confirm), tuple(reject), tuple(add), tuple(suggest), decided)


class Names:
    """What names of tags stand for: an alias for its tag, as on the server. The aliases are asked for once."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def meant(self, name: str) -> str:
        """Return the name of the tag."""
        wanted = folded(name)
        return self._aliases.get(wanted, wanted)

    @cached_property
    def _aliases(self) -> Mapping[str, str]:
        return {alias: entry.name for entry in self._client.tags() for alias in entry.aliases}


class Finder:
    """Finds the photos of an import among those that one may see."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def found(self, records: Iterable[PhotoRecord]) -> Iterator[tuple[PhotoRecord, Image | None]]:
        """Yield each record with its photo, None where it is not there."""
        batch: list[PhotoRecord] = []
        for record in records:
            batch.append(record)
            if len(batch) == _AT_ONCE:
                yield from self._looked_up(batch)
                batch = []
        if batch:
            yield from self._looked_up(batch)

    def _looked_up(self, batch: Sequence[PhotoRecord]) -> Iterator[tuple[PhotoRecord, Image | None]]:
        by_sha256: dict[str, list[Image]] = {}
        digests = sorted({record.source_sha256 for record in batch if record.source_sha256})
        for image in self._client.images(source_sha256s=digests) if digests else ():
            by_sha256.setdefault(image.source_sha256, []).append(image)
        lacking = {record.image_id for record in batch if record.source_sha256 not in by_sha256}
        ids = sorted(id for id in lacking if id)
        by_id = {image.id: image for image in self._client.images(ids=ids)} if ids else {}
        for record in batch:
            same = by_sha256.get(record.source_sha256, [])
            yield record, self._meant(record, same) if same else by_id.get(record.image_id)

    def _meant(self, record: PhotoRecord, same: Sequence[Image]) -> Image:
        """Return one of the photos with the same bytes, which administrators see of every owner."""
        if len(same) == 1:
            return same[0]
        for fits in (
            lambda image: image.id == record.image_id,
            lambda image: image.owner == record.owner,
            lambda image: image.owner == self._me,
        ):
            meant = next(filter(fits, same), None)
            if meant is not None:
                return meant
        return same[0]

    @cached_property
    def _me(self) -> str:
        return self._client.who_am_i().user.username


def _each_once(tags: Iterable[TagRecord], meant: Callable[[str], str]) -> dict[str, TagRecord]:
    """Return the tags by name; of several that are the same, the first that a person decided about."""
    named: dict[str, TagRecord] = {}
    for tag in tags:
        name = meant(tag.name)
        if name not in named or (named[name].state == SUGGESTED and tag.state in (CONFIRMED, REJECTED)):
            named[name] = tag
    return named


def _other_score(now: Tag, said: TagRecord) -> bool:
    if now.state != SUGGESTED or now.source != _IMPORT:
        return False
    if now.score is None or said.score is None:
        return now.score is not said.score
    return abs(now.score - said.score) > _SAME_SCORE
