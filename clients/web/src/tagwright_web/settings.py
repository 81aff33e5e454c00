"""Where the pages are served and which server they are of: flags first, then the environment, then defaults."""

from __future__ import annotations

import argparse
import ipaddress
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

DEFAULT_LISTEN = "127.0.0.1:8471"
PHOTO_BYTES_MAX = 20 * 1024 * 1024  # the server's default; a larger photo need not be read to be refused
_ARCHIVE_GIB_MAX = 8


class SettingsError(Exception):
    """The program cannot run as it is told to; its text says why."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What `tagwright-web` is told.

    `server` is what `Client.connect` takes; the files are PEM. `host` without TLS is this machine's own, unless
    `insecure`. With `with_server` a server is run beside the pages, with `server_arguments`, in place of the one at
    `server`. `trusted_proxies` are addresses or networks whose X-Forwarded-For and X-Forwarded-Proto are believed.
    """

    host: str
    port: int
    server: str | None = None
    server_ca_file: Path | None = None
    server_insecure: bool = False
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    insecure: bool = False
    trusted_proxies: str = ""
    photo_bytes_max: int = PHOTO_BYTES_MAX
    archive_bytes_max: int = _ARCHIVE_GIB_MAX * 1024**3
    with_server: bool = False
    server_arguments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise SettingsError("--tls-certificate and --tls-key go together")
        for path in (self.tls_certificate, self.tls_key, self.server_ca_file):
            if path is not None and not path.is_file():
                raise SettingsError(f"there is no file {path}")
        for entry in filter(None, (part.strip() for part in self.trusted_proxies.split(","))):
            try:
                ipaddress.ip_network(entry)
            except ValueError as err:
                raise SettingsError(f"--trusted-proxies: {entry!r} is no address and no network: {err}") from err
        if self.tls_certificate is None and not (self.insecure or _loopback(self.host)):
            raise SettingsError(
                f"{self.host} can be reached from other machines, and without TLS passwords could be read on the way: "
                "give --tls-certificate and --tls-key, or --insecure behind a proxy that speaks TLS"
            )


def read(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings; --help and what cannot be read end the program, as argparse does."""
    env = os.environ if environment is None else environment
    parser = argparse.ArgumentParser(
        prog="tagwright-web", description="Serve the web pages of a Tagwright server.", allow_abbrev=False
    )
    option = parser.add_argument
    option(
        "--listen",
        metavar="HOST:PORT",
        default=env.get("TAGWRIGHT_WEB_LISTEN", DEFAULT_LISTEN),
        help=f"where to serve the pages; port 0 is any free one; TAGWRIGHT_WEB_LISTEN ({DEFAULT_LISTEN})",
    )
    option(
        "--server",
        metavar="URL",
        default=env.get("TAGWRIGHT_URL"),
        help="the server they are of: grpc://HOST:PORT, grpcs://HOST:PORT, unix:PATH; "
        "TAGWRIGHT_URL (grpc://127.0.0.1:8470)",
    )
    option(
        "--server-ca-file",
        metavar="FILE",
        type=Path,
        default=_path(env.get("TAGWRIGHT_CA_FILE")),
        help="a private authority that signed the server's certificate; TAGWRIGHT_CA_FILE",
    )
    option("--server-insecure", action="store_true", help="reach a server on another machine without TLS")
    option("--tls-certificate", metavar="FILE", type=Path, help="serve the pages over TLS: the certificate")
    option("--tls-key", metavar="FILE", type=Path, help="the certificate's key")
    option("--insecure", action="store_true", help="serve other machines without TLS: behind a proxy that speaks it")
    option(
        "--trusted-proxies",
        metavar="ADDRESSES",
        default=env.get("TAGWRIGHT_WEB_TRUSTED_PROXIES", ""),
        help="addresses or networks whose X-Forwarded-For and X-Forwarded-Proto are believed, with commas between",
    )
    option(
        "--archive-gib-max",
        metavar="N",
        type=float,
        default=_ARCHIVE_GIB_MAX,
        help=f"largest zip file of photos that is taken, in GiB ({_ARCHIVE_GIB_MAX})",
    )
    option(
        "--with-server",
        action="store_true",
        help="run a tagwright-server beside the pages; its flags come behind a -- at the end",
    )
    own, separator, others = _split(arguments)
    told = parser.parse_args(own)
    if separator and not told.with_server:
        parser.error("only with --with-server do flags for a server come behind a --")
    try:
        host, port = _address(told.listen)
        return Settings(
            host=host,
            port=port,
            server=told.server or None,
            server_ca_file=told.server_ca_file,
            server_insecure=told.server_insecure,
            tls_certificate=told.tls_certificate,
            tls_key=told.tls_key,
            insecure=told.insecure,
            trusted_proxies=told.trusted_proxies,
            archive_bytes_max=int(told.archive_gib_max * 1024**3),
            with_server=told.with_server,
            server_arguments=tuple(others),
        )
    except SettingsError as err:
        parser.error(str(err))


def _split(arguments: Sequence[str]) -> tuple[list[str], bool, list[str]]:
    at = list(arguments).index("--") if "--" in arguments else len(arguments)
    return list(arguments[:at]), at < len(arguments), list(arguments[at + 1 :])


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise SettingsError(f"{text!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
