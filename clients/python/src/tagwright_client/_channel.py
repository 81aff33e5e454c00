"""How this client talks to a server: address, transport security, limits, keepalive and retries, all in one place."""

from __future__ import annotations

import ipaddress
import json
import os
from dataclasses import dataclass
from urllib.parse import urlsplit

import grpc

from ._errors import ArgumentInvalid, FieldViolation
from ._security import Security, local_credentials, tls_credentials
from ._token import CallMetadata, PlaintextMetadata, Token
from ._version import __version__

URL_VARIABLE = "TAGWRIGHT_URL"
DEFAULT_URL = "grpc://127.0.0.1:8470"
MESSAGE_LIMIT_BYTES = 64 * 1024 * 1024  # the contract's limit for TagImages, the largest message there is

# What the proto calls idempotent, by itself or with the `request_id` that this client always sends; nothing else is
# sent twice. UploadImages is resumed by the upload itself.
_IDEMPOTENT = {
    "tagwright.v1.TaggingService": (
        "TagImage",
        "TagImages",
        "RefineTags",
        "GetImage",
        "ListImages",
        "UpdateImage",
        "DeleteImage",
        "GetImageContent",
        "ReviewTags",
        "ListTags",
        "RenameTag",
        "MergeTags",
        "SetTagRules",
        "RetagImages",
        "GetOperation",
        "ListOperations",
        "CancelOperation",
        "ListModels",
    ),
    "tagwright.v1.SearchService": (
        "SearchImages",
        "SuggestTags",
        "RelatedTags",
        "FindSimilar",
    ),
    "tagwright.v1.AuthService": (
        "WhoAmI",
        "ChangePassword",
        "CreateUser",
        "GetUser",
        "ListUsers",
        "UpdateUser",
        "DeleteUser",
        "CreateApiKey",
        "ListApiKeys",
        "RevokeApiKey",
        "ListAuditEvents",
    ),
}
_DEFAULT_PORTS = {"grpc": 8470, "grpcs": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is: the URL in full, and what grpc calls it (`host:port`, an IPv6 host in brackets)."""

    url: str
    target: str
    secure: bool
    loopback: bool


def parse_url(url: str | None) -> Address:
    """Read `grpc://host:port` (plain), `grpcs://host:port` (TLS) or `unix:PATH` (a socket of this machine).

    None: what TAGWRIGHT_URL says, else grpc://127.0.0.1:8470.
    """
    url = url if url is not None else os.environ.get(URL_VARIABLE) or DEFAULT_URL
    if url.startswith("unix:") and len(url) > len("unix:"):
        return Address(url=url, target=url, secure=False, loopback=True)
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname
    except ValueError as err:  # a port that is no number, a bracket that is not closed
        raise _bad_url(url, str(err)) from err
    if parts.scheme not in _DEFAULT_PORTS:
        raise _bad_url(url, "it must begin with grpc://, grpcs:// or unix:")
    if not host:
        raise _bad_url(url, "it names no host")
    if parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise _bad_url(url, "only a host and a port may follow the scheme")
    port = port if port is not None else _DEFAULT_PORTS[parts.scheme]
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return Address(
        url=f"{parts.scheme}://{target}", target=target, secure=parts.scheme == "grpcs", loopback=_loopback(host)
    )


def full_url(url: str | None = None) -> str:
    """Return the address that `Client.connect(url)` would mean, in full, as `Client.url` has it.

    Two addresses that are the same but for their spelling (a port left out) come out equal.
    """
    return parse_url(url).url


def open_channel(
    address: Address, security: Security, token: Token, *, forwarded_for: str | None = None
) -> grpc.Channel:
    """Open a channel whose calls carry the token and `forwarded_for`; it connects with the first call, not before.

    To another machine in plaintext the token is sent only where `security` says insecure.
    """
    options = channel_options(address)
    metadata = CallMetadata(token, forwarded_for)
    if address.secure:
        return grpc.secure_channel(address.target, tls_credentials(security, metadata), options=options)
    if address.loopback:
        unix = address.target.startswith("unix:")
        kind = grpc.LocalConnectionType.UDS if unix else grpc.LocalConnectionType.LOCAL_TCP
        return grpc.secure_channel(address.target, local_credentials(kind, metadata), options=options)
    channel = grpc.insecure_channel(address.target, options=options)
    if not security.insecure:
        metadata = CallMetadata(Token(), forwarded_for)  # one that nobody ever gives a text
    return grpc.intercept_channel(channel, PlaintextMetadata(metadata))


def channel_options(address: Address) -> list[tuple[str, int | str]]:
    """Return the channel's options, each with its reason."""
    options: list[tuple[str, int | str]] = [
        ("grpc.primary_user_agent", f"tagwright-client/{__version__}"),
        ("grpc.max_send_message_length", MESSAGE_LIMIT_BYTES),
        ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
        ("grpc.keepalive_time_ms", 30_000),  # the server allows a ping every 20 s
        ("grpc.keepalive_timeout_ms", 20_000),
        # grpc's default lets two minutes pass between tries to connect: an upload would miss the server's return.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        ("grpc.enable_retries", 1),
        ("grpc.service_config", _service_config()),
        # A request is kept for a retry only if it fits; grpc's default of 256 KiB would never retry a real photo.
        ("grpc.per_rpc_retry_buffer_size", MESSAGE_LIMIT_BYTES),
    ]
    if address.loopback:
        options.append(("grpc.enable_http_proxy", 0))  # a company's proxy cannot reach this machine's loopback
    return options


def _service_config() -> str:
    return json.dumps(
        {
            "methodConfig": [
                {
                    "name": [
                        {"service": service, "method": method}
                        for service, methods in _IDEMPOTENT.items()
                        for method in methods
                    ],
                    "retryPolicy": {
                        "maxAttempts": 4,
                        "initialBackoff": "0.2s",
                        "backoffMultiplier": 2,
                        "maxBackoff": "2s",
                        "retryableStatusCodes": ["UNAVAILABLE"],
                    },
                }
            ],
            # Ten failures in a row and retries pause: a server that is down is not hammered fourfold.
            "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
        }
    )


def _loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bad_url(url: str, why: str) -> ArgumentInvalid:
    return ArgumentInvalid(
        f"{url!r} is no address of a Tagwright server: {why}, as in {DEFAULT_URL}",
        field_violations=[FieldViolation(field="url", description=why)],
    )
