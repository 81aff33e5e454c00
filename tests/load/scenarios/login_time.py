"""Whether a failed login's time tells if there is such an account: an unknown name beside a wrong password.

How to read it: the two are tried in turns, each first every other time, on one idle server with the product's cost of a
hash, through gRPC. Medians that differ by more than a tenth would tell one from the other. The clock by which failures
are forgotten moves on between tries, so that none has to wait. 200 pairs from --seconds 30 on, fewer below.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from tagwright_client import Client, LoginFailed, TagwrightError
from tagwright_server.app import App
from tagwright_server.clock import SystemClock
from tagwright_server.domain.access import Actor
from tagwright_server.inference.backend import Prediction
from tagwright_server.inference.bundle import Bundle
from tagwright_server.settings import Settings
from tagwright_server.store.records import Role

from ..figures import Aim, Figure, Note, Row, latency, middle
from ..scenario import Yielded
from ..setup import Setup

NAME = "login-time"
TITLE = "a failed login takes as long whether there is such an account or not"
ORDER = 60

KNOWN, UNKNOWN = "somebody", "nobody"
_PAIRS, _PAIRS_MIN, _PAIRS_AT_S = 200, 3, 30.0
_LEAST, _MOST = 0.9, 1.1
_BETWEEN = timedelta(minutes=10)  # more than a failure needs to be forgotten: 15 minutes for 5 of them
_TABLE = "Failed logins, in turns"


@dataclass
class Tries:
    """How long the failed logins of one kind took, and what was answered instead where it was something else."""

    took_ms: list[float] = field(default_factory=list)
    otherwise: Counter[str] = field(default_factory=Counter)


def run(setup: Setup) -> Iterator[Yielded]:
    """Measure them."""
    pairs = pairs_in(setup.seconds)
    with login_server(setup.repository) as (address, step):
        setup.step(f"{NAME}: {pairs} pairs of failed logins")
        unknown, wrong = compare(address, step, pairs=pairs)
    for name, tries in (("unknown name", unknown), ("wrong password", wrong)):
        yield Row(_TABLE, name, _figures(tries))
    yield Note(f"{pairs} of each; the promise is about {_PAIRS}, which --seconds {_PAIRS_AT_S:g} makes.")
    yield Aim("median for an unknown name / for a wrong password", _LEAST, ratio(unknown, wrong), at_most=_MOST)


def pairs_in(seconds: float) -> int:
    """Return how many pairs belong to a measurement of that length; on an idle core it takes four times as long."""
    return max(_PAIRS_MIN, min(_PAIRS, round(_PAIRS * seconds / _PAIRS_AT_S)))


def ratio(unknown: Tries, wrong: Tries) -> float | None:
    """Return the ratio of the medians; None where anything was answered but that the login failed."""
    medians = middle(unknown.took_ms), middle(wrong.took_ms)
    if unknown.otherwise or wrong.otherwise or medians[0] is None or not medians[1]:
        return None
    return medians[0] / medians[1]


def compare(address: str, step: Callable[[], None], *, pairs: int) -> tuple[Tries, Tries]:
    """Try an unknown name and a wrong password `pairs` times each; `step` moves the server's clock on."""
    unknown, wrong = Tries(), Tries()
    kinds = [(UNKNOWN, unknown), (KNOWN, wrong)]
    with Client.connect(f"grpc://{address}") as client:
        for name, _ in kinds:  # the first ones make the connection and warm the caches
            step()
            _try(client, name, Tries())
        for number in range(pairs):
            for name, tries in kinds if number % 2 else reversed(kinds):
                step()
                _try(client, name, tries)
    return unknown, wrong


def _try(client: Client, name: str, tries: Tries) -> None:
    started = time.monotonic()
    try:
        client.login(name, "a password that is wrong")
    except LoginFailed:
        tries.took_ms.append((time.monotonic() - started) * 1000)
    except TagwrightError as err:
        tries.otherwise[err.reason] += 1
    else:
        tries.otherwise["SIGNED_IN"] += 1


@contextmanager
def login_server(repository: Path, **settings: Any) -> Iterator[tuple[str, Callable[[], None]]]:
    """Serve in this process, without anything that tags; yields the address and what moves the clock on."""
    clock = _Clock()
    with tempfile.TemporaryDirectory(prefix="tagwright-bench-data-") as folder, ExitStack() as stack:
        ours = {"listen": "127.0.0.1:0", "model_repository": repository, "data_folder": folder, "stop_notice_s": 0.0}
        nothing = _Nothing()
        app = App(Settings(**{**ours, **settings}), backend=nothing, decoder=nothing, clock=clock)
        stack.callback(app.close)
        hashed = app.auth.passwords.hash(secrets.token_urlsafe())
        app.auth.accounts.create(KNOWN, password_hash=hashed, role=Role.ADMIN, by=Actor("", "local", ""))
        stack.callback(app.stop)
        app.start()
        yield str(app.address), clock.step


class _Clock(SystemClock):
    """The system's, further on with each step."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self._ahead

    def step(self) -> None:
        self._ahead += _BETWEEN


class _Nothing:
    """In place of network and decoder: no photo is sent here."""

    engine = "nothing"

    def infer(self, model: Bundle, pixels: NDArray[np.uint8], *, timeout_s: float) -> Prediction:
        raise NotImplementedError

    def submit(self, data: bytes, model: Bundle, *, keep: bool = False, ours: bool = False) -> NoReturn:
        raise NotImplementedError

    def thumbnail(self, data: bytes, *, timeout_s: float) -> NoReturn:
        raise NotImplementedError

    def ready(self) -> bool:
        return True

    def close(self) -> None:
        pass


def _figures(tries: Tries) -> dict[str, Figure]:
    return {
        **latency(tries.took_ms),
        "shortest_ms": min(tries.took_ms, default=None),
        "times": len(tries.took_ms),
        "otherwise": ", ".join(f"{count} {reason}" for reason, count in sorted(tries.otherwise.items())) or 0,
    }
