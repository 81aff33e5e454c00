"""Which server a command talks to, with which token, and what its errors mean for the exit code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from tagwright_admin import credentials, screen
from tagwright_admin.credentials import Credentials, CredentialsUnusable, Entry
from tagwright_client import (
    ArgumentInvalid,
    Client,
    NotFound,
    ServerUnreachable,
    TagwrightError,
    TokenInvalid,
    full_url,
)

FAILED, USAGE, INTERRUPTED = 1, 2, 130
TOKEN_VARIABLE = "TAGWRIGHT_TOKEN"
CA_VARIABLE = "TAGWRIGHT_CA_FILE"

Url = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="TAGWRIGHT_URL",
        show_default="signed in to last, or grpc://127.0.0.1:8470",
        help="The server: grpc://HOST:PORT, grpcs://HOST:PORT for TLS, or unix:PATH.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line instead of tables.")]


class Refused(Exception):
    """What was asked for is not done; the text says why. `exit_code` is USAGE where the command line is wrong."""

    def __init__(self, text: str, *, exit_code: int = FAILED) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@contextmanager
def connected(url: str | None) -> Iterator[Client]:
    """Connect with the token of the environment or of the last login; end as `ending` does."""
    with ending(), to_server(url) as client:
        yield client


@contextmanager
def to_server(url: str | None) -> Iterator[Client]:
    """Connect with the token of the environment or of the last login; the errors of the server name it."""
    kept = _kept(url)
    where = chosen(url, kept)
    entry = kept.servers.get(where)
    token = os.environ.get(TOKEN_VARIABLE) or (entry.token if entry is not None else None)
    with at_server(where), open_client(where, entry, token=token) as client:
        yield client


def chosen(url: str | None, kept: Credentials) -> str:
    """Return the server meant, in full: the one named, else the one signed in to last, else this machine's."""
    return full_url(url or kept.latest)


def open_client(url: str, entry: Entry | None, *, token: str | None) -> Client:
    """Return a client that connects as the entry says, and with the authority that the environment names."""
    ca_file = (entry.ca_file if entry is not None else None) or os.environ.get(CA_VARIABLE) or None
    return Client.connect(
        url,
        token=token,
        ca_file=ca_file if url.startswith("grpcs:") else None,  # the environment's is meant for whatever has TLS
        client_certificate_file=entry.client_certificate_file if entry is not None else None,
        client_key_file=entry.client_key_file if entry is not None else None,
        insecure=entry is not None and entry.insecure,
    )


@contextmanager
def at_server(url: str) -> Iterator[None]:
    """Say where, in the errors for which that matters."""
    try:
        yield
    except ServerUnreachable as err:
        raise Refused(
            f"No server at {url}; start one with `make serve` or `tagwright-server`, or name one by --url. ({err})"
        ) from err
    except TokenInvalid as err:
        why = f" ({TOKEN_VARIABLE} is set, and its token is not valid there)" if os.environ.get(TOKEN_VARIABLE) else ""
        raise Refused(f"Sign in first: tagwright login --url {url}{why}") from err


@contextmanager
def ending() -> Iterator[None]:
    """Turn what ends the whole command into one line on standard error and an exit code."""
    try:
        yield
    except Refused as err:
        screen.complain(str(err))
        raise typer.Exit(err.exit_code) from err
    except CredentialsUnusable as err:
        screen.complain(str(err))
        raise typer.Exit(FAILED) from err
    except (ArgumentInvalid, NotFound) as err:
        screen.complain(screen.explained(err).replace("insecure=True", "--insecure at `tagwright login`"))
        raise typer.Exit(USAGE) from err
    except TagwrightError as err:
        screen.complain(screen.explained(err))
        raise typer.Exit(FAILED) from err
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def only_alone(context: typer.Context) -> bool:
    """Return whether a group was called without a subcommand; refuse its options before one, which it would not get."""
    if context.invoked_subcommand is None:
        return True
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"options come after `{context.invoked_subcommand}`", context)
    return False


def _kept(url: str | None) -> Credentials:
    try:
        return credentials.load()
    except CredentialsUnusable:
        if url and os.environ.get(TOKEN_VARIABLE):  # a service, perhaps without a home: nothing is needed from the file
            return Credentials()
        raise
