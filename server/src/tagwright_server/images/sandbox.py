"""The process in which photos are decoded: it reads a photo from its socket, writes the square back, and knows no more.

Promises: it holds no other file, socket or thread of the server; it keeps to its address space and processor time; it
ends when the server's end of the socket does. What it sends is lengths, JSON and raw pixels, never a pickle, so that a
decoder taken over by a photo still cannot run code in the server.
Must never: import numpy, grpc or the model; open a file.
"""

from __future__ import annotations

import json
import resource
import signal
import socket
import struct
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tagwright_server.errors import ImageRejected
from tagwright_server.images.decode import DecodeLimits, read
from tagwright_server.images.preprocess import Preprocessing

_LENGTHS = struct.Struct("!II")  # of the JSON head and of the body that follow
_HEAD_BYTES = 4096  # ours have about 100


def send(peer: socket.socket, head: Mapping[str, object], body: bytes = b"") -> None:
    """Write one message; the socket's timeout covers all of it."""
    text = json.dumps(head).encode()
    peer.sendall(_LENGTHS.pack(len(text), len(body)) + text)
    if body:
        peer.sendall(body)


def receive(peer: socket.socket, *, body_bytes: int, deadline: float | None = None) -> tuple[dict[str, Any], bytearray]:
    """Read a message, its body at most `body_bytes`; EOFError at the end, TimeoutError at the monotonic `deadline`."""
    head_length, body_length = _LENGTHS.unpack(_exactly(peer, _LENGTHS.size, deadline))
    if head_length > _HEAD_BYTES or body_length > body_bytes:
        raise ValueError("a message longer than was agreed")
    head = json.loads(_exactly(peer, head_length, deadline))
    if not isinstance(head, dict):
        raise ValueError("a message without a head")
    return head, _exactly(peer, body_length, deadline)


def _exactly(peer: socket.socket, length: int, deadline: float | None) -> bytearray:
    data = bytearray(length)
    view = memoryview(data)
    while view:
        if deadline is not None:
            peer.settimeout(max(deadline - time.monotonic(), 0.001))  # 0 would mean: do not wait
        count = peer.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return data


def serve(descriptor: int, options: Mapping[str, Any]) -> None:
    """Decode what comes in on the socket `descriptor` until it closes."""
    for ignored in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C and a service manager's stop are the server's business:
        signal.signal(ignored, signal.SIG_IGN)  # it drains, then closes the socket
    warnings.simplefilter("ignore")  # Pillow's remarks on odd files are no news to whoever runs the server
    limits = DecodeLimits(**options["limits"])
    _confine(options["address_space_bytes"])
    with socket.socket(fileno=descriptor) as peer, suppress(EOFError, ConnectionError):
        send(peer, {"ready": True})
        while True:
            head, data = receive(peer, body_bytes=limits.size_bytes)
            # Processor time, so that a photo is not blamed for a busy machine. SIGPROF ends the process.
            signal.setitimer(signal.ITIMER_PROF, options["timeout_s"])
            answer = _answer(bytes(data), Preprocessing.from_manifest(head), limits)
            signal.setitimer(signal.ITIMER_PROF, 0)
            send(peer, *answer)


def _answer(data: bytes, preprocessing: Preprocessing, limits: DecodeLimits) -> tuple[dict[str, object], bytes]:
    try:
        picture = read(data, preprocessing, limits)
    except ImageRejected as err:
        return {"rejected": str(err), "limit": err.limit, "allowed": err.allowed, "actual": err.actual}, b""
    return {
        "width": picture.width,
        "height": picture.height,
        "format": picture.format,
    }, picture.square.tobytes()


def _confine(address_space_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold somebody's photo
    statm = Path("/proc/self/statm")
    if statm.exists():  # elsewhere than on Linux the system does not keep to RLIMIT_AS, and time has to do
        used = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + address_space_bytes, used + address_space_bytes))
