"""What an upload does next: a state machine without threads, network, files or a clock.

Each photo waits, is offered, perhaps needed and sent, and ends with exactly one result. Whoever drives the machine
tells it what came and what time it is (seconds of a clock that never goes back), does what `next_step` says, and takes
the results from `finished`. A stream may end at any moment: what has no result is offered again in the next one.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass, field

from ._errors import PhotoUnreadable, TagwrightError
from ._upload_values import UploadPhoto
from ._values import PhotoTags

CHUNK_BYTES = 64 * 1024  # the contract's limit
_SHORTEST_RETRY_S = 0.1  # where the server says "at once", it gets a moment all the same
_FEWEST_TAKEN = 16  # before the server has said how many it takes


@dataclass(eq=False, slots=True)
class Entry:
    """One photo of an upload that can be offered, and how far it is."""

    photo: UploadPhoto
    sha256: str
    size_bytes: int
    file_name: str = ""
    number: int = 0
    sent_bytes: int = 0
    changed: bool = False
    first_offer_s: float | None = None
    first_refusal_s: float | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """A photo with its result: either `tags` or `error`. `took_s`: since it was first offered."""

    photo: UploadPhoto
    tags: PhotoTags | None
    error: TagwrightError | None
    sent_bytes: int
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Offer:
    """Step: offer this photo under this number."""

    offer_id: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class Open:
    """Step: read this photo, and call `opened`, or `unreadable`."""

    offer_id: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class Chunk:
    """Step: send these bytes."""

    offer_id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Step: nothing before this moment, unless something comes; infinity: nothing at all."""

    until_s: float


@dataclass(frozen=True, slots=True)
class HalfClose:
    """Step: nothing more will be sent in this stream."""


Step = Offer | Open | Chunk | Wait | HalfClose


@dataclass(slots=True)
class _Sending:
    offer_id: int
    entry: Entry
    data: memoryview
    position: int = 0


@dataclass(slots=True)
class _Stream:
    """What holds for one stream only. Before its pace came, nothing may be offered."""

    photos_max: int = 0
    bytes_max: int = 0
    quiet_until_s: float = 0.0
    leaving: bool = False
    broken: bool = False  # it holds an offer that can never be completed, so it cannot be closed in order
    offered: dict[int, Entry] = field(default_factory=dict)
    needed: deque[int] = field(default_factory=deque)
    opening: int | None = None
    sending: _Sending | None = None
    in_flight: dict[int, int] = field(default_factory=dict)  # bytes sent, or about to be, of photos without a result


