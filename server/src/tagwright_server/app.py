"""Puts the rooms together: the only file that knows every one of them. And a process's life: start, serve, stop.

settings -> store + pepper -> credentials, sign-in, accounts, keys -> Gate + AuthService -> Server
settings -> bundles -> decode pool + backend -> Tagger -> TaggingService -> Server
store + blobs + Tagger -> Keeper, Uploads, Library, Vocabulary, Retagging -> TaggingService
store -> indexes of tags and of looks -> Searching, Suggesting -> SearchService
"""

from __future__ import annotations

import logging
import os
import platform
import queue
import resource
import signal
import sys
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType

from tagwright_server.address import Address
from tagwright_server.clock import Clock, SystemClock
from tagwright_server.data import Data, index_folder, open_data
from tagwright_server.decoding import BundleDecoder, decode_pool
from tagwright_server.domain.accounts import Accounts
from tagwright_server.domain.api_keys import ApiKeys
from tagwright_server.domain.capacity import Capacity
from tagwright_server.domain.credentials import Credentials
from tagwright_server.domain.examples import Examples
from tagwright_server.domain.housekeeping import Housekeeping
from tagwright_server.domain.indexes import KeptIndex
from tagwright_server.domain.keeping import Keeper, Quota
from tagwright_server.domain.library import Library
from tagwright_server.domain.models import Models, full_name
from tagwright_server.domain.passwords import Passwords
from tagwright_server.domain.refiners import open_batch_refiners, open_photo_indexes, open_refineries
from tagwright_server.domain.refining import Refining
from tagwright_server.domain.replies import Replies
from tagwright_server.domain.retagging import Retagging, Runner
from tagwright_server.domain.searching import Searching
from tagwright_server.domain.sign_in import Lifetime, SignIn
from tagwright_server.domain.suggesting import Suggesting
from tagwright_server.domain.tagging import Decoder, Tagger
from tagwright_server.domain.throttle import Pace, Throttle
from tagwright_server.domain.turns import Turns
from tagwright_server.domain.upload_values import Limits
from tagwright_server.domain.upload_values import Pace as UploadPace
from tagwright_server.domain.uploading import Uploads
from tagwright_server.domain.vocabulary import Vocabulary
from tagwright_server.errors import StartupError
from tagwright_server.inference.backend import Backend
from tagwright_server.inference.bundle import load_bundles
from tagwright_server.inference.engines import open_backend
from tagwright_server.options import own_version
from tagwright_server.settings import Settings
from tagwright_server.store.photo_index import PhotoIndex
from tagwright_server.store.tag_index import TagIndex
from tagwright_server.transport.auth import AuthParts, AuthService
from tagwright_server.transport.gate import Gate
from tagwright_server.transport.health import AUTH, SEARCH, TAGGING
from tagwright_server.transport.parts import TaggingParts
from tagwright_server.transport.search import SearchParts, SearchService
from tagwright_server.transport.security import open_tls
from tagwright_server.transport.server import Server, Services
from tagwright_server.transport.tagging import TaggingService

log = logging.getLogger(__name__)

_INDEXES_OPEN_S = 1.0  # those of a small library are open when calls are taken; larger ones are not waited for
_FEW_FILES = 4096  # every connection is one: reliability.md, fact 12


