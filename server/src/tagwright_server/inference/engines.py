"""Which engine the server runs on, from the words of its `--inference` setting."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tagwright_server.errors import StartupError
from tagwright_server.inference.backend import Backend, OnChange
from tagwright_server.inference.bundle import Bundle

_log = logging.getLogger(__name__)
_REMOTE = "triton://"


def open_backend(inference: str, bundles: Sequence[Bundle], *, on_change: OnChange | None = None) -> Backend:
    """Open the engine named by `inference` and return it ready: auto, local or triton://HOST:PORT.

    `auto` is a Triton of our own; where none can be had, one line in the log says why and it is `local`.
    `on_change` is told of readiness from the backend's own thread. Raises StartupError.
    """
    if inference.startswith(_REMOTE):
        return _remote(inference.removeprefix(_REMOTE), bundles, on_change)
    if inference == "auto":
        from tagwright_server.inference.child import why_no_triton

        why = why_no_triton()
        if why is None:
            from tagwright_server.inference.triton import TritonBackend

            return TritonBackend(bundles, on_change=on_change)
        _log.warning("running the network in this process: %s", why)
    elif inference != "local":
        raise StartupError(f"--inference={inference}: is none of auto, local and triton://HOST:PORT")
    from tagwright_server.inference.torchscript import LocalBackend

    return LocalBackend(bundles, on_change=on_change)


def _remote(address: str, bundles: Sequence[Bundle], on_change: OnChange | None) -> Backend:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise StartupError(f"--inference={_REMOTE}{address}: is not triton://HOST:PORT")
    try:
        from tagwright_server.inference.triton import TritonBackend
    except ImportError as err:
        raise StartupError(f"--inference={_REMOTE}… needs {err.name}, which is not installed") from err
    return TritonBackend(bundles, address=address, on_change=on_change)
