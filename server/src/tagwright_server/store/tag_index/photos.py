"""What the tag index holds: columns of photos and, both ways, which tags they have.

About 60 bytes for each photo and 20 for each tag of it.

A photo that changes gets a new slot behind all others, as in Lucene's segments: so lists only ever grow at their end,
and stay in order. What is left behind is passed over, and goes when there is much of it (`compacted`). Not for several
threads, but that any number may read at once.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tagwright_server.store.columns import ALL_SEEING, Names, Sight, Slots, grown
from tagwright_server.store.tag_index.bits import TagBits
from tagwright_server.store.tag_index.postings import Posting, Postings, weights
from tagwright_server.store.tag_index.reading import PhotoFacts, PhotoTags

NOBODY = -1  # the author's number where nobody is named
_LEFT_MIN = 20_000  # slots that are left behind before it is worth the time to be rid of them
_VIEWERS = 64  # accounts whose own counts are kept at hand

Slots32 = NDArray[np.int32]


def folded(author: str) -> str:
    """Return what is equal for equal authors."""
    return " ".join(author.split()).casefold()


class TaggedPhotos:
    """The photos of a tag index."""

    def __init__(self) -> None:
        self.size = 0
        self.end = 0  # of the slots that were ever used
        self.last_number = 0  # of a photo, the greatest ever; not for callers
        self.postings = Postings()  # of tags that count as the photos'
        self.rejected = Postings()
        self.bits = TagBits()
        self.people = Names()  # ids of accounts that own photos
        self.authors = Names()  # folded
        self._slots = Slots()
        self._sight = Sight()
        self.live = np.zeros(0, np.bool_)
        self.numbers = np.zeros(0, np.int64)
        self.owners = np.zeros(0, np.int32)
        self.shared = np.zeros(0, np.bool_)
        self.author = np.zeros(0, np.int32)
        self.created_us = np.zeros(0, np.int64)
        self.captured_us = np.zeros(0, np.int64)
        self.sides = np.zeros(0, np.int32)
        self.hashes = np.zeros(0, np.uint64)
        self._starts = np.zeros(1, np.int64)  # of each slot's tags in the pool; its end is the next one's start
        self._tags = np.zeros(0, np.int32)
        self._scores = np.zeros(0, np.float32)
        self._counts = np.zeros(0, np.int64)  # photos by tag
        self._shared_counts = np.zeros(0, np.int64)
        self._changed: Counter[int] = Counter()  # how often an owner's photos did
        self._own_counts: OrderedDict[int, tuple[int, NDArray[np.int64]]] = OrderedDict()

    def slot(self, number: int) -> int | None:
        """Return the slot of a photo."""
        return self._slots.get(number)

    def slots(self, numbers: NDArray[np.int64]) -> Slots32:
        """Return the slots of those of the photos that are here, in the order of their numbers."""
        return self._slots.many(numbers)

    def slots_in_order(self, numbers: NDArray[np.int64]) -> Slots32:
        """Return the slots of photos in the order of what is given, -1 for those that are not here."""
        return self._slots.in_order(numbers)

    def owner(self, account_id: str) -> int:
        """Return the number of an account that owns photos, NOBODY for others."""
        found = self.people.find(account_id)
        return NOBODY if found is None else found

    def seen(self, slots: Slots32 | slice, viewer: str | None) -> NDArray[np.bool_]:
        """Return for each slot whether it holds a photo that an account sees, None: an administrator."""
        number = ALL_SEEING if viewer is None else self.owner(viewer)
        found: NDArray[np.bool_] = self._sight.of(number, lambda: self._all_seen(number))[slots]
        return found

    def last_seen(self, viewer: str | None) -> int:
        """Return the greatest number of a photo that an account sees, 0 where there is none."""
        seen = self.seen(slice(0, self.end), viewer)
        return int(np.where(seen, self.numbers[: self.end], 0).max(initial=0))

    def untagged(self, slots: Slots32 | slice) -> NDArray[np.bool_]:
        """Return for each slot whether its photo has no tag but rejected ones."""
        begins, ends = self._starts[: self.end][slots], self._starts[1 : self.end + 1][slots]
        found: NDArray[np.bool_] = begins == ends
        return found

    def tags_of(self, slots: Slots32) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
        """Return the tags of photos behind each other, their scores, and how many each photo has."""
        starts = self._starts[slots]
        lengths = self._starts[slots + 1] - starts
        ends = np.cumsum(lengths)
        places = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)
        return self._tags[places], self._scores[places], lengths

    def counts(self, viewer: str | None) -> NDArray[np.int64]:
        """Return by tag how many photos have it, of those that an account sees, None: an administrator."""
        if viewer is None:
            return self._counts.copy()  # it goes on changing
        owner = self.owner(viewer)
        if owner == NOBODY:
            return self._shared_counts.copy()
        own = self._own(owner)
        total = self._shared_counts.copy()
        total[: len(own)] += own
        return total

    def put(self, photos: PhotoFacts, tags: PhotoTags) -> None:
        """Have photos as they are now, whether or not they were here."""
        self.remove(photos.numbers.tolist())
        by_image: dict[int, list[int]] = {}
        for place, image in enumerate(tags.images.tolist()):
            by_image.setdefault(image, []).append(place)
        for slot, number in zip(self._append(photos), photos.numbers.tolist(), strict=True):
            places = np.array(by_image.get(number, ()), np.int64)
            suit = places[~tags.rejected[places]]
            self._put_tags(slot, tags.tags[suit], tags.scores[suit])
            for tag in tags.tags[suit].tolist():
                self.bits.set(tag, slot)
            for lists, some in ((self.postings, suit), (self.rejected, places[tags.rejected[places]])):
                counted = weights(tags.scores[some], tags.marks[some]).tolist()
                for tag, weight, mark in zip(tags.tags[some].tolist(), counted, tags.marks[some].tolist(), strict=True):
                    lists.append(tag, slot, weight, mark)
            self._count(slot, 1)

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove those of the photos that are here."""
        for number in numbers:
            slot = self._slots.get(number)
            if slot is not None:
                self._count(slot, -1)
                self._slots.remove(number)
                self.live[slot] = False
                self._sight.clear(slot)
                self.size -= 1

    @classmethod
    def of(cls, parts: Iterable[tuple[PhotoFacts, PhotoTags]]) -> TaggedPhotos:
        """Return an index of photos, each in one part with all its tags: quicker than one by one."""
        found = cls()
        slots, tags, scores, marks, rejected = [], [], [], [], []
        for photos, some in parts:
            first, numbers = found.end, photos.numbers  # ascending
            found._append(photos)
            places = np.searchsorted(numbers, some.images)
            known = places < len(numbers)  # a tag may be of a photo that came a moment later
            known[known] = numbers[places[known]] == some.images[known]
            kept = np.flatnonzero(known)
            kept = kept[np.argsort(places[kept], kind="stable")]  # by photo
            slots.append((first + places[kept]).astype(np.int32))
            tags.append(some.tags[kept].astype(np.int32))
            scores.append(some.scores[kept])
            marks.append(some.marks[kept])
            rejected.append(some.rejected[kept])
        if slots:
            all_scores, all_marks = np.concatenate(scores), np.concatenate(marks)
            posting = Posting(np.concatenate(slots), weights(all_scores, all_marks), all_marks)
            found._fill(np.concatenate(tags), all_scores, posting, np.concatenate(rejected))
        return found

    @property
    def outgrown(self) -> bool:
        """Whether much of it is left behind by photos that changed or went."""
        return self.end - self.size > max(_LEFT_MIN, self.size // 4)

    def compacted(self) -> TaggedPhotos:
        """Return the same photos without what was left behind; others may read meanwhile."""
        other = TaggedPhotos()
        kept = np.flatnonzero(self.live[: self.end]).astype(np.int32)
        other.size = other.end = len(kept)
        other.last_number = self.last_number
        other.people, other.authors = self.people, self.authors
        for name in _COLUMNS:
            setattr(other, name, getattr(self, name)[kept])
        other._slots.put_many(other.numbers, range(other.end))
        moved = np.full(self.end, -1, np.int32)
        moved[kept] = np.arange(len(kept), dtype=np.int32)
        other.postings, other.rejected = self.postings.moved(moved), self.rejected.moved(moved)
        other._tags, other._scores, lengths = self.tags_of(kept)
        other._starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        other._counts, other._shared_counts = self._counts.copy(), self._shared_counts.copy()
        other.bits = TagBits.of(other.postings, other._counts, other.end)
        return other

    def _all_seen(self, viewer: int) -> NDArray[np.bool_]:
        if viewer == ALL_SEEING:
            return self.live.copy()
        seen: NDArray[np.bool_] = self.live & (self.shared | (self.owners == viewer))
        return seen

    def _append(self, photos: PhotoFacts) -> range:
        """Put photos without their tags, and return their slots."""
        here = range(self.end, self.end + len(photos.numbers))
        self.end = here.stop
        for name in _COLUMNS if self.end > len(self.live) else ():
            setattr(self, name, grown(getattr(self, name), self.end))
        self._starts = grown(self._starts, self.end + 1)
        slots = slice(here.start, here.stop)
        self.live[slots] = True
        self.numbers[slots], self.hashes[slots], self.shared[slots] = photos.numbers, photos.hashes, photos.shared
        self.created_us[slots], self.captured_us[slots] = photos.created_us, photos.captured_us
        self.sides[slots] = photos.sides
        self.owners[slots] = [self.people.number(owner) for owner in photos.owner_ids]
        self.author[slots] = [self.authors.number(folded(author)) if author else NOBODY for author in photos.authors]
        self._starts[here.start + 1 : self.end + 1] = self._starts[here.start]
        for slot in here:
            self._sight.set(slot, owner=int(self.owners[slot]), shared=bool(self.shared[slot]))
        self._slots.put_many(photos.numbers, here)
        self.last_number = max(self.last_number, int(photos.numbers.max(initial=0)))
        self.size += len(here)
        return here

    def _put_tags(self, slot: int, tags: NDArray[np.int64], scores: NDArray[np.float32]) -> None:
        start = int(self._starts[slot])
        end = start + len(tags)
        self._tags, self._scores = grown(self._tags, end), grown(self._scores, end)
        self._tags[start:end], self._scores[start:end] = tags, scores
        self._starts[slot + 1 : self.end + 1] = end  # those behind it have none yet

    def _fill(
        self,
        tags: NDArray[np.int32],
        scores: NDArray[np.float32],
        posting: Posting,
        rejected: NDArray[np.bool_],
    ) -> None:
        suit = np.flatnonzero(~rejected)
        self._tags, self._scores = tags[suit], scores[suit]
        lengths = np.bincount(posting.slots[suit], minlength=self.end)
        self._starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        for lists, some in ((self.postings, suit), (self.rejected, np.flatnonzero(rejected))):
            lists.fill(
                tags[some].astype(np.int64), Posting(posting.slots[some], posting.weights[some], posting.marks[some])
            )
        self._counts = np.bincount(self._tags).astype(np.int64)
        shared = np.repeat(self.shared[: self.end], lengths)
        self._shared_counts = np.bincount(self._tags[shared], minlength=len(self._counts)).astype(np.int64)
        self.bits = TagBits.of(self.postings, self._counts, self.end)

    def _count(self, slot: int, more: int) -> None:
        tags = self._tags[self._starts[slot] : self._starts[slot + 1]]
        if len(tags):
            self._counts = grown(self._counts, int(tags.max()) + 1)
            self._shared_counts = grown(self._shared_counts, int(tags.max()) + 1)
        self._counts[tags] += more  # a photo has a tag once
        if self.shared[slot]:
            self._shared_counts[tags] += more
        else:
            self._changed[int(self.owners[slot])] += 1

    def _own(self, owner: int) -> NDArray[np.int64]:
        """Return by tag how many photos have it that nobody but their owner sees."""
        changed = self._changed[owner]
        kept = self._own_counts.get(owner)
        if kept is not None and kept[0] == changed:
            return kept[1]
        own = self.live[: self.end] & ~self.shared[: self.end] & (self.owners[: self.end] == owner)
        tags, _, _ = self.tags_of(np.flatnonzero(own).astype(np.int32))
        counts = np.bincount(tags).astype(np.int64)
        self._own_counts[owner] = (changed, counts)
        while len(self._own_counts) > _VIEWERS:
            self._own_counts.popitem(last=False)
        return counts


_COLUMNS = ("live", "numbers", "owners", "shared", "author", "created_us", "captured_us", "sides", "hashes")
