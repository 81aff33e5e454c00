"""`tagwright-web`: reads the settings, opens the socket, serves until SIGTERM or Ctrl-C."""

from __future__ import annotations

import logging
import os
import socket
import sys

_STOP_S = 20  # what uploads that are under way get to finish


def main() -> None:
    """Serve the pages; ends the process with its exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # read when grpc is imported; what matters is in the SDK's errors
    import uvicorn

    from tagwright_web import settings
    from tagwright_web.app import create_app

    told = settings.read(sys.argv[1:])
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(message)s", level=logging.INFO, stream=sys.stderr)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # it would tell each start and stop in six lines
    try:
        listener = _listen(told.host, told.port)
    except OSError as err:
        print(f"tagwright-web: cannot listen on {told.host}:{told.port}: {err.strerror or err}", file=sys.stderr)
        sys.exit(2)
    with listener:
        scheme = "https" if told.tls_certificate is not None else "http"
        app = create_app(told, address=f"{scheme}://{_shown(listener)}")
        config = uvicorn.Config(
            app,
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


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def _shown(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


if __name__ == "__main__":
    main()
