"""Those whom an attack must not hurt, in a process of their own: health checks, and a user who signs in now and then.

Checks go out every 20 ms whether the last one is back or not, as a slow answer must not keep the next ones from being
slow. Every stretch has a check and a login at least. The password comes on standard input, where nobody else can
read it.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tagwright_client import Client, TagwrightError

from .child import answer_lines
from .serving import SERVICE

_CHECK_EVERY_S = 0.02
_LOGIN_EVERY_S = 2.0
_TIMEOUT_S = 10.0


@dataclass
class _Seen:
    """What they saw in one stretch."""

    stop: threading.Event = field(default_factory=threading.Event)
    health_ms: list[float] = field(default_factory=list)
    logins_s: list[float] = field(default_factory=list)  # those that succeeded
    errors: Counter[str] = field(default_factory=Counter)
    failed_logins: Counter[str] = field(default_factory=Counter)
    threads: list[threading.Thread] = field(default_factory=list)


class Bystanders:
    """Their connections, one for each."""

    def __init__(self, *, address: str) -> None:
        self._client = Client.connect(f"grpc://{address}")
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        self._health: Any = health_pb2_grpc.HealthStub(grpc.insecure_channel(address, options=options))
        self._seen = _Seen()

    def handle(self, command: dict[str, Any]) -> Mapping[str, Any]:
        """Do what a line of the bench asks for."""
        match command:
            case {"do": "start", "username": username, "password": password}:
                return self._start(username, password)
            case {"do": "stop"}:
                return self._stop()
        raise ValueError(command)

    def _start(self, username: str, password: str) -> Mapping[str, Any]:
        self._seen = seen = _Seen()
        seen.threads = [
            threading.Thread(target=self._check_health, args=(seen,), daemon=True),
            threading.Thread(target=self._sign_in, args=(seen, username, password), daemon=True),
        ]
        for thread in seen.threads:
            thread.start()
        return {}

    def _stop(self) -> Mapping[str, Any]:
        seen = self._seen
        seen.stop.set()
        for thread in seen.threads:
            thread.join()
        return {
            "health_ms": seen.health_ms,
            "health_errors": seen.errors,
            "logins_s": seen.logins_s,
            "failed_logins": seen.failed_logins,
        }

    def _check_health(self, seen: _Seen) -> None:
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        under_way: list[threading.Event] = []
        due = time.monotonic()
        while True:
            under_way = [check for check in under_way if not check.is_set()]
            under_way.append(self._check(request, seen))
            due += _CHECK_EVERY_S
            if seen.stop.wait(max(0.0, due - time.monotonic())):
                break
        for check in under_way:
            check.wait(2 * _TIMEOUT_S)

    def _check(self, request: health_pb2.HealthCheckRequest, seen: _Seen) -> threading.Event:
        counted = threading.Event()
        sent = time.monotonic()
        call = self._health.Check.future(request, timeout=_TIMEOUT_S)

        def count(answered: Any) -> None:
            took_ms = (time.monotonic() - sent) * 1000
            seen.health_ms.append(took_ms)  # one that failed made its caller wait as well
            if (code := answered.code()) is not grpc.StatusCode.OK:
                seen.errors[code.name] += 1
            elif answered.result().status != health_pb2.HealthCheckResponse.SERVING:
                seen.errors["NOT_SERVING"] += 1
            counted.set()

        call.add_done_callback(count)
        return counted

    def _sign_in(self, seen: _Seen, username: str, password: str) -> None:
        due = time.monotonic()
        while True:
            started = time.monotonic()
            try:
                self._client.login(username, password)
            except TagwrightError as err:
                seen.failed_logins[err.reason] += 1
            else:
                seen.logins_s.append(time.monotonic() - started)
            due = max(due + _LOGIN_EVERY_S, time.monotonic())
            if seen.stop.wait(max(0.0, due - time.monotonic())):
                return


if __name__ == "__main__":
    answer_lines(Bystanders(**json.loads(sys.argv[1])).handle)