class App:
    """A server with everything it needs, built but not yet serving; close it in any case.

    `backend` and `decoder` stand in for the ones that the settings describe.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        backend: Backend | None = None,
        decoder: Decoder | None = None,
        clock: Clock | None = None,
    ) -> None:
        clock = clock or SystemClock()
        with ExitStack() as stack:
            if not settings.reuse_port:
                _check_free(Address.parse(settings.listen))  # first: it is quick, and what goes wrong most
            self._tls = open_tls(settings, clock)
            data = stack.enter_context(open_data(settings))
            lifetime = Lifetime(
                timedelta(seconds=settings.session_idle_max_s), timedelta(seconds=settings.session_age_max_s)
            )
            auth = _auth(settings, data, lifetime, clock)
            housekeeping = Housekeeping(
                data.store, data.blobs, audit_kept_for=timedelta(days=settings.audit_days), clock=clock
            )
            stack.callback(housekeeping.stop)
            bundles = load_bundles(settings.model_repository or _own_repository())
            models = Models(bundles, default=settings.default_model)
            _log_models(models)
            if decoder is None:
                pool = decode_pool(settings)
                stack.callback(pool.close)
                decoder = BundleDecoder(pool, bundles)
            if backend is None:
                backend = open_backend(settings.inference, bundles)
                stack.callback(backend.close)
            photos = Capacity(settings.photos_max, "photos")
            tagger = Tagger(models=models, backend=backend, decoder=decoder, photos=photos, clock=clock)
            photo_indexes = open_photo_indexes(models, data.store, index_folder(settings))
            tag_index = KeptIndex("tags", partial(TagIndex, data.store))
            self._indexes: list[KeptIndex[PhotoIndex] | KeptIndex[TagIndex]] = [*photo_indexes.values(), tag_index]
            for index in self._indexes:
                stack.callback(index.stop)
            refineries = open_refineries(models, data.store, photo_indexes)
            refining = Refining(
                refineries,
                open_batch_refiners(models, refineries),
                store=data.store,
                blobs=data.blobs,
                tagger=tagger,
                models=models,
                clock=clock,
            )
            runner = Runner(data.store, data.blobs, tagger=tagger, refining=refining, clock=clock)
            stack.callback(runner.stop)
            quota = Quota(settings.account_photos_max, settings.account_photo_bytes_max)
            keeper = Keeper(data.store, data.blobs, quota=quota, clock=clock)
            uploads = Uploads(tagger=tagger, keeper=keeper, limits=_upload_limits(settings), clock=clock)
            library = Library(
                data.store, data.blobs, keeper=keeper, decoder=decoder, sweep=housekeeping.wake, clock=clock
            )
            looks, turns = photo_indexes[full_name(models.default)], Turns(os.cpu_count() or 1)
            search = SearchParts(
                Searching(
                    data.store,
                    tag_index,
                    looks,
                    examples=Examples(data.store, data.blobs, tagger=tagger, models=models),
                    accounts=auth.accounts,
                    library=library,
                    turns=turns,
                    clock=clock,
                ),
                Suggesting(data.store, tag_index, looks, turns=turns, clock=clock),
            )
            credentials = Credentials(data.store, lifetime=lifetime, clock=clock)
            engine_ready, store_ready = backend.ready, data.store.ready
            self._server = Server(
                settings,
                services=Services(
                    auth=AuthService(auth),
                    tagging=TaggingService(
                        TaggingParts(
                            tagger=tagger,
                            keeper=keeper,
                            uploads=uploads,
                            library=library,
                            vocabulary=Vocabulary(data.store, clock=clock),
                            refining=refining,
                            retagging=Retagging(data.store, refining=refining, runner=runner, clock=clock),
                            accounts=auth.accounts,
                            replies=auth.replies,
                            models=models,
                            backend=backend,
                            clock=clock,
                        )
                    ),
                    search=SearchService(search),
                ),
                gate=Gate(credentials, trusted_proxies=settings.trusted_proxies),
                ready={
                    AUTH: store_ready,
                    TAGGING: lambda: engine_ready() and store_ready(),
                    SEARCH: lambda: None not in (tag_index.index, looks.index) and store_ready(),
                },
                on_change=self._log_readiness,
                on_stop=uploads.stop,
                clock=clock,
                tls=self._tls,
            )
            self.address = self._server.address
            self._was_ready = False
            self._clock = clock
            self._engine = backend
            self.housekeeping = housekeeping
            self._runner = runner
            self.data = data
            self.auth = auth
            self.uploads = uploads
            self._open = stack.pop_all()

    def start(self) -> None:
        """Take calls."""
        self._log_address()
        if not self.data.store.accounts.any():
            log.warning("there is no account yet; make one: tagwright-server admin create NAME")
        self.housekeeping.start()
        for index in self._indexes:
            index.start()
        opened_by_s = self._clock.monotonic_s() + _INDEXES_OPEN_S
        for index in self._indexes:
            index.opened.wait(max(0.0, opened_by_s - self._clock.monotonic_s()))
        self._runner.start()
        self._server.start()

    def stop(self) -> None:
        """Finish what was accepted and take nothing new; returns when all is done or the time for it is over."""
        self._server.stop()

    def close(self) -> None:
        """End the engine and the decoding processes; after `stop`."""
        self._open.close()

    def _log_address(self) -> None:
        if self._tls is not None:
            with_certificates = " with client certificates" if self._tls.asks_for_certificates else ""
            log.info("listening on %s, TLS%s", self.address, with_certificates)
        elif self.address.loopback:
            log.info("listening on %s", self.address)
        else:
            log.warning("listening on %s, in plaintext beyond this machine", self.address)

    def _log_readiness(self, service: str, ready: bool) -> None:
        if not ready:
            log.warning("health says NOT_SERVING for %s", service or "the server as a whole")
        elif service:
            log.info("health says SERVING for %s", service)
        elif self._was_ready:
            log.info("health says SERVING again")
        else:
            self._was_ready = True
            log.info("READY on %s, models run by %s", self.address, self._engine.engine)


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or Ctrl-C, then stop gracefully; a second signal ends the process at once."""
    _log_to_stderr(settings.log_level)
    signals = _Signals()
    log.info("tagwright-server %s, Python %s, process %d", own_version(), platform.python_version(), os.getpid())
    _log_open_files()
    app = App(settings)
    try:
        app.start()
        name = signals.wait()
        log.info(
            "%s: finishing the calls in progress, for at most %g s; once more to end at once",
            name,
            settings.stop_drain_s,
        )
        app.stop()
    finally:
        app.close()
    log.info("stopped")
    return 0


