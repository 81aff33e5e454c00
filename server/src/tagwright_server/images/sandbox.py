"""The process in which photos are decoded: it reads a photo from its socket, writes what it made of it back, and knows
no more.

Promises: it holds no other file, socket or thread of the server; it keeps to its address space and processor time; it
ends when the server's end of the socket does.
Must never: import numpy, grpc or the model; open a file.
"""

from __future__ import annotations

import resource
import signal
import socket
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tagwright_server.errors import ImageRejected
from tagwright_server.images.decode import DecodeLimits, read
from tagwright_server.images.messages import picture_message, receive, rejection_message, send, thumbnail_message
from tagwright_server.images.preprocess import Preprocessing
from tagwright_server.images.thumbnail import shrink


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
            head, data = receive(peer, body_bytes=limits.kept_bytes)
            # Processor time, so that a photo is not blamed for a busy machine. SIGPROF ends the process.
            signal.setitimer(signal.ITIMER_PROF, options["timeout_s"])
            answer = _answer(head, bytes(data), limits)
            signal.setitimer(signal.ITIMER_PROF, 0)
            send(peer, *answer)


def _answer(head: dict[str, Any], data: bytes, limits: DecodeLimits) -> tuple[dict[str, object], bytes]:
    try:
        if head["task"] == "thumbnail":
            return thumbnail_message(shrink(data, limits))
        preprocessing = Preprocessing.from_manifest(head["preprocessing"])
        return picture_message(
            read(data, preprocessing, limits.of_ours() if head["ours"] else limits, keep=head["keep"])
        )
    except ImageRejected as err:
        return rejection_message(err)


def _confine(address_space_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold somebody's photo
    statm = Path("/proc/self/statm")
    if statm.exists():  # elsewhere than on Linux the system does not keep to RLIMIT_AS, and time has to do
        used = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + address_space_bytes, used + address_space_bytes))
