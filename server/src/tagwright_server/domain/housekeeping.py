"""What the store need not keep for ever is dropped: at the start and every hour."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from tagwright_server.clock import Clock
from tagwright_server.domain.replies import KEPT_FOR
from tagwright_server.domain.throttle import FORGOTTEN_AFTER
from tagwright_server.errors import ComeBack
from tagwright_server.store.blobs import Blobs
from tagwright_server.store.store import Store
from tagwright_server.store.sweeping import sweep

log = logging.getLogger(__name__)

_EVERY_S = 3600.0


class Housekeeping:
    """A thread that sweeps."""

    def __init__(self, store: Store, blobs: Blobs, *, audit_kept_for: timedelta, clock: Clock) -> None:
        self._store = store
        self._blobs = blobs
        self._audit_kept_for = audit_kept_for
        self._clock = clock
        self._stopping = False
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Sweep now, and from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End; a sweep in progress is finished."""
        self._stopping = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()

    def sweep(self) -> None:
        """Drop what is over. Each kind is a transaction of its own; what is busy is left for the next time."""
        now = self._clock.now()
        try:
            self._store.sessions.prune(expired_before=now)
            self._store.replies.prune(before=now - KEPT_FOR)
            self._store.failures.prune(before=now - FORGOTTEN_AFTER)
            self._store.audit.prune(before=now - self._audit_kept_for)
        except ComeBack as err:
            log.warning("housekeeping is left for the next time: %s", err)
        self.sweep_photos()

    def wake(self) -> None:
        """Have the bytes removed that no photo uses any more, soon."""
        self._woken.set()

    def sweep_photos(self) -> None:
        """Remove the bytes that no photo uses."""
        try:
            sweep(self._store, self._blobs)
        except (ComeBack, OSError) as err:
            log.warning("bytes that no photo uses are left for the next time: %s", err)

    def _run(self) -> None:
        next_s = 0.0
        while not self._stopping:
            try:
                if self._clock.monotonic_s() >= next_s:
                    next_s = self._clock.monotonic_s() + _EVERY_S
                    self.sweep()
                else:
                    self.sweep_photos()
            except Exception:
                log.exception("housekeeping failed; the next try is in an hour")
            self._woken.wait(_EVERY_S)
            self._woken.clear()
