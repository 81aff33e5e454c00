"""Somebody who guesses passwords, in a process of their own: the next try follows the last answer at once.

Does not wait when refused: RetryInfo is for those who mean well. Every try's answer is counted by its reason.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from itertools import count
from typing import Any, cast

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from tagwright.v1 import auth_service_pb2 as pb
from tagwright.v1.auth_service_pb2_grpc import AuthServiceStub

from .child import answer_lines
from .relay import Relay

_TIMEOUT_S = 30.0
_PAUSE_S = 0.05  # where nobody answers at all: what spins then is only us
_PREFIX = "ERROR_REASON_"


class Attacker:
    """One loop of wrong logins: for one name, or, where it is None, each for a name that nobody tried before."""

    def __init__(self, *, on_answer: Callable[[str], object] = lambda said: None) -> None:
        self._on_answer = on_answer
        self._stop = threading.Event()
        self._answers: Counter[str] = Counter()
        self._since = 0.0
        self._open = ExitStack()

    def handle(self, command: dict[str, Any]) -> Mapping[str, Any]:
        """Do what a line of the bench asks for."""
        match command:
            case {"do": "start", "address": address, "source": source, "username": username}:
                return self._start(address, source, username)
            case {"do": "stop"}:
                return self._end()
        raise ValueError(command)

    def _start(self, address: str, source: str, username: str | None) -> Mapping[str, Any]:
        self._stop, self._answers = threading.Event(), Counter()
        relay = self._open.enter_context(Relay(address, source=source))
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        channel = grpc.insecure_channel(relay.address, options=options)
        login = AuthServiceStub(channel).Login
        thread = threading.Thread(target=self._attack, args=(login, username, source), daemon=True)
        self._open.callback(thread.join)
        self._open.enter_context(channel)  # closed first: that ends the call that the thread waits for
        self._since = time.monotonic()
        thread.start()
        return {}

    def _end(self) -> Mapping[str, Any]:
        self._stop.set()
        took_s = time.monotonic() - self._since
        answers = dict(self._answers)  # what is on its way has not been answered
        self._open.close()
        return {"answers": answers, "seconds": took_s}

    def _attack(self, login: Any, username: str | None, source: str) -> None:
        for number in count():
            if self._stop.is_set():
                return
            name = username if username is not None else f"nobody-{source}-{number}"
            try:
                login(pb.LoginRequest(username=name, password=f"a wrong guess {number}"), timeout=_TIMEOUT_S)
            except grpc.RpcError as err:
                said = _said(err)
            except ValueError:  # grpc's way to say that the channel was closed meanwhile
                return
            else:
                said = "SIGNED_IN"
            if not self._stop.is_set():
                self._answers[said] += 1
                self._on_answer(said)
                if said in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
                    self._stop.wait(_PAUSE_S)


def _said(err: grpc.RpcError) -> str:
    """Return the reason of a refusal, the name of its code where it has none."""
    status = rpc_status.from_call(cast("grpc.Call", err))  # what a call raises is that call
    info = ErrorInfo()
    for detail in status.details if status is not None else ():
        if detail.Unpack(info):
            return str(info.reason).removeprefix(_PREFIX)
    return str(err.code().name)


if __name__ == "__main__":
    answer_lines(Attacker().handle)
