"""A real server, started as its users start it and always stopped: `tagwright-server` in a process of its own.

It keeps its data in a folder that goes with it, and has one account, whose password nobody else gets to know.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tagwright_client import Client

SERVICE = "tagwright.v1.TaggingService"
ACCOUNT = "bench"  # an administrator, as every server begins with one
_LOOK_S = 0.02
_START_S = 120.0  # 5 on an idle machine
_STOP_S = 30.0


@dataclass(frozen=True, slots=True)
class Engine:
    """What runs the network: `setting` is what --inference says, `begins` how the engine that is meant calls itself."""

    name: str
    setting: str
    begins: str


ENGINES = (Engine("local", "local", "TorchScript"), Engine("Triton", "auto", "Triton"))


class NotServed(Exception):
    """This server cannot be had on this machine; the text says why."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that answers."""

    pid: int
    address: str
    engine: str  # as it calls itself, with its version
    start_s: float  # from the command to health's SERVING
    data: Path  # the folder of all that it keeps
    token: str = field(repr=False)  # a key that may tag, and keep
    password: str = field(repr=False)  # ACCOUNT's

    @property
    def environment(self) -> dict[str, str]:
        """What a process that calls gets to know: everyone on the machine can read what is on its command line."""
        return {"TAGWRIGHT_TOKEN": self.token}


@contextmanager
def serve(
    engine: Engine,
    repository: Path,
    more: Sequence[str] = (),
    *,
    database: str | None = None,
    prepare: Callable[[Path], None] = lambda data: None,
) -> Iterator[Serving]:
    """Run a server on a free port for as long as the block runs; raises NotServed.

    `prepare` gets the folder of its data before it starts, with the account in it; `database` is its URL, without one
    it is in that folder.
    """
    address = f"127.0.0.1:{_free_port()}"
    flags = [f"--listen={address}", f"--inference={engine.setting}", f"--model-repository={repository}", *more]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TAGWRIGHT_")}
    with tempfile.TemporaryFile("w+") as log, tempfile.TemporaryDirectory(prefix="tagwright-bench-data-") as data:
        kept = [f"--data-folder={data}", *([] if database is None else [f"--database={database}"])]
        password = make_account(kept, environment)
        prepare(Path(data))
        started = time.monotonic()
        process = subprocess.Popen(
            [*_command(), *flags, *kept],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the bench, which then stops its server
        )
        try:
            _await(process, address, log)
            start_s = time.monotonic() - started
            with Client.connect(f"grpc://{address}") as client:
                client.login(ACCOUNT, password)
                name = client.models().engine
                token = client.create_api_key(ACCOUNT, ["tagging:read", "tagging:write"]).key
            if not name.startswith(engine.begins):
                raise NotServed(f"--inference={engine.setting} runs {name} on this machine")
            yield Serving(process.pid, address, name, start_s, Path(data), token, password)
        finally:
            _stop(process)


def make_account(kept: Sequence[str], environment: Mapping[str, str]) -> str:
    """Make the account and return its password, which no command line and no file gets to see."""
    password = secrets.token_urlsafe()
    command = [*_command(), "admin", "create", ACCOUNT, "--password-file=-", *kept]
    done = subprocess.run(command, input=password + "\n", capture_output=True, text=True, env=environment)
    if done.returncode:
        raise NotServed(f"no account can be made: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
    return password


def _command() -> list[str]:
    beside = Path(sys.executable).with_name("tagwright-server")
    found = str(beside) if beside.exists() else shutil.which("tagwright-server")
    return [found] if found else [sys.executable, "-m", "tagwright_server"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await(process: subprocess.Popen[bytes], address: str, log: IO[str]) -> None:
    options = [(f"grpc.{name}_reconnect_backoff_ms", 100) for name in ("initial", "min", "max")]
    request = health_pb2.HealthCheckRequest(service=SERVICE)
    with grpc.insecure_channel(address, options=options) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)  # its stubs know no methods
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(grpc.RpcError):
                if health.Check(request, timeout=1.0).status == health_pb2.HealthCheckResponse.SERVING:
                    return
            time.sleep(_LOOK_S)
    log.seek(0)
    last = (log.read().strip().splitlines() or ["it said nothing"])[-1]
    raise NotServed(f"the server {'ended' if process.poll() is not None else 'does not get ready'}: {last}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