class UploadSession:
    """All photos of one upload that have been taken up and have no result yet."""

    def __init__(self, *, give_up_s: float, window: int | None = None) -> None:
        self.finished: deque[Finished] = deque()
        self.source_used_up = False
        self._give_up_s = give_up_s
        self._window = window
        self._taken_max = window or _FEWEST_TAKEN
        self._stream = _Stream()
        self._waiting: list[tuple[float, int, Entry]] = []  # a heap: from when on it may be offered, and in which order
        self._last_number = 0
        self._last_offer_id = 0

    @property
    def unfinished(self) -> int:
        """How many photos have no result."""
        return len(self._waiting) + len(self._stream.offered)

    @property
    def offered(self) -> int:
        """How many photos are offered in this stream and have no result."""
        return len(self._stream.offered)

    @property
    def room(self) -> bool:
        """Whether one more photo may be taken up."""
        return self.unfinished + len(self.finished) < self._taken_max

    @property
    def hungry(self) -> bool:
        """Whether the server could do with a photo that has not been taken up yet."""
        return self.room and not self._waiting

    @property
    def completed(self) -> bool:
        """Whether every photo has its result, and no other will come."""
        return self.source_used_up and not self.unfinished

    @property
    def leaving(self) -> bool:
        """Whether nothing more will be offered in this stream."""
        return self._stream.leaving

    @property
    def left(self) -> bool:
        """Whether all that this stream could bring has come, and a new one is to take its place."""
        return self._stream.leaving and not self._stream.offered

    @property
    def broken(self) -> bool:
        """Whether this stream is to be cancelled rather than half closed once it is left."""
        return self._stream.broken

    def add(self, entry: Entry, *, now_s: float) -> None:
        """Take up a photo. It queues behind those that are to be offered again by now."""
        self._last_number += 1
        entry.number = self._last_number
        heapq.heappush(self._waiting, (now_s, entry.number, entry))

    def fail(self, photo: UploadPhoto, error: TagwrightError) -> None:
        """Take up a photo that cannot even be offered."""
        self.finished.append(Finished(photo=photo, tags=None, error=error, sent_bytes=0))

    def reset(self) -> None:
        """Begin a new stream: what the last one left without a result is offered again, in its old order."""
        for entry in self._stream.offered.values():
            heapq.heappush(self._waiting, (0.0, entry.number, entry))
        self._stream = _Stream()

    def pace(self, *, photos_max: int, bytes_max: int, wait_s: float, now_s: float) -> None:
        """The server said how much may be under way, and how long to be quiet."""
        stream = self._stream
        stream.photos_max = photos_max
        stream.bytes_max = bytes_max
        stream.quiet_until_s = now_s + max(wait_s, 0.0)
        if self._window is None:
            self._taken_max = max(2 * stream.photos_max, _FEWEST_TAKEN)  # the next ones are ready when some end

    def need(self, offer_ids: list[int]) -> None:
        """The server asked for the bytes of these; what was asked for before is not sent twice."""
        stream = self._stream
        for offer_id in offer_ids:
            if offer_id in stream.offered and offer_id not in stream.in_flight and offer_id not in stream.needed:
                stream.needed.append(offer_id)

    def result(
        self, offer_id: int, *, tags: PhotoTags | None = None, error: TagwrightError | None = None, now_s: float
    ) -> None:
        """The server said what became of a photo. A number that nothing is offered under is passed over."""
        entry = self._forget(offer_id)
        if entry is None:
            return
        if error is not None and error.retry_after_s is not None:
            entry.first_refusal_s = entry.first_refusal_s if entry.first_refusal_s is not None else now_s
            again_s = now_s + max(error.retry_after_s, _SHORTEST_RETRY_S)
            if again_s <= entry.first_refusal_s + self._give_up_s:
                heapq.heappush(self._waiting, (again_s, entry.number, entry))
                return
        self._finish(entry, tags, error, now_s=now_s)

    def move_on(self) -> None:
        """The server asked for a new stream."""
        self._stream.leaving = True

    def opened(self, offer_id: int, data: bytes, *, sha256: str, now_s: float) -> None:
        """Here is what a photo holds now; where that is not what was offered, it is offered anew, once."""
        stream = self._stream
        if stream.opening != offer_id:
            return  # of a stream that is gone, or refused meanwhile
        stream.opening = None
        entry = stream.offered[offer_id]
        if len(data) == entry.size_bytes and sha256 == entry.sha256:
            stream.sending = _Sending(offer_id=offer_id, entry=entry, data=memoryview(data))
            return
        self._withdraw(offer_id)
        if entry.changed:
            self._finish(entry, None, PhotoUnreadable("the photo changes while it is read"), now_s=now_s)
            return
        entry.sha256, entry.size_bytes, entry.changed = sha256, len(data), True
        heapq.heappush(self._waiting, (0.0, entry.number, entry))

    def unreadable(self, offer_id: int, error: TagwrightError, *, now_s: float) -> None:
        """A photo that the server needs cannot be read any more."""
        if self._stream.opening != offer_id:
            return
        entry = self._withdraw(offer_id)
        self._finish(entry, None, error, now_s=now_s)

    def next_step(self, now_s: float) -> Step:
        """Return what to do now. Offers come before bytes: they are small, and keep the server asking."""
        stream = self._stream
        if self.left or self.completed:
            return Wait(until_s=math.inf) if stream.broken else HalfClose()
        if now_s < stream.quiet_until_s:
            return Wait(until_s=stream.quiet_until_s)
        if self._may_offer and self._waiting[0][0] <= now_s:
            return self._offer(heapq.heappop(self._waiting)[2], now_s=now_s)
        if stream.sending is not None:
            return self._chunk(stream.sending)
        while stream.needed:
            offer_id = stream.needed[0]
            entry = stream.offered.get(offer_id)
            if entry is not None and not self._fits(entry):
                break
            stream.needed.popleft()
            if entry is not None:
                stream.opening = offer_id
                stream.in_flight[offer_id] = entry.size_bytes
                return Open(offer_id=offer_id, entry=entry)
        return Wait(until_s=self._waiting[0][0] if self._may_offer else math.inf)

    @property
    def _may_offer(self) -> bool:
        stream = self._stream
        return not stream.leaving and bool(self._waiting) and len(stream.offered) < stream.photos_max

    def _fits(self, entry: Entry) -> bool:
        in_flight = self._stream.in_flight
        return not in_flight or sum(in_flight.values()) + entry.size_bytes <= self._stream.bytes_max

    def _offer(self, entry: Entry, *, now_s: float) -> Offer:
        self._last_offer_id += 1  # a new number each time: what comes late can belong to no other photo
        self._stream.offered[self._last_offer_id] = entry
        if entry.first_offer_s is None:
            entry.first_offer_s = now_s
        return Offer(offer_id=self._last_offer_id, entry=entry)

    def _chunk(self, sending: _Sending) -> Chunk:
        data = bytes(sending.data[sending.position : sending.position + CHUNK_BYTES])
        sending.position += len(data)
        sending.entry.sent_bytes += len(data)
        if sending.position == len(sending.data):
            self._stream.sending = None
        return Chunk(offer_id=sending.offer_id, data=data)

    def _withdraw(self, offer_id: int) -> Entry:
        # The contract has no word for it: the stream is left as if the server had asked, and this offer dies with it.
        entry = self._forget(offer_id)
        assert entry is not None
        self._stream.leaving = self._stream.broken = True
        return entry

    def _forget(self, offer_id: int) -> Entry | None:
        stream = self._stream
        stream.in_flight.pop(offer_id, None)
        if stream.opening == offer_id:
            stream.opening = None
        if stream.sending is not None and stream.sending.offer_id == offer_id:
            stream.sending = None
        return stream.offered.pop(offer_id, None)

    def _finish(self, entry: Entry, tags: PhotoTags | None, error: TagwrightError | None, *, now_s: float) -> None:
        took_s = now_s - entry.first_offer_s if entry.first_offer_s is not None else 0.0
        self.finished.append(
            Finished(photo=entry.photo, tags=tags, error=error, sent_bytes=entry.sent_bytes, took_s=took_s)
        )
