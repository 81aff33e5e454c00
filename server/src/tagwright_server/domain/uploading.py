"""One upload: photos are offered, the bytes of those that are missing come, and each ends with a result.

Whoever reads the stream calls `offer`, `chunk` and `finish`; whoever writes to it takes `answers`; threads of our own
look at the photos and keep them, several at a time, while the next ones come. How much may be under way is bounded, and
whoever sends more has broken the rules. A photo has a result only once it is kept for good.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from tagwright_server.clock import Clock
from tagwright_server.domain.access import Caller
from tagwright_server.domain.deadline import CallerGone, Deadline
from tagwright_server.domain.keeping import Candidate, Keeper, KeptPhoto, candidate
from tagwright_server.domain.tagging import ImageTags, PhotoRequest, Tagger
from tagwright_server.domain.tags import TaggingOptions
from tagwright_server.domain.upload_values import Answer, Limits, MoveOn, Needed, Offer, Result, Slower
from tagwright_server.errors import (
    ArgumentInvalid,
    Busy,
    ComeBack,
    DeadlineExceeded,
    ImageRejected,
    Overloaded,
    TagwrightError,
)
from tagwright_server.store.image_records import Image

_WORKERS = 3  # one has its photos looked at while the other brings its own to disk
_BATCH = 8  # larger ones are slower on processors (architecture.md, section 2)
_LOOK_EVERY_S = 0.5
_AGAIN_S = 0.1


@dataclass(slots=True)
class _Coming:
    """A photo whose bytes come."""

    offer: Offer
    data: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True)
class _Ready:
    """A photo that can be worked on: with its bytes, or as one that is kept already."""

    offer: Offer
    data: bytes
    known: Image | None = None


class Uploads:
    """The uploads in progress."""

    def __init__(self, *, tagger: Tagger, keeper: Keeper, limits: Limits, clock: Clock) -> None:
        self.limits = limits
        self._tagger = tagger
        self._keeper = keeper
        self._clock = clock
        self._lock = threading.Lock()
        self._open: set[Upload] = set()
        self._stopping = False

    def open(self, options: TaggingOptions, *, by: Callable[[], Caller], caller: Caller, deadline: Deadline) -> Upload:
        """Begin an upload; raises NotFound and ArgumentInvalid for options that make no sense. Close it in any case."""
        self._tagger.check(options)
        upload = Upload(
            tagger=self._tagger,
            keeper=self._keeper,
            options=options,
            limits=self.limits,
            by=by,
            caller=caller,
            deadline=deadline,
            clock=self._clock,
            on_close=self._forget,
        )
        with self._lock:
            self._open.add(upload)
            stopping = self._stopping
        if stopping:
            upload.move_on()
        return upload

    def stop(self) -> None:
        """Ask all clients to go on elsewhere, those that come from now on included."""
        with self._lock:
            self._stopping = True
            uploads = tuple(self._open)
        for upload in uploads:
            upload.move_on()

    def _forget(self, upload: Upload) -> None:
        with self._lock:
            self._open.discard(upload)


class Upload:
    """One stream of photos."""

    def __init__(
        self,
        *,
        tagger: Tagger,
        keeper: Keeper,
        options: TaggingOptions,
        limits: Limits,
        by: Callable[[], Caller],
        caller: Caller,
        deadline: Deadline,
        clock: Clock,
        on_close: Callable[[Upload], None],
    ) -> None:
        self._tagger = tagger
        self._keeper = keeper
        self._options = options
        self._limits = limits
        self._by = by
        self._caller = caller
        self._deadline = deadline
        self._clock = clock
        self._on_close = on_close
        self._answers: queue.SimpleQueue[Answer | BaseException | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._offers: set[int] = set()  # those whose result was not taken yet
        self._coming: dict[int, _Coming] = {}
        self._ready: deque[_Ready] = deque()
        self._bytes = 0  # of photos that came, in whole or in part, and have no result
        self._working = 0
        self._finished = self._closed = self._moving_on = False
        self._heard_s = self._opened_s = clock.monotonic_s()
        self._threads = [threading.Thread(target=self._work, name="upload", daemon=True) for _ in range(_WORKERS)]
        for thread in self._threads:
            thread.start()

    def offer(self, offer: Offer) -> None:
        """Take an offer; raises ArgumentInvalid where it breaks the rules."""
        self._heard_s = self._clock.monotonic_s()
        self._begin(offer.id)
        try:
            self._check_size(offer)
            known = self._keeper.find(self._caller, [offer.submission.source_sha256])
            if not known:
                self._keeper.check_room(self._caller, offer.size_bytes)
        except (ImageRejected, ComeBack) as err:
            self._end(offer.id, err)
            return
        with self._changed:
            if known:
                self._ready.append(_Ready(offer, b"", known[offer.submission.source_sha256]))
                self._changed.notify_all()
            else:
                self._coming[offer.id] = _Coming(offer)
        if not known:
            self._answers.put(Needed((offer.id,)))

    def refuse(self, offer_id: int, error: TagwrightError) -> None:
        """Take an offer that is wrong in itself; raises ArgumentInvalid where it breaks the rules."""
        self._heard_s = self._clock.monotonic_s()
        self._begin(offer_id)
        self._end(offer_id, error)

    def chunk(self, offer_id: int, data: bytes) -> None:
        """Take the next bytes of a photo; raises ArgumentInvalid where they break the rules."""
        self._heard_s = self._clock.monotonic_s()
        with self._changed:
            coming = self._coming.get(offer_id)
            if coming is None:
                raise ArgumentInvalid(f"is {offer_id}, a photo that is not needed", field="chunk.offer_id")
            most = self._limits.pace.bytes + self._limits.photo_bytes
            if not data:
                raise ArgumentInvalid("is empty", field="chunk.data")
            if self._bytes + len(data) > most:
                raise ArgumentInvalid(f"is more than the {most:,} bytes that may be under way", field="chunk")
            if len(coming.data) + len(data) > coming.offer.size_bytes:
                raise ArgumentInvalid("is more than was offered", field="chunk.data")
            coming.data += data
            self._bytes += len(data)
            if len(coming.data) < coming.offer.size_bytes:
                return
            del self._coming[offer_id]
        if hashlib.sha256(coming.data).digest() != coming.offer.submission.source_sha256:
            self._end(
                offer_id,
                ArgumentInvalid("is not the SHA-256 of the bytes that came", field="offer.source_sha256"),
                size_bytes=coming.offer.size_bytes,
            )
            return
        with self._changed:
            self._ready.append(_Ready(coming.offer, bytes(coming.data)))
            self._changed.notify_all()

    def finish(self) -> None:
        """Nothing more comes."""
        with self._changed:
            self._finished = True
            if self._coming and not self._closed:
                self._break(ArgumentInvalid("ends before the photos that it offered", field="chunk"))
        self._end_if_done()

    def fail(self, error: BaseException) -> None:
        """End with an error, which `answers` raises."""
        self._break(error)

    def move_on(self, wait_s: float = 1.0) -> None:
        """Ask the client to go on in a new stream."""
        with self._changed:
            if self._moving_on:
                return
            self._moving_on = True
        self._answers.put(MoveOn(wait_s))

    def answers(self) -> Iterator[Answer]:
        """Yield what the client is to hear, until every offer has its result; raises what ends the upload."""
        looked_s = self._clock.monotonic_s()
        while True:
            if self._clock.monotonic_s() - looked_s >= _LOOK_EVERY_S:
                looked_s = self._clock.monotonic_s()
                self._look()
            try:
                answer = self._answers.get(timeout=_LOOK_EVERY_S)
            except queue.Empty:
                continue
            if answer is None:
                return
            if isinstance(answer, BaseException):
                raise answer
            if isinstance(answer, Result):
                with self._changed:  # from here on its number is free: the client hears of it only now
                    self._offers.discard(answer.offer_id)
            yield answer
            if isinstance(answer, Result):
                self._end_if_done()

    def close(self) -> None:
        """Drop what has not been done. What is just being kept is kept or not, as if the client had hung up."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._coming.clear()
            self._changed.notify_all()
        self._on_close(self)

    def join(self) -> None:
        """Wait for what is just being done; after `close`."""
        for thread in self._threads:
            thread.join()

    def _look(self) -> None:
        self._deadline.check("the upload was finished")
        now_s = self._clock.monotonic_s()
        with self._changed:
            busy = bool(self._working or self._ready)
        if not busy and now_s - self._heard_s > self._limits.idle_s:
            raise DeadlineExceeded(f"nothing came for {self._limits.idle_s:g} seconds")
        if now_s - self._opened_s > self._limits.age_s:
            self.move_on(0.0)

    def _begin(self, offer_id: int) -> None:
        with self._changed:
            if offer_id in self._offers:
                raise ArgumentInvalid(f"is {offer_id}, which another photo has just now", field="offer.offer_id")
            if len(self._offers) >= self._limits.pace.photos:
                raise ArgumentInvalid(f"is one more than the {self._limits.pace.photos} of the pace", field="offer")
            self._offers.add(offer_id)

    def _check_size(self, offer: Offer) -> None:
        if offer.size_bytes < 1:
            raise ImageRejected("The photo is empty: it has 0 bytes.", limit="empty", actual="0 bytes")
        if offer.size_bytes > self._limits.photo_bytes:
            raise ImageRejected(
                f"The photo has {offer.size_bytes:,} bytes; at most {self._limits.photo_bytes:,} are accepted.",
                limit="bytes",
                allowed=str(self._limits.photo_bytes),
                actual=str(offer.size_bytes),
            )

    def _end(
        self,
        offer_id: int,
        kept: KeptPhoto | TagwrightError,
        *,
        size_bytes: int = 0,
        looked: ImageTags | None = None,
    ) -> None:
        with self._changed:
            self._bytes -= size_bytes
        self._answers.put(Result(offer_id, kept, looked))

    def _end_if_done(self) -> None:
        with self._changed:
            done = self._finished and not self._offers
        if done:
            self._answers.put(None)

    def _break(self, error: BaseException) -> None:
        self._answers.put(error)

    def _work(self) -> None:
        while batch := self._next_batch():
            try:
                self._do(batch)
            except CallerGone:
                return
            except BaseException as err:  # whoever writes to the stream raises it, to where all errors are dealt with
                self._break(err)
                return
            finally:
                with self._changed:
                    self._working -= 1

    def _next_batch(self) -> list[_Ready]:
        """Wait for photos and return some that differ from each other; none when there is nothing more to do."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._ready)
            batch: dict[bytes, _Ready] = {}
            while self._ready and len(batch) < _BATCH:
                if self._ready[0].offer.submission.source_sha256 in batch:
                    break
                ready = self._ready.popleft()
                batch[ready.offer.submission.source_sha256] = ready
            if batch:
                self._working += 1
            return list(batch.values())

    def _do(self, batch: Sequence[_Ready]) -> None:
        for each in batch:
            if each.known is not None:
                self._give(each, each.known)
        new = [each for each in batch if each.known is None]
        if new:
            self._keep(new)

    def _give(self, ready: _Ready, known: Image) -> None:
        said = ready.offer.submission
        try:
            kept = self._keeper.give(known, said.user_tags, source=said.user_tag_source, by=self._by)
        except (ComeBack, ArgumentInvalid) as err:
            self._end(ready.offer.id, err)
            return
        deleted = Busy("the photo was deleted just now; offer it again", retry_after_s=_AGAIN_S)
        self._end(ready.offer.id, kept if kept is not None else deleted)

    def _keep(self, batch: Sequence[_Ready]) -> None:
        requests = [PhotoRequest(each.data, self._options, keep=True) for each in batch]
        try:
            results = self._looked_at(requests)
        except ComeBack as err:
            self._end_all(batch, err)
            return
        good: list[tuple[_Ready, Candidate]] = []
        for each, looked in zip(batch, results, strict=True):
            if isinstance(looked, ImageTags):
                good.append((each, candidate(each.offer.submission, looked)))
            else:
                self._end(each.offer.id, looked, size_bytes=each.offer.size_bytes)
        if not good:
            return
        try:
            kept = self._keeper.keep([photo for _, photo in good], self._by)
        except ComeBack as err:
            self._end_all([each for each, _ in good], err)
            return
        for (each, photo), result in zip(good, kept, strict=True):
            shown = self._with_near(result) if isinstance(result, KeptPhoto) and not result.existing else result
            self._end(each.offer.id, shown, size_bytes=each.offer.size_bytes, looked=photo.looked)

    def _with_near(self, kept: KeptPhoto) -> KeptPhoto:
        try:
            near_ids = self._keeper.near(kept.image.content, self._by(), but=kept.image.id)
        except ComeBack:  # the photo is kept all the same
            return kept
        return replace(kept, near_ids=near_ids)

    def _looked_at(self, requests: Sequence[PhotoRequest]) -> Sequence[ImageTags | TagwrightError]:
        """Have photos looked at; where the server is busy with others, they wait, and so does the client."""
        while True:
            try:
                return self._tagger.tag_many(requests, self._deadline).results
            except Overloaded as err:
                self._answers.put(Slower(self._limits.pace, err.retry_after_s))
                with self._changed:
                    if self._changed.wait_for(lambda: self._closed, timeout=err.retry_after_s):
                        raise CallerGone from err

    def _end_all(self, batch: Sequence[_Ready], error: ComeBack) -> None:
        self._answers.put(Slower(self._limits.pace, error.retry_after_s))
        for each in batch:
            self._end(each.offer.id, error, size_bytes=each.offer.size_bytes)
