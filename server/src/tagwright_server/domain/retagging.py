"""Tagging stored photos anew, in the background: an operation in the database, which any server may carry on.

A photo's new tags and the note that it is done are one transaction. So each photo is done once, however often servers
are killed and started, and the counts and the differences are exact. What people decided stays (decisions.py).
"""

from __future__ import annotations

import logging
import secrets
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tagwright_server.clock import Clock
from tagwright_server.domain.access import Caller
from tagwright_server.domain.deadline import Deadline
from tagwright_server.domain.decisions import Refined, difference, refined, tagged
from tagwright_server.domain.keeping import packed, seen
from tagwright_server.domain.models import full_name
from tagwright_server.domain.refining import Refining
from tagwright_server.domain.tagging import ImageTags, PhotoRequest, Tagger
from tagwright_server.domain.tags import TaggingOptions
from tagwright_server.errors import Busy, ComeBack, DeadlineExceeded, NotFound, QuotaExceeded, TagwrightError
from tagwright_server.store.blobs import BlobMissing, Blobs
from tagwright_server.store.image_records import (
    Image,
    ImageFailure,
    ImageFilter,
    Operation,
    OperationState,
    TagChange,
    Visibility,
)
from tagwright_server.store.operations import LeaseLost
from tagwright_server.store.store import Store

log = logging.getLogger(__name__)

MOST_UNFINISHED = 20  # the contract says so (tagging_service.proto)
MOST_FAILURES = 100  # that are told one by one; the contract says so (operation.proto)
_AGAIN_S = 60.0
_BATCH = 8
_PATIENCE_S = 60.0  # for one batch
_OPENING_S = 1.0  # until it is looked whether photos vote by now
_LEASE = timedelta(seconds=15)  # who was killed is followed after that; who is slower than that does no harm
_LOOK_EVERY_S = 2.0  # for operations that other servers were asked for


class Retagging:
    """The operations, as callers see them."""

    def __init__(self, store: Store, *, refining: Refining, runner: Runner, clock: Clock) -> None:
        self._store = store
        self._refining = refining
        self._runner = runner
        self._clock = clock

    def start(
        self, wanted: ImageFilter, wanted_text: bytes, *, model: str, validate_only: bool, by: Caller
    ) -> Operation:
        """Begin an operation; raises NotFound and QuotaExceeded. Call inside transaction(), and `wake` behind it."""
        name, _ = self._refining.find(model)
        now = self._clock.now()
        if self._store.operations.count_unfinished() >= MOST_UNFINISHED:
            raise QuotaExceeded(f"there are {MOST_UNFINISHED} unfinished operations", retry_after_s=_AGAIN_S)
        operation = Operation(
            id=uuid.uuid4().hex,
            state=OperationState.PENDING,
            account_id=by.account.id,
            username=by.account.username,
            created=now,
            updated=now,
            filter=wanted,
            filter_text=wanted_text,
            model_version=name,
            validate_only=validate_only,
            total=self._store.images.count(wanted),
            last=self._store.images.last_number(),
        )
        self._store.operations.add(operation)
        details = {"model": operation.model_version, "validate_only": str(validate_only), "total": str(operation.total)}
        self._store.audit.add(by.actor.did("retag.start", operation.id, at=now, details=details))
        return operation

    def wake(self) -> None:
        """Have it begun at once."""
        self._runner.wake()

    def get(self, id: str) -> Operation:
        """Return one operation; raises NotFound."""
        operation = self._store.operations.get(id)
        if operation is None:
            raise NotFound("there is no such operation")
        return operation

    def page(self, *, before: tuple[datetime, str] | None, limit: int) -> list[Operation]:
        """Return operations, the latest first."""
        return self._store.operations.page(before=before, limit=limit)

    def cancel(self, id: str, *, by: Caller) -> Operation:
        """End an operation at its next photos; raises NotFound. Call inside transaction()."""
        operation = self.get(id)
        if operation.state.ended or operation.cancelling:
            return operation
        now = self._clock.now()
        self._store.audit.add(by.actor.did("retag.cancel", id, at=now))
        return self._store.operations.cancel(id, at=now)


