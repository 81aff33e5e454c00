"""Real servers on free ports, with a stand-in for the network or the decoder where a test wants to steer them.

Stand-ins stop at a latch and raise what they are told to, so that a test says "while the decoder works" without
sleeping.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import grpc
import numpy as np
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from numpy.typing import NDArray

from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.auth_service_pb2_grpc import AuthServiceStub
from tagwright.v1.tagging_options_pb2 import TaggingOptions
from tagwright.v1.tagging_service_pb2_grpc import TaggingServiceStub
from tagwright_server.app import App
from tagwright_server.clock import Clock, SystemClock
from tagwright_server.domain.access import Actor
from tagwright_server.domain.deadline import Deadline
from tagwright_server.errors import DeadlineExceeded, ImageRejected, Overloaded
from tagwright_server.inference.backend import Backend, Prediction
from tagwright_server.inference.bundle import Bundle
from tagwright_server.settings import Settings
from tagwright_server.store.records import Role

PATIENCE_S = 60.0  # what a test waits at most for something that takes milliseconds on an idle machine
ADMIN, PASSWORD = "admin", "a password for tests"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass
class Latch:
    """Where a stand-in waits, once closed, until the test opens it."""

    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    opened: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.opened.set()

    def close(self) -> None:
        """Make whoever passes from now on wait."""
        self.opened.clear()

    def open(self) -> None:
        """Let everyone pass."""
        self.opened.set()

    def await_arrivals(self, n: int = 1) -> None:
        """Wait until `n` more came here."""
        for _ in range(n):
            assert self.arrived.acquire(timeout=PATIENCE_S), "nobody came"

    def pass_through(self, timeout_s: float = PATIENCE_S) -> bool:
        """Come here and wait; False where it stayed closed."""
        self.arrived.release()
        return self.opened.wait(min(timeout_s, PATIENCE_S))


def await_true(claim: Callable[[], bool]) -> None:
    """Wait until it is so: of what another thread does and tells nobody."""
    deadline = time.monotonic() + PATIENCE_S
    while not claim():
        assert time.monotonic() < deadline, "it never came true"
        threading.Event().wait(0.01)


class FakeBackend:
    """A network that sees a photo's first red value: that is every score, in hundredths."""

    engine = "Fake 1.0"

    def __init__(self) -> None:
        self.latch = Latch()
        self.error: BaseException | None = None
        self.is_ready = True
        self.ready_error: Exception | None = None
        self.batches: list[int] = []

    def infer(self, model: Bundle, pixels: NDArray[np.uint8], *, timeout_s: float) -> Prediction:
        if not self.latch.pass_through(timeout_s):
            raise DeadlineExceeded("time ran out while the network was busy")
        if self.error is not None:
            raise self.error
        self.batches.append(len(pixels))
        first = pixels[:, 0, 0, :1].astype(np.float32) / 100
        scores = np.repeat(first, len(model.labels), axis=1)
        embedding = np.zeros((len(pixels), model.embedding_size), np.float32)
        embedding[:, 0] = 1.0
        return Prediction(scores, embedding, queue_s=0.25, inference_s=0.5)

    def ready(self) -> bool:
        if self.ready_error is not None:
            raise self.ready_error
        return self.is_ready

    def close(self) -> None:
        pass


class FakeClock(SystemClock):
    """Stands still until a test moves it on."""

    def __init__(self) -> None:
        self.time_s = 1000.0

    def monotonic_s(self) -> float:
        return self.time_s


@dataclass(frozen=True)
class FakeKept:
    data: bytes
    perceptual_hash: int
    width: int = 4
    height: int = 3
    captured: datetime | None = None
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True)
class FakePhoto:
    pixels: NDArray[np.uint8]
    kept: FakeKept | None = None
    width: int = 4
    height: int = 3
    format: str = "JPEG"


@dataclass(frozen=True)
class FakeThumbnail:
    data: bytes


@dataclass(frozen=True)
class FakeDecoded:
    photo: FakePhoto
    queue_s: float = 0.125


