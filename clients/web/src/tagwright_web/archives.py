"""Uploads of zip files, in the background: each is read where it was spooled, and kept until it is dismissed.

They live in this process alone: when it ends they are gone, with the files. That loses nothing. What was stored is
stored, and the same zip file sent again stores no photo twice.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import BinaryIO, Literal

from tagwright_client import Client, TagwrightError, TokenInvalid, UploadPhoto, UploadResult
from tagwright_web.failures import Failure, failure_of
from tagwright_web.zips import ArchiveRefused, Contents, EntryRefused, PhotoArchive, file_name, shown

log = logging.getLogger(__name__)

_AT_ONCE = 2
_FILES_MAX = 16  # of some gigabytes each
_DONE_MAX = 100
_KEPT_S = 24 * 3600.0
_FAILURES_SHOWN = 500

State = Literal["WAITING", "RUNNING", "DONE", "STOPPED", "SIGNED_OUT", "BROKEN"]
_PENDING, _KEPT, _EXISTING, _FAILED = range(4)  # what became of a photo

Connect = Callable[[str | None, str | None], Client]


@dataclass(frozen=True, slots=True)
class Options:
    """What is said of all photos of a zip file."""

    tags: tuple[str, ...] = ()
    author: str = ""
    shared: bool = False
    embedded: bool = True


@dataclass(frozen=True, slots=True)
class Who:
    """The administrator that an upload acts for: their session, and the address of their browser."""

    username: str
    token: str | None = field(repr=False)
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """An upload at one moment.

    `left` photos have not been tried yet, or not to the end. `trouble` is why it ended in the middle; `failures` are
    the first ones, each a name and a reason. `rate` is in photos a second, 0 where it does not run.
    """

    id: str
    name: str
    username: str
    began: datetime
    size_bytes: int
    options: Options
    state: State
    stopping: bool
    contents: Contents
    kept: int
    existing: int
    failed: int
    rate: float
    trouble: Failure | None
    failures: tuple[tuple[str, str], ...]

    @property
    def done(self) -> int:
        """How many photos have been tried to the end."""
        return self.kept + self.existing + self.failed

    @property
    def left(self) -> int:
        """How many have not."""
        return self.contents.photos - self.done

    @property
    def active(self) -> bool:
        """Whether it runs, or will by itself."""
        return self.state in ("WAITING", "RUNNING")

    @property
    def left_s(self) -> float | None:
        """How long it may take; None where that is not known."""
        return self.left / self.rate if self.rate > 0 else None


@dataclass(slots=True)
class _Job:
    id: str
    name: str
    username: str
    file: BinaryIO
    size_bytes: int
    options: Options
    contents: Contents
    outcomes: bytearray  # by the photo's number
    began: datetime
    state: State = "WAITING"
    trouble: Failure | None = None
    failures: dict[int, tuple[str, str]] = field(default_factory=dict)
    stopping: bool = False
    run: Future[None] | None = None
    client: Client | None = None
    run_began_s: float = 0.0
    run_done: int = 0
    timer: threading.Timer | None = None

    def note(self, number: int, outcome: int, failure: tuple[str, str] | None = None) -> None:
        """Note what became of a photo."""
        self.outcomes[number] = outcome
        self.run_done += 1
        if failure is not None:
            self.failures[number] = failure


class Archives:
    """All uploads of zip files; `connect(token, address)` opens a client. Threads may share it."""

    def __init__(self, connect: Connect, *, at_once: int = _AT_ONCE, kept_s: float = _KEPT_S) -> None:
        self._connect = connect
        self._kept_s = kept_s
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._closed = False
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="archive")

    def begin(self, file: BinaryIO, name: str, options: Options, who: Who) -> str:
        """Begin to store the photos of a zip file, and return the upload's id. Raises ArchiveRefused.

        `file` stays its owner's, to be closed at any time.
        """
        own = _own(file)
        try:
            contents = PhotoArchive(own).contents
            if not contents.photos:
                raise ArchiveRefused("There is no photo in this zip file: no JPEG, PNG or WebP that is not hidden.")
            job = _Job(
                id=secrets.token_urlsafe(9),
                name=shown(name),
                username=who.username,
                file=own,
                size_bytes=own.seek(0, os.SEEK_END),
                options=options,
                contents=contents,
                outcomes=bytearray(contents.photos),
                began=datetime.now(timezone.utc),
            )
            with self._lock:
                if self._full():
                    raise Failure(429, "Too many uploads", f"{_FILES_MAX} zip files are here. Dismiss one first.")
                done = [each for each in self._jobs.values() if each.file.closed]
                for each in done[: max(0, len(done) - _DONE_MAX + 1)]:
                    self._forget(each)
                self._jobs[job.id] = job
                self._start(job, who)
        except BaseException:
            own.close()
            raise
        return job.id

    @property
    def full(self) -> bool:
        """Whether no further zip file is taken, as too many wait, run, or have photos that failed."""
        with self._lock:
            return self._full()

    def seen(self) -> list[Seen]:
        """Return all uploads, the latest first."""
        with self._lock:
            return [self._seen(job) for job in reversed(self._jobs.values())]

    def get(self, id: str) -> Seen:
        """Return one upload; raises Failure where there is none."""
        with self._lock:
            return self._seen(self._job(id))

    def stop(self, id: str) -> None:
        """End an upload; photos that are on their way arrive."""
        with self._lock:
            job = self._job(id)
            job.stopping = True
            if job.run is not None and job.run.cancel():
                self._ended(job, "STOPPED")

    def go_on(self, id: str, who: Who, *, failed_too: bool = False) -> None:
        """Do what is left, and perhaps what failed again, for whoever asks for it."""
        with self._lock:
            job = self._job(id)
            if job.run is not None:
                return  # asked for twice
            if failed_too:
                for number in job.failures:
                    job.outcomes[number] = _PENDING
                job.failures.clear()
            if job.file.closed or _PENDING not in job.outcomes:
                return
            self._start(job, who)

    def dismiss(self, id: str) -> None:
        """Forget an upload that does not run, with its file."""
        with self._lock:
            job = self._job(id)
            if job.run is not None:
                raise Failure(409, "It still runs", "Stop this upload first.")
            self._forget(job)

    def close(self) -> None:
        """End all uploads, in the middle, and forget them."""
        with self._lock:
            self._closed = True
            clients = [job.client for job in self._jobs.values() if job.client is not None]
        for client in clients:
            client.close()
        self._threads.shutdown(cancel_futures=True)
        with self._lock:
            for job in list(self._jobs.values()):
                self._forget(job)

    def _full(self) -> bool:
        return sum(not job.file.closed for job in self._jobs.values()) >= _FILES_MAX

    def _start(self, job: _Job, who: Who) -> None:
        if self._closed:
            raise Failure(503, "Not now", "These pages are being shut down.")
        if job.timer is not None:
            job.timer.cancel()
        job.state, job.trouble, job.stopping = "WAITING", None, False
        job.run_began_s, job.run_done = 0.0, 0
        job.run = self._threads.submit(self._run, job, who)

    def _run(self, job: _Job, who: Who) -> None:
        state: State = "DONE"
        trouble: Failure | None = None
        try:
            with self._connect(who.token, who.address) as client:
                with self._lock:
                    if self._closed:
                        return
                    job.client, job.state, job.run_began_s = client, "RUNNING", time.monotonic()
                self._upload(job, client)
        except TokenInvalid:
            state = "SIGNED_OUT"
        except TagwrightError as err:
            state, trouble = "BROKEN", failure_of(err)
        except Exception:
            log.exception("an upload of a zip file failed")
            state, trouble = "BROKEN", Failure(500, "Something went wrong", "The pages' own log says what.")
        with self._lock:
            if state == "DONE" and _PENDING in job.outcomes:
                state = "STOPPED"
            job.trouble = trouble
            self._ended(job, state)

    def _upload(self, job: _Job, client: Client) -> None:
        archive = PhotoArchive(job.file)
        results = client.upload(
            _photos(job, archive),
            visibility="SHARED" if job.options.shared else "PRIVATE",
            use_embedded_tags=job.options.embedded,
        )
        for result in results:
            number = result.photo.key
            assert isinstance(number, int)
            with self._lock:
                if result.error is None:
                    job.note(number, _EXISTING if result.tags is not None and result.tags.existing else _KEPT)
                else:
                    job.note(number, _FAILED, (shown(archive.names[number]), _reason(result)))

    def _ended(self, job: _Job, state: State) -> None:
        job.state, job.run, job.client = state, None, None
        if state == "DONE" and not job.failures:
            job.file.close()  # nobody will read it again
        job.timer = threading.Timer(self._kept_s, self._expire, (job.id,))
        job.timer.daemon = True
        job.timer.start()

    def _expire(self, id: str) -> None:
        with self._lock:
            job = self._jobs.get(id)
            if job is not None and job.run is None and threading.current_thread() is job.timer:
                self._forget(job)

    def _forget(self, job: _Job) -> None:
        if job.timer is not None:
            job.timer.cancel()
        del self._jobs[job.id]
        job.file.close()

    def _job(self, id: str) -> _Job:
        job = self._jobs.get(id)
        if job is None:
            raise Failure(
                404,
                "There is no such upload",
                "It was dismissed, ended a day ago, or these pages were started anew since. Photos that were stored "
                "are stored; sending the zip file again stores none of them twice.",
            )
        return job

    def _seen(self, job: _Job) -> Seen:
        took_s = time.monotonic() - job.run_began_s
        return Seen(
            id=job.id,
            name=job.name,
            username=job.username,
            began=job.began,
            size_bytes=job.size_bytes,
            options=job.options,
            state=job.state,
            stopping=job.stopping,
            contents=job.contents,
            kept=job.outcomes.count(_KEPT),
            existing=job.outcomes.count(_EXISTING),
            failed=job.outcomes.count(_FAILED),
            rate=job.run_done / max(took_s, 0.001) if job.state == "RUNNING" else 0.0,
            trouble=job.trouble,
            failures=tuple(list(job.failures.values())[:_FAILURES_SHOWN]),
        )


def _photos(job: _Job, archive: PhotoArchive) -> Iterator[UploadPhoto]:
    """Yield the photos that are to be tried, each read when its turn comes, until the upload is to stop."""
    for number in range(len(job.outcomes)):
        if job.stopping:
            return
        if job.outcomes[number] == _PENDING:
            yield UploadPhoto(
                _Reading(archive, number),
                user_tags=job.options.tags,
                author=job.options.author,
                file_name=file_name(archive.names[number]),
                key=number,
            )


class _Reading:
    """Reads one photo whenever it is called; a function of a loop would read the last one."""

    def __init__(self, archive: PhotoArchive, number: int) -> None:
        self._archive, self._number = archive, number

    def __call__(self) -> bytes:
        """Return its bytes."""
        return self._archive.read(self._number)


def _reason(result: UploadResult) -> str:
    """Return why a photo was not stored, in our own words where it is we who refused it."""
    assert result.error is not None
    cause = result.error.__cause__
    if isinstance(cause, EntryRefused):
        return str(cause)
    failure = failure_of(result.error)
    return f"{failure.heading}: {failure.text}"


def _own(file: BinaryIO) -> BinaryIO:
    """Return a file of a form as a file of ours: the same one, as some gigabytes need not be copied."""
    number = file.fileno()  # has a small one written to the disk as well
    file.flush()
    return os.fdopen(os.dup(number), "rb")