class _Signals:
    """SIGTERM and SIGINT: the first one asks, the second one insists."""

    def __init__(self) -> None:
        self._came: queue.SimpleQueue[str] = queue.SimpleQueue()  # its put may be called from a signal handler
        self._count = 0
        self._waiting = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def wait(self) -> str:
        """Wait for the first signal; return its name."""
        self._waiting = True
        while True:
            try:
                return self._came.get(timeout=1.0)  # not for ever: a signal just before the wait would not end it
            except queue.Empty:
                continue

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._count > 1:
            os._exit(128 + number)  # nothing is waited for; our children end with our end of their pipes
        if not self._waiting:
            raise SystemExit(0)  # still starting: nothing was accepted, so nothing can be lost
        self._came.put(signal.Signals(number).name)


def _auth(settings: Settings, data: Data, lifetime: Lifetime, clock: Clock) -> AuthParts:
    store = data.store
    passwords = Passwords(data.pepper, cost=settings.bcrypt_cost)
    throttle = Throttle(
        store.failures,
        pepper=data.pepper,
        per_account=Pace(settings.account_failures_max, settings.account_failures_window_s, settings.login_wait_max_s),
        per_peer=Pace(settings.peer_failures_max, settings.peer_failures_window_s, settings.login_wait_max_s),
    )
    return AuthParts(
        sign_in=SignIn(
            store,
            passwords=passwords,
            throttle=throttle,
            lifetime=lifetime,
            refusal_delay_s=settings.login_refusal_delay_s,
            clock=clock,
        ),
        accounts=Accounts(store, clock=clock),
        api_keys=ApiKeys(store, clock=clock),
        passwords=passwords,
        audit=store.audit,
        replies=Replies(store, pepper=data.pepper, clock=clock),
    )


def _upload_limits(settings: Settings) -> Limits:
    return Limits(
        UploadPace(settings.upload_photos_max, settings.upload_bytes_max),
        photo_bytes=settings.photo_bytes_max,
        idle_s=settings.upload_idle_s,
        age_s=settings.stream_age_max_s,
    )


def _check_free(address: Address) -> None:
    why_not = address.why_not()
    if why_not is not None:
        raise StartupError(f"cannot listen on {address}: {why_not}")


def _own_repository() -> Path:
    here = Path(__file__).resolve()
    in_wheel, in_checkout = here.parent / "model_repository", here.parents[3] / "model_repository"
    found = next((folder for folder in (in_wheel, in_checkout) if folder.is_dir()), None)
    if found is None:
        raise StartupError("no model repository came with this installation; name one with --model-repository")
    return found


def _log_models(models: Models) -> None:
    for bundle in models.ordered:
        default = ", the default" if bundle is models.default else ""
        log.info("model %s: %s, %d labels%s", full_name(bundle), bundle.architecture, len(bundle.labels), default)


def _log_open_files() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    log.info("open files: at most %s", "any number" if soft == resource.RLIM_INFINITY else f"{soft:,}")
    if soft != resource.RLIM_INFINITY and soft < _FEW_FILES:
        log.warning(
            "that is few: a connection takes one, and %s allow for a flood of them (ulimit -n)", f"{_FEW_FILES:,}"
        )


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=level.upper(),
        format="%(asctime)s %(levelname)-7s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )
    logging.captureWarnings(True)