class FakeDecoder:
    """Decodes `b"50"`, or that and blanks, to a square of 50s, and counts what was asked of it.

    What follows a `#` makes photos of the same square different; it holds their keywords, between commas. What is kept
    is the same without blanks at the end.
    """

    def __init__(self) -> None:
        self.latch = Latch()
        self.error: BaseException | None = None
        self.before_result: Callable[[], None] = lambda: None
        self.submitted = 0
        self.cancelled = threading.Semaphore(0)

    def submit(self, data: bytes, model: Bundle, *, keep: bool = False, ours: bool = False) -> FakeJob:
        self.submitted += 1
        return FakeJob(self, data, model.size, keep)

    def thumbnail(self, data: bytes, *, timeout_s: float) -> FakeThumbnail:
        return FakeThumbnail(b"small " + data)


class FakeJob:
    def __init__(self, decoder: FakeDecoder, data: bytes, size: int, keep: bool) -> None:
        self._decoder = decoder
        self._data = data
        self._size = size
        self._keep = keep
        self._dropped = False

    def result(self, *, timeout_s: float) -> FakeDecoded:
        if not self._decoder.latch.pass_through(timeout_s):
            raise DeadlineExceeded("The call's time ran out before its photo was decoded.")
        if self._dropped:
            raise Overloaded("dropped", retry_after_s=1.0)
        if self._decoder.error is not None:
            raise self._decoder.error
        self._decoder.before_result()
        said, _, keywords = self._data.strip().partition(b"#")
        if not said.isdigit():
            raise ImageRejected("This is not a photo in a known format.", limit="format")
        pixels = np.full((self._size, self._size, 3), int(said), np.uint8)
        words = tuple(keywords.decode().split(",")) if keywords else ()
        kept = FakeKept(self._data.strip(), perceptual_hash=int(said) * 0x0101_0101_0101_0101, keywords=words)
        return FakeDecoded(FakePhoto(pixels, kept if self._keep else None))

    def cancel(self) -> None:
        self._dropped = True
        self._decoder.cancelled.release()


def health_stub(channel: grpc.Channel) -> Any:
    """The health service's stub, whose methods its types do not tell."""
    return health_pb2_grpc.HealthStub(channel)


@dataclass
class Running:
    """A server that serves, a channel to it as an administrator, and how to be somebody else."""

    app: App
    channel: grpc.Channel
    token: str
    stranger: grpc.Channel  # without a token

    @property
    def auth(self) -> Any:
        """The service's stub; not typed, so that tests can send what nobody should."""
        return AuthServiceStub(self.channel)

    def sign_in(self, username: str, role: Role = Role.USER, **options: Any) -> str:
        """Return the token of a new session of an account, which is made where there is none."""
        return sign_in(self.app, username, role, **options)

    @property
    def tagging(self) -> Any:
        """The service's stub; not typed, so that tests can send what nobody should."""
        return TaggingServiceStub(self.channel)

    def health(self, service: str = "") -> int:
        """What the health service says just now."""
        request = health_pb2.HealthCheckRequest(service=service)
        status: int = health_stub(self.channel).Check(request, timeout=PATIENCE_S).status
        return status

    def send_raw(self, method: str, message: bytes, **options: Any) -> bytes:
        """Send bytes as the message of TaggingService's `method`, and return the answer's."""
        call: Callable[..., bytes] = self.channel.unary_unary(f"/tagwright.v1.TaggingService/{method}")
        return call(message, **{"timeout": PATIENCE_S, **options})


@contextmanager
def running(
    repository: Path,
    *,
    backend: Backend | None = None,
    decoder: FakeDecoder | None = None,
    clock: Clock | None = None,
    **settings: Any,
) -> Iterator[Running]:
    """Serve the models of `repository` on a free port, with a channel in plaintext as the administrator `admin`."""
    with ExitStack() as stack:
        app = stack.enter_context(serving(repository, backend=backend, decoder=decoder, clock=clock, **settings))
        token = sign_in(app, ADMIN, Role.ADMIN)
        channel, stranger = (stack.enter_context(connected(str(app.address), one)) for one in (token, None))
        yield Running(app, channel, token, stranger)


