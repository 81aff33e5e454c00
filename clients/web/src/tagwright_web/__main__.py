"""`tagwright-web`: reads the settings, opens the socket, serves until SIGTERM or Ctrl-C."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import socket
import sys
from types import FrameType

from tagwright_web.settings import Settings, SettingsError, read

_STOP_S = 20  # what uploads that are under way get to finish
_WRONG = 2  # exit code where it cannot run as it is told to


def main() -> None:
    """Serve the pages; ends the process with its exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # read when grpc is imported; what matters is in the SDK's errors
    from tagwright_web.beside import server_beside

    told = read(sys.argv[1:])
    logging.basicConfig(
        format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%Y-%m-%d %H:%M:%S", level=logging.INFO
    )
    signal.signal(signal.SIGTERM, _end)  # uvicorn passes it on when it has stopped; a server beside it must be ended
    try:
        with _listening(told.host, told.port) as listener:
            if not told.with_server:
                _serve(told, listener)
                return
            with server_beside(told.server_arguments, on_end=_interrupt) as url:
                _serve(dataclasses.replace(told, server=url), listener)
    except SettingsError as err:
        print(f"tagwright-web: {err}", file=sys.stderr)
        sys.exit(_WRONG)
    except KeyboardInterrupt:
        return


def _serve(told: Settings, listener: socket.socket) -> None:
    import uvicorn

    from tagwright_web.app import create_app

    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # it would tell each start and stop in six lines
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # whoever sent a form that is none is told so
    scheme = "https" if told.tls_certificate is not None else "http"
    config = uvicorn.Config(
        create_app(told, address=f"{scheme}://{_shown(listener)}"),
        log_config=None,
        access_log=False,  # addresses say what people look for
        server_header=False,
        proxy_headers=bool(told.trusted_proxies),
        forwarded_allow_ips=told.trusted_proxies or None,
        ssl_certfile=told.tls_certificate,
        ssl_keyfile=told.tls_key,
        timeout_graceful_shutdown=_STOP_S,
        timeout_keep_alive=60,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(1024)
    except OSError as err:
        listener.close()
        raise SettingsError(f"cannot listen on {host}:{port}: {err.strerror or err}") from err
    return listener


def _shown(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


if __name__ == "__main__":
    main()
