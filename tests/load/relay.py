"""A relay that calls a server from an address of its own choosing: gRPC cannot bind the address that it calls from.

Promises: what comes in on one side leaves on the other, byte for byte, until either side ends the connection; closing
the relay ends them all. On Linux all of 127.0.0.0/8 is this machine, so that it can be many peers.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType

_PIECE_BYTES = 64 * 1024


def can_call_from(source: str) -> bool:
    """Return whether this machine has the address."""
    with socket.socket() as probe, suppress(OSError):
        probe.bind((source, 0))
        return True
    return False


class Relay:
    """Listens on `address`, and calls `target` (HOST:PORT) from `source` for everyone who connects."""

    def __init__(self, target: str, *, source: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._source = source
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._closed = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End all connections and take no more; idempotent."""
        with self._lock:
            self._closed = True
            ours = [self._listening, *self._open]
        for one in ours:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)  # wakes who waits for it; whoever waits closes it
        self._listening.close()

    def __enter__(self) -> Relay:
        """Return itself; leaving the block closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listening.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        with caller:
            try:
                server = socket.create_connection(self._target, source_address=(self._source, 0))
            except OSError:  # the caller sees its connection end, as it would without us
                return
            with server:
                pair = (caller, server)
                with self._lock:
                    if self._closed:
                        return
                    self._open.update(pair)
                back = threading.Thread(target=_pump, args=(server, caller), daemon=True)
                try:
                    for one in pair:
                        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as gRPC does itself
                    back.start()
                    _pump(caller, server)
                    back.join()
                finally:
                    with self._lock:
                        self._open.difference_update(pair)


def _pump(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while piece := one.recv(_PIECE_BYTES):
            other.sendall(piece)
    for end in (one, other):  # a connection of gRPC's is over when one side of it is
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