@dataclass(slots=True)
class _Step:
    """What a few photos came to; it is written in one transaction."""

    done: int
    failed: int
    changes: dict[str, TagChange]
    failures: tuple[ImageFailure, ...]


class Runner:
    """A thread that carries operations on, one after the other."""

    def __init__(self, store: Store, blobs: Blobs, *, tagger: Tagger, refining: Refining, clock: Clock) -> None:
        self._store = store
        self._blobs = blobs
        self._tagger = tagger
        self._refining = refining
        self._clock = clock
        self._holder = uuid.uuid4().hex
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="operations", daemon=True)

    def start(self) -> None:
        """Carry on what is there, and what comes."""
        self._thread.start()

    def wake(self) -> None:
        """Look for operations now."""
        self._wake.set()

    def stop(self) -> None:
        """End after the photos in progress; another server, or the next start, carries on."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                busy = self._carry_on()
            except ComeBack as err:
                log.warning("operations wait: %s", err)
                busy = False
            except Exception:
                log.exception("operations wait, as one of them failed")
                busy = False
            if not busy:
                self._wake.wait(_LOOK_EVERY_S)
                self._wake.clear()
        try:
            self._store.operations.release(self._holder)
        except TagwrightError as err:
            log.warning("operations are carried on in %s: %s", _LEASE, err)

    def _carry_on(self) -> bool:
        """Do what there is to do of one operation; return whether there was one."""
        now = self._clock.now()
        operation = self._store.operations.claim(self._holder, at=now, lease_until=now + _LEASE)
        if operation is None:
            return False
        try:
            self._refining.find(operation.model_version)
        except NotFound as err:  # a later version of the server may not have it any more
            self._finish(operation, OperationState.FAILED, err)
            return True
        try:
            self._go_through(operation)
        except ComeBack:
            raise
        except Exception:  # it would fail again and again, and keep the others from their turn
            error_id = secrets.token_hex(6)
            log.exception("error %s in operation %s", error_id, operation.id)
            fault = TagwrightError(f"Something went wrong in the server. Error id: {error_id}")
            self._finish(operation, OperationState.FAILED, fault)
        return True

    def _go_through(self, operation: Operation) -> None:
        """Do batch after batch, until it has ended, another server has it, or this one stops."""
        while not self._stop.is_set():
            if operation.cancelling:
                self._finish(operation, OperationState.CANCELLED)
                return
            images = self._store.images.following(
                operation.filter, after=operation.cursor, last=operation.last, limit=_BATCH
            )
            if not images:
                self._finish(operation, OperationState.SUCCEEDED)
                return
            try:
                operation = self._do(operation, images)
            except LeaseLost:
                return
            except ComeBack as err:
                log.info("operation %s waits %g s: %s", operation.id, err.retry_after_s, err)
                self._stop.wait(err.retry_after_s)
                operation = self._store.operations.get(operation.id) or operation  # it may have been cancelled
            except DeadlineExceeded:
                log.info("operation %s tries its next photos once more", operation.id)

    def _do(self, operation: Operation, images: Sequence[Image]) -> Operation:
        if self._refining.opening(self._refining.find(operation.model_version)[1]):
            raise Busy("the photos that are kept do not vote yet", retry_after_s=_OPENING_S)
        looked = self._looked_at(operation, images)
        judged = self._judged(operation, images, looked)
        with self._store.transaction():
            step = self._apply(operation, images, looked, judged)
            now = self._clock.now()
            return self._store.operations.advance(
                operation.id,
                self._holder,
                cursor=images[-1].number,
                done=step.done,
                failed=step.failed,
                changes=step.changes,
                failures=step.failures[: max(0, MOST_FAILURES - len(operation.failures))],
                at=now,
                lease_until=now + _LEASE,
            )

    def _looked_at(self, operation: Operation, images: Sequence[Image]) -> dict[int, ImageTags | TagwrightError]:
        """Return what the model makes of each photo, by number. One that is gone is in none of it."""
        _, model = self._refining.find(operation.model_version)
        options = TaggingOptions(model=full_name(model))
        requests: dict[int, PhotoRequest] = {}
        looked: dict[int, ImageTags | TagwrightError] = {}
        for image in images:
            try:
                requests[image.number] = PhotoRequest(self._blobs.read(image.content.sha256), options, ours=True)
            except (BlobMissing, OSError) as err:
                if self._store.images.get(image.id, visible_to=None) is not None:
                    log.error("the bytes of photo %s cannot be read: %s; see: tagwright-server check", image.id, err)
                    looked[image.number] = NotFound("its bytes cannot be read")
        if requests:
            results = self._tagger.tag_many(list(requests.values()), Deadline(_PATIENCE_S, self._clock)).results
            looked.update(zip(requests, results, strict=True))
        return looked

    def _judged(
        self, operation: Operation, images: Sequence[Image], looked: Mapping[int, ImageTags | TagwrightError]
    ) -> dict[int, Refined]:
        """Return what refinement makes of the tags that people gave each photo, by number; before anything is locked.

        What they decide meanwhile counts nevertheless: it outlives whatever is said here.
        """
        has = self._store.tags.of([image.number for image in images])
        found: dict[int, Refined] = {}
        for image in images:
            seen_now = looked.get(image.number)
            if isinstance(seen_now, ImageTags):
                tags = has.get(image.number, ())
                said = self._refining.kept(
                    seen_now.look,
                    tags,
                    owner_id=image.owner_id,
                    shared=image.visibility is Visibility.SHARED,
                    but=image.id,
                    by=operation.model_version,
                )
                if said is not None:
                    found[image.number] = said.refined()
        return found

    def _apply(
        self,
        operation: Operation,
        images: Sequence[Image],
        looked: Mapping[int, ImageTags | TagwrightError],
        judged: Mapping[int, Refined],
    ) -> _Step:
        failures: list[ImageFailure] = []
        added, removed, moved = Counter[str](), Counter[str](), Counter[str]()
        done = 0
        for image, found in self._still_there(images, looked):
            if not isinstance(found, ImageTags):
                failures.append(ImageFailure(image.id, found.reason, str(found)))
                continue
            done += 1
            for name, change in self._renew(operation, image, found, judged.get(image.number)).items():
                added[name] += change.added
                removed[name] += change.removed
                moved[name] += change.moved
        changes = {name: TagChange(added[name], removed[name], moved[name]) for name in {*added, *removed, *moved}}
        return _Step(done, len(failures), changes, tuple(failures))

    def _still_there(
        self, images: Sequence[Image], looked: Mapping[int, ImageTags | TagwrightError]
    ) -> Iterator[tuple[Image, ImageTags | TagwrightError]]:
        for image in images:
            there = self._store.images.get(image.id, visible_to=None)  # held, so that it stays until all is written
            if there is not None and image.number in looked:
                yield there, looked[image.number]

    def _renew(
        self, operation: Operation, image: Image, found: ImageTags, judged: Refined | None
    ) -> dict[str, TagChange]:
        look = found.look
        resolved = self._store.tags.resolve([label.name for label in look.model.labels])  # first: then names stay
        before = self._store.tags.of([image.number]).get(image.number, ())
        change = tagged(before, seen(look.model, look.scores, found.tags, resolved))
        if judged is not None:
            names = self._store.tags.resolve(sorted(judged.scores))
            change = difference(before, refined(change.tags, judged.under(names)).tags)
        if not operation.validate_only:
            self._store.tags.write(image.number, change.written, change.removed)
            self._store.images.put_embedding(image.content.sha256, found.model_version, packed(look.embedding))
            if change.written or change.removed or image.model_version != found.model_version:
                now = self._clock.now()
                self._store.images.update(image.id, model_version=found.model_version, updated=now)
        return change.counted(before)

    def _finish(self, operation: Operation, state: OperationState, error: TagwrightError | None = None) -> None:
        said = {} if error is None else {"error_reason": error.reason, "error_text": str(error)}
        self._store.operations.finish(operation.id, state, at=self._clock.now(), holder=self._holder, **said)
        log.info("operation %s: %s", operation.id, state.value)