@contextmanager
def serving(
    repository: Path,
    *,
    backend: Backend | None = None,
    decoder: FakeDecoder | None = None,
    clock: Clock | None = None,
    **settings: Any,
) -> Iterator[App]:
    """The same without a channel to it and without any account, quick to start and to stop."""
    with TemporaryDirectory(prefix="tagwright-test-") as folder, ExitStack() as stack:
        quick = {
            "listen": "127.0.0.1:0",
            "model_repository": repository,
            "data_folder": folder,
            "inference": "local",
            "health_interval_s": 0.02,
            "stop_notice_s": 0.0,
            "stop_drain_s": 5.0,
            "bcrypt_cost": 4,
            "login_refusal_delay_s": 0.0,
        }
        app = App(Settings(**{**quick, **settings}), backend=backend, decoder=decoder, clock=clock)
        stack.callback(app.close)
        stack.callback(app.stop)
        app.start()
        yield app


def sign_in(app: App, username: str, role: Role = Role.USER, *, password: str = PASSWORD, peer: str = "test") -> str:
    """Return the token of a new session of an account, which is made where there is none."""
    if app.data.store.accounts.find(username) is None:
        hashed = app.auth.passwords.hash(password)
        app.auth.accounts.create(username, password_hash=hashed, role=role, by=Actor("", "local", ""))
    soon = Deadline(PATIENCE_S, SystemClock())
    return app.auth.sign_in.login(username, password, peer=peer, group=peer, deadline=soon).token


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata that a token travels in."""
    return (("authorization", f"Bearer {token}"),)


class _Bearer(grpc.AuthMetadataPlugin):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, context: Any, callback: Any) -> None:
        callback(bearer(self._token), None)


@contextmanager
def connected(address: str, token: str | None = None) -> Iterator[grpc.Channel]:
    """A connection of its own, without limits on our side; its calls carry the token."""
    options = [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
    ]
    if token is None:
        opened = grpc.insecure_channel(address, options=options)
    else:
        kind = grpc.LocalConnectionType.UDS if address.startswith("unix:") else grpc.LocalConnectionType.LOCAL_TCP
        ours = grpc.metadata_call_credentials(_Bearer(token))
        local = grpc.composite_channel_credentials(grpc.local_channel_credentials(kind), ours)
        opened = grpc.secure_channel(address, local, options=options)
    with opened as channel:
        grpc.channel_ready_future(channel).result(timeout=PATIENCE_S)
        yield channel


@dataclass
class Failure:
    """How a call failed, its details unpacked."""

    code: grpc.StatusCode
    status: Status
    info: ErrorInfo = field(default_factory=ErrorInfo)
    retry: RetryInfo = field(default_factory=RetryInfo)
    fields: BadRequest = field(default_factory=BadRequest)

    def __post_init__(self) -> None:
        for detail in self.status.details:
            for message in (self.info, self.retry, self.fields):
                detail.Unpack(message)  # leaves a message of another type alone

    @property
    def text(self) -> str:
        return str(self.status.message)

    @property
    def wrong_fields(self) -> list[str]:
        return [violation.field for violation in self.fields.field_violations]


def failure_of(call: Callable[..., Any], *arguments: Any, **options: Any) -> Failure:
    """Make a call that has to fail, and return how."""
    options.setdefault("timeout", PATIENCE_S)
    try:
        call(*arguments, **options)
    except grpc.RpcError as err:
        status = rpc_status.from_call(cast("grpc.Call", err))  # what a call raises is that call
        return Failure(err.code(), status if status is not None else Status(message=err.details()))
    raise AssertionError("the call succeeded")


def failure_in(result: pb.TagImagesResult) -> Failure:
    """Return how one photo of a batch failed."""
    assert result.WhichOneof("result") == "error"
    code = next(code for code in grpc.StatusCode if code.value[0] == result.error.code)
    return Failure(code, result.error)


def photo(data: bytes, **options: Any) -> pb.TagImageRequest:
    """A request for one photo."""
    return pb.TagImageRequest(image=data, options=TaggingOptions(**options))


def photos(*requests: pb.TagImageRequest) -> pb.TagImagesRequest:
    """A request for several."""
    return pb.TagImagesRequest(requests=requests)


def same(one: Message, other: Message) -> bool:
    """Whether two messages are equal, byte for byte."""
    return one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)
